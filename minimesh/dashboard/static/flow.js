// The lane: one station for each proxy on a request's way, its decisions as boxes, and the answer's way back below.

import { $, h, milliseconds, show, short, withCode } from "./dom.js";
import { atApplication, wayBack } from "./way_back.js";

const KINDS = {
  "port-map": "port", listener: "listener", "filter-chain": "filter chain", "virtual-host": "virtual host", route: "route",
  fault: "fault", answer: "answer", rewrite: "rewrite", cluster: "cluster", endpoint: "endpoint", application: "application",
};
const SIDES = { gateway: "took", inbound: "took", outbound: "sent" };
const WORDS = { passed: "", failed: "stops here: ", "not-reached": "not reached: " };

// Steps that follow one another at one proxy; the application is a place of its own beside its sidecar.
function stationsOf(steps) {
  const stations = [];
  for (const step of steps) {
    const before = stations.at(-1);
    const application = step.kind === "application";
    const proxy = step.proxy || before?.proxy || ""; // what was not reached names no proxy: it would have been the last one's
    // A pod may call itself: its proxy's second listener begins a station of its own.
    const again = step.kind === "listener" && before?.steps.some((each) => each.kind === "endpoint");
    if (!before || before.proxy !== proxy || before.application !== application || again) stations.push({ proxy, application, steps: [] });
    stations.at(-1).steps.push(step);
  }
  return stations;
}

// When a proxy got so far, where it told.
function timeAt(step, entry) {
  const times = entry?.times_ms || {};
  if (step.kind === "listener" && times.last_rx_byte !== undefined) return `request read after ${milliseconds(times.last_rx_byte)}`;
  if (step.kind === "cluster" && times.first_upstream_tx_byte !== undefined) return `sent on after ${milliseconds(times.first_upstream_tx_byte)}`;
  if (step.kind === "endpoint" && times.first_upstream_rx_byte !== undefined) return `answers after ${milliseconds(times.first_upstream_rx_byte)}`;
  return "";
}

function changes(step) {
  const before = step.before.headers || {};
  const after = step.after.headers || {};
  const parts = ["path", "host"].filter((part) => part in step.before || part in step.after);
  return [
    ...parts.map((part) => h("p", { class: "change" }, `${part} `, h("del", {}, step.before[part] ?? ""), " → ", h("ins", {}, step.after[part] ?? ""))),
    ...Object.entries(after).map(([name, value]) => h("p", { class: "change" }, name in before ? [h("del", {}, before[name]), " → "] : "", h("ins", {}, `${name}: ${value}`))),
    ...Object.entries(before).filter(([name]) => !(name in after)).map(([name, value]) => h("p", { class: "change" }, h("del", {}, `${name}: ${value}`))),
  ];
}

function box(step, entry, onStep) {
  const time = timeAt(step, entry);
  return h("li", { class: step.state, "data-step": step.index, style: `--n:${step.index}` },
    h("p", { class: "kind" }, KINDS[step.kind] || step.kind,
      h("button", { type: "button", class: "place", onclick: () => onStep(step.index), "aria-label": `Why: ${step.title}` }, "why")),
    step.state === "not-reached" ? null : h("h4", {}, step.title),
    changes(step),
    step.state === "passed" ? null : h("p", {}, WORDS[step.state], step.text),
    time ? h("p", { class: "soft" }, time) : null);
}

function station(found, entry, hop, onStep) {
  const reached = found.steps.some((step) => step.state !== "not-reached");
  return h("li", { class: reached ? "station" : "station not-reached" },
    h("h3", {}, found.application ? "application" : short(found.proxy) || "proxy"),
    h("ol", { class: "boxes" }, found.steps.map((step) => box(step, entry, onStep))),
    reached ? (found.application ? atApplication : wayBack)(entry, hop) : null);
}

// What the client gets: as foretold, or as its first proxy told of a request that happened.
function resultOf(outcome, entry) {
  if (!entry) return { ...outcome, good: outcome.answered_by === "application" && outcome.status < 400 };
  const { status, flags } = entry;
  const isForetold = outcome.answered_by === "application" || outcome.status === status;
  const words = entry.details_words ? `${entry.details_words[0].toUpperCase()}${entry.details_words.slice(1)}` : "It has ended";
  return { status, flags, reason: status === outcome.status ? outcome.reason : "", good: status > 0 && status < 400,
    sentence: isForetold ? `${words}.` : `${words}, where ${outcome.status} was to be expected.` };
}

const statusOf = (result) => (result.status ? `${result.status} ${result.reason}` : "no answer");

function client(request, result, entry, steps, onStep) {
  return h("li", { class: "station" },
    h("h3", {}, request.from ? short(request.from) : "client"),
    h("ol", { class: "boxes" },
      h("li", { class: "passed", style: "--n:0" }, h("p", { class: "kind" }, "asks"), h("h4", {}, `${request.method} ${request.url}`), h("p", {}, `Host: ${request.authority}`)),
      steps.map((step) => box(step, null, onStep))),
    h("div", { class: `back ${result.good ? "passed" : "failed"}` }, h("p", { class: "kind" }, entry ? "gets" : "would get", h("span", { class: "who" }, request.from ? short(request.from) : "client")),
      h("h4", {}, statusOf(result)), h("p", { class: "soft" }, `back at the client${entry ? ` after ${milliseconds(entry.duration_ms)}` : ""}`)));
}

function drawOutcome(result) {
  show($("outcome"), h("span", { class: `badge ${result.good ? "good" : "bad"}` }, statusOf(result)), " ",
    withCode(result.sentence), result.flags.filter((flag) => !result.sentence.includes(`${flag.flag}: `)).map((flag) => h("span", {}, " ", h("strong", {}, flag.flag), ` ${flag.words}.`)));
}

// What each station's proxy told of the request: the first of it on its way out, all others of it coming in. An
// application may call others meanwhile, and a pod itself: that is told by the same proxy, and is none of it.
function toldAt(stations, entries) {
  return (found) => entries.findLast((entry) => entry.proxy === found.proxy && (entry.side !== "inbound") === (found === stations[0]));
}

function expectedAt(stations, hops) {
  return (found) => (found === stations[0] ? hops.find((hop) => hop.proxy === found.proxy) : hops.findLast((hop) => hop.proxy === found.proxy));
}

const other = (entry) => h("li", {}, h("strong", {}, `${short(entry.proxy)} `), `${SIDES[entry.side] || ""} ${entry.method} ${entry.path}`,
  entry.upstream_pod ? ` to ${short(entry.upstream_pod)}` : "", `: ${entry.status || "nothing"} after ${milliseconds(entry.duration_ms)} `, h("details", {}, h("summary", {}, "its log line"), h("code", {}, entry.line)));

// Other hops with the same request id: calls that applications made to answer it, tries that failed, copies.
function drawOthers(entries, shown) {
  const left = entries.filter((entry) => !shown.has(entry));
  $("others").hidden = !left.length;
  show($("others"), h("summary", {}, left.length === 1 ? "one more hop with this request id" : `${left.length} more hops with this request id`), h("ol", {}, left.map(other)));
}

export function draw(explanation, entries, { title = "", onStep }) {
  const result = resultOf(explanation.outcome, entries[0]);
  drawOutcome(result);
  $("flow-of").textContent = title;
  const steps = explanation.steps.map((step, index) => ({ ...step, index }));
  // The port map decides before any proxy: it stands with the client.
  const isInFront = (step) => step.kind === "port-map";
  const stations = stationsOf(steps.filter((step) => !isInFront(step)));
  const told = toldAt(stations, entries);
  const expected = expectedAt(stations, explanation.hops);
  show($("lane"), client(explanation.request, result, entries[0], steps.filter(isInFront), onStep),
    stations.map((found) => station(found, told(found), expected(found), onStep)));
  drawOthers(entries, new Set(stations.map(told)));
  orderAnswers($("lane"), steps.length);
  $("replay").hidden = false;
  $("no-flow").hidden = true;
  play();
}

// The answers follow the last decision, each nearer to the client.
function orderAnswers(lane, steps) {
  [...lane.children].forEach((station, number) => station.style.setProperty("--s", number));
  [...lane.querySelectorAll(".back")].reverse().forEach((answer, number) => answer.style.setProperty("--n", steps + 2 * number));
}

// One box after the other, as the request and its answer went.
export function play() {
  const lane = $("lane");
  lane.classList.remove("playing");
  lane.getBoundingClientRect(); // without a look between them the two changes would be none
  lane.classList.add("playing");
}
