/* Asks the directory, with the visitor's token. The token is in this tab's session storage and in the Authorization
   header; never in an address, nor in a message. A place that somebody clicked goes in a request's body. */

const KEPT = "token";
const PATIENCE_MS = 15_000;
const TRIES = 3;
const LONGEST_WAIT_S = 5;

export class Refused extends Error {
  /* `status` is 0 where there was no answer at all. The message is a sentence for the visitor. */
  constructor(status, message, faults = []) {
    super(message);
    this.status = status;
    this.faults = faults;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEPT),
  set: (text) => sessionStorage.setItem(KEPT, text.trim().replace(/^Bearer\s+/i, "")),
  forget: () => sessionStorage.removeItem(KEPT),
};

/* What the token says of its holder, to be shown; the service believes its signature, not this. */
export function holder() {
  try {
    const part = token.get().split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (c) => c.charCodeAt(0))));
    return { subject: String(claims.sub ?? ""), until: Number.isFinite(claims.exp) ? new Date(claims.exp * 1000) : null };
  } catch {
    return null;
  }
}

export function get(path, signal) {
  return ask(path, {}, signal);
}

export function post(path, body, signal) {
  return ask(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }, signal);
}

/* Raises Refused, or AbortError where `signal` gave it up. What is busy for a moment is asked again. */
async function ask(path, options, signal) {
  for (let tried = 1; ; tried++) {
    const { status, headers, text } = await send(path, options, signal);
    const document = parsed(text);
    if (status === 200 && document) return document;
    const wait = Number(headers.get("Retry-After") ?? NaN);
    if (![429, 503].includes(status) || tried === TRIES || !(wait <= LONGEST_WAIT_S)) throw refusal(status, document);
    await new Promise((resolve) => setTimeout(resolve, Math.max(wait, 0.5) * 1000));
    signal?.throwIfAborted();
  }
}

async function send(path, options, signal) {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  try {
    const answer = await fetch(path, {
      ...options,
      headers: { ...options.headers, Authorization: `Bearer ${token.get() ?? ""}` },
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
      credentials: "omit",
      redirect: "error",
    });
    return { status: answer.status, headers: answer.headers, text: await answer.text() };
  } catch (error) {
    if (signal?.aborted) throw error;
    const why = patience.aborted ? "did not answer in time" : "cannot be reached";
    throw new Refused(0, `The directory ${why}. Check the connection, then try again.`);
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // none of ours: something on the way answered
  }
}

function refusal(status, document) {
  const detail = document?.detail || `The directory answered with status ${status}.`;
  const busy = { 429: "Too many questions at once. ", 503: "The service is busy or not ready. " }[status] ?? "";
  return new Refused(status, busy + detail, document?.errors ?? []);
}
