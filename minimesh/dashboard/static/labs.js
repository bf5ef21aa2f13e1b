// The lab rail: steps, what is done of them, and which is next. ?lab=NAMESPACE/NAME shows one lab alone.

import { post } from "./api.js";
import { $, h, show } from "./dom.js";
import { fill } from "./try_bar.js";

const wanted = new URLSearchParams(location.search).get("lab");
let run = () => {};

function mark(lab, step, done) {
  post("labs", { lab, step, done }).then(draw, (error) => show($("lab-problem"), h("p", { class: "bad" }, error.message)));
}

const seen = (step) => step.check && step.check.at_least > 1 && !step.done
  ? h("span", { class: "soft" }, `${Math.min(step.seen, step.check.at_least)} of ${step.check.at_least} requests`) : null;

function stepItem(lab, step, isNext) {
  return h("li", { class: step.done ? "done" : isNext ? "next" : null, "aria-current": isNext ? "step" : null },
    h("h4", {}, step.done ? "✓ " : "", step.title), h("p", {}, step.text), step.command ? h("p", {}, h("code", {}, step.command)) : null,
    h("p", { class: "buttons" },
      step.request ? h("button", { type: "button", class: isNext ? "primary" : null, onclick: () => { fill(step.request); run(); } }, "Send it") : null,
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
