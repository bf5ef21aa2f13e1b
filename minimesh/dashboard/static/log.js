// The access log of all proxies: coloured by field, filtered, each field explained, each line a way back to its request.

import { $, h, offer, show, short } from "./dom.js";

const KEPT = 1000;
const SHOWN = 200;
const CLASSES = { START_TIME: "f-time", RESPONSE_CODE: "f-status", RESPONSE_FLAGS: "f-flags", UPSTREAM_CLUSTER_RAW: "f-cluster", UPSTREAM_HOST: "f-host" };
const QUOTED = new Set(["UPSTREAM_TRANSPORT_FAILURE_REASON", "X_FORWARDED_FOR", "USER_AGENT", "REQUEST_ID", "AUTHORITY", "UPSTREAM_HOST"]);

const filter = $("log-filter");
let entries = [];
let glossary = { fields: {}, flags: {} };
let onRequest = () => {};
let waiting = false;

function wanted(entry) {
  const { proxy, status, flag, id } = filter.elements;
  return (!proxy.value || entry.proxy === proxy.value)
    && (!status.value || status.value.split(",").some((start) => start.trim() && String(entry.status).startsWith(start.trim())))
    && (!flag.value || entry.flags.some((each) => each.flag === flag.value.trim().toUpperCase()))
    && (!id.value || entry.request_id.includes(id.value.trim()));
}

function meaning(name, value, entry) {
  const known = glossary.fields[name];
  const flags = name === "RESPONSE_FLAGS" ? entry.flags.map((each) => `${each.flag}: ${each.words}`).join("; ") : "";
  const details = name === "RESPONSE_CODE_DETAILS" ? entry.details_words : "";
  return [known ? `${known.operator}: ${known.meaning}` : name, flags || details].filter(Boolean).join(". ");
}

function fieldSpans(entry) {
  const spans = [];
  for (const [name, value] of Object.entries(entry.fields)) {
    let text = QUOTED.has(name) ? `"${value}"` : value;
    if (name === "START_TIME") text = `[${value}]`;
    if (name === "METHOD") text = `"${value}`;
    if (name === "PROTOCOL") text = `${value}"`;
    spans.push(h("span", { class: CLASSES[name], title: meaning(name, value, entry) }, text), " ");
  }
  return spans;
}

const row = (entry) => h("li", {}, h("button", { type: "button", class: `s${String(entry.status)[0]}`, onclick: (event) => choose(entry, event.currentTarget) },
  h("span", { class: "pod" }, `${short(entry.proxy)} `), fieldSpans(entry)));

function choose(entry, button) {
  for (const each of $("lines").querySelectorAll("[aria-pressed]")) each.removeAttribute("aria-pressed");
  button.setAttribute("aria-pressed", "true");
  show($("line-fields"), h("dl", { class: "fields" }, Object.entries(entry.fields).map(([name, value]) => [
    h("dt", {}, glossary.fields[name]?.operator || name),
    h("dd", {}, value, h("small", {}, meaning(name, value, entry).replace(/^[^:]*: /, ""))),
  ])));
  if (entry.request_id) onRequest(entry.request_id);
}

function draw() {
  waiting = false;
  if (filter.elements.paused.checked) return;
  const fitting = entries.filter(wanted);
  show($("lines"), fitting.slice(-SHOWN).reverse().map(row));
  $("log-count").textContent = fitting.length > SHOWN ? `the last ${SHOWN} of ${fitting.length} lines` : `${fitting.length} lines`;
}

function later() {
  if (waiting) return;
  waiting = true;
  setTimeout(() => requestAnimationFrame(draw), 250);
}

export function add(found) {
  entries = entries.concat(found).slice(-KEPT);
  const proxies = [...new Set(entries.map((entry) => entry.proxy))].sort();
  if (filter.elements.proxy.options.length !== proxies.length + 1) offer(filter.elements.proxy, [["", "all"], ...proxies.map((name) => [name, short(name)])]);
  later();
}

export function start(found, chosen) {
  glossary = found;
  onRequest = chosen;
  filter.addEventListener("input", later);
  filter.addEventListener("submit", (event) => event.preventDefault());
  $("clear-log").addEventListener("click", () => { entries = []; show($("line-fields")); draw(); });
}
