// oidc-provider with the accounts of a hospital: what it is to be comes as JSON on one line of stdin,
// and it ends where stdin does.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

const PACKAGE = '../../.openid-provider/node_modules/oidc-provider/lib/index.js';
const { Provider } = await import(new URL(PACKAGE, import.meta.url));

const lines = createInterface({ input: process.stdin });
lines.once('line', (line) => serve(JSON.parse(line)));
lines.once('close', () => process.exit());

function serve(asked) {
  const provider = new Provider(asked.issuer, configuration(asked));
  for (const fault of ['server_error', 'grant.error']) {
    provider.on(fault, (_, error) => console.error(error)); // to the log
  }
  const server = createServer(async (request, answer) => {
    try {
      if (!request.url.startsWith('/interaction/')) await provider.callback()(request, answer);
      else await interact(provider, asked.accounts, request, answer);
    } catch (error) {
      answer.writeHead(500).end(String(error));
    }
  });
  const { hostname, port } = new URL(asked.issuer);
  server.listen(Number(port), hostname, () => console.log('ready'));
}

function configuration({ accounts, client, jwks, conformIdTokenClaims }) {
  return {
    clients: [client],
    jwks,
    conformIdTokenClaims,
    cookies: { keys: ['invented'] },
    claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256'] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, preferred_username: id, groups: accounts[id].groups }),
    }),
    pkce: { required: () => true },
    interactions: { url: (_, { uid }) => `/interaction/${uid}` },
    features: {
      devInteractions: { enabled: false },
      // its own page fetches a font from elsewhere
      rpInitiatedLogout: { enabled: true, logoutSource: farewell },
    },
    renderError: (ctx, out) => { ctx.body = page(`<p id="fault">${out.error}</p>`); },
  };
}

async function interact(provider, accounts, request, answer) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, answer);
  const sent = request.method === 'POST' ? await form(request) : undefined;
  const finish = (result) => provider.interactionFinished(request, answer, result);
  if (sent?.has('cancel')) {
    await finish({ error: 'access_denied', error_description: 'a secret word' });
  } else if (prompt.name === 'login') {
    const id = sent?.get('name');
    if (sent && accounts[id]?.password === sent.get('password')) await finish({ login: { accountId: id } });
    else show(answer, login(sent ? 'Name or password is wrong.' : ''));
  } else if (!sent) {
    show(answer, '<h1>May the pages know who you are?</h1><button id="allow">Yes</button>');
  } else {
    const ids = { accountId: session.accountId, clientId: params.client_id };
    const grant = (grantId && await provider.Grant.find(grantId)) || new provider.Grant(ids);
    const { missingOIDCScope: scopes, missingOIDCClaims: claims } = prompt.details;
    if (scopes) grant.addOIDCScope(scopes.join(' '));
    if (claims) grant.addOIDCClaims(claims);
    await finish({ consent: { grantId: await grant.save() } });
  }
}

async function form(request) {
  let body = '';
  for await (const piece of request) body += piece;
  return new URLSearchParams(body);
}

function login(problem) {
  return `<h1>The hospital</h1><p id="problem">${problem}</p>
<input name="name"><input name="password" type="password"><button id="login">Go on</button>`;
}

function show(answer, parts) {
  answer.writeHead(200, { 'Content-Type': 'text/html' });
  answer.end(page(`<form method="post">${parts}<button name="cancel" id="cancel">No</button></form>`));
}

function farewell(ctx, hidden) {
  ctx.body = page(`${hidden}<button form="op.logoutForm" name="logout" value="yes">Sign out</button>`);
}

function page(body) {
  return `<!doctype html><title>The hospital</title><link rel="icon" href="data:,">${body}`;
}
