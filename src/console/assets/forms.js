// A form is sent once: what is clicked again while it is under way does nothing. Words come from the page.

const AGAIN_MS = 8000;

function free(form) {
  delete form.dataset.sent;
  for (const button of form.querySelectorAll("button")) button.removeAttribute("aria-disabled");
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes";
  for (const button of form.querySelectorAll("button")) button.setAttribute("aria-disabled", "true");
  const saves = event.submitter?.hasAttribute("data-download");
  const said = (saves ? event.submitter.parentElement : form).querySelector("[data-busy]");
  if (said && (saves || !form.querySelector("[data-download]"))) said.textContent = said.dataset.busy;
  // A file is saved, and the page stays.
  if (saves) setTimeout(() => free(form), AGAIN_MS);
});

addEventListener("pageshow", () => {
  for (const form of document.forms) free(form);
});

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      // Without a secure connection there is no clipboard: what is selected can be copied by hand.
      if (!document.execCommand("copy")) return;
    }
    button.parentElement.querySelector("[role=status]").textContent = button.dataset.copied;
  });
}
