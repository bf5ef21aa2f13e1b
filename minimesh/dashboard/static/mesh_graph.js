// The graph of the mesh: workloads in columns, and what went between them in the last seconds.

import { $, milliseconds, round, short, show, svg } from "./dom.js";
import { figures, grouped } from "./traffic.js";

const NODE = { width: 190, height: 40, gap: 22 };
const COLUMN = 330;
const BESIDE = 150; // room at the right for ways between neighbours of one column, and what is said of them
const SMALLEST = 0.75; // of its size, where there is little room: below, nobody can read it
const OUTSIDE = "clients";
const SYSTEM = "istio-system";

let mesh = { pods: [], services: [] };
const calls = new Map(); // all that were seen

export function setMesh(found) { mesh = found; }

const workloadOf = (name) => mesh.pods.find((pod) => `${pod.namespace}/${pod.name}` === name)?.workload || short(name || "");

function edgesOf(entries) {
  const hops = entries.flatMap((entry) => {
    const at = workloadOf(entry.proxy);
    const before = entry.side === "gateway" ? [{ way: `${OUTSIDE}\n${at}`, entry }] : [];
    return entry.upstream_pod ? [...before, { way: `${at}\n${workloadOf(entry.upstream_pod)}`, entry }] : before;
  });
  return [...grouped(hops, (hop) => hop.way)].map(([way, found]) => {
    const [from, to] = way.split("\n");
    return { from, to, count: found.length, ...figures(found.map((hop) => hop.entry)) };
  });
}

// Columns: who asks from outside; gateways and those who only call; then each as many columns on as calls lie between.
// What has called whom since the page was opened stays in its place, also while nothing runs.
function columns(edges) {
  for (const edge of edges) calls.set(`${edge.from}\n${edge.to}`, edge);
  const shown = mesh.pods.filter((pod) => pod.namespace !== SYSTEM || pod.gateway || edges.some((edge) => edge.from === pod.workload || edge.to === pod.workload));
  const names = [...new Set(shown.map((pod) => pod.workload))].sort();
  const known = [...calls.values()].filter((call) => names.includes(call.to));
  const gateways = new Set(shown.filter((pod) => pod.gateway).map((pod) => pod.workload));
  const called = new Set(known.filter((call) => call.from !== call.to).map((call) => call.to));
  const first = names.filter((name) => gateways.has(name) || (!called.has(name) && known.some((call) => call.from === name)));
  const layers = [[OUTSIDE], first];
  const placed = new Set(first);
  for (let layer = first; layer.length;) {
    const next = names.filter((name) => !placed.has(name) && known.some((call) => call.to === name && layer.includes(call.from)));
    for (const name of next) placed.add(name);
    layers.push(next);
    layer = next;
  }
  layers[2] ??= [];
  layers[2].push(...names.filter((name) => !placed.has(name))); // nobody has called them yet
  layers[2].sort();
  return layers.filter((layer, number) => number < 3 || layer.length);
}

function spotsOf(layers, height) {
  const spots = new Map();
  layers.forEach((layer, column) => layer.forEach((name, place) => {
    const start = (height - layer.length * (NODE.height + NODE.gap) + NODE.gap) / 2;
    spots.set(name, { x: 10 + column * COLUMN, y: start + place * (NODE.height + NODE.gap) });
  }));
  return spots;
}

function node(name, { x, y }) {
  const pods = mesh.pods.filter((pod) => pod.workload === name);
  const ready = pods.filter((pod) => pod.ready).length;
  const detail = name === OUTSIDE ? "outside the mesh" : `${ready} of ${pods.length} ready`;
  return svg("g", { class: ready < pods.length ? "unready" : "" },
    svg("rect", { x, y, width: NODE.width, height: NODE.height, rx: 6 }),
    svg("text", { x: x + 10, y: y + 17 }, name.length > 24 ? `${name.slice(0, 23)}…` : name, svg("title", {}, name)),
    svg("text", { x: x + 10, y: y + 32, class: "small" }, detail));
}

// A way on leads from right side to left side; one within a column, or back, bows out to the right, and ends there.
function wayBetween(from, to) {
  const [x1, y1, y2] = [from.x + NODE.width, from.y + NODE.height / 2, to.y + NODE.height / 2];
  if (from.x < to.x) return { d: `M${x1} ${y1} C${x1 + 70} ${y1} ${to.x - 70} ${y2} ${to.x} ${y2}`, x: to.x - 8, y: y2, anchor: "end" };
  const out = to.x + NODE.width;
  const bow = Math.max(x1, out) + 50;
  return { d: `M${x1} ${y1 + 8} C${bow} ${y1 + 8} ${bow} ${y2 - 8} ${out} ${y2 - 8}`, x: Math.max(x1, out) + 42, y: (y1 + y2) / 2, anchor: "start" };
}

// `nth` of the ways that end where this one does: their words stand above and below the line by turns.
function line(edge, nth, spots) {
  const way = wayBetween(spots.get(edge.from), spots.get(edge.to));
  const errors = edge.errors ? `, ${Math.round(100 * edge.errors)} % errors` : "";
  const y = way.y + (nth % 2 ? 18 + 7 * (nth - 1) : -8 - 7 * nth);
  return [
    svg("path", { d: way.d, "stroke-width": 1.5 + Math.min(8, Math.log2(1 + edge.rate)), class: edge.errors ? "failing" : "busy" }),
    svg("text", { x: way.x, y, class: "small", "text-anchor": way.anchor }, `${round(edge.rate)}/s, ${milliseconds(edge.median)}${errors}`)];
}

export function draw(entries) {
  const edges = edgesOf(entries);
  const layers = columns(edges);
  const height = Math.max(...layers.map((layer) => layer.length), 1) * (NODE.height + NODE.gap) + 24;
  const spots = spotsOf(layers, height);
  const width = 10 + (layers.length - 1) * COLUMN + NODE.width + BESIDE;
  const drawn = edges.filter((edge) => spots.has(edge.from) && spots.has(edge.to));
  const nth = (edge) => drawn.filter((each) => each.to === edge.to).indexOf(edge);
  const lines = drawn.map((edge) => line(edge, nth(edge), spots));
  const words = edges.length ? edges.map((edge) => `${edge.from} to ${edge.to}: ${edge.count} requests`).join("; ") : "no requests in the last ten seconds";
  show($("graph"), svg("svg", { viewBox: `0 0 ${width} ${height}`, style: `min-width:${width * SMALLEST}px`, role: "img", "aria-label": `Services of the mesh. ${words}` },
    ...lines.map(([path]) => path), ...lines.map(([, said]) => said), // words lie on top of all lines
    ...[...spots].map(([name, spot]) => node(name, spot))));
}
