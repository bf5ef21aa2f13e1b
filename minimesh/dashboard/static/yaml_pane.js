// The YAML: lines that acted lit up, a line's effects lit up in turn, editing in place, errors at their line.

import { get, put } from "./api.js";
import { $, h, offer, show } from "./dom.js";
import { light } from "./ladder.js";

const text = $("yaml");
let sources = new Map(); // key -> {file | resource, text, line}
let steps = [];
let marked = { lit: new Set(), errors: new Set() };

const key = () => $("document").value;
const current = () => sources.get(key());

export async function refresh() {
  const found = await get("documents");
  const dirty = isDirty();
  const next = new Map(found.files.map((file) => [`file ${file.file}`, { file: file.file, text: file.text, diagnostics: file.diagnostics }]));
  for (const document of found.documents) {
    if (!document.file) next.set(`stored ${document.resource}`, { resource: document.resource, text: document.text, diagnostics: [] });
  }
  if (dirty && next.has(key())) next.get(key()).draft = text.value;
  sources = next;
  offer($("document"), [...sources].map(([name, source]) => [name, source.file || `${source.resource} (stored)`]));
  open();
}

const isDirty = () => Boolean(current()) && text.value !== current().text;

function open(lines = new Set()) {
  const source = current();
  text.value = source ? source.draft ?? source.text : "";
  marked = { lit: lines, errors: new Set((source?.diagnostics || []).filter((each) => each.severity === "error").map((each) => each.line)) };
  paint();
}

function paint() {
  const lines = text.value.split("\n");
  $("gutter").textContent = lines.map((_, number) => number + 1).join("\n");
  show($("marks"), lines.map((line, number) => h("span", { class: marked.errors.has(number + 1) ? "error" : marked.lit.has(number + 1) ? "lit" : null }, line || " ")));
  scroll();
}

function scroll() {
  $("gutter").scrollTop = text.scrollTop;
  $("marks").scrollTop = text.scrollTop;
  $("marks").scrollLeft = text.scrollLeft;
}

const indent = (line) => line.length - line.replace(/^[\s-]*/, "").length;

// A field's block: its line, and those below it that are deeper.
function block(lines, line) {
  const found = new Set([line]);
  for (let number = line; number < lines.length; number++) {
    if (lines[number].trim() && (indent(lines[number]) <= indent(lines[line - 1]) || lines[number].startsWith("---"))) break;
    found.add(number + 1);
  }
  return found;
}

export function showPlace(item) {
  const name = item.file ? `file ${item.file}` : `stored ${item.resource}`;
  if (!sources.has(name)) return false;
  $("document").value = name;
  open();
  if (item.line) {
    const start = text.value.split("\n").slice(0, item.line - 1).join("\n").length + (item.line > 1 ? 1 : 0);
    text.setSelectionRange(start, start);
    marked.lit = block(text.value.split("\n"), item.line);
    paint();
    text.scrollTop = Math.max(0, (item.line - 4) * parseFloat(getComputedStyle(text).lineHeight));
    scroll();
  }
  return true;
}

export function setSteps(found) { steps = found; }

// The steps whose cause lies in the block of the line that the cursor is on.
function lightSteps() {
  const source = current();
  if (!source) return;
  const line = text.value.slice(0, text.selectionStart).split("\n").length;
  const lines = block(text.value.split("\n"), line);
  const here = (item) => (source.file ? item.file === source.file && (lines.has(item.line) || item.line === line) : item.resource === source.resource);
  light(new Set(steps.flatMap((step, index) => (here(step) || step.candidates.some(here) ? [index] : []))));
}

const diff = (changed) => h("details", {}, h("summary", {}, `${changed.proxy} · ${changed.type} · ${changed.name}`),
  h("pre", { class: "diff", tabindex: "0", "aria-label": `Difference of ${changed.name}` }, changed.diff.split("\n").map((line) => h("span", { class: line.startsWith("+") ? "add" : line.startsWith("-") ? "remove" : null }, `${line}\n`))));

async function save() {
  const source = current();
  if (!source) return;
  $("save").disabled = true;
  try {
    const answer = source.file ? await put("files", { file: source.file, text: text.value }) : await put("documents", { resource: source.resource, text: text.value });
    marked.errors = new Set(answer.diagnostics.filter((each) => each.severity === "error").map((each) => each.line));
    const said = answer.applied
      ? answer.converged_ms === null ? "Saved; not every proxy has taken it yet." : `Saved; every proxy has it after ${answer.converged_ms} ms.`
      : "Not saved: the last good configuration stays in force.";
    show($("save-result"), h("p", { class: answer.applied ? "good" : "bad" }, said),
      h("ul", {}, answer.diagnostics.map((each) => h("li", {}, `line ${each.line}: ${each.message}`))),
      answer.diff.map(diff), answer.more ? h("p", {}, `and ${answer.more} more`) : null);
    if (answer.applied) { source.text = text.value; delete source.draft; }
    paint();
  } catch (error) {
    show($("save-result"), h("p", { class: "bad" }, error.message));
  } finally {
    $("save").disabled = false;
  }
}

export function start() {
  $("document").addEventListener("change", () => open());
  text.addEventListener("input", () => { marked.errors = new Set(); if (current()) current().draft = text.value; paint(); });
  text.addEventListener("scroll", scroll);
  for (const event of ["click", "keyup"]) text.addEventListener(event, lightSteps);
  $("save").addEventListener("click", save);
  $("revert").addEventListener("click", () => { if (current()) delete current().draft; open(); show($("save-result")); });
}
