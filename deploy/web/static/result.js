"use strict";
/* The page works without this: here it ranks and filters at once, and listens to keys. */
const wish = document.getElementById("wish"), list = document.querySelector(".cards");

function rank(byWeight) {
  const cards = [...list.children], weigh = wish.elements.weight;
  const share = weigh ? Number(weigh.value) / 100 : 0;
  const score = (card) => share * Number(card.dataset.boneIndex || 0) + (1 - share) * Number(card.dataset.whole);
  const given = (a, b) => Number(a.dataset.rank) - Number(b.dataset.rank);
  cards.sort(byWeight ? (a, b) => score(b) - score(a) || given(a, b) : given);
  const finding = wish.elements.finding.value;
  let place = 0;
  for (const card of cards) {
    const { dataset } = card;
    card.hidden = (finding !== "any" && finding !== dataset.finding)
      || (wish.elements.same_side.checked && dataset.mirrored === "yes")
      || (wish.elements.pictured.checked && dataset.pictured === "no");
    if (!card.hidden) {
      place += 1;
      card.querySelector("[data-place]").textContent = place;
      const was = card.querySelector("[data-was]");
      was.hidden = place === Number(dataset.rank);
    }
    list.append(card);
  }
  document.querySelector("[data-none]").hidden = place > 0;
}

function changed() {
  const weigh = wish.elements.weight, own = weigh && weigh.dataset.initial === "own";
  if (weigh) wish.querySelector("output").textContent = own ? `${weigh.value} %` : "as answered";
  rank(Boolean(own));
  const fields = new URLSearchParams(new FormData(wish));
  if (!own) fields.delete("weight");
  if (fields.get("finding") === "any") fields.delete("finding");
  history.replaceState(null, "", `?${fields}`);
  for (const link of list.querySelectorAll("a.look")) link.search = `?${fields}`;
  for (const form of list.querySelectorAll("form.relevance")) {
    const there = new URL(form.action);
    there.search = `?${fields}`;
    form.action = there.href;
  }
  const several = document.querySelector("[data-all-viewer]");
  if (several) several.hidden = true; // it names the matches that came first before
}

if (wish) {
  wish.querySelector("[data-apply]").hidden = true;
  wish.addEventListener("input", (event) => {
    if (event.target.name === "weight") event.target.dataset.initial = "own";
    changed();
  });
  wish.addEventListener("submit", (event) => { event.preventDefault(); changed(); });
}

function step(by) {
  const links = [...list.querySelectorAll(".card:not([hidden]) a.look")];
  const now = links.findIndex((link) => link.closest(".card").contains(document.activeElement));
  const next = links[Math.min(links.length - 1, Math.max(0, now < 0 ? 0 : now + by))];
  if (next) { next.focus({ preventScroll: true }); next.closest(".card").scrollIntoView({ block: "nearest" }); }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !list) return;
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
