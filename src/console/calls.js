// Calls in progress and those that ended lately: what the caller said, and what staff pass on.

import { ask, askWithHeader, attempt, button, el, field, form, row, select, table, tell, when } from "/console/api.js";
import { t } from "/console/texts.js";

const EVERY_MS = 2_000;

/** The words for a state of consent. */
function consent(state) {
  switch (state) {
    case "granted": return t("granted");
    case "refused": return t("refused");
    case "asked": return t("asked");
    case "withdrawn": return t("withdrawn");
    default: return t("unknown");
  }
}

export function calls(me) {
  const list = el("div");
  const view = el("div", {});
  if (me.allows.includes("see_calls")) view.append(list);
  // A call that is known by a name may be of any department.
  if (me.allows.includes("answer") && me.departments === "all") view.append(byName(me));
  let timer;
  const refresh = async () => {
    const [all, missing] = await askWithHeader("GET", "/api/v1/calls", "Optag-Nodes-Missing");
    const told = missing ? [el("p", { class: "bad" }, `${t("nodes_missing")} ${missing}`)] : [];
    list.replaceChildren(...told, shown(all.slice(0, 100), me, refresh));
  };
  if (me.allows.includes("see_calls")) {
    attempt(refresh);
    timer = setInterval(() => refresh().catch(() => tell(t("no_answer"), true)), EVERY_MS);
  }
  return { view, end: () => clearInterval(timer) };
}

function shown(all, me, refresh) {
  if (all.length === 0) return el("p", {}, t("none_found"));
  return table([t("started"), t("department"), t("consent"), t("outcome"), ""], all.map((call) => {
    const told = consent(call.consent) + (call.paused ? `, ${t("paused")}` : "");
    const over = call.outcome ? `${call.outcome.outcome} ${call.outcome.cause ?? ""}` : t("in_progress");
    const line = row(when(call.started_at), call.department, told, over, acts(call, me, refresh));
    line.lastChild.className = "act";
    line.dataset.call = call.id;
    return line;
  }));
}

function acts(call, me, refresh) {
  const steer = async (what, body) => {
    await ask("POST", `/api/v1/calls/${call.id}/${what}`, { body });
    await refresh();
  };
  const answer = (word) => steer("consent", { answer: word, how: "staff", staff: me.name });
  const live = !call.outcome;
  const all = [];
  if (live && call.consent === "asked" && me.allows.includes("answer")) {
    all.push(button(t("say_yes"), () => answer("yes")), button(t("say_no"), () => answer("no")));
  }
  if (live && call.consent === "granted" && me.allows.includes("calls")) {
    all.push(call.paused ? button(t("resume"), () => steer("resume")) : button(t("pause"), () => steer("pause")));
  }
  const recorded = call.consent === "granted" || call.outcome?.outcome === "recorded";
  if (recorded && me.allows.includes("withdraw")) {
    all.push(button(t("withdraw"), async () => {
      if (!confirm(t("withdraw_ask"))) return;
      await steer("withdraw", { how: "staff", staff: me.name });
      tell(t("withdraw_done"));
    }, { class: "danger" }));
  }
  return all;
}

/** For employees whose telephone shows a name of the call. */
function byName(me) {
  const kinds = [["external_id", "external id"], ["ucid", "UCID"], ["call_id", "Call-ID"], ["session_id", "Session-ID"]];
  return el("section", { class: "card" }, el("h2", {}, t("answer_by_name")), form(async ({ kind, name, answer }) => {
    const body = { [kind]: name.trim(), answer, how: "staff", staff: me.name };
    await ask("POST", "/api/v1/consents", { body });
    tell(t("answer_given"));
  },
  select(t("call_name_kind"), "kind", kinds),
  field(t("call_name"), "name", { required: true, autocomplete: "off" }),
  select(t("consent"), "answer", [["yes", t("say_yes")], ["no", t("say_no")]]),
  el("button", {}, "OK")));
}
