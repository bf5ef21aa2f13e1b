// The fields of Istio's log line: how each is written in it, which group (colour) it belongs to, what it means.

import { $, h, show } from "./dom.js";

const GROUPS = {
  time: ["time", ["START_TIME", "DURATION", "UPSTREAM_SERVICE_TIME"]],
  request: ["what was asked", ["METHOD", "PATH", "PROTOCOL", "AUTHORITY", "USER_AGENT", "REQUESTED_SERVER_NAME", "BYTES_RECEIVED"]],
  answer: ["what came of it", ["RESPONSE_CODE", "RESPONSE_FLAGS", "RESPONSE_CODE_DETAILS", "CONNECTION_TERMINATION_DETAILS", "UPSTREAM_TRANSPORT_FAILURE_REASON", "BYTES_SENT"]],
  id: ["which request", ["REQUEST_ID"]],
  route: ["where it was sent", ["UPSTREAM_CLUSTER_RAW", "ROUTE_NAME", "UPSTREAM_HOST"]],
  address: ["between whom", ["X_FORWARDED_FOR", "UPSTREAM_LOCAL_ADDRESS", "DOWNSTREAM_LOCAL_ADDRESS", "DOWNSTREAM_REMOTE_ADDRESS"]],
};
const GROUP_OF = new Map(Object.entries(GROUPS).flatMap(([group, [, names]]) => names.map((name) => [name, group])));
const QUOTED = new Set(["UPSTREAM_TRANSPORT_FAILURE_REASON", "X_FORWARDED_FOR", "USER_AGENT", "REQUEST_ID", "AUTHORITY", "UPSTREAM_HOST"]);
const WRITTEN = { START_TIME: (value) => `[${value}]`, METHOD: (value) => `"${value}`, PROTOCOL: (value) => `${value}"` };

let glossary = { fields: {}, flags: {}, details: {} };

export function setGlossary(found) {
  glossary = found;
  show($("legend"), Object.entries(GROUPS).map(([group, [words]]) => h("li", { class: `f-${group}` }, words)));
  show($("flags"), Object.entries(found.flags).map(([flag, words]) => h("option", { value: flag }, words)));
}

const written = (name, value) => (WRITTEN[name] || ((plain) => (QUOTED.has(name) ? `"${plain}"` : plain)))(value);

export const operator = (name) => glossary.fields[name]?.operator || name;

export function meaning(name, entry) {
  const said = [glossary.fields[name]?.meaning];
  if (name === "RESPONSE_FLAGS") said.push(...entry.flags.map((each) => `${each.flag}: ${each.words}`));
  if (name === "RESPONSE_CODE_DETAILS") said.push(entry.details_words);
  return said.filter(Boolean).join(": ");
}

// The spans of a line; arrow keys lead from one to the next, which is why they take the focus.
export const fieldSpans = (entry) => Object.entries(entry.fields).flatMap(([name, value]) =>
  [h("span", { class: `f-${GROUP_OF.get(name)}`, "data-field": name, tabindex: "-1", "aria-describedby": "field-help" }, written(name, value)), " "]);
