// Beside the graph: each endpoint's share of the work, and weights as configured and as measured.

import { get } from "./api.js";
import { $, h, round, short, table, throttled } from "./dom.js";
import * as graph from "./mesh_graph.js";
import { countOf, figures, forgetClusters, grouped, recent, verdict } from "./traffic.js";

const DRAWN_MS = 500;
const ACTIVE_MS = 1000;

let mesh = { services: [], splits: [] };
let active = {};

const meter = (value, of) => h("td", { class: "bar" }, h("span", { class: "meter", style: `width:${of ? (100 * value) / of : 0}%` }));

function endpointRow(pod, found, most) {
  const { rate, errors, median, slow } = figures(found);
  return [short(pod), round(rate), meter(found.length, most), found.length ? `${Math.round(100 * errors)} %` : "–",
    round(median) || "–", round(slow) || "–", h("td", {}, String(active[pod] ?? 0))];
}

function drawEndpoints(entries) {
  const byPod = grouped(entries, (entry) => entry.upstream_pod);
  const pods = [...new Set([...byPod.keys(), ...mesh.services.flatMap((service) => service.pods)])].sort();
  const most = Math.max(0, ...[...byPod.values()].map((found) => found.length));
  table($("endpoints"), ["endpoint", "a second", "share", "errors", "median ms", "90 % within ms", "under way"], pods.map((pod) => endpointRow(pod, byPod.get(pod) || [], most)));
}

function splitRows(split) {
  const counts = split.destinations.map(countOf);
  const all = counts.reduce((sum, count) => sum + count, 0);
  return split.destinations.map((to, number) => {
    const found = verdict(to.share_percent / 100, counts[number], all);
    return [`${to.host}${to.subset ? ` ${to.subset}` : ""}`, `${round(to.share_percent)} %`, found.measured, found.range,
      h("td", {}, h("span", { class: `badge ${found.looks}` }, found.words))];
  });
}

function drawWeights() {
  const rows = mesh.splits.flatMap(splitRows);
  $("no-weights").hidden = rows.length > 0;
  $("weights").hidden = rows.length === 0;
  table($("weights"), ["destination", "configured", "measured", "chance allows (95 %)", "verdict"], rows);
}

export const draw = throttled(DRAWN_MS, () => {
  const entries = recent();
  graph.draw(entries);
  drawEndpoints(entries);
  drawWeights();
});

export function setMesh(found) {
  if (JSON.stringify(found.splits) !== JSON.stringify(mesh.splits)) forgetClusters();
  mesh = found;
  graph.setMesh(found);
  draw();
}

async function watchActive(isLive) {
  if (isLive() && document.visibilityState === "visible") {
    active = await get("active").then((found) => found.pods, () => ({}));
    draw();
  }
  setTimeout(watchActive, ACTIVE_MS, isLive);
}

export function start(isLive) {
  setInterval(draw, 2000); // what is older than the window leaves the picture
  draw();
  watchActive(isLive);
}
