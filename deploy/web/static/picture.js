"use strict";
/* A picture that turns out not to be shown makes room for the words that say why. */
async function tell(image) {
  let words;
  try {
    const answer = await fetch(image.src);
    if (answer.status !== 404) return;
    words = await answer.text();
  } catch { return; }
  if (!image.isConnected) return; // the card's other picture was first
  const place = image.closest(".look") ?? image.closest(".picture"), said = document.createElement("span");
  said.textContent = words;
  if (place.matches(".large")) { said.className = "missing"; place.replaceChildren(said); return; }
  said.className = "picture missing";
  if (place.matches(".look")) place.replaceChildren(said); else place.replaceWith(said);
}

const isPicture = (one) => one instanceof HTMLImageElement && one.src.includes("/pictures/");
document.addEventListener("error", (event) => { if (isPicture(event.target)) tell(event.target); }, true);
// those that failed before this was here
for (const image of document.images) if (isPicture(image) && image.complete && !image.naturalWidth && image.currentSrc) tell(image);
