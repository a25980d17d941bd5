// Who is signed in, the tabs, the language.

import { ask, attempt, button, el, setChangeKey } from "/console/api.js";
import { calls } from "/console/calls.js";
import { recordings } from "/console/recordings.js";
import { requests } from "/console/requests.js";
import { language, setLanguage, t } from "/console/texts.js";

// Each tab with what the token must allow for it, any of these.
const TABS = [
  { name: "recordings", text: () => t("tab_recordings"), needs: ["listen"], show: recordings },
  { name: "requests", text: () => t("tab_requests"), needs: ["erase", "export"], show: requests },
  { name: "calls", text: () => t("tab_calls"), needs: ["answer", "see_calls"], show: calls },
];

let leave;

function show(content) {
  leave?.();
  leave = undefined;
  document.getElementById("view").replaceChildren(content);
}

const signIn = () => location.assign(`/sign-in?lang=${language()}`);

async function signOut() {
  await fetch("/sign-out", { method: "POST", redirect: "manual" });
  signIn();
}

function open(tab, me) {
  for (const one of document.querySelectorAll("#tabs button")) {
    if (one.dataset.tab === tab.name) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  }
  location.hash = tab.name;
  const { view, end } = tab.show(me);
  show(view);
  leave = end;
}

async function start() {
  let me;
  try {
    me = await ask("GET", "/api/v1/me");
  } catch (error) {
    if (error.status === 401) return signIn();
    throw error;
  }
  setChangeKey(me.change_key ?? "");
  const tabs = TABS.filter((tab) => tab.needs.some((need) => me.allows.includes(need)));
  document.getElementById("tabs").replaceChildren(
    ...tabs.map((tab) => button(tab.text(), () => open(tab, me), { "data-tab": tab.name })),
    button(`${t("sign_out")} (${me.name})`, signOut),
  );
  const first = tabs.find((tab) => `#${tab.name}` === location.hash) ?? tabs[0];
  if (first) open(first, me);
  else show(el("p", {}, `${t("no_pages")} ${me.roles.join(", ")}`));
}

document.addEventListener("signed-out", signIn);

const choice = document.getElementById("language");
choice.value = language();
document.documentElement.lang = language();
choice.addEventListener("change", () => {
  setLanguage(choice.value);
  document.documentElement.lang = choice.value;
  attempt(start);
});

attempt(start);
