// The graph of the mesh and the tables beside it, from the requests of the last seconds.

import { $, h, round, short, show, svg, table, throttled } from "./dom.js";

const WINDOW_S = 10;
const KEPT = 20000;
const NODE = { width: 190, height: 40, gap: 14 };

let mesh = { pods: [], services: [], splits: [] };
let entries = []; // requests that a client proxy sent on: gateway and outbound sides
let total = new Map(); // pod -> requests since the page was opened
let share = 100;
let active = {};

const workloadOf = (name) => mesh.pods.find((pod) => `${pod.namespace}/${pod.name}` === name)?.workload || short(name || "");

export function setMesh(found) { mesh = found; draw(); }
export function setShare(percent) { share = percent || 100; }
export function setActive(found) { active = found; draw(); }

export function add(found) {
  for (const entry of found) {
    if (entry.side === "inbound") continue;
    entries.push(entry);
    if (entry.upstream_pod) total.set(`${entry.cluster}\n${entry.upstream_pod}`, (total.get(`${entry.cluster}\n${entry.upstream_pod}`) || 0) + 1);
  }
  entries = entries.slice(-KEPT);
  draw();
}

function recent() {
  const from = Date.now() / 1000 - WINDOW_S;
  return entries.filter((entry) => entry.at > from);
}

function edgesOf(found) {
  const edges = new Map();
  const edge = (from, to) => {
    const name = `${from}\n${to}`;
    if (!edges.has(name)) edges.set(name, { from, to, count: 0, errors: 0, times: [] });
    return edges.get(name);
  };
  for (const entry of found) {
    const source = workloadOf(entry.proxy);
    const hops = entry.side === "gateway" ? [["clients", source]] : [];
    if (entry.upstream_pod) hops.push([source, workloadOf(entry.upstream_pod)]);
    for (const [from, to] of hops) {
      const each = edge(from, to);
      each.count++;
      each.errors += entry.status === 0 || entry.status >= 500 ? 1 : 0;
      each.times.push(entry.duration_ms);
    }
  }
  return [...edges.values()];
}

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

// Columns: clients, gateways, who only calls, who is called.
function columns(edges) {
  const workloads = [...new Set(mesh.pods.map((pod) => pod.workload))];
  const gateways = new Set(mesh.pods.filter((pod) => pod.gateway).map((pod) => pod.workload));
  const called = new Set(edges.filter((edge) => edge.from !== "clients" && !gateways.has(edge.to)).map((edge) => edge.to));
  const depth = (name) => (gateways.has(name) ? 1 : called.has(name) || mesh.services.some((service) => service.pods.some((pod) => workloadOf(pod) === name)) ? 2 : 1);
  const found = [["clients"], [], []];
  for (const name of workloads) found[depth(name)].push(name);
  return found;
}

function nodeOf(name, x, y) {
  const pods = mesh.pods.filter((pod) => pod.workload === name);
  const ready = pods.filter((pod) => pod.ready).length;
  const detail = name === "clients" ? "outside the mesh" : `${ready} of ${pods.length} ready`;
  return svg("g", { class: pods.length && ready < pods.length ? "unready" : "" },
    svg("rect", { x, y, width: NODE.width, height: NODE.height, rx: 6 }),
    svg("text", { x: x + 10, y: y + 17 }, name), svg("text", { x: x + 10, y: y + 32, class: "small" }, detail));
}

function drawGraph(edges) {
  const layers = columns(edges);
  const height = Math.max(...layers.map((layer) => layer.length), 1) * (NODE.height + NODE.gap) + 10;
  const spots = new Map();
  layers.forEach((layer, column) => layer.forEach((name, rowNumber) => {
    const start = (height - layer.length * (NODE.height + NODE.gap)) / 2;
    spots.set(name, { x: 10 + column * 330, y: start + rowNumber * (NODE.height + NODE.gap) });
  }));
  const lines = edges.filter((edge) => spots.has(edge.from) && spots.has(edge.to)).map((edge) => {
    const from = spots.get(edge.from);
    const to = spots.get(edge.to);
    const [x1, y1, x2, y2] = [from.x + NODE.width, from.y + NODE.height / 2, to.x, to.y + NODE.height / 2];
    const rate = edge.count / WINDOW_S * (100 / share);
    const path = svg("path", { d: `M${x1} ${y1} C${x1 + 60} ${y1} ${x2 - 60} ${y2} ${x2} ${y2}`, "stroke-width": 1.5 + Math.min(8, Math.log2(1 + rate)), class: edge.errors ? "failing" : "busy" });
    const words = `${round(rate)}/s, ${round(median(edge.times))} ms${edge.errors ? `, ${Math.round((100 * edge.errors) / edge.count)} % errors` : ""}`;
    return svg("g", {}, path, svg("text", { x: (x1 + x2) / 2 - 40, y: (y1 + y2) / 2 - 6, class: "small" }, words));
  });
  const words = edges.length ? edges.map((edge) => `${edge.from} to ${edge.to}: ${edge.count} requests`).join("; ") : "no requests in the last ten seconds";
  show($("graph"), svg("svg", { viewBox: `0 0 870 ${height}`, role: "img", "aria-label": `Services of the mesh. ${words}` }, ...lines, ...[...spots].map(([name, spot]) => nodeOf(name, spot.x, spot.y))));
}

const meter = (value, of) => h("td", { class: "bar" }, h("span", { class: "meter", style: `width:${of ? (100 * value) / of : 0}%` }));

function drawEndpoints(found) {
  const rows = new Map();
  for (const entry of found) {
    if (!entry.upstream_pod) continue;
    const each = rows.get(entry.upstream_pod) || { count: 0, errors: 0, times: [] };
    each.count++;
    each.errors += entry.status === 0 || entry.status >= 500 ? 1 : 0;
    each.times.push(entry.duration_ms);
    rows.set(entry.upstream_pod, each);
  }
  const most = Math.max(0, ...[...rows.values()].map((each) => each.count));
  const pods = [...new Set([...rows.keys(), ...mesh.services.flatMap((service) => service.pods)])].sort();
  table($("endpoints"), ["pod", "requests a second", "share", "errors", "median ms", "under way"], pods.map((pod) => {
    const each = rows.get(pod) || { count: 0, errors: 0, times: [] };
    return [short(pod), round((each.count / WINDOW_S) * (100 / share)), meter(each.count, most), String(each.errors), each.times.length ? round(median(each.times)) : "–", String(active[pod] ?? "–")];
  }));
}

// Where the true share lies with 95 % certainty, given `count` of `all` (Wilson's interval).
export function interval(count, all) {
  if (!all) return [0, 1];
  const z = 1.96;
  const share_ = count / all;
  const middle = (share_ + (z * z) / (2 * all)) / (1 + (z * z) / all);
  const half = (z / (1 + (z * z) / all)) * Math.sqrt((share_ * (1 - share_)) / all + (z * z) / (4 * all * all));
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

function countOf(destination) {
  let found = 0;
  for (const [name, count] of total) {
    const [, , subset, host] = name.split("\n")[0].split("|");
    if ((subset || "") === destination.subset && (host === destination.host || host?.startsWith(`${destination.host}.`))) found += count;
  }
  return found;
}

function drawWeights() {
  const rows = mesh.splits.flatMap((split) => {
    const counts = split.destinations.map(countOf);
    const all = counts.reduce((sum, count) => sum + count, 0);
    return split.destinations.map((destination, number) => {
      const [low, high] = interval(counts[number], all);
      const fits = !all || (destination.share_percent / 100 >= low && destination.share_percent / 100 <= high);
      return [`${destination.host}${destination.subset ? ` ${destination.subset}` : ""}`, `${round(destination.share_percent)} %`, all ? `${round((100 * counts[number]) / all)} %` : "–",
        all ? `${round(100 * low)} to ${round(100 * high)} %` : "–", h("td", {}, h("span", { class: `badge ${fits ? "good" : "warn"}` }, all ? (fits ? "as configured" : "outside of chance") : "no requests yet"))];
    });
  });
  table($("weights"), ["destination", "configured", "measured", "what chance allows", "so it is"], rows);
}

const draw = throttled(500, () => {
  const found = recent();
  drawGraph(edgesOf(found));
  drawEndpoints(found);
  drawWeights();
});

export function start() { setInterval(draw, 2000); draw(); }
export function forget() { total = new Map(); draw(); }
