// The ladder: each decision with all it chose from, and the line of YAML that decided.

import { $, h, show } from "./dom.js";

const place = (item, onPlace) => item.resource
  ? h("button", { type: "button", class: "place", onclick: () => onPlace(item) }, item.file ? `${item.resource} · ${item.file}:${item.line}` : item.resource)
  : null;

function candidate(item, onPlace) {
  const share = item.share_percent === null || item.share_percent === undefined ? "" : ` (${item.share_percent.toFixed(0)} %)`;
  const wanted = item.subject ? `: ${item.subject} should be ${item.wanted}, is ${item.actual ?? "absent"}` : item.reason ? `: ${item.reason}` : "";
  return h("li", { class: item.state }, h("span", { class: "name" }, item.name, share), h("span", {}, item.state === "unreachable" ? " (never asked)" : "", wanted), " ", place(item, onPlace));
}

const ports = (rows) => rows.length
  ? h("table", {}, h("thead", {}, h("tr", {}, ["this machine", "node port", "service", "listener"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.map((row) => h("tr", { class: row.chosen ? "good" : null }, [row.host, row.node, row.service, row.listener].map((port) => h("td", {}, String(port || "–")))))))
  : null;

export function draw(explanation, onPlace) {
  show($("findings"), explanation.findings.map((finding) =>
    h("div", { class: `finding ${finding.severity}` },
      h("p", {}, finding.code ? h("strong", {}, `${finding.code} `) : null, finding.sentence),
      place(finding, onPlace),
      finding.patch ? h("details", {}, h("summary", {}, "the change that mends it"), h("pre", {}, finding.patch)) : null)));
  show($("ladder"), explanation.steps.map((step, index) =>
    h("li", { class: step.state, "data-step": index, tabindex: "-1" },
      h("h3", {}, step.state === "passed" ? "✓ " : step.state === "failed" ? "✗ " : "", step.title),
      h("p", {}, step.text),
      ports(step.rows),
      step.candidates.length ? h("ol", { class: "candidates" }, step.candidates.map((item) => candidate(item, onPlace))) : null,
      Object.keys(step.envoy).length ? h("p", { class: "soft" }, Object.entries(step.envoy).map(([name, value]) => `${name} ${value}`).join(" · ")) : null,
      place(step, onPlace))));
}

export function light(steps) {
  for (const element of document.querySelectorAll("[data-step]")) element.classList.toggle("lit", steps.has(Number(element.dataset.step)));
}

export function goTo(index) {
  light(new Set([index]));
  const item = $("ladder").querySelector(`[data-step="${index}"]`);
  if (item) { item.scrollIntoView({ block: "nearest" }); item.focus(); }
}
