// Mounts the page whose content a script makes.

import { ask, attempt, setChangeKey } from "/console/api.js";
import { requests } from "/console/requests.js";

const pages = { requests };
const place = document.getElementById("view");

document.addEventListener("signed-out", () => location.assign("/"));

attempt(async () => {
  const me = await ask("GET", "/api/v1/me");
  setChangeKey(me.change_key ?? "");
  place.replaceChildren(pages[place.dataset.page](me).view);
});
