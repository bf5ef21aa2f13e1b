// Elements in one call each: h("p", {class: "x", onclick}, "text", child).

export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  set(element, attributes);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  set(element, attributes);
  element.append(...children);
  return element;
}

function set(element, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
}

export const $ = (id) => document.getElementById(id);

export function show(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
}

// Options of a select, keeping what is chosen where it still exists.
export function offer(select, options) {
  const chosen = select.value;
  show(select, options.map(([value, text]) => h("option", { value }, text)));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}

export function table(element, head, rows) {
  show(
    element,
    h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => (cell instanceof Element && cell.tagName === "TD" ? cell : h("td", {}, cell)))))),
  );
}

const CHANGES = { "+": "add", "-": "remove" };

// A unified diff, its lines coloured.
export const diffOf = (text, label) => h("pre", { class: "diff", tabindex: "0", "aria-label": label },
  text.split("\n").map((line) => h("span", { class: CHANGES[line[0]] }, `${line}\n`)));

// Text with `code` in it.
export const withCode = (text) => text.split("`").map((part, number) => (number % 2 ? h("code", {}, part) : part));

export const short = (name) => name.slice(name.lastIndexOf("/") + 1);
// A duration in words. The asyncio proxies' clock counts whole milliseconds, a real Envoy's microseconds.
export const milliseconds = (value) => (value === 0 ? "<1 ms" : `${round(value, value < 10 ? 2 : 0)} ms`);
export const round = (value, digits = 1) => (typeof value === "number" ? String(Number(value.toFixed(digits))) : "");

// The last call within `wait` milliseconds is made, and none is made more often.
export function throttled(wait, call) {
  let timer = null;
  let again = false;
  return () => {
    if (timer) { again = true; return; }
    call();
    timer = setTimeout(() => {
      timer = null;
      if (again) { again = false; call(); }
    }, wait);
  };
}
