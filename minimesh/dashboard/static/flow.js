// The lane: every decision on a request's way as a box, with what it changed, the time spent, and its log line.

import { $, h, round, show, short } from "./dom.js";

const KINDS = {
  "port-map": "port", listener: "listener", "filter-chain": "filter chain", "virtual-host": "virtual host", route: "route",
  fault: "fault", answer: "answer", rewrite: "rewrite", cluster: "cluster", endpoint: "endpoint", application: "application",
};

export function flowOf(explanation, entries) {
  const byProxy = new Map(entries.map((entry) => [entry.proxy, entry]));
  const told = new Set();
  return explanation.steps.map((step, index) => {
    const entry = byProxy.get(step.proxy);
    const first = entry && !told.has(step.proxy);
    if (first) told.add(step.proxy);
    return { ...step, index, line: first ? entry.line : step.log, measured: Boolean(first), time: timeAt(step, entry) };
  });
}

function timeAt(step, entry) {
  if (!entry) return "";
  const times = entry.times_ms;
  if (step.kind === "listener") return `${round(entry.duration_ms)} ms in all`;
  if (step.kind === "endpoint" && entry.upstream_ms !== null) return `answered in ${entry.upstream_ms} ms`;
  if (step.kind === "cluster" && times.first_upstream_tx_byte !== undefined) return `on its way after ${round(times.first_upstream_tx_byte)} ms`;
  return "";
}

function changes(step) {
  const found = [];
  for (const part of ["path", "host"]) {
    if (step.before[part] !== undefined || step.after[part] !== undefined) {
      found.push(h("p", { class: "change" }, `${part} `, h("del", {}, step.before[part] ?? ""), " → ", h("ins", {}, step.after[part] ?? "")));
    }
  }
  for (const [name, value] of Object.entries(step.after.headers || {})) found.push(h("p", { class: "change" }, h("ins", {}, `${name}: ${value}`)));
  for (const [name, value] of Object.entries(step.before.headers || {})) if (!(name in (step.after.headers || {}))) found.push(h("p", { class: "change" }, h("del", {}, `${name}: ${value}`)));
  return found;
}

const WORDS = { passed: "", failed: "stops here: ", "not-reached": "not reached: " };

export function draw(explanation, entries, { live = false, title = "", onStep }) {
  const outcome = explanation.outcome;
  const good = outcome.answered_by === "application" && outcome.status < 400;
  show($("outcome"), h("span", { class: `badge ${good ? "good" : "bad"}` }, outcome.status ? `${outcome.status} ${outcome.reason}` : "no answer"), " ",
    outcome.sentence, outcome.flags.map((flag) => h("span", {}, " ", h("strong", {}, flag.flag), ` ${flag.words}.`)));
  $("flow-of").textContent = title;
  const lane = $("lane");
  lane.className = live ? "lane live" : "lane";
  const request = explanation.request;
  show(lane,
    h("li", { class: "passed" }, h("p", { class: "kind" }, request.from ? short(request.from) : "client"), h("h3", {}, `${request.method} ${request.url}`), h("p", {}, `Host: ${request.authority}`)),
    flowOf(explanation, entries).map((step) =>
      h("li", { class: step.state, "data-step": step.index },
        h("p", { class: "kind" }, KINDS[step.kind] || step.kind, step.proxy ? ` · ${short(step.proxy)}` : ""),
        h("h3", {}, step.title),
        changes(step),
        step.state === "passed" ? null : h("p", {}, WORDS[step.state], step.text),
        step.time ? h("p", { class: "soft" }, step.time) : null,
        step.line ? h("details", {}, h("summary", {}, step.measured ? "its log line" : "the log line to expect"), h("code", {}, step.line)) : null,
        h("button", { type: "button", class: "place", onclick: () => onStep(step.index), "aria-label": `Why: ${step.title}` }, "why"))),
    h("li", { class: good ? "passed" : "failed" }, h("p", { class: "kind" }, "back at the client"), h("h3", {}, outcome.status ? `${outcome.status} ${outcome.reason}` : "no answer"),
      entries.length ? h("p", { class: "soft" }, `${round(entries[0].duration_ms)} ms`) : null));
}
