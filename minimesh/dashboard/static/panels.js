// Pushes, load and labs: three small panels.

import { get, post } from "./api.js";
import { $, h, round, show, short, table } from "./dom.js";
import { currentRequest, fill } from "./try_bar.js";

const STATES = { SYNCED: "good", STALE: "warn", "NOT SENT": "", ERROR: "bad" };
const TYPES = ["CDS", "EDS", "LDS", "RDS"];

export function drawProxies({ proxies }) {
  table($("proxies"), ["proxy", "engine", ...TYPES, "ms from change to ACK"], proxies.map((proxy) => [
    short(proxy.name), proxy.engine,
    ...TYPES.map((type) => {
      const state = proxy.types[type];
      const words = state.state === "ERROR" ? "NACK" : state.state === "SYNCED" ? "ACK" : state.state;
      return h("td", {}, h("span", { class: `badge ${STATES[state.state]}`, title: state.detail || `sent ${state.version}, accepted ${state.acked_version}` }, words), " ", h("code", {}, state.version.slice(0, 6)),
        state.detail ? h("p", { class: "bad" }, state.detail) : null);
    }),
    proxy.since_change_ms === null ? "–" : round(proxy.since_change_ms),
  ]));
}

export function drawLoad(load) {
  $("load-progress").value = load.count ? load.done / load.count : 0;
  const statuses = Object.entries(load.statuses).map(([status, number]) => `${status}: ${number}`).join(", ");
  $("load-text").textContent = load.count ? `${load.done} of ${load.count}${load.running ? "" : ", ended"} · ${statuses || "no answers yet"}${load.errors ? ` · ${load.errors} without an answer` : ""}${load.p50_ms === null ? "" : ` · median ${round(load.p50_ms)} ms, 99 % within ${round(load.p99_ms)} ms`}` : "";
}

export function drawLabs({ labs, problems }, onRun) {
  show($("lab-list"), problems.map((text) => h("p", { class: "bad" }, text)),
    labs.length ? null : h("p", { class: "soft" }, "This mesh has no lab: a ConfigMap with the label minimesh.dev/lab makes one."),
    labs.map((lab) => h("div", {}, h("h3", {}, `${lab.title} (${lab.steps.filter((step) => step.done).length} of ${lab.steps.length})`),
      h("ol", { class: "steps" }, lab.steps.map((step) => h("li", { class: step.done ? "done" : null },
        h("h4", {}, step.done ? "✓ " : "", step.title), h("p", {}, step.text), step.command ? h("p", {}, h("code", {}, step.command)) : null,
        h("p", { class: "buttons" },
          step.request ? h("button", { type: "button", onclick: () => { fill(step.request); onRun(); } }, "Send it") : null,
          h("button", { type: "button", onclick: () => mark(lab.id, step.id, !step.done, onRun) }, step.done ? "Not done" : "Done"),
          step.check && step.check.at_least > 1 && !step.done ? h("span", { class: "soft" }, `${step.seen} of ${step.check.at_least} requests`) : null)))))));
}

async function mark(lab, step, done, onRun) { drawLabs(await post("labs", { lab, step, done }), onRun); }

export async function start(report, onRun) {
  $("load-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const { rate, count } = event.target.elements;
    try {
      drawLoad(await post("load", { start: { ...currentRequest(), rate_per_s: Number(rate.value), count: Number(count.value) } }));
    } catch (error) { report(error); }
  });
  $("stop-load").addEventListener("click", async () => drawLoad(await post("load", { stop: true })));
  drawLabs(await get("labs"), onRun);
}
