// The request to try: what is typed, its curl command, sending it and explaining it.

import { get, post } from "./api.js";
import { $, h, offer, round, short } from "./dom.js";

const form = $("try-form");
let changed = () => {};
let ingress = { host: "localhost", port: 8080 };
let senders = [];

export function currentRequest() {
  const headers = form.elements.headers.value
    .split("\n")
    .filter((line) => line.includes(":"))
    .map((line) => [line.slice(0, line.indexOf(":")).trim(), line.slice(line.indexOf(":") + 1).trim()]);
  return { method: form.elements.method.value, url: form.elements.url.value.trim(), headers, from: form.elements.from.value };
}

// A lab names a workload, since nobody knows its pods' names beforehand: NAME, or NAMESPACE/NAME.
function senderOf(from) {
  const [name, namespace = "default"] = from.split("/").reverse();
  const pod = senders.find((each) => each.namespace === namespace && (each.name === name || each.workload === name));
  return pod ? `${pod.namespace}/${pod.name}` : "";
}

export function fill(request) {
  form.elements.method.value = request.method || "GET";
  form.elements.url.value = request.url || `http://${ingress.host}:${ingress.port}${request.path || "/"}`;
  form.elements.headers.value = (request.headers || []).map(([name, value]) => `${name}: ${value}`).join("\n");
  form.elements.from.value = request.from ? senderOf(request.from) : "";
  showCurl();
}

// Labs are written for the usual port; this mesh may have another.
export const atIngress = (text) => text.replaceAll("localhost:8080", `localhost:${ingress.port}`);

const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function curlOf(request) {
  const words = ["curl", "-i"];
  if (request.method !== "GET") words.push("-X", request.method);
  for (const [name, value] of request.headers) words.push("-H", quoted(`${name}: ${value}`));
  words.push(quoted(request.url));
  const line = words.join(" ");
  return request.from ? `minimesh exec ${short(request.from)} -- ${line}` : line;
}

function showCurl() {
  $("curl").textContent = $("load-of").textContent = curlOf(currentRequest());
  changed();
}

function showAnswer(answer) {
  const children = answer.error
    ? [h("p", {}, h("span", { class: "badge bad" }, "no answer"), ` ${answer.error}`)]
    : [
        h("p", {}, h("span", { class: `badge ${answer.status < 400 ? "good" : "bad"}` }, `${answer.status} ${answer.reason}`), ` ${round(answer.time_ms)} ms`),
        h("details", {}, h("summary", {}, `${answer.headers.length} headers`), h("pre", { class: "body" }, answer.headers.map(([name, value]) => `${name}: ${value}\n`).join(""))),
        answer.body ? h("pre", { class: "body", tabindex: "0", "aria-label": "Body of the answer" }, answer.body) : h("p", { class: "soft" }, "The body is empty."),
      ];
  $("answer").replaceChildren(...children);
}

export async function send() { showAnswer(await post("send", currentRequest())); }

export const explain = () => post("explain", currentRequest());

// Who may send: [value, words] each.
export const sources = () => [...form.elements.from.options].map((option) => [option.value, option.text]);

export function setSource(source) {
  form.elements.from.value = source;
  showCurl();
}

export async function refresh() {
  const mesh = await get("mesh");
  ingress = mesh.ingress;
  senders = mesh.pods.filter((pod) => pod.proxy && !pod.gateway);
  offer(form.elements.from, [["", "outside, by the gateway"], ...senders.map((pod) => [`${pod.namespace}/${pod.name}`, pod.name])]);
  if (!form.elements.url.value) fill(mesh.lab_requests[0] || {});
  $("lab-requests").replaceChildren(...mesh.lab_requests.map((request) => h("button", { type: "button", onclick: () => { fill(request); form.requestSubmit(); } }, request.title)));
  showCurl();
  return mesh;
}

export function start({ onSend, onExplain, onChange }) {
  changed = onChange;
  form.addEventListener("input", showCurl);
  form.addEventListener("submit", (event) => { event.preventDefault(); onSend(); });
  $("explain").addEventListener("click", onExplain);
  $("copy-curl").addEventListener("click", () => navigator.clipboard?.writeText($("curl").textContent));
}
