// The ladder: each decision with all it chose from, and the line of YAML that decided.

import { $, diffOf, h, short, show } from "./dom.js";

const LONG = 5; // candidates that are read at a glance
const MARKS = { passed: "✓ ", failed: "✗ ", "not-reached": "" };

const place = (item, onPlace) => item.resource
  ? h("button", { type: "button", class: "place", title: item.file, onclick: () => onPlace(item) }, item.file ? `${item.resource} · ${short(item.file)}:${item.line}` : item.resource)
  : null;

function reason(item) {
  if (item.subject && item.state !== "chosen") {
    return ["needs ", h("strong", {}, `${item.subject} ${item.wanted}`), ", has ", h("strong", {}, item.actual ?? "none")];
  }
  return item.reason;
}

function candidate(item, merged, onPlace) {
  const share = typeof item.share_percent === "number" ? ` (${item.share_percent.toFixed(0)} %)` : "";
  const why = reason(item);
  return h("li", { class: item.state },
    h("span", { class: "name" }, item.name, share),
    merged && item.resource ? h("span", { class: "badge plain" }, item.resource) : null,
    item.state === "unreachable" ? h("span", {}, " never asked") : null,
    why ? [": ", why] : null, " ", place(item, onPlace));
}

// Several VirtualServices of one host become one list of rules.
function mergedFrom(step) {
  const rules = new Set(step.candidates.map((item) => item.resource).filter((name) => name.startsWith("VirtualService ")));
  return step.kind === "route" && rules.size > 1 ? [...rules] : [];
}

function candidates(step, onPlace) {
  if (step.candidates.length < (step.kind === "route" ? 1 : 2)) return null; // the only one is the title
  const merged = mergedFrom(step);
  const rejected = step.candidates.filter((item) => item.state === "rejected");
  const isLong = rejected.length > LONG && step.state !== "failed"; // where nothing fits, all of it is worth reading
  const listOf = (items) => h("ol", { class: "candidates" }, items.map((item) => candidate(item, merged.length > 0, onPlace)));
  return [
    merged.length ? h("p", {}, h("span", { class: "badge warn" }, "merged"), ` from ${merged.join(" and ")}: one list, the first that fits counts.`) : null,
    listOf(isLong ? step.candidates.filter((item) => item.state !== "rejected") : step.candidates),
    isLong ? h("details", {}, h("summary", {}, `${rejected.length} that do not fit`), listOf(rejected)) : null,
  ];
}

const ports = (rows) => rows.length
  ? h("table", {}, h("thead", {}, h("tr", {}, ["this machine", "node port", "service", "listener"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.map((row) => h("tr", { class: row.chosen ? "good" : null }, [row.host, row.node, row.service, row.listener].map((port) => h("td", {}, String(port || "–")))))))
  : null;

export const envoyNames = (step) => Object.entries(step.envoy).filter(([, name]) => name).map(([kind, name]) => `${kind.replace("_", " ")} ${name}`);

const rung = (step, index, onPlace) => h("li", { class: step.state, "data-step": index, tabindex: "-1" },
  h("p", { class: "kind" }, step.kind.replace("-", " "), step.proxy ? ` · ${short(step.proxy)}` : ""),
  step.state === "not-reached" ? null : h("h3", {}, MARKS[step.state], step.title),
  h("p", {}, step.text),
  ports(step.rows),
  candidates(step, onPlace),
  envoyNames(step).length ? h("p", { class: "soft" }, `Envoy calls it ${envoyNames(step).join(" · ")}`) : null,
  place(step, onPlace));

const finding = (item, onPlace) => h("div", { class: `finding ${item.severity}` },
  h("p", {}, item.code ? h("strong", {}, `${item.code} `) : null, item.sentence),
  place(item, onPlace),
  item.patch ? h("details", {}, h("summary", {}, "the change that mends it"),
    diffOf(item.change, "What changes"),
    h("details", {}, h("summary", {}, "as a patch for kubectl apply"), h("pre", { tabindex: "0", "aria-label": "A patch for kubectl apply" }, item.patch))) : null);

export function draw(explanation, onPlace) {
  $("no-ladder").hidden = true;
  show($("findings"), explanation.findings.map((item) => finding(item, onPlace)));
  show($("ladder"), explanation.steps.map((step, index) => rung(step, index, onPlace)));
}

// Lights these steps wherever they are drawn.
export function light(steps) {
  for (const element of document.querySelectorAll("[data-step]")) element.classList.toggle("lit", steps.has(Number(element.dataset.step)));
}

export function goTo(index) {
  light(new Set([index]));
  const item = $("ladder").querySelector(`[data-step="${index}"]`);
  if (item) { item.scrollIntoView({ block: "nearest" }); item.focus({ preventScroll: true }); }
}
