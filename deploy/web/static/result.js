"use strict";
/* The page works without this: here it ranks and filters at once, and listens to keys. */
const wish = document.getElementById("wish"), matches = document.getElementById("matches");
let asked = null, again = false; // one question at a time, then the latest wish

function fields() {
  const said = new URLSearchParams(new FormData(wish)), weigh = wish.elements.weight;
  if (!weigh || weigh.dataset.initial !== "own") said.delete("weight");
  if (said.get("finding") === "any") said.delete("finding");
  return said;
}

/* Put what has come in the place of what is there; pictures that stay are not loaded again. */
function put(text) {
  const come = new DOMParser().parseFromString(text, "text/html").body;
  const held = document.activeElement.closest(".card")?.id;
  for (const card of come.querySelectorAll(".card")) {
    const before = document.getElementById(card.id)?.querySelector(".look");
    if (before) card.querySelector(".look").replaceChildren(...before.childNodes);
  }
  matches.replaceChildren(...come.childNodes);
  if (held) document.getElementById(held)?.querySelector("a.look").focus({ preventScroll: true });
}

async function weigh() {
  if (asked) { again = true; return; }
  const search = `?${fields()}`;
  history.replaceState(null, "", search);
  matches.setAttribute("aria-busy", "true");
  try {
    asked = fetch(matches.dataset.matches + search, { headers: { Accept: "text/html" } });
    const answer = await asked;
    if (answer.redirected || answer.status === 401) { location.reload(); return; }
    if (!answer.ok) throw new Error();
    put(await answer.text());
  } catch {
    matches.querySelector("[data-count]").textContent = matches.dataset.failed;
  } finally {
    asked = null;
    matches.setAttribute("aria-busy", "false");
    if (again) { again = false; weigh(); }
  }
}

if (wish) {
  wish.querySelector("[data-apply]").hidden = true;
  wish.addEventListener("input", (event) => {
    if (event.target.name === "weight") {
      event.target.dataset.initial = "own";
      wish.querySelector("output").textContent = `${event.target.value} %`;
    }
    weigh();
  });
  wish.addEventListener("submit", (event) => { event.preventDefault(); weigh(); });
}

function step(by) {
  const links = [...matches.querySelectorAll("a.look")];
  const now = links.findIndex((link) => link.closest(".card").contains(document.activeElement));
  const next = links[Math.min(links.length - 1, Math.max(0, now < 0 ? 0 : now + by))];
  if (next) { next.focus({ preventScroll: true }); next.closest(".card").scrollIntoView({ block: "nearest" }); }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !matches) return;
  if (event.target.matches("select, input:not([type=checkbox], [type=range])")) return;
  const card = document.activeElement.closest(".card");
  if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
  else if (event.key === "b") {
    const boxes = [...document.querySelectorAll("[data-boxes]")], on = boxes.some((box) => box.checked);
    for (const box of boxes) box.checked = !on;
  } else if (card && /^[1-5]$/.test(event.key)) card.querySelector(`.points [value="${event.key}"]`).click();
  else return;
  event.preventDefault();
});
