// What the pages ask of the API, and the small things that they are made of.

import { t } from "/console/texts.js";

// What a change must carry, so that no other site can have the browser make one.
let changeKey = "";

export const setChangeKey = (key) => { changeKey = key; };

/** An answer that is no success, in the server's words. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ?? body?.title ?? t("no_answer"));
    this.status = status;
  }
}

async function send(method, path, { query = {}, body, purpose } = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query)) {
    if (value !== "" && value !== undefined) url.searchParams.set(name, value);
  }
  const headers = method === "GET" ? {} : { "Optag-Change": changeKey };
  if (purpose) headers["Optag-Purpose"] = purpose;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(url, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store",
    });
  } catch {
    throw new Problem(0, undefined);
  }
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => undefined));
  return answer;
}

export const ask = async (method, path, options) => (await send(method, path, options)).json();
/** The same with a header of the answer; null where it has none. */
export const askWithHeader = async (method, path, header) => {
  const answer = await send(method, path);
  return [await answer.json(), answer.headers.get(header)];
};
export const fetchBlob = async (method, path, options) => (await send(method, path, options)).blob();

/** An element with attributes and children; text is never read as markup. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null));
  return element;
}

export const field = (label, name, attributes = {}) => el("label", {}, label, el("input", { name, ...attributes }));

export const select = (label, name, options) => el("label", {}, label,
  el("select", { name }, options.map(([value, text]) => el("option", { value }, text))));

export const table = (heads, rows) => el("table", {},
  el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, rows));

export const row = (...cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell ?? "")));

/** A form that gives its fields to `submit` as an object. */
export const form = (submit, ...children) => el("form", {
  onsubmit: (event) => {
    event.preventDefault();
    attempt(() => submit(Object.fromEntries(new FormData(event.target))));
  },
}, ...children);

export const button = (text, act, attributes = {}) => el("button", {
  type: "button", onclick: (event) => attempt(() => act(event.target)), ...attributes,
}, text);

export function tell(text, bad = false) {
  const message = document.getElementById("message");
  message.textContent = text;
  message.classList.toggle("bad", bad);
}

/** Does something and shows what went wrong. */
export async function attempt(what) {
  tell("");
  try {
    await what();
  } catch (error) {
    tell(error.message, true);
    if (error.status === 401) document.dispatchEvent(new Event("signed-out"));
  }
}

export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export const when = (text) => text ? new Date(text).toLocaleString(document.documentElement.lang) : "";

export function lasted(ms) {
  const s = Math.round(ms / 1000);
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}
