// Reads a receipt from a file, on this machine, into the field of the form.

const MOST_BYTES = 64 * 1024;

for (const part of document.querySelectorAll("[data-file]")) {
  const [input, said] = [part.querySelector("input"), part.querySelector("[role=status]")];
  part.hidden = false;
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (!file) return;
    const small = file.size <= MOST_BYTES;
    if (small) document.getElementById(part.dataset.file).value = await file.text();
    said.textContent = small ? said.dataset.read : said.dataset.unread;
  });
}
