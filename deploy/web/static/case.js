"use strict";
/* Zoom: both pictures move together. Without this the page shows them as they are. */
const frames = [...document.querySelectorAll("[data-zoom]")];
const seen = { scale: 1, x: 0, y: 0 };
const MOST = 8;

function show() {
  const bound = (seen.scale - 1) / 2;
  seen.x = Math.min(bound, Math.max(-bound, seen.x));
  seen.y = Math.min(bound, Math.max(-bound, seen.y));
  for (const frame of frames) {
    const layer = frame.querySelector(".layer");
    if (layer) layer.style.transform = `translate(${100 * seen.x}%, ${100 * seen.y}%) scale(${seen.scale})`;
  }
}

function zoom(factor) {
  const before = seen.scale;
  seen.scale = Math.min(MOST, Math.max(1, before * factor));
  seen.x *= seen.scale / before;
  seen.y *= seen.scale / before;
  show();
}

function whole() { Object.assign(seen, { scale: 1, x: 0, y: 0 }); show(); }

for (const frame of frames) {
  frame.classList.add("ready");
  frame.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2);
  }, { passive: false });
  frame.addEventListener("pointerdown", (event) => {
    frame.setPointerCapture(event.pointerId);
    frame.classList.add("moving");
  });
  frame.addEventListener("pointermove", (event) => {
    const layer = frame.querySelector(".layer");
    if (!frame.classList.contains("moving") || !layer) return;
    seen.x += event.movementX / layer.offsetWidth;
    seen.y += event.movementY / layer.offsetHeight;
    show();
  });
  for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, () => frame.classList.remove("moving"));
  frame.addEventListener("dblclick", () => (seen.scale > 1 ? whole() : zoom(2.5)));
}

const buttons = document.querySelector("[data-zooms]");
buttons.hidden = false;
buttons.addEventListener("click", (event) => {
  const by = event.target.dataset.by;
  if (by === "in") zoom(1.4); else if (by === "out") zoom(1 / 1.4); else if (by === "all") whole();
});

const MOVES = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { key } = event, link = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (link) link.click();
  else if (key === "+" || key === "=") zoom(1.4);
  else if (key === "-") zoom(1 / 1.4);
  else if (key === "0") whole();
  else if (MOVES[key] && seen.scale > 1) { seen.x += MOVES[key][0]; seen.y += MOVES[key][1]; show(); }
  else if (/^[1-5]$/.test(key)) document.querySelector(`.points [value="${key}"]`).click();
  else if (key === "b") for (const box of document.querySelectorAll("[data-boxes]")) box.checked = !box.checked;
  else return;
  event.preventDefault();
});
