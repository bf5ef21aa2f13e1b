// The lab rail: steps, what is done of them, and which is next. ?lab=NAMESPACE/NAME shows one lab alone.

import { post } from "./api.js";
import { $, h, show } from "./dom.js";
import { atIngress, fill } from "./try_bar.js";

const wanted = new URLSearchParams(location.search).get("lab");
let run = () => {};

function mark(lab, step, done) {
  post("labs", { lab, step, done }).then(draw, (error) => show($("lab-problem"), h("p", { class: "bad" }, error.message)));
}

const times = (step) => step.check?.at_least || 1;

function seen(step) {
  if (!step.check || step.done) return null;
  const pods = step.check.different_pods > 1 ? `${Math.min(step.pods, step.check.different_pods)} of ${step.check.different_pods} pods` : "";
  const requests = times(step) > 1 ? `${Math.min(step.seen, times(step))} of ${times(step)} requests` : "";
  return requests || pods ? h("span", { class: "soft" }, [requests, pods].filter(Boolean).join(", ")) : null;
}

function stepItem(lab, step, isNext) {
  return h("li", { class: step.done ? "done" : isNext ? "next" : null, "aria-current": isNext ? "step" : null },
    h("h4", {}, step.done ? "✓ " : "", step.title), h("p", {}, atIngress(step.text)), step.command ? h("p", {}, h("code", {}, atIngress(step.command))) : null,
    h("p", { class: "buttons" },
      step.request ? h("button", { type: "button", class: isNext ? "primary" : null, onclick: () => { fill(step.request); run(times(step)); } }, times(step) > 1 ? `Send it ${times(step)} times` : "Send it") : null,
      h("button", { type: "button", onclick: () => mark(lab.id, step.id, !step.done) }, step.done ? "Not done" : "Done"), seen(step)));
}

function labPart(lab) {
  const done = lab.steps.filter((step) => step.done).length;
  const next = lab.steps.find((step) => !step.done);
  return h("div", { class: "lab" }, h("h3", {}, h("a", { href: `?lab=${encodeURIComponent(lab.id)}#labs` }, lab.title)),
    h("p", {}, h("progress", { max: lab.steps.length || 1, value: done, "aria-label": `Steps done of ${lab.title}` }), ` ${done} of ${lab.steps.length}`),
    h("ol", { class: "steps" }, lab.steps.map((step) => stepItem(lab, step, step === next))));
}

export function draw({ labs, problems }) {
  const shown = wanted ? labs.filter((lab) => lab.id === wanted) : labs;
  const absent = wanted && !shown.length ? `This mesh has no lab ${wanted}.` : "This mesh has no lab: a ConfigMap with the label minimesh.dev/lab makes one.";
  show($("lab-problem"), problems.map((text) => h("p", { class: "bad" }, text)));
  show($("lab-list"), shown.length ? null : h("p", { class: "soft" }, absent), shown.map(labPart),
    wanted && labs.length ? h("p", {}, h("a", { href: "?#labs" }, "all labs")) : null);
}

export function start(onRun) { run = onRun; }
