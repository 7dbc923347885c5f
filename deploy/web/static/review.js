// Keys, marked words and what differs from the reading. The pages work without it.
"use strict";

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const one = (selector, within = document) => within.querySelector(selector);
const form = one("form.labels");
const keys = one("#keys");

// ---- what differs from the reading

function valueOf(field) {
  const box = one("input[type=checkbox]", field);
  if (box) return box.checked ? "on" : "";
  const chosen = one("input[type=radio]:checked, select, input[type=text]", field);
  return chosen ? chosen.value.trim().replace(",", ".") : "";
}

function counts(field) {
  const group = field.closest(".group");
  if (!group) return true;
  const both = one("[name=laterality][value=both]", form).checked;
  return group.classList.contains("both") === both;
}

function compare() {
  let differing = 0;
  for (const card of all(".card[data-number]", form)) {
    const said = one("[name$=-fracture]:checked", card);
    const nothing = !said || said.value === "absent" || said.value === "not_mentioned";
    const details = one(".details", card);
    // what contradicts, as somebody else has saved it, has to be seen
    const wrong = one(".invalid", details) !== null;
    card.classList.toggle("nothing", nothing && !wrong);
    for (const control of all("input, select", details)) control.disabled = nothing && !wrong;
  }
  for (const field of all("[data-field]", form)) {
    const off = one("input, select", field).disabled;
    const changed = (off ? "" : valueOf(field)) !== field.dataset.read;
    field.classList.toggle("changed", changed && !(off && field.dataset.read === ""));
    if (changed && counts(field)) differing += 1;
  }
  const said = one("[data-difference]");
  said.textContent = differing ? `${differing} corrected` : "as it was read";
  said.classList.toggle("some", differing > 0);
}

// ---- words that are marked

let held = null;

function light(place) {
  const shown = place || held;
  const page = one("main.report");
  const [side, subject] = (shown || "-").split(/-(.*)/);
  const of = side === "other" ? "other" : subject;
  for (const name of [...page.classList]) if (name.startsWith("lit-")) page.classList.remove(name);
  let any = false;
  for (const mark of all(".words mark")) {
    const places = mark.dataset.places.split(" ");
    const on = Boolean(shown) && places.some((p) => p === shown || (side === "one" && p.endsWith(`-${subject}`)));
    mark.classList.toggle("lit", on);
    any = any || on;
  }
  page.classList.toggle("lighting", any);
  if (any) page.classList.add(`lit-${of}`);
  for (const card of all(".card[data-place]")) card.classList.toggle("lit", any && card.dataset.place === shown);
}

function hold(place) {
  held = held === place ? null : place;
  for (const quote of all(".quote")) quote.setAttribute("aria-pressed", String(quote.dataset.place === held));
  light(null);
  const first = one(".words mark.lit");
  if (first) first.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

function cardOf(mark) {
  const places = mark.dataset.places.split(" ");
  const visible = (card) => card.offsetParent !== null;
  return all(".card[data-place]").filter(visible).find((card) => {
    const [side, subject] = card.dataset.place.split(/-(.*)/);
    return places.some((p) => p === card.dataset.place || (side === "one" && p.endsWith(`-${subject}`)));
  }) || (places.some((p) => p.startsWith("other-")) ? one(".card.other") : null);
}

if (form) {
  compare();
  let dirty = false;
  form.addEventListener("input", () => { dirty = true; compare(); });
  form.addEventListener("submit", () => { dirty = false; });
  window.addEventListener("beforeunload", (event) => { if (dirty) event.preventDefault(); });
  for (const part of all("[data-place]", form)) {
    part.addEventListener("mouseenter", () => light(part.dataset.place));
    part.addEventListener("mouseleave", () => light(null));
    part.addEventListener("focusin", (event) => { event.stopPropagation(); light(part.dataset.place); });
    part.addEventListener("focusout", () => light(null));
  }
  for (const quote of all(".quote", form)) quote.addEventListener("click", () => hold(quote.dataset.place));
  for (const mark of all(".words mark")) {
    const card = () => cardOf(mark);
    mark.addEventListener("mouseenter", () => { const c = card(); if (c) c.classList.add("lit"); });
    mark.addEventListener("mouseleave", () => light(null));
    mark.addEventListener("click", () => {
      const c = card();
      if (!c) return;
      c.scrollIntoView({ block: "nearest", behavior: "smooth" });
      const first = one("input:checked, input", c);
      if (first) first.focus({ preventScroll: true });
    });
  }
  const wrong = one(".invalid", form);
  if (wrong) { const at = one("input:checked, select, input", wrong); if (at) at.focus(); }
}

// ---- keys

function follow(rel) {
  const link = one(`a[rel=${rel}]`);
  if (link) link.click();
}

function step(by) {
  const rows = all(".reports a");
  const at = rows.indexOf(document.activeElement);
  const next = rows[Math.max(0, Math.min(rows.length - 1, at + by))];
  if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
}

function goToBone(number) {
  const card = all(`.card[data-number="${number}"]`).find((c) => c.offsetParent !== null);
  if (!card) return;
  one("[name$=-fracture]:checked, [name$=-fracture]", card).focus();
  card.scrollIntoView({ block: "nearest" });
}

function say(value) {
  const card = document.activeElement.closest(".card[data-number]");
  const choice = card && one(`[name$=-fracture][value=${value}]`, card);
  if (choice) { choice.click(); choice.focus(); }
}

const FRACTURE = { p: "present", o: "possible", a: "absent", n: "not_mentioned" };

document.addEventListener("keydown", (event) => {
  if (form && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    form.requestSubmit(one("button[value=go_on]", form));
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
  const target = event.target;
  if (event.key === "Escape") { if (held) hold(held); target.blur(); return; }
  const typing = target.matches("select, input[type=text]");
  const choosing = target.matches("input[type=radio]");
  if (typing) return;
  const arrow = event.key.startsWith("Arrow");
  if (arrow && (choosing || target.matches(".words"))) return;
  const list = one(".reports") !== null;
  const key = event.key;
  if (key === "?") keys.showModal();
  else if (list && (key === "j" || key === "ArrowDown")) step(1);
  else if (list && (key === "k" || key === "ArrowUp")) step(-1);
  else if (!list && (key === "j" || key === "ArrowRight")) follow("next");
  else if (!list && (key === "k" || key === "ArrowLeft")) follow("prev");
  else if (key === "u") follow("up");
  else if (form && /^[1-6]$/.test(key)) goToBone(key);
  else if (form && FRACTURE[key]) say(FRACTURE[key]);
  else return;
  event.preventDefault();
});

for (const button of all("[data-keys]")) button.addEventListener("click", () => keys.showModal());
