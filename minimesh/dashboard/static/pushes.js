// Pushes: what each proxy has of each type, whether it took it, and how long the last change needed.

import { $, h, round, short, show, table } from "./dom.js";

const TYPES = ["CDS", "EDS", "LDS", "RDS"];
const STATES = { SYNCED: ["ACK", "good"], STALE: ["stale", "warn"], "NOT SENT": ["not sent", "plain"], ERROR: ["NACK", "bad"] };

const version = (text) => h("code", {}, text.slice(0, 6));

function cell(type) {
  const [words, looks] = STATES[type.state] || [type.state, "plain"];
  const held = type.state === "SYNCED" || !type.acked_version ? null : [" has ", version(type.acked_version)];
  return h("td", {}, h("span", { class: `badge ${looks}` }, words), " ", type.version ? version(type.version) : null, held);
}

function changeCell(proxy) {
  const stale = TYPES.some((type) => proxy.types[type].state === "STALE");
  if (stale) return "under way";
  return proxy.since_change_ms === null ? "nothing new for it" : `${round(proxy.since_change_ms)} ms`;
}

const refusals = (proxies) => proxies.flatMap((proxy) => TYPES.filter((type) => proxy.types[type].detail)
  .map((type) => h("p", { class: "finding cause" }, h("strong", {}, `${short(proxy.name)} refuses ${type}: `), proxy.types[type].detail)));

export function draw({ proxies, changed_at: changedAt }) {
  $("changed").textContent = changedAt ? `The last change of the configuration came at ${new Date(changedAt * 1000).toLocaleTimeString()}.` : "Nothing was changed since the start.";
  show($("refusals"), refusals(proxies));
  table($("proxies"), ["proxy", "engine", ...TYPES, "change to ACK"], proxies.map((proxy) => [
    short(proxy.name), proxy.engine, ...TYPES.map((type) => cell(proxy.types[type])), changeCell(proxy)]));
}
