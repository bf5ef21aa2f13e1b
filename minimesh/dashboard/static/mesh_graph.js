// The graph of the mesh: workloads in columns, and what went between them in the last seconds.

import { $, milliseconds, round, short, show, svg } from "./dom.js";
import { figures, grouped } from "./traffic.js";

const NODE = { width: 190, height: 40, gap: 22 };
const COLUMN = 330;
const WIDTH = 2 * COLUMN + NODE.width + 90; // room at the right for ways between neighbours of one column
const OUTSIDE = "clients";
const SYSTEM = "istio-system";

let mesh = { pods: [], services: [] };

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

// Columns: who asks from outside; gateways and those who only call; those who are called.
function columns(edges) {
  const busy = new Set(edges.flatMap((edge) => [edge.from, edge.to]));
  const shown = mesh.pods.filter((pod) => pod.namespace !== SYSTEM || pod.gateway || busy.has(pod.workload));
  const gateways = new Set(shown.filter((pod) => pod.gateway).map((pod) => pod.workload));
  const called = new Set(edges.map((edge) => edge.to));
  const callers = new Set(edges.map((edge) => edge.from).filter((name) => !called.has(name)));
  const left = (name) => gateways.has(name) || callers.has(name);
  const names = [...new Set(shown.map((pod) => pod.workload))].sort();
  return [[OUTSIDE], names.filter(left), names.filter((name) => !left(name))];
}

function spotsOf(layers, height) {
  const spots = new Map();
  layers.forEach((layer, column) => layer.forEach((name, place) => {
    const start = (height - layer.length * (NODE.height + NODE.gap)) / 2;
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

// A way between columns leads from right side to left side; within a column it bows out to the right.
function wayBetween(from, to) {
  const [x1, y1, y2] = [from.x + NODE.width, from.y + NODE.height / 2, to.y + NODE.height / 2];
  if (from.x < to.x) return { d: `M${x1} ${y1} C${x1 + 70} ${y1} ${to.x - 70} ${y2} ${to.x} ${y2}`, x: to.x - 8, y: y2 - 6, anchor: "end" };
  const out = to.x + NODE.width;
  return { d: `M${x1} ${y1} C${x1 + 80} ${y1} ${out + 80} ${y2} ${out} ${y2}`, x: out + 8, y: y2 - 6, anchor: "start" };
}

function line(edge, spots) {
  const way = wayBetween(spots.get(edge.from), spots.get(edge.to));
  const errors = edge.errors ? `, ${Math.round(100 * edge.errors)} % errors` : "";
  return svg("g", {},
    svg("path", { d: way.d, "stroke-width": 1.5 + Math.min(8, Math.log2(1 + edge.rate)), class: edge.errors ? "failing" : "busy" }),
    svg("text", { x: way.x, y: way.y, class: "small", "text-anchor": way.anchor }, `${round(edge.rate)}/s, ${milliseconds(edge.median)}${errors}`));
}

export function draw(entries) {
  const edges = edgesOf(entries);
  const layers = columns(edges);
  const height = Math.max(...layers.map((layer) => layer.length), 1) * (NODE.height + NODE.gap) + 10;
  const spots = spotsOf(layers, height);
  const words = edges.length ? edges.map((edge) => `${edge.from} to ${edge.to}: ${edge.count} requests`).join("; ") : "no requests in the last ten seconds";
  show($("graph"), svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": `Services of the mesh. ${words}` },
    ...edges.filter((edge) => spots.has(edge.from) && spots.has(edge.to)).map((edge) => line(edge, spots)),
    ...[...spots].map(([name, spot]) => node(name, spot))));
}
