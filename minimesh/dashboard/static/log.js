// The access log of all proxies: filtered, each field explained, each line a way back to its request.

import { $, h, offer, short, show } from "./dom.js";
import { fieldSpans, meaning, operator, setGlossary } from "./log_fields.js";

const KEPT = 1000;
const SHOWN = 200;
const DRAW_MS = 300;

const filter = $("log-filter");
const drawn = new WeakMap(); // entry -> its row
const entryOf = new WeakMap(); // row -> its entry
let entries = [];
let onRequest = () => {};
let waiting = false;
let missed = 0;

const starts = (value, list) => list.split(",").some((start) => start.trim() && String(value).startsWith(start.trim()));

function isWanted(entry) {
  const { proxy, status, flag, id } = filter.elements;
  return (!proxy.value || entry.proxy === proxy.value)
    && (!status.value || starts(entry.status, status.value))
    && (!flag.value || entry.flags.some((each) => each.flag === flag.value.trim().toUpperCase()))
    && (!id.value || entry.request_id.includes(id.value.trim()));
}

function row(entry) {
  if (drawn.has(entry)) return drawn.get(entry);
  const words = entry.flags.map((each) => `${each.flag}: ${each.words}`).join("; ");
  const made = h("li", { class: `s${String(entry.status)[0]}` },
    h("button", { type: "button", "aria-label": `${short(entry.proxy)}: ${entry.status} ${entry.method} ${entry.path}, show the request` }, short(entry.proxy)), " ",
    fieldSpans(entry), words ? h("em", {}, words) : null);
  drawn.set(entry, made);
  entryOf.set(made, entry);
  return made;
}

const fieldsOf = (entry) => h("dl", { class: "fields" }, Object.entries(entry.fields).map(([name, value]) =>
  h("div", {}, h("dt", {}, operator(name)), h("dd", {}, value, h("small", {}, meaning(name, entry))))));

function choose(line) {
  const entry = entryOf.get(line);
  $("lines").querySelector(".chosen")?.classList.remove("chosen");
  line.classList.add("chosen");
  show($("line-fields"), h("h3", {}, `The line of ${short(entry.proxy)}, field by field`), fieldsOf(entry));
  if (entry.request_id) onRequest(entry.request_id);
}

function explainField(span) {
  const name = span.dataset.field;
  show($("field-help"), h("strong", {}, operator(name)), ` ${meaning(name, entryOf.get(span.closest("li")))}`);
}

const NEIGHBOURS = { ArrowRight: (each) => each.nextElementSibling, ArrowLeft: (each) => each.previousElementSibling };

function walk(event) {
  const line = event.target.closest("li");
  const beside = NEIGHBOURS[event.key]?.(event.target);
  const other = { ArrowDown: line?.nextElementSibling, ArrowUp: line?.previousElementSibling }[event.key]?.querySelector("button");
  const next = other || (beside?.matches("button, [data-field]") ? beside : null);
  if (!next) return;
  event.preventDefault();
  next.focus();
}

// Rows that stay are not touched: whoever stands on one keeps the focus.
function arrange(list, rows) {
  let at = list.firstChild;
  for (const each of rows) {
    if (each === at) at = at.nextSibling;
    else list.insertBefore(each, at);
  }
  while (at) { const next = at.nextSibling; at.remove(); at = next; }
}

function draw() {
  waiting = false;
  if (filter.elements.paused.checked) return;
  const fitting = entries.filter(isWanted);
  arrange($("lines"), fitting.slice(-SHOWN).reverse().map(row));
  $("log-count").textContent = fitting.length > SHOWN ? `the last ${SHOWN} of ${fitting.length} lines` : `${fitting.length} lines`;
}

function later() {
  if (waiting) return;
  waiting = true;
  setTimeout(() => requestAnimationFrame(draw), DRAW_MS);
}

export function add(found) {
  // Each proxy tells in batches of its own: they are put in the order of their requests.
  entries = entries.concat(found).sort((one, other) => one.at - other.at).slice(-KEPT);
  const proxies = [...new Set(entries.map((entry) => entry.proxy))].sort();
  if (filter.elements.proxy.options.length !== proxies.length + 1) offer(filter.elements.proxy, [["", "all"], ...proxies.map((name) => [name, short(name)])]);
  later();
}

// Requests that came too fast for this page.
export function tellMissed(number) {
  missed += number;
  $("log-missed").textContent = `${missed} more came too fast to be shown`;
}

export function start(glossary, chosen) {
  setGlossary(glossary);
  onRequest = chosen;
  filter.addEventListener("input", later);
  filter.addEventListener("submit", (event) => event.preventDefault());
  const lines = $("lines");
  lines.addEventListener("click", (event) => { const line = event.target.closest("li"); if (line) choose(line); });
  lines.addEventListener("keydown", walk);
  for (const event of ["mouseover", "focusin"]) lines.addEventListener(event, ({ target }) => { if (target.dataset.field) explainField(target); });
  $("clear-log").addEventListener("click", () => { entries = []; show($("line-fields")); draw(); });
}
