// Requests to the control plane, and the stream of what happens.

const SILENCE_MS = 12000; // the stream speaks at least every 5 s
const RETRY_MS = 1500;

class ApiError extends Error {}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(`api/${path}`, options);
  } catch {
    throw new ApiError("The control plane does not answer.");
  }
  const found = await response.json().catch(() => ({ error: `answer ${response.status} is not JSON` }));
  if (!response.ok) throw new ApiError(found.error || `answer ${response.status}`);
  return found;
}

const sending = (method) => (path, body) =>
  ask(path, { method, body: JSON.stringify(body), headers: { "X-Minimesh": "page", "Content-Type": "application/json" } });

export const get = (path) => ask(path);
export const post = sending("POST");
export const put = sending("PUT");

// Calls handlers[name](data) for each event; `state` hears "broken" and "connecting". Who handles "hello" knows best
// when all is drawn.
export function follow(handlers, state) {
  let source = null;
  let silence = null;
  let retry = null;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => broken(), SILENCE_MS);
  };
  const broken = () => {
    clearTimeout(silence);
    if (source) source.close();
    source = null;
    state("broken");
    clearTimeout(retry);
    retry = setTimeout(connect, RETRY_MS);
  };
  const connect = () => {
    if (source) return;
    source = new EventSource("api/events");
    heard();
    source.onerror = broken;
    source.addEventListener("alive", heard);
    for (const [name, handler] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        heard();
        handler(JSON.parse(event.data));
      });
    }
  };
  addEventListener("minimesh:reconnect", broken);
  state("connecting");
  connect();
}
