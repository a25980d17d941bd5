// What a caller may ask for: that the recording is erased, or handed out. It is found by what the
// caller remembers, and never played here.

import { ask, button, download, el, fetchBlob, field, form, lasted, row, select, table, tell, when } from "/console/api.js";
import { purposes } from "/console/recordings.js";
import { language, t } from "/console/texts.js";

export function requests(me) {
  const found = el("div");
  const outcome = el("div");
  const find = async ({ purpose, ...query }) => {
    const page = await ask("GET", "/api/v1/candidates", { query, purpose });
    outcome.replaceChildren();
    found.replaceChildren(el("p", {}, page.total ? `${page.total} ${t("found")}` : t("none_found")));
    if (page.candidates.length > 0) found.append(candidates(page.candidates), ...asked(me, purpose, found, outcome));
  };
  const view = el("div", {}, form(find,
    purposes(me, ["caller_request", "administration"]),
    field(t("number"), "number", { inputmode: "tel", autocomplete: "off" }),
    field(t("name"), "name", { autocomplete: "off" }),
    field(t("department"), "department"),
    field(t("day"), "date", { type: "date" }),
    field(t("time"), "time", { type: "time" }),
    field(t("tolerance"), "tolerance_min", { type: "number", min: 0, max: 720, placeholder: 15 }),
    el("button", {}, t("find"))), found, outcome);
  return { view, end: () => undefined };
}

function candidates(all) {
  const heads = [t("select"), t("score"), t("started"), t("department"), t("caller"), t("name"), t("length")];
  return table(heads, all.map((one) => {
    const box = el("input", { type: "checkbox", name: "one", value: one.id, "aria-label": t("select") });
    const line = row(box, `${Math.round(one.fit.score * 100)} %`, when(one.started_at), one.department,
      one.caller_number, one.caller_name, lasted(one.duration_ms));
    line.dataset.recording = one.id;
    return line;
  }));
}

function asked(me, purpose, found, outcome) {
  const chosen = () => [...found.querySelectorAll("input[name=one]:checked")].map((box) => box.value);
  const several = () => {
    const all = chosen();
    if (all.length === 0) throw new Error(t("nothing_selected"));
    return all;
  };
  const single = () => {
    const all = chosen();
    if (all.length !== 1) throw new Error(t("one_selected"));
    return all[0];
  };
  const parts = [];
  if (me.allows.includes("erase")) parts.push(erasing(several, outcome));
  if (me.allows.includes("export")) parts.push(handing(single, purpose, outcome));
  return parts;
}

function erasing(several, outcome) {
  const order = (wanted, dry_run) => ask("POST", "/api/v1/erasures", {
    body: { recordings: several(), reason: wanted.reason, request: wanted.request || undefined, dry_run },
  });
  const preview = async (wanted) => {
    const { previews } = await order(wanted, true);
    outcome.replaceChildren(table(["", t("copies"), ""], previews.map((one) =>
      row(one.state, String(one.copies.length), one.copies.map((copy) => copy.name).join(", ")))));
  };
  const erase = async (wanted) => {
    several();
    if (!confirm(t("erase_ask"))) return;
    const { erasures } = await order(wanted, false);
    outcome.replaceChildren(table(["", t("outcome"), ""], erasures.map((one) => {
      const words = { done: t("erased"), pending: t("erasing") }[one.state] ?? t("not_erased");
      return row(one.id, words, one.refused ?? (one.receipt ? receipt(one) : ""));
    })));
  };
  const fields = form(preview,
    field(t("request"), "request", { autocomplete: "off" }),
    field(t("reason"), "reason", { required: true }),
    el("button", {}, t("preview")),
    button(t("erase"), (pressed) => {
      if (pressed.form.reportValidity()) return erase(Object.fromEntries(new FormData(pressed.form)));
    }, { class: "danger", "data-act": "erase" }));
  return el("section", { class: "card" }, el("h2", {}, t("erase")), fields);
}

/** The signed receipt, as a file: without white space, as it was signed. */
const receipt = (one) => button("receipt.json", () => {
  const text = JSON.stringify(one.receipt);
  download(new Blob([text], { type: "application/json" }), `receipt-${one.id}.json`);
});

function handing(single, purpose, outcome) {
  const wanted = (given) => ({
    format: given.format, own_voice_only: given.own_voice_only === "on", language: given.language,
  });
  const hand = async (given) => {
    const id = single();
    const body = { ...wanted(given), ...(given.passphrase ? { passphrase: given.passphrase } : {}) };
    const blob = await fetchBlob("POST", `/api/v1/recordings/${id}/handout`, { body, purpose });
    download(blob, `${id}.zip${given.passphrase ? ".age" : ""}`);
    tell(t("hand_out_help"));
  };
  const link = async (given) => {
    const made = await ask("POST", `/api/v1/recordings/${single()}/links`, { body: wanted(given), purpose });
    outcome.replaceChildren(el("p", {}, `${t("link_until")} ${when(made.expires_at)}: `, el("code", {}, made.url)));
  };
  const languages = [["en", "English"], ["da", "Dansk"]];
  const fields = form(hand,
    select(t("format"), "format", [["wav", "WAV"], ["opus", "Opus"]]),
    el("label", { class: "check" }, el("input", { type: "checkbox", name: "own_voice_only" }), t("own_voice")),
    select(t("language"), "language", language() === "da" ? languages.reverse() : languages),
    field(t("passphrase"), "passphrase", { type: "password", minlength: 12, autocomplete: "new-password" }),
    el("button", {}, t("download")),
    button(t("link"), (pressed) => link(Object.fromEntries(new FormData(pressed.form)))));
  return el("section", { class: "card" }, el("h2", {}, t("hand_out")), el("p", {}, t("hand_out_help")), fields);
}
