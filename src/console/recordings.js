// Searching and listening, each with its purpose.

import { ask, button, el, fetchBlob, field, form, lasted, row, select, table, tell, when } from "/console/api.js";
import { t } from "/console/texts.js";

const PAGE = 25;

export const purposes = (me, allowed = me.purposes) => select(t("purpose"), "purpose",
  allowed.filter((name) => me.purposes.includes(name)).map((name) => [name, purpose(name)]));

function purpose(name) {
  switch (name) {
    case "training": return t("training");
    case "caller_request": return t("caller_request");
    default: return t("administration");
  }
}

export function recordings(me) {
  const found = el("div");
  const player = el("div");
  let url;
  const release = () => { if (url) URL.revokeObjectURL(url); url = undefined; };
  const listen = async (recording, why) => {
    release();
    const format = document.createElement("audio").canPlayType("audio/ogg; codecs=opus") ? "opus" : "wav";
    const path = `/api/v1/recordings/${recording.id}/audio`;
    const blob = await fetchBlob("GET", path, { query: { format }, purpose: why });
    url = URL.createObjectURL(blob);
    const audio = el("audio", { controls: true, src: url });
    player.replaceChildren(el("section", { class: "card" },
      el("h2", {}, `${when(recording.started_at)} · ${recording.department}`), audio));
    tell(t("listening"));
    audio.play().catch(() => undefined);
  };
  const details = async (recording, why) => {
    const all = await ask("GET", `/api/v1/recordings/${recording.id}`, { purpose: why });
    player.replaceChildren(facts(all));
  };
  // Where the pages before this one ended.
  const search = async (wanted, ends = []) => {
    const { purpose: why, ...query } = wanted;
    const answer = await ask("GET", "/api/v1/recordings", { query: { ...query, after: ends.at(-1), page_size: PAGE }, purpose: why });
    player.replaceChildren();
    found.replaceChildren(
      el("p", {}, answer.total ? `${answer.total} ${t("found")}` : t("none_found")),
      hits(answer.recordings, (recording) => [
        button(t("listen"), () => listen(recording, why)),
        button(t("details"), () => details(recording, why)),
      ]),
      button(t("earlier"), () => search(wanted, ends.slice(0, -1)), { disabled: ends.length === 0 }),
      button(t("later"), () => search(wanted, [...ends, answer.next]), { disabled: !answer.next }),
    );
  };
  const view = el("div", {}, form((wanted) => search(wanted),
    purposes(me),
    field(t("number"), "number", { inputmode: "tel", autocomplete: "off" }),
    field(t("name"), "name", { autocomplete: "off" }),
    field(t("department"), "department"),
    field(t("from"), "from", { type: "date" }),
    field(t("to"), "to", { type: "date" }),
    el("button", {}, t("search"))), found, player);
  return { view, end: release };
}

/** A table of recordings, each with what may be done. */
export function hits(all, acts) {
  if (all.length === 0) return el("div");
  const heads = [t("started"), t("department"), t("caller"), t("name"), t("called"), t("length"), ""];
  return table(heads, all.map((one) => {
    const line = row(when(one.started_at), one.department, one.caller_number, one.caller_name, one.called_number,
      lasted(one.duration_ms), acts(one));
    line.lastChild.className = "act";
    line.dataset.recording = one.id;
    return line;
  }));
}

function facts(all) {
  const pairs = [
    [t("started"), when(all.started_at)],
    [t("department"), all.department],
    [t("caller"), [all.caller_number, all.caller_name].filter(Boolean).join(", ")],
    [t("called"), all.called_number],
    [t("length"), lasted(all.duration_ms)],
    [t("consent"), all.consent.map((one) => `${one.state} ${when(one.at)}`).join("; ")],
    [t("participants"), (all.context?.participants ?? []).map((one) => one.name ?? one.addresses?.[0]).join("; ")],
    [t("expires"), when(all.expires_at)],
  ];
  return el("section", { class: "card" }, el("h2", {}, t("details")),
    el("dl", {}, pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value || "–")])));
}
