// Questions to the service that serves this page, and to nobody else.

/** What the service said instead of an answer. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  /** Whether the in-process store is off, so that only what needs none can be shown. */
  get storeIsOff() {
    return this.status === 404 && this.message.includes('store is off');
  }
}

// only as long as the page is open, and never written down
let token = null;

export function giveToken(given) {
  token = given;
}

export function hasToken() {
  return token !== null;
}

function headers(more) {
  return { accept: 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}), ...more };
}

async function answer(response) {
  if (response.ok) return response.json();
  const text = (await response.text()).trim();
  let message = text;
  try { message = JSON.parse(text).error ?? text; } catch { /* not JSON: the text itself says it */ }
  throw new Refusal(response.status, message || response.statusText);
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { cache: 'no-store', redirect: 'error', ...options });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refusal(0, 'the service does not answer; it may have stopped');
  }
  return response;
}

/** JSON of a path, which is relative to this page's. Some say what is wrong with a code and JSON: `tolerate` takes it. */
export async function get(path, { query, signal, tolerate } = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== '') search.set(name, value);
  }
  const text = search.toString();
  const response = await ask(text ? `${path}?${text}` : path, { headers: headers(), signal });
  return tolerate?.includes(response.status) ? response.json() : answer(response);
}

export const store = (path, options) => get(`console/api/${path}`, options);

/** The content type makes a browser ask first when another page tries it. */
export async function put(path, body) {
  const options = { method: 'PUT', headers: headers({ 'content-type': 'application/json' }), body: JSON.stringify(body) };
  return answer(await ask(path, options));
}

export async function remove(path) {
  return answer(await ask(path, { method: 'DELETE', headers: headers() }));
}
