// Elements made one by one: whatever a service says stays text, because nothing here reads markup.

/** An element. `props`: `class`, `text`, `on: {event: listener}`, `style: {property: value}`, `data`, else attributes. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same in SVG. */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === 'style') {
      // by the object model: a style attribute is refused by the page's policy
      for (const [property, given] of Object.entries(value)) element.style.setProperty(property, given);
    } else if (name === 'data') {
      Object.assign(element.dataset, value);
    } else if (name === 'text') {
      element.textContent = value;
    } else {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Replaces what is in `element`. */
export function show(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Says something to whoever listens instead of looking. */
export function say(text) {
  const region = document.getElementById('say');
  if (region && region.textContent !== text) region.textContent = text;
}

/** A link to a view; only ever to this page. */
export function go(path, query) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== '') search.set(name, value);
  }
  const text = search.toString();
  return `#/${path}${text ? `?${text}` : ''}`;
}

/** One function call per frame, however often it is asked for. */
export function perFrame(run) {
  let asked = 0;
  const call = () => {
    if (!asked) asked = requestAnimationFrame(() => { asked = 0; run(); });
  };
  call.cancel = () => { cancelAnimationFrame(asked); asked = 0; };
  return call;
}

/** One call once nothing was asked for `wait` milliseconds. */
export function settled(wait, run) {
  let timer = 0;
  const call = (...given) => { clearTimeout(timer); timer = setTimeout(() => run(...given), wait); };
  call.cancel = () => clearTimeout(timer);
  return call;
}

/** At most one call per `wait` milliseconds; the last one asked for is always made. */
export function throttled(wait, run) {
  let [timer, last] = [0, 0];
  const call = () => {
    if (timer) return;
    timer = setTimeout(() => { timer = 0; last = Date.now(); run(); }, Math.max(0, last + wait - Date.now()));
  };
  call.cancel = () => { clearTimeout(timer); timer = 0; };
  return call;
}
