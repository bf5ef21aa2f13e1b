// Load: the request above again and again, its progress, and each endpoint's share beside what is expected.

import { get, post } from "./api.js";
import { $, h, offer, round, short, show, table } from "./dom.js";
import { currentRequest, setSource } from "./try_bar.js";
import { verdict } from "./traffic.js";

const form = $("load-form");
let expected = new Map(); // pod -> share of 1
let clusters = new Set();
let counts = new Map(); // pod -> requests of this load
let begunAt = Infinity; // seconds since the epoch, as entries have it
let endedAt = Infinity;

// The clusters that the request may come to, with their shares, as explain tells them of its first proxy.
async function destinations(request) {
  const { steps } = await post("explain", request);
  const choice = steps.find((step) => step.kind === "cluster");
  return (choice?.candidates || []).filter((item) => typeof item.share_percent === "number");
}

async function expect(request) {
  expected = new Map();
  const found = await destinations(request);
  clusters = new Set(found.map((item) => item.name));
  for (const cluster of found) {
    const { pods } = await get(`endpoints?cluster=${encodeURIComponent(cluster.name)}`);
    const whole = pods.reduce((sum, pod) => sum + pod.weight, 0);
    for (const pod of pods) expected.set(pod.name, (expected.get(pod.name) || 0) + (cluster.share_percent / 100) * (pod.weight / whole));
  }
}

const bar = (part, tick) => h("td", { class: "bar" }, h("span", { class: "track" },
  h("span", { class: "meter", style: `width:${100 * part}%` }), h("span", { class: "tick", style: `left:${100 * tick}%` })));

function drawShares() {
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const pods = [...new Set([...expected.keys(), ...counts.keys()])].sort();
  if (!pods.length) { show($("load-shares")); return; }
  table($("load-shares"), ["endpoint", "requests", "share, and what is expected", "expected", "measured", "chance allows (95 %)", "verdict"], pods.map((pod) => {
    const count = counts.get(pod) || 0;
    const wanted = expected.get(pod) || 0;
    const found = verdict(wanted, count, all);
    return [short(pod), String(count), bar(all ? count / all : 0, wanted), `${round(100 * wanted)} %`, found.measured, found.range,
      h("td", {}, h("span", { class: `badge ${found.looks}` }, found.words))];
  }));
}

export function add(entries) {
  const mine = entries.filter((entry) => entry.at >= begunAt && entry.at <= endedAt && entry.upstream_pod && clusters.has(entry.cluster));
  if (!mine.length) return;
  for (const entry of mine) counts.set(entry.upstream_pod, (counts.get(entry.upstream_pod) || 0) + 1);
  drawShares();
}

function wordsOf(load) {
  const statuses = Object.entries(load.statuses).map(([status, number]) => `${status}: ${number}`).join(", ");
  const times = load.p50_ms === null ? "" : `median ${round(load.p50_ms)} ms, 99 % within ${round(load.p99_ms)} ms`;
  return [`${load.done} of ${load.count}${load.running ? "" : ", ended"}`, statuses || "no answers yet", load.errors ? `${load.errors} without an answer` : "", times].filter(Boolean).join(" · ");
}

export function draw(load) {
  if (!load.running && endedAt === Infinity) endedAt = Date.now() / 1000;
  $("stop-load").disabled = !load.running;
  $("load-progress").value = load.count ? load.done / load.count : 0;
  $("load-text").textContent = load.count ? wordsOf(load) : "";
}

async function begin() {
  const request = currentRequest();
  const { rate, count } = form.elements;
  counts = new Map();
  await expect(request).catch(() => {}); // a request that cannot be explained can still be sent
  [begunAt, endedAt] = [Date.now() / 1000, Infinity];
  draw(await post("load", { start: { ...request, rate_per_s: Number(rate.value), count: Number(count.value) } }));
  drawShares();
}

export function setSources(options, chosen) {
  offer(form.elements.source, options);
  form.elements.source.value = chosen;
}

export function start() {
  const report = (error) => { $("load-text").textContent = error.message; };
  form.addEventListener("submit", (event) => { event.preventDefault(); begin().catch(report); });
  form.elements.source.addEventListener("change", () => setSource(form.elements.source.value));
  $("stop-load").addEventListener("click", () => post("load", { stop: true }).then(draw, report));
}
