// Joins the parts of the page: the stream of events on one side, what is drawn on the other.

import { follow, get } from "./api.js";
import { $, h, round, show } from "./dom.js";
import * as flow from "./flow.js";
import * as labs from "./labs.js";
import * as ladder from "./ladder.js";
import * as load from "./load.js";
import * as log from "./log.js";
import * as meshTables from "./mesh_tables.js";
import * as pushes from "./pushes.js";
import * as theme from "./theme.js";
import * as traffic from "./traffic.js";
import * as tryBar from "./try_bar.js";
import * as yaml from "./yaml_pane.js";

const HOPS_MS = 700; // in which all hops of a request have told of it
const SHOWN_MS = 2500; // for which a live request stays at least
const STATES = { live: ["live", "good"], broken: ["connection lost, trying again", "bad"], connecting: ["connecting", ""] };
let newestId = null;
let asked = 0;
let following = null;
let followedAt = 0;
let live = false;
let breaks = 0;

const report = (error) => show($("answer"), h("p", { class: "bad" }, error.message));

// Whoever reads one request is not shown the next.
function hold() { $("follow").checked = false; }

function drawExplanation(explanation, entries, title) {
  const showPlace = (item) => { hold(); yaml.showPlace(item); };
  const goTo = (index) => { ladder.goTo(index); showPlace(explanation.steps[index]); };
  flow.draw(explanation, entries, { title, onStep: goTo });
  ladder.draw(explanation, showPlace);
  yaml.setSteps(explanation.steps);
  const { findings, steps } = explanation;
  const decisive = [findings.find((each) => each.severity === "cause" && each.resource), steps.find((step) => step.state === "failed" && step.resource),
    steps.find((step) => step.kind === "route" && step.resource), steps.findLast((step) => step.file)].find(Boolean);
  if (decisive && !yaml.isBusy()) yaml.showPlace(decisive);
}

// What was asked for last is drawn, whatever is answered last.
async function newest(answer) {
  const mine = ++asked;
  const found = await answer;
  return mine === asked ? found : null;
}

async function showRequest(id, words) {
  const found = await newest(get(`request/${encodeURIComponent(id)}`));
  if (!found) return;
  const { explanation, entries } = found;
  if (explanation) drawExplanation(explanation, entries, `${words}: ${id}`);
  else $("flow-of").textContent = `${words}: ${id}; how it was decided is not known any more`;
}

// The newest request is drawn once its hops had the time to tell of it, and the one before it the time to be seen.
function followNewest(entries) {
  const last = entries.filter((entry) => entry.request_id && entry.side !== "inbound").at(-1);
  if (!last || !$("follow").checked) return;
  newestId = last.request_id;
  following ??= setTimeout(() => {
    following = null;
    followedAt = Date.now();
    if ($("follow").checked) showRequest(newestId, "live").catch((error) => { $("flow-of").textContent = `live: ${newestId}; ${error.message}`; });
  }, Math.max(HOPS_MS, followedAt + SHOWN_MS - Date.now()));
}

function setState(state) {
  live = state === "live";
  breaks += state === "broken" ? 1 : 0;
  const [words, looks] = STATES[state];
  $("stream").textContent = words;
  $("stream").className = `badge ${looks}`;
  document.body.classList.toggle("broken", state === "broken");
}

function setShare({ share_percent: percent, limit_per_s: limit }) {
  traffic.setShare(percent);
  $("share").hidden = percent === 0 || percent >= 100;
  $("share").textContent = `a busy mesh: ${round(percent, 2)} % of the requests are shown (${limit} a second)`;
}

async function refresh() {
  const [mesh] = await Promise.all([tryBar.refresh(), yaml.refresh()]);
  meshTables.setMesh(mesh);
  showSources();
}

const showSources = () => load.setSources(tryBar.sources(), tryBar.currentRequest().from);

// The stream is open: all that may have happened while nobody listened is drawn before the page calls itself live.
async function begin({ load: progress, ...share }) {
  const before = breaks;
  load.draw(progress);
  setShare(share);
  const [proxies, found] = await Promise.all([get("proxies"), get("labs"), refresh()]);
  pushes.draw(proxies);
  labs.draw(found);
  if (breaks === before) setState("live");
}

async function explainOnly() {
  hold();
  const explanation = await newest(tryBar.explain());
  if (explanation) drawExplanation(explanation, [], "explained, not sent");
}

// One after the other, as a loop in a shell does.
async function sendAgain(times) {
  for (let count = 0; count < times; count++) await tryBar.send();
}

function take({ entries, missed }) {
  log.add(entries);
  traffic.add(entries);
  meshTables.draw();
  load.add(entries);
  followNewest(entries);
  if (missed) log.tellMissed(missed);
}

const handlers = {
  hello: (told) => begin(told).catch(() => dispatchEvent(new Event("minimesh:reconnect"))),
  requests: take,
  share: setShare,
  proxies: pushes.draw,
  mesh: () => refresh().catch(report),
  load: load.draw,
  labs: labs.draw,
};

async function start() {
  theme.start();
  tryBar.start({ onSend: () => tryBar.send().catch(report), onExplain: () => explainOnly().catch(report), onChange: showSources });
  yaml.start();
  load.start();
  labs.start((times) => sendAgain(times).catch(report));
  $("replay").addEventListener("click", flow.play);
  log.start(await get("glossary"), (id) => { hold(); showRequest(id, "replayed").catch(report); });
  const before = await get("log?limit=200");
  log.add(before.entries);
  traffic.add(before.entries);
  meshTables.start(() => live);
  follow(handlers, setState);
}

start().catch(report);
