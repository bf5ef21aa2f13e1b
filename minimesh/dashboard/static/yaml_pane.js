// The YAML: lines that acted lit up, a line's effects lit up in turn, editing in place, errors at their line.

import { get, put } from "./api.js";
import { $, diffOf, h, offer, show } from "./dom.js";
import { envoyNames, light } from "./ladder.js";

const text = $("yaml");
let sources = new Map(); // key -> {file | resource, text, draft, diagnostics}
let steps = [];
let lit = new Set();

const key = () => $("document").value;
const current = () => sources.get(key());
const isDirty = () => Boolean(current()) && text.value !== current().text;
const linesOf = () => text.value.split("\n");

// What all paths begin with says nothing.
function commonFolder(files) {
  const parts = files.map((file) => file.split("/").slice(0, -2));
  const first = parts[0] || [];
  const until = first.findIndex((part, depth) => parts.some((other) => other[depth] !== part));
  const folder = (until < 0 ? first : first.slice(0, until)).join("/");
  return folder ? folder.length + 1 : 0;
}

export async function refresh() {
  const found = await get("documents");
  const next = new Map(found.files.map((file) => [`file ${file.file}`, file]));
  for (const document of found.documents) {
    if (!document.file) next.set(`stored ${document.resource}`, { ...document, file: "", diagnostics: [] });
  }
  for (const [name, source] of sources) {
    if (source.draft === undefined || !next.has(name)) continue;
    const now = next.get(name);
    now.draft = source.draft;
    if (now.text !== source.text && name === key()) show($("save-result"), h("p", { class: "bad" }, "This document was changed elsewhere while you were at it: Save puts your text in its place, Revert shows the new one."));
  }
  const before = current();
  sources = next;
  const cut = commonFolder(found.files.map((file) => file.file));
  offer($("document"), [...sources].map(([name, source]) => [name, source.file ? source.file.slice(cut) : `${source.resource} (stored)`]));
  // Whoever reads or types is not disturbed by news of other documents.
  if (!before || current()?.text !== before.text) open();
}

function open() {
  text.value = current() ? current().draft ?? current().text : "";
  lit = new Set();
  paint();
}

// Lines of the open document that something decided by: a step itself, or what it chose.
function actingLines() {
  const chosen = steps.flatMap((step) => [step, ...step.candidates.filter((item) => item.state === "chosen")]);
  return new Set(chosen.filter((item) => item.line && item.file === current()?.file).map((item) => item.line));
}

function classOf(line, worst, acting) {
  if (worst.has(line)) return worst.get(line);
  if (lit.has(line)) return "lit";
  return acting.has(line) ? "acting" : null;
}

function paint() {
  const worst = new Map();
  for (const each of current()?.diagnostics || []) if (worst.get(each.line) !== "error") worst.set(each.line, each.severity === "error" ? "error" : "warning");
  const lines = linesOf();
  const acting = actingLines();
  $("gutter").textContent = lines.map((_, number) => number + 1).join("\n");
  show($("marks"), lines.map((line, number) => h("span", { class: classOf(number + 1, worst, acting) }, line || " ")));
  show($("diagnostics"), (current()?.diagnostics || []).map((each) => h("li", { class: each.severity }, h("button", { type: "button", class: "place", onclick: () => goToLine(each.line) }, `line ${each.line}`), ` ${each.field ? `${each.field}: ` : ""}${each.message}`)));
  scroll();
}

function scroll() {
  $("gutter").scrollTop = text.scrollTop;
  $("marks").scrollTop = text.scrollTop;
  $("marks").scrollLeft = text.scrollLeft;
}

const indent = (line) => line.length - line.replace(/^[\s-]*/, "").length;

// Whether nothing of its document stands before a line.
function isFirst(lines, line) {
  const before = lines.slice(0, line - 1).findLast((each) => each.trim() && !each.startsWith("#"));
  return before === undefined || before.startsWith("---");
}

// A field's block: its line, and those below it that are deeper; of a document's first line the whole document.
function block(lines, line) {
  const found = new Set([line]);
  const least = isFirst(lines, line) ? -1 : indent(lines[line - 1]);
  for (let number = line; number < lines.length; number++) {
    if (lines[number].startsWith("---") || (lines[number].trim() && indent(lines[number]) <= least)) break;
    found.add(number + 1);
  }
  return found;
}

function goToLine(line) {
  const start = linesOf().slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
  text.setSelectionRange(start, start);
  text.scrollTop = Math.max(0, (line - 4) * parseFloat(getComputedStyle(text).lineHeight));
  scroll();
}

// Opens the document that something comes from, and lights the lines that say it.
export function showPlace(item) {
  const name = item.file ? `file ${item.file}` : `stored ${item.resource}`;
  if (!sources.has(name)) return;
  $("document").value = name;
  open();
  if (!item.line) return;
  lit = block(linesOf(), item.line);
  paint();
  goToLine(item.line);
}

export function setSteps(found) {
  steps = found;
  lit = new Set();
  show($("effects"));
  paint();
}

// Whether somebody is at work in it.
export const isBusy = () => isDirty() || document.activeElement === text;

// The steps whose cause lies in the block of the line that the cursor is on, and what Envoy calls what they chose.
function showEffects() {
  const source = current();
  if (!source) return;
  const line = text.value.slice(0, text.selectionStart).split("\n").length;
  const lines = block(linesOf(), line);
  const here = (item) => (source.file ? item.file === source.file && lines.has(item.line) : item.resource === source.resource);
  const found = steps.map((step, index) => ({ step, index })).filter(({ step }) => here(step) || step.candidates.some(here));
  light(new Set(found.map(({ index }) => index)));
  show($("effects"), found.length
    ? [`Line ${line} acts in: `, h("ul", {}, found.map(({ step }) => h("li", {}, `${step.kind.replace("-", " ")} ${step.title}`, envoyNames(step).length ? h("code", {}, ` ${envoyNames(step).join(" · ")}`) : null)))]
    : `Line ${line} decides nothing for the request above.`);
}

const diff = (changed) => h("details", {}, h("summary", {}, `${changed.proxy} · ${changed.type} · ${changed.name}`),
  diffOf(changed.diff, `Difference of ${changed.name}`));

function saidOf(answer) {
  if (!answer.applied) return "Not saved: the last good configuration stays in force.";
  if (answer.converged_ms === null) return "Saved; not every proxy has taken it yet.";
  return `Saved; every proxy has it after ${answer.converged_ms} ms.${answer.diff.length ? "" : " Nothing changes for them."}`;
}

function showSaved(source, answer) {
  source.diagnostics = answer.diagnostics;
  if (answer.applied) { source.text = text.value; delete source.draft; }
  show($("save-result"), h("p", { class: answer.applied ? "good" : "bad" }, saidOf(answer)), answer.diff.map(diff), answer.more ? h("p", {}, `and ${answer.more} more`) : null);
  paint();
}

async function save() {
  const source = current();
  if (!source) return;
  $("save").disabled = true;
  try {
    showSaved(source, source.file ? await put("files", { file: source.file, text: text.value }) : await put("documents", { resource: source.resource, text: text.value }));
  } catch (error) {
    show($("save-result"), h("p", { class: "bad" }, error.message));
  } finally {
    $("save").disabled = false;
  }
}

function revert() {
  if (current()) delete current().draft;
  show($("save-result"));
  open();
  refresh().catch(() => {});
}

function keep() {
  if (current()) current().draft = isDirty() ? text.value : undefined;
  lit = new Set();
  paint();
}

export function start() {
  $("document").addEventListener("change", () => { show($("save-result")); show($("effects")); open(); });
  text.addEventListener("input", keep);
  text.addEventListener("scroll", scroll);
  for (const event of ["click", "keyup"]) text.addEventListener(event, showEffects);
  text.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key !== "s") return;
    event.preventDefault();
    save();
  });
  $("save").addEventListener("click", save);
  addEventListener("beforeunload", (event) => { if ([...sources.values()].some((source) => source.draft !== undefined)) event.preventDefault(); });
  $("revert").addEventListener("click", revert);
}
