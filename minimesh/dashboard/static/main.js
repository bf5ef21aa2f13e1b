// Joins the parts of the page: the stream of events on one side, what is drawn on the other.

import { follow, get } from "./api.js";
import { $, h, round, show } from "./dom.js";
import * as flow from "./flow.js";
import * as graph from "./mesh_graph.js";
import * as ladder from "./ladder.js";
import * as log from "./log.js";
import * as panels from "./panels.js";
import * as tryBar from "./try_bar.js";
import * as yaml from "./yaml_pane.js";

const FOLLOW_MS = 1000;
const ACTIVE_MS = 1000;
let newest = null;
let following = null;
let broken = false;

const report = (error) => show($("answer"), h("p", { class: "bad" }, error.message));

function drawExplanation(explanation, entries, options = {}) {
  const goTo = (index) => { ladder.goTo(index); yaml.showPlace(explanation.steps[index]); };
  flow.draw(explanation, entries, { ...options, onStep: goTo });
  ladder.draw(explanation, (item) => yaml.showPlace(item));
  yaml.setSteps(explanation.steps);
  const first = explanation.findings[0] || explanation.steps.find((step) => step.state === "failed" && step.file);
  if (first) yaml.showPlace(first);
}

async function showRequest(id, live) {
  const found = await get(`request/${encodeURIComponent(id)}`);
  if (found.explanation) drawExplanation(found.explanation, found.entries, { live, title: `${live ? "live" : "replayed"}: ${id}` });
}

// The newest request is drawn, at most one a second, once its hops had the time to tell of it.
function followNewest(entries) {
  const last = entries.filter((entry) => entry.request_id && entry.side !== "inbound").at(-1);
  if (!last || !$("follow").checked) return;
  newest = last.request_id;
  following ??= setTimeout(() => {
    following = null;
    if ($("follow").checked && newest) showRequest(newest, true).catch(() => {});
  }, FOLLOW_MS);
}

function setState(state) {
  broken = state !== "live";
  const badge = $("stream");
  badge.textContent = { live: "live", broken: "connection lost, trying again", connecting: "connecting" }[state];
  badge.className = `badge ${state === "live" ? "good" : state === "broken" ? "bad" : ""}`;
  if (state === "live") refresh();
}

function setShare({ share_percent: percent, limit_per_s: limit }) {
  graph.setShare(percent);
  $("share").hidden = percent === 0 || percent >= 100;
  $("share").textContent = `a busy mesh: ${round(percent, 2)} % of the requests are shown (${limit} a second)`;
}

async function refresh() {
  try {
    const [mesh] = await Promise.all([tryBar.refresh(), yaml.refresh()]);
    graph.setMesh(mesh);
  } catch (error) { report(error); }
}

async function send() {
  await tryBar.send(report);
}

async function explainOnly() {
  const explanation = await tryBar.explainOnly(report);
  if (!explanation) return;
  $("follow").checked = false;
  drawExplanation(explanation, [], { title: "explained, not sent" });
}

async function watchActive() {
  if (!broken && document.visibilityState === "visible") {
    try { graph.setActive((await get("active")).pods); } catch { graph.setActive({}); }
  }
  setTimeout(watchActive, ACTIVE_MS);
}

function startTheme() {
  const set = (theme) => {
    document.documentElement.dataset.theme = theme;
    $("theme").textContent = theme === "dark" ? "Light" : "Dark";
  };
  set(localStorage.getItem("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  $("theme").addEventListener("click", () => {
    set(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    localStorage.setItem("theme", document.documentElement.dataset.theme);
  });
}

async function start() {
  startTheme();
  tryBar.start({ onSend: send, onExplain: explainOnly });
  yaml.start();
  graph.start();
  const run = () => $("try-form").requestSubmit();
  log.start(await get("glossary"), (id) => { $("follow").checked = false; showRequest(id, false).catch(report); });
  await panels.start(report, run);
  const before = await get("log?limit=200");
  log.add(before.entries);
  graph.add(before.entries);
  follow({
    hello: ({ load, ...share }) => { panels.drawLoad(load); setShare(share); },
    requests: ({ entries }) => { log.add(entries); graph.add(entries); followNewest(entries); },
    share: setShare,
    proxies: panels.drawProxies,
    mesh: refresh,
    load: panels.drawLoad,
    labs: (labs) => panels.drawLabs(labs, run),
  }, setState);
  panels.drawProxies(await get("proxies"));
  watchActive();
}

start().catch(report);
