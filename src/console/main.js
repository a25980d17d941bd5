// Signing in, the tabs, the language.

import { ask, attempt, button, el, field, form, tell, token } from "/console/api.js";
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

function signIn() {
  document.getElementById("tabs").replaceChildren();
  show(form(({ secret }) => {
    token.set(secret.trim());
    return start();
  },
  field(t("token"), "secret", { type: "password", autocomplete: "off", required: true }),
  el("button", {}, t("sign_in")),
  el("small", {}, t("token_help"))));
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
  if (!token.get()) return signIn();
  let me;
  try {
    me = await ask("GET", "/api/v1/me");
  } catch (error) {
    if (error.status === 401) token.forget();
    signIn();
    throw error;
  }
  if (!me.pages) {
    token.forget();
    signIn();
    throw new Error(t("machine_token"));
  }
  const tabs = TABS.filter((tab) => tab.needs.some((need) => me.allows.includes(need)));
  document.getElementById("tabs").replaceChildren(
    ...tabs.map((tab) => button(tab.text(), () => open(tab, me), { "data-tab": tab.name })),
    button(`${t("sign_out")} (${me.name})`, () => { token.forget(); signIn(); }),
  );
  const first = tabs.find((tab) => `#${tab.name}` === location.hash) ?? tabs[0];
  if (first) open(first, me);
  else show(el("p", {}, `${t("no_pages")} ${me.roles.join(", ")}`));
}

document.addEventListener("signed-out", () => {
  token.forget();
  signIn();
  tell(t("signed_out"), true);
});

const choice = document.getElementById("language");
choice.value = language();
document.documentElement.lang = language();
choice.addEventListener("change", () => {
  setLanguage(choice.value);
  document.documentElement.lang = choice.value;
  attempt(start);
});

attempt(start);
