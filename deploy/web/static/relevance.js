"use strict";
/* Relevance is kept without leaving the page. */
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches(".relevance") || !event.submitter) return;
  event.preventDefault();
  const said = form.querySelector("[data-said]"), fields = new FormData(form, event.submitter);
  try {
    const answer = await fetch(form.action, {
      method: "POST", body: new URLSearchParams(fields), headers: { Accept: "application/json" },
    });
    if (answer.status === 401 || answer.redirected) { location.reload(); return; }
    if (!answer.ok) throw new Error();
    const { relevance } = await answer.json();
    let words = form.dataset.taken;
    for (const button of form.querySelectorAll(".points button")) {
      if (button.value === "0") { button.hidden = relevance === 0; continue; }
      const chosen = Number(button.value) === relevance;
      button.setAttribute("aria-pressed", String(chosen));
      if (chosen) words = button.dataset.words;
    }
    said.textContent = words;
  } catch {
    said.textContent = form.dataset.failed;
  }
});
