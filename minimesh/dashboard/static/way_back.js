// The answer at one proxy, on its way back: status, why, where the time went, and the line in its log.

import { h, milliseconds, short } from "./dom.js";

// Three shares of the whole: this proxy before, waiting for whom it asked, this proxy after.
function shares(entry) {
  const { first_upstream_tx_byte: sent, first_upstream_rx_byte: answered } = entry.times_ms;
  if (sent === undefined || answered === undefined) return [["in this proxy", entry.duration_ms]];
  return [["before it is sent on", sent], ["waiting for the answer", answered - sent], ["passing it back", entry.duration_ms - answered]]
    .map(([words, time]) => [words, Math.max(0, time)]);
}

function timeBar(entry) {
  const parts = shares(entry);
  const whole = Math.max(0.001, parts.reduce((sum, [, time]) => sum + time, 0));
  const words = parts.map(([name, time]) => `${name} ${milliseconds(time)}`).join(", ");
  return [
    h("div", { class: "times", role: "img", "aria-label": words }, parts.map(([name, time], part) => h("span", { class: `t${part}`, title: `${name} ${milliseconds(time)}`, style: `flex-grow:${time / whole}` }))),
    h("p", { class: "soft" }, words),
  ];
}

const logLine = (words, line) => h("details", {}, h("summary", {}, words), h("code", {}, line));

function measured(entry) {
  return h("div", { class: `back ${entry.status && entry.status < 400 ? "passed" : "failed"}` },
    h("p", { class: "kind" }, "answers", h("span", { class: "who" }, short(entry.proxy))),
    h("h4", {}, `${entry.status || "nothing"} after ${milliseconds(entry.duration_ms)}`),
    entry.flags.map((flag) => h("p", {}, h("strong", {}, flag.flag), ` ${flag.words}`)),
    entry.details_words ? h("p", {}, entry.details_words) : null,
    timeBar(entry),
    logLine("its log line", entry.line));
}

function foretold(hop) {
  return h("div", { class: `back ${hop.status && hop.status < 400 ? "passed" : "failed"}` },
    h("p", { class: "kind" }, "would answer", h("span", { class: "who" }, short(hop.proxy))),
    h("h4", {}, String(hop.status || "nothing"), hop.flags ? ` ${hop.flags}` : ""),
    logLine("the log line to expect", hop.log));
}

export function wayBack(entry, hop) {
  if (entry) return measured(entry);
  return hop ? foretold(hop) : null;
}

// The application's answer, as the proxy beside it saw it; what it would answer nobody can tell.
export function atApplication(entry) {
  const { first_upstream_tx_byte: asked, first_upstream_rx_byte: answered } = entry?.times_ms || {};
  if (answered === undefined) return null;
  return h("div", { class: `back ${entry.status < 400 ? "passed" : "failed"}` },
    h("p", { class: "kind" }, "answers", h("span", { class: "who" }, "application")),
    h("h4", {}, `${entry.status} after ${milliseconds(answered - asked)}`));
}
