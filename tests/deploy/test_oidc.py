"""Signing in by the hospital's OpenID provider, over sockets: who is let in, and who never is."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import HTTPRedirectHandler, build_opener

import pytest
from audit_parts import kind, trail, who_asked
from provider_rig import (
    CLIENT,
    SECRET,
    FakeProvider,
    ec_key,
    hmac_signed,
    provider,
    rsa_key,
    signed,
)
from site_rig import Answer, Visit, accounts, site_of, with_web
from station import eventually

from deploy.settings import Settings, parse
from deploy.state import key_of_site
from deploy.web.users import Role
from listener.audit_event import UNKNOWN
from listener.ledger import Ledger

pytestmark = pytest.mark.slow
LOOPBACK = "127.0.0.1"
FAILED = "Signing in did not work"


@dataclass(frozen=True)
class Hospital:
    """The pages, the provider that they trust, and the audit trail."""

    address: str
    fake: FakeProvider
    audit: Path
    settings: Settings
    after: str = ""

    def depart(self, wanted: str = "") -> tuple[Visit, str]:
        """Begin to sign in; return the browser, and where the provider sends it back to."""
        browser = Visit(self.address)
        question = browser.get(f"/login/oidc?next={wanted}")
        assert question.status == 303
        return browser, followed(question.headers["location"]).removeprefix(self.address)

    def sign_in(self, wanted: str = "") -> tuple[Visit, Answer]:
        browser, back = self.depart(wanted)
        return browser, browser.get(back)

    def logins(self, least: int = 1) -> list[Any]:
        """Return the messages of signing in and out since `marked`."""
        assert eventually(lambda: len(self._since()) >= least)
        return self._since()

    def marked(self, name: str) -> Hospital:
        """Sign somebody in, and look at the trail after that from now on."""
        self.fake.user["preferred_username"] = name
        assert self.sign_in()[1].status == 303
        assert eventually(lambda: name in self.audit.read_text("ascii"))
        self.fake.forget()
        return replace(self, after=name)

    def _since(self) -> list[Any]:
        kept = [one for one in trail(self.audit) if kind(one)[0] == "110114"]
        names = [who_asked(one)[0] for one in kept]
        return kept[names.index(self.after) + 1 :]


def followed(address: str) -> str:
    """Return where an address leads, without going there."""

    class Stay(HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    from urllib.error import HTTPError

    with pytest.raises(HTTPError) as told:
        build_opener(Stay).open(address)
    told.value.close()
    return str(told.value.headers["location"])


@pytest.fixture(scope="module")
def keeper() -> Iterator[FakeProvider]:
    with provider() as it:
        yield it


@pytest.fixture
def fake(keeper: FakeProvider) -> FakeProvider:
    keeper.forget()
    return keeper


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, keeper: FakeProvider) -> Settings:
    folder = tmp_path_factory.mktemp("oidc")
    audit = {"destinations": [{"name": "log", "kind": "file", "path": str(folder / "audit.xml")}]}
    made = parse({"state_dir": str(folder / "state"), "listener": {"audit": audit}})
    key_of_site(made)
    Ledger(made.ledger_url).close()
    accounts(made, local=(Role.RADIOLOGIST,))
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET + "\n", encoding="ascii")
    return with_web(made, oidc=told(keeper, client_secret=secret))


def told(fake: FakeProvider, **changes: Any) -> dict[str, Any]:
    return {
        "issuer": fake.address,
        "client_id": CLIENT,
        "radiologists": ["radiologists"],
        "it": ["admins"],
        "loopback_http": True,
        **changes,
    }


@pytest.fixture(scope="module")
def standing(settings: Settings, keeper: FakeProvider) -> Iterator[Hospital]:
    with site_of(settings) as address:
        audit = settings.state_dir.parent / "audit.xml"
        yield Hospital(address, keeper, audit, settings)


@pytest.fixture
def hospital(standing: Hospital, fake: FakeProvider, request: pytest.FixtureRequest) -> Hospital:
    return standing.marked(f"mark{abs(hash(request.node.name))}")


@pytest.fixture
def young(settings: Settings, fake: FakeProvider) -> Iterator[Hospital]:
    """Pages that have not asked the provider yet what it is."""
    with site_of(settings) as address:
        yield Hospital(address, fake, settings.state_dir.parent / "audit.xml", settings)


# -- who is let in ----------------------------------------------------------------------------


def test_whom_the_provider_vouches_for_goes_where_he_wanted(hospital: Hospital) -> None:
    browser, answer = hospital.sign_in("%2Fresults%3Fpage%3D2")
    assert (answer.status, answer.headers["location"]) == (303, "/results?page=2")
    page = browser.get("/results")
    assert "dr.asked" in page.text
    assert browser.get("/status").status == 403
    (login,) = hospital.logins()
    assert who_asked(login)[0] == "dr.asked"
    assert login.find("EventIdentification").get("EventOutcomeIndicator") == "0"


def test_the_question_holds_a_challenge_a_nonce_and_a_state_that_are_new_each_time(
    hospital: Hospital,
) -> None:
    asked = []
    for _ in range(2):
        there = Visit(hospital.address).get("/login/oidc").headers["location"]
        asked.append({k: v[0] for k, v in parse_qs(urlsplit(there).query).items()})
    for one in asked:
        assert one["response_type"] == "code"
        assert one["code_challenge_method"] == "S256"
        assert one["scope"] == "openid profile"
        assert one["redirect_uri"] == f"{hospital.address}/login/oidc/back"
        assert min(len(one[name]) for name in ("state", "nonce", "code_challenge")) >= 43
    for name in ("state", "nonce", "code_challenge"):
        assert asked[0][name] != asked[1][name]


def test_one_address_pushes_out_its_own_sign_ins_and_no_others(
    settings: Settings, fake: FakeProvider
) -> None:
    with site_of(
        with_web(settings, oidc=settings.web.oidc.model_dump(), trusted_proxies=(LOOPBACK,))
    ) as address:

        def departed(where: str) -> tuple[Visit, str]:
            browser = Visit(address, headers={"X-Forwarded-For": where})
            there = browser.get("/login/oidc").headers["location"]
            return browser, followed(there).removeprefix(address)

        reader, first = departed("10.0.0.1"), departed("10.0.0.2")
        for _ in range(50):
            Visit(address, headers={"X-Forwarded-For": "10.0.0.2"}).get("/login/oidc")
        assert [browser.get(back).status for browser, back in (reader, first)] == [303, 401]


@pytest.mark.parametrize(
    ("place", "claims", "roles"),
    [
        ("groups", {"groups": ["admins", "radiologists"]}, (200, 200)),
        ("groups", {"groups": "admins"}, (403, 200)),
        ("realm_access.roles", {"realm_access": {"roles": ["radiologists"]}}, (200, 403)),
        ("https://example.org/roles", {"https://example.org/roles": ["admins"]}, (403, 200)),
    ],
)
def test_roles_come_from_a_claim(
    settings: Settings,
    fake: FakeProvider,
    place: str,
    claims: dict[str, Any],
    roles: tuple[int, int],
) -> None:
    oidc = settings.web.oidc.model_copy(update={"roles_claim": place})
    fake.user = {"sub": "1", "preferred_username": "a", **claims}
    with site_of(with_web(settings, oidc=oidc.model_dump())) as address:
        browser, _ = Hospital(address, fake, Path(), settings).sign_in()
        assert (browser.get("/results").status, browser.get("/status").status) == roles


@pytest.mark.parametrize("groups", [[], ["others"], None, 7, {"radiologists": True}])
def test_who_has_no_role_is_told_whom_to_ask(hospital: Hospital, groups: Any) -> None:
    hospital.fake.user["groups"] = groups
    browser, answer = hospital.sign_in()
    assert answer.status == 403
    assert "Whom to ask: the IT department." in answer.text
    assert 'href="/login/oidc?another=1&amp;next="' in answer.text
    assert browser.get("/results").status == 303
    (login,) = hospital.logins()
    assert who_asked(login)[0] == "dr.asked"
    assert login.find("EventIdentification").get("EventOutcomeIndicator") == "4"


def test_who_wants_to_be_another_is_asked_by_the_provider_anew(hospital: Hospital) -> None:
    browser = Visit(hospital.address)
    for path, prompt in (("/login/oidc", None), ("/login/oidc?another=1", ["login"])):
        there = browser.get(path).headers["location"]
        assert parse_qs(urlsplit(there).query).get("prompt") == prompt


def test_a_session_gets_a_new_key_and_the_one_before_is_over(hospital: Hospital) -> None:
    browser, back = hospital.depart()
    away, before = browser.cookie, Visit(hospital.address)
    assert before.sign_in("local").status == 303
    browser.cookie = f"{away}; {before.cookie}"
    answer = browser.get(back)
    (given,) = [one for one in answer.cookies if not one.startswith("wristmir-oidc=")]
    assert given.partition(";")[0] != before.cookie
    assert before.get("/results").status == 303  # what somebody may have planted opens nothing
    assert {"httponly", "samesite=lax"} <= {one.strip().lower() for one in given.split(";")}


def test_a_local_account_of_the_same_name_is_never_mixed_up_with_it(hospital: Hospital) -> None:
    hospital.fake.user["preferred_username"] = "Local"
    _, answer = hospital.sign_in()
    assert answer.status == 403
    assert "local account of the name local" in answer.text
    hospital.fake.user["preferred_username"] = "later"
    browser, _ = hospital.sign_in()
    assert browser.get("/results").status == 200
    accounts(hospital.settings, later=(Role.IT,))
    assert browser.get("/results").status == 303


@pytest.mark.parametrize("name", [None, "", "  ", 7, "x" * 65, "a\nb", "a\x00b"])
def test_who_has_no_usable_name_is_not_let_in(hospital: Hospital, name: Any) -> None:
    hospital.fake.user["preferred_username"] = name
    assert hospital.sign_in()[1].status == 401


@pytest.mark.parametrize("how", ["client_secret_post", "none"])
def test_the_client_shows_itself_as_the_provider_wants(
    settings: Settings, fake: FakeProvider, how: str
) -> None:
    fake.document["token_endpoint_auth_methods_supported"] = [how]
    oidc = settings.web.oidc.model_dump()
    if how == "none":
        fake.secret, oidc = None, {**oidc, "client_secret": None}
    with site_of(with_web(settings, oidc=oidc)) as address:
        assert Hospital(address, fake, Path(), settings).sign_in()[1].status == 303


@pytest.mark.parametrize(("algorithm", "key"), [("ES256", ec_key()), ("PS256", rsa_key())])
def test_other_algorithms_hold_where_they_are_set(
    settings: Settings, fake: FakeProvider, algorithm: str, key: Any
) -> None:
    fake.algorithm, fake.keys = algorithm, [key]
    oidc = settings.web.oidc.model_copy(update={"algorithms": (algorithm,)})
    with site_of(with_web(settings, oidc=oidc.model_dump())) as address:
        hospital = Hospital(address, fake, Path(), settings)
        assert hospital.sign_in()[1].status == 303
        fake.token = lambda claims: signed(claims, rsa_key(key.kid), "RS256")
        assert hospital.sign_in()[1].status == 401


def test_a_new_key_of_the_provider_is_fetched_once(young: Hospital) -> None:
    assert young.sign_in()[1].status == 303
    assert young.sign_in()[1].status == 303
    assert young.fake.asked.count("/jwks") == 1
    young.fake.keys.insert(0, rsa_key("second"))
    assert young.sign_in()[1].status == 303
    assert young.fake.asked.count("/jwks") == 2


@pytest.mark.parametrize(
    "strange",
    [
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"},
        {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"},
        {"kty": "RSA"},
        {},
    ],
    ids=str,
)
def test_a_key_of_a_kind_that_is_not_known_is_passed_over(
    young: Hospital, strange: dict[str, Any]
) -> None:
    young.fake.strange_keys = [{"kid": "strange", **strange}]
    assert young.sign_in()[1].status == 303


# -- who never is -----------------------------------------------------------------------------


def none_token(claims: dict[str, Any]) -> str:
    parts = ({"alg": "none"}, claims)
    head, body = (base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in parts)
    return f"{head.decode()}.{body.decode()}."


def hmac_token(fake: FakeProvider) -> Callable[[dict[str, Any]], str]:
    """Return a forger that takes the public key for a shared secret (CVE-2016-10555)."""
    key = fake.keys[0]
    return lambda claims: hmac_signed(claims, key.as_pem(private=False), kid=key.kid)


def own_key_token(claims: dict[str, Any]) -> str:
    """Return a token that brings its own key along."""
    key = rsa_key("first")
    return signed(claims, key, jwk=key.as_dict(private=False))


def broken_token(fake: FakeProvider) -> Callable[[dict[str, Any]], str]:
    def spoilt(claims: dict[str, Any]) -> str:
        head, _, tail = signed({**claims, "groups": []}, fake.keys[0]).split(".")
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        return f"{head}.{body}.{tail}"

    return spoilt


FORGED: dict[str, Callable[[FakeProvider], Any]] = {
    "alg none": lambda fake: none_token,
    "HS256 with the public key": hmac_token,
    "a key of its own": lambda fake: own_key_token,
    "a key that nobody knows": lambda fake: lambda claims: signed(claims, rsa_key("other")),
    "a body that was changed": broken_token,
    "an algorithm that is not set": lambda fake: (
        lambda claims: signed(claims, fake.keys[0], "PS256")
    ),
    "no token": lambda fake: lambda claims: None,
    "nonsense": lambda fake: lambda claims: "a.b.c",
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_token_that_the_provider_has_not_signed_so_lets_nobody_in(
    hospital: Hospital, forged: str
) -> None:
    hospital.fake.token = FORGED[forged](hospital.fake)
    refused(hospital)
    unknown = forged == "a key that nobody knows"
    assert hospital.fake.asked.count("/jwks") == unknown  # asked once more, and no more


NOW = time.time()
WRONG: dict[str, dict[str, Any]] = {
    "another nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "another audience": {"aud": "another-client"},
    "no audience": {"aud": None},
    "several audiences without an authorized party": {"aud": [CLIENT, "another-client"]},
    "another authorized party": {"azp": "another-client"},
    "another issuer": {"iss": "https://elsewhere.example"},
    "no issuer": {"iss": None},
    "expired": {"exp": int(NOW) - 31},
    "no expiry": {"exp": None},
    "an expiry that is no number": {"exp": "tomorrow"},
    "issued in the future": {"iat": int(NOW) + 3600, "exp": int(NOW) + 7200},
    "issued before the sign-in": {"iat": int(NOW) - 3600},
    "no time of issue": {"iat": None},
    "not valid yet": {"nbf": int(NOW) + 3600},
    "no subject": {"sub": None},
    "another access token's hash": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_token_for_another_time_or_place_lets_nobody_in(hospital: Hospital, wrong: str) -> None:
    hospital.fake.claims = WRONG[wrong]
    refused(hospital)


def refused(hospital: Hospital) -> None:
    browser, answer = hospital.sign_in()
    assert answer.status == 401
    assert FAILED in answer.text
    assert browser.get("/results").status == 303
    (login,) = hospital.logins()
    assert login.find("EventIdentification").get("EventOutcomeIndicator") == "4"
    assert who_asked(login)[0] == UNKNOWN  # nothing proves the name


def test_several_audiences_are_well_where_this_client_is_the_authorized_party(
    hospital: Hospital,
) -> None:
    hospital.fake.claims = {"aud": [CLIENT, "another-client"], "azp": CLIENT}
    assert hospital.sign_in()[1].status == 303


def test_clocks_may_differ_by_as_much_as_is_set(hospital: Hospital) -> None:
    now = int(time.time())
    for claims in ({"exp": now - 10}, {"iat": now + 20}, {"iat": now - 10}, {"nbf": now + 20}):
        hospital.fake.claims = claims
        assert hospital.sign_in()[1].status == 303


@pytest.mark.parametrize("state", ["", "another", "\u00e9"])
def test_another_state_lets_nobody_in(hospital: Hospital, state: str) -> None:
    browser, back = hospital.depart()
    code = parse_qs(urlsplit(back).query)["code"][0]
    from urllib.parse import quote

    assert browser.get(f"/login/oidc/back?code={code}&state={quote(state)}").status == 401


def test_a_flood_of_refusals_does_not_fill_the_audit_trail(young: Hospital) -> None:
    browser, before = Visit(young.address), len(trail(young.audit))
    for _ in range(230):
        assert browser.get("/login/oidc/back?state=x").status == 401
    assert young.sign_in()[1].status == 303  # and shuts nobody out
    assert eventually(lambda: "dr.asked" in young.audit.read_text("ascii").splitlines()[-1])
    assert 200 < len(trail(young.audit)) - before < 210


def test_another_browser_gets_nothing_out_of_an_answer(hospital: Hospital) -> None:
    _, back = hospital.depart()
    assert Visit(hospital.address).get(back).status == 401
    other, _ = hospital.depart()
    assert other.get(back).status == 401
    assert "/token" not in hospital.fake.asked


def test_an_answer_counts_once(hospital: Hospital) -> None:
    browser, back = hospital.depart()
    kept = browser.cookie
    assert browser.get(back).status == 303
    again = Visit(hospital.address, kept)
    assert again.get(back).status == 401
    assert hospital.fake.asked.count("/token") == 1


def test_a_code_that_was_used_elsewhere_lets_nobody_in(hospital: Hospital) -> None:
    first, spent = hospital.depart()
    assert first.get(spent).status == 303
    browser, back = hospital.depart()
    code = {
        name: parse_qs(urlsplit(at).query)["code"][0] for name, at in (("s", spent), ("b", back))
    }
    assert browser.get(back.replace(code["b"], code["s"])).status == 401


def test_a_code_of_another_sign_in_lets_nobody_in(hospital: Hospital) -> None:
    """Code injection: PKCE ties a code to the browser that asked for it (RFC 9700, 4.5)."""
    _, stolen = hospital.depart()
    browser, back = hospital.depart()
    codes = [parse_qs(urlsplit(at).query)["code"][0] for at in (stolen, back)]
    assert browser.get(back.replace(codes[1], codes[0])).status == 401


@pytest.mark.parametrize("issuer", ["https://elsewhere.example", "", None])
def test_another_providers_answer_is_told_apart(hospital: Hospital, issuer: str | None) -> None:
    hospital.fake.answer = {"iss": issuer}
    assert hospital.sign_in()[1].status == 401
    assert "/token" not in hospital.fake.asked  # the code goes to nobody


def test_a_provider_that_names_no_issuer_in_its_answers_need_not(young: Hospital) -> None:
    young.fake.document = {"authorization_response_iss_parameter_supported": False}
    young.fake.answer = {"iss": None}
    assert young.sign_in()[1].status == 303


def test_what_the_provider_says_of_a_fault_is_not_repeated(
    hospital: Hospital, caplog: pytest.LogCaptureFixture
) -> None:
    browser, back = hospital.depart()
    state = parse_qs(urlsplit(back).query)["state"][0]
    fault = "error=access_denied&error_description=%3Cb%3Ea+secret+word"
    answer = browser.get(f"/login/oidc/back?state={state}&iss={hospital.fake.address}&{fault}")
    assert answer.status == 401
    hospital.fake.codes.clear()
    browser, back = hospital.depart()
    hospital.fake.codes.clear()
    assert browser.get(back).status == 401
    assert "secret word" not in answer.text + caplog.text + hospital.audit.read_text("ascii")


# -- the provider itself ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://elsewhere.example"},
        {"token_endpoint": "https://elsewhere.example/token"},
        {"jwks_uri": "http://127.0.0.1:1/jwks"},
        {"authorization_endpoint": "https://elsewhere.example/authorization"},
        {"end_session_endpoint": "https://elsewhere.example/bye"},
        {"code_challenge_methods_supported": ["plain"]},
        {"id_token_signing_alg_values_supported": ["HS256", "none"]},
        {"token_endpoint": None},
    ],
    ids=str,
)
def test_a_provider_that_says_what_cannot_be_used_is_not_used(
    young: Hospital, document: dict[str, Any]
) -> None:
    young.fake.document = document
    answer = Visit(young.address).get("/login/oidc")
    assert answer.status == 503
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 200),
        (b"[]", {}, 200),
        (b"\x1f\x8b", {"Content-Encoding": "gzip"}, 200),
        (b" " * (2 << 20), {}, 200),
        (b"", {"Location": "http://127.0.0.1:1/"}, 302),
        (b"", {}, 500),
    ],
    ids=["broken", "no object", "packed", "endless", "leads elsewhere", "failing"],
)
def test_a_provider_that_is_out_of_order_is_not_used(
    young: Hospital, body: bytes, headers: dict[str, str], status: int
) -> None:
    fake = young.fake
    fake.body, fake.headers, fake.status = body, headers, status
    assert Visit(young.address).get("/login/oidc").status == 503


def test_while_the_provider_is_down_the_page_says_so_and_local_accounts_work(
    settings: Settings, fake: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    with provider() as gone:
        address = gone.address
    oidc = settings.web.oidc.model_copy(update={"issuer": address})
    with site_of(with_web(settings, oidc=oidc.model_dump())) as here:
        browser = Visit(here)
        answer = browser.get("/login/oidc?next=%2Fresults")
        assert answer.status == 503
        assert "cannot be reached just now. Local accounts work." in answer.text
        assert 'name="password"' in answer.text
        assert address in caplog.text
        assert browser.sign_in("local").status == 303


def test_a_provider_that_is_down_is_not_asked_again_at_once_but_soon(young: Hospital) -> None:
    fake, browser = young.fake, Visit(young.address)
    fake.status = 500
    for _ in range(5):
        assert browser.get("/login/oidc").status == 503
    assert len(fake.asked) == 1
    fake.status = 200
    assert eventually(lambda: browser.get("/login/oidc").status == 303)


def test_no_browser_is_sent_to_a_provider_that_has_gone_down_meanwhile(young: Hospital) -> None:
    browser, _ = young.sign_in()
    young.fake.status = 500
    answer = browser.post("/logout", {"csrf": browser.token("/results")})
    assert answer.headers["location"] == "/login"
    assert browser.get("/results").status == 303
    assert browser.get("/login/oidc").status == 503


def test_a_secret_that_the_provider_does_not_take_is_named_in_the_log(
    hospital: Hospital, caplog: pytest.LogCaptureFixture
) -> None:
    hospital.fake.secret = "another"  # noqa: S105  invented
    assert hospital.sign_in()[1].status == 401
    assert "does not take client_id or client_secret" in caplog.text


def test_a_secret_that_others_may_read_is_not_shown_to_anybody(
    hospital: Hospital, settings: Settings
) -> None:
    secret = settings.web.oidc.client_secret
    assert secret is not None
    secret.chmod(0o644)
    try:
        assert Visit(hospital.address).get("/login/oidc").status == 503
    finally:
        secret.chmod(0o600)


def test_signing_out_signs_out_at_the_provider_too(hospital: Hospital) -> None:
    browser, _ = hospital.sign_in()
    page = browser.get("/results")
    policy = page.headers["content-security-policy"]
    assert f"form-action 'self' {hospital.fake.address};" in policy
    answer = browser.post("/logout", {"csrf": browser.token("/results")})
    assert answer.status == 303
    asked = parse_qs(urlsplit(answer.headers["location"]).query)
    assert answer.headers["location"].startswith(f"{hospital.fake.address}/end_session?")
    assert asked["post_logout_redirect_uri"] == [f"{hospital.address}/login"]
    assert asked["client_id"] == [CLIENT]
    assert asked["id_token_hint"][0].count(".") == 2
    assert browser.get("/results").status == 303
    assert who_asked(hospital.logins(2)[1])[0] == "dr.asked"


def test_a_local_account_is_signed_out_here_alone(hospital: Hospital) -> None:
    browser = Visit(hospital.address)
    assert browser.sign_in("local").status == 303
    answer = browser.post("/logout", {"csrf": browser.token("/results")})
    assert answer.headers["location"] == "/login"


def test_where_the_provider_offers_no_signing_out_it_ends_here(young: Hospital) -> None:
    young.fake.document = {"end_session_endpoint": None}
    browser, _ = young.sign_in()
    answer = browser.post("/logout", {"csrf": browser.token("/results")})
    assert answer.headers["location"] == "/login"


def test_without_a_provider_there_is_no_way_to_one(settings: Settings) -> None:
    with site_of(with_web(settings)) as address:
        browser = Visit(address)
        assert "/login/oidc" not in browser.get("/login").text
        assert browser.get("/login/oidc").status == 404
