// What the proxies told of requests, counted: of the last seconds by edge and by endpoint, and since the last change by cluster.

const WINDOW_S = 10;
const KEPT = 20000;

let entries = []; // of proxies that sent a request on: the same request is not counted again where it comes in
let byCluster = new Map(); // cluster -> pod -> requests
let share = 100;

export function setShare(percent) { share = percent || 100; }

export function add(found) {
  for (const entry of found) {
    if (entry.side === "inbound") continue;
    entries.push(entry);
    if (!entry.upstream_pod) continue;
    const pods = byCluster.get(entry.cluster) || new Map();
    byCluster.set(entry.cluster, pods.set(entry.upstream_pod, (pods.get(entry.upstream_pod) || 0) + 1));
  }
  if (entries.length > 2 * KEPT) entries = entries.slice(-KEPT);
}

// Counts of what was configured otherwise say nothing of what is configured now.
export function forgetClusters() { byCluster = new Map(); }

export function recent() {
  const from = Date.now() / 1000 - WINDOW_S;
  return entries.filter((entry) => entry.at > from);
}

const isError = (entry) => entry.status === 0 || entry.status >= 500;
const quantile = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];

// Rate, errors and latency of some requests of the window; a sample is counted up to the whole.
export function figures(found) {
  const times = found.map((entry) => entry.duration_ms).sort((a, b) => a - b);
  return {
    rate: (found.length / WINDOW_S) * (100 / share),
    errors: found.length ? found.filter(isError).length / found.length : 0,
    median: quantile(times, 0.5),
    slow: quantile(times, 0.9),
  };
}

export function grouped(found, nameOf) {
  const groups = new Map();
  for (const entry of found) {
    const name = nameOf(entry);
    if (!name) continue;
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(entry);
  }
  return groups;
}

// Requests that went to a destination of a route since its rule was changed last.
export function countOf({ host, subset }) {
  let found = 0;
  for (const [cluster, pods] of byCluster) {
    const [, , of, name] = cluster.split("|");
    if ((of || "") === subset && (name === host || name?.startsWith(`${host}.`))) for (const count of pods.values()) found += count;
  }
  return found;
}

// Where the true share lies with 95 % certainty, given `count` of `all` (Wilson's interval).
function interval(count, all) {
  if (!all) return [0, 1];
  const z = 1.96;
  const part = count / all;
  const middle = (part + (z * z) / (2 * all)) / (1 + (z * z) / all);
  const half = (z / (1 + (z * z) / all)) * Math.sqrt((part * (1 - part)) / all + (z * z) / (4 * all * all));
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

// What a measured share says of the one that is expected.
export function verdict(expected, count, all) {
  if (!all) return { words: "no requests yet", looks: "plain", range: "–", measured: "–" };
  const [low, high] = interval(count, all);
  const good = expected >= low - 1e-9 && expected <= high + 1e-9;
  const percent = (part) => (100 * part).toFixed(1).replace(/\.0$/, "");
  return { words: good ? "as expected" : "outside of chance", looks: good ? "good" : "warn", range: `${percent(low)} to ${percent(high)} %`, measured: `${percent(count / all)} %` };
}
