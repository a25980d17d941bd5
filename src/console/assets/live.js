// Brings the rows of calls up to date. What has the focus, or an open part, stays as it is.

const EVERY_MS = 3000;
const root = document.getElementById("live");
const said = document.getElementById("said");

const busy = (element) => element.contains(document.activeElement) || element.querySelector("details[open]");

function update(old, fresh) {
  for (const [at, cell] of [...fresh.cells].entries()) {
    const shown = old.cells[at];
    if (cell.hasAttribute("data-kept") || busy(shown) || shown.isEqualNode(cell)) continue;
    shown.replaceChildren(...cell.childNodes);
  }
}

async function refresh() {
  const newest = root.querySelector("table").dataset.newest;
  const answer = await fetch(`${root.dataset.part}?newest=${newest}`, { cache: "no-store" });
  if (answer.redirected) return location.reload();
  if (!answer.ok) throw new Error(String(answer.status));
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const table = root.querySelector("table");
  const wanted = fresh.querySelector("table");
  table.dataset.newest = wanted.dataset.newest;
  table.hidden = wanted.hidden && !busy(table);
  const count = root.querySelector("#count");
  if (count.textContent !== fresh.querySelector("#count").textContent) {
    count.replaceChildren(...fresh.querySelector("#count").childNodes);
  }
  const body = table.tBodies[0];
  const rows = new Map([...body.rows].map((row) => [row.dataset.call, row]));
  let before = body.firstElementChild;
  for (const row of [...wanted.tBodies[0].rows]) {
    const old = rows.get(row.dataset.call);
    rows.delete(row.dataset.call);
    if (!old) body.insertBefore(document.adoptNode(row), before);
    else {
      update(old, row);
      before = old.nextElementSibling;
    }
  }
  for (const row of rows.values()) if (!busy(row)) row.remove();
}

async function look() {
  if (!document.hidden) {
    try {
      await refresh();
      said.textContent = "";
    } catch {
      said.textContent = root.dataset.failed;
    }
  }
  setTimeout(look, EVERY_MS);
}

if (root) setTimeout(look, EVERY_MS);
