// What the proxies told of requests, counted: of the last seconds by edge and by endpoint, and since the last change by cluster.

const WINDOW_S = 10;
const KEPT = 20000;
const EXACT = 1000; // requests of which shares are summed up

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

// How many of `all` requests come to an expected share in 95 of 100 cases: what is below, and what is above, comes
// in at most 2.5 of 100. Summed up where they are few, by the normal distribution where they are many.
export function allowed(expected, all) {
  if (expected <= 0) return [0, 0];
  if (expected >= 1) return [all, all];
  if (all > EXACT) {
    const half = 0.5 + 1.96 * Math.sqrt(all * expected * (1 - expected));
    return [Math.max(0, Math.floor(all * expected - half)), Math.min(all, Math.ceil(all * expected + half))];
  }
  return [fewest(expected, all), all - fewest(1 - expected, all)];
}

// The smallest count that is not rarer, it and those below together, than 2.5 of 100.
function fewest(part, all) {
  let log = all * Math.log(1 - part); // of the probability of this very count: it may be too small for a number
  let below = Math.exp(log);
  let count = 0;
  while (below <= 0.025 && count < all) {
    log += Math.log((all - count) / (count + 1)) + Math.log(part / (1 - part));
    below += Math.exp(log);
    count += 1;
  }
  return count;
}

// What a measured share says of the one that is expected.
export function verdict(expected, count, all) {
  if (!all) return { words: "no requests yet", looks: "plain", range: "–", measured: "–" };
  const [fewestOfAll, mostOfAll] = allowed(expected, all);
  const [low, high] = [fewestOfAll / all, mostOfAll / all];
  const good = count >= fewestOfAll && count <= mostOfAll;
  const percent = (part) => (100 * part).toFixed(1).replace(/\.0$/, "");
  return { words: good ? "as expected" : "outside of chance", looks: good ? "good" : "warn", range: low === high ? `${percent(low)} %` : `${percent(low)} to ${percent(high)} %`, measured: `${percent(count / all)} %` };
}
