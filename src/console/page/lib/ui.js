// What several views are made of.

import { go, h, say } from './dom.js';
import { value } from './format.js';

export function section(title, ...children) {
  const id = `s-${title.toLowerCase().replace(/[^a-z]+/g, '-')}`;
  return h('section', { class: 'card', 'aria-labelledby': id }, h('h2', { id }, title), children);
}

export function empty(...words) {
  return h('p', { class: 'empty' }, words);
}

/** What went wrong, in words. */
export function problem(error) {
  say(error.message);
  return h('p', { class: 'problem', role: 'alert' }, error.message);
}

/** Instead of a view that needs the store, when it is off. */
export function storeOff(words) {
  return h('section', { class: 'card off' },
    h('h2', {}, 'Nothing is kept in this process'),
    h('p', {}, 'Traces, logs and metrics are shown from a bounded store inside the process, which is off. It costs memory, so it is on by default in the preset “development” only.'),
    h('p', {}, h('code', {}, words)),
    h('p', {}, h('a', { href: go('requests') }, 'Active requests'), ', ', h('a', { href: go('health') }, 'health'), ', ',
      h('a', { href: go('environment') }, 'environment'), ' and ', h('a', { href: go('loglevel') }, 'log level'), ' need no store.'));
}

export function badge(text, kind) {
  return h('span', { class: `badge ${kind ?? ''}` }, text);
}

const OUTCOMES = { completed: 'ok', failed: 'bad', panicked: 'bad', aborted: 'warn', cancelled: 'warn' };

export function outcome(word) {
  return word ? badge(word, OUTCOMES[word]) : null;
}

export function statusBadge(code, isError) {
  if (code === null || code === undefined || code === '') return isError ? badge('error', 'bad') : null;
  return badge(String(code), code >= 500 || isError ? 'bad' : code >= 400 ? 'warn' : 'ok');
}

export function traceLink(id, spanId, words) {
  return id ? h('a', { class: 'trace', href: go(`traces/${encodeURIComponent(id)}`, { span: spanId }), title: id },
    words ?? h('code', {}, id.slice(0, 8))) : null;
}

/** `columns`: `{ head, cell(item), class }`. */
export function table(caption, columns, items) {
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption }, h('table', {},
    h('caption', { class: 'sr' }, caption),
    h('thead', {}, h('tr', {}, columns.map((column) => h('th', { scope: 'col', class: column.class }, column.head)))),
    h('tbody', {}, items.map((item) => h('tr', {},
      columns.map((column) => h('td', { class: column.class, 'data-head': column.head }, column.cell(item))))))));
}

/** A name with dots or underscores breaks after them, and nowhere else. */
function breakable(name) {
  return name.split(/(?<=[._])/).flatMap((part, index) => (index ? [h('wbr'), part] : [part]));
}

/** Names and values, each value to be copied whole. */
export function pairs(entries) {
  return h('dl', { class: 'pairs' }, [...entries].map(([name, given]) => [
    h('dt', {}, breakable(name)), h('dd', {}, given instanceof Node ? given : value(given)),
  ]));
}

export function copy(text, label) {
  const button = h('button', {
    type: 'button', class: 'quiet', 'aria-label': `Copy ${label}`, title: `Copy ${label}`,
    on: {
      click: async () => {
        try {
          await navigator.clipboard.writeText(text);
          button.textContent = 'Copied';
          say(`${label} copied`);
        } catch {
          button.textContent = 'Select it by hand';
        }
        setTimeout(() => { button.textContent = 'Copy'; }, 1500);
      },
    },
  }, 'Copy');
  return button;
}

/** Fields of a filter; `change(values)` is called with what is in them when they change, and on submit. */
export function filters(label, fields, values, change) {
  const read = () => Object.fromEntries(fields.map(({ name }) => [name, form.elements.namedItem(name).value.trim()]));
  const form = h('form', {
    class: 'filters', 'aria-label': label,
    on: {
      submit: (event) => { event.preventDefault(); change(read(), true); },
      input: () => change(read(), false),
    },
  }, fields.map(({ name, title, options, type, hint, wide, min }) => h('label', { class: wide ? 'wide' : null }, h('span', {}, title), options
    ? h('select', { name }, options.map(([given, words]) => h('option', { value: given, selected: (values[name] ?? '') === given }, words)))
    : h('input', { name, type: type ?? 'text', value: values[name] ?? '', placeholder: hint, spellcheck: 'false', autocomplete: 'off', min }))));
  return form;
}

/** A dialog that asks for one thing; `null` when it is left. */
export function ask(title, words, { label, type, action }) {
  return new Promise((resolve) => {
    const input = label ? h('input', { type: type ?? 'text', autocomplete: 'off', required: true, 'aria-label': label }) : null;
    const dialog = h('dialog', { 'aria-label': title, on: { close: () => { dialog.remove(); resolve(dialog.returnValue === 'yes' ? input?.value ?? '' : null); } } },
      h('form', { method: 'dialog' },
        h('h2', {}, title), h('p', {}, words), input ? h('label', {}, h('span', {}, label), input) : null,
        h('div', { class: 'actions' },
          h('button', { type: 'button', class: 'quiet', on: { click: () => dialog.close('no') } }, 'Leave it'), h('button', { value: 'yes', class: 'primary' }, action))));
    document.body.append(dialog);
    dialog.showModal();
    input?.focus();
  });
}
