// What runs here, with which settings: whatever /environment tells, found by a word.

import { get } from '../lib/api.js';
import { h, show } from '../lib/dom.js';
import { count, value } from '../lib/format.js';
import { empty, problem } from '../lib/ui.js';

const LONG = 12;

export function environment(root) {
  const body = h('div', {}, h('p', { class: 'empty' }, 'Reading…'));
  let found = null;
  const search = h('input', { type: 'search', placeholder: 'Find a name or value', 'aria-label': 'Find a name or value', spellcheck: 'false', autocomplete: 'off', on: { input: () => draw() } });
  show(root, h('h1', {}, 'Environment'), h('div', { class: 'filters' }, search), body);
  function draw() {
    const sought = search.value.trim().toLowerCase();
    const sections = Object.entries(found).filter(([, given]) => given !== null).map(([name, given]) => [name, flatten(given)])
      .map(([name, entries]) => [name, entries.filter(([key, text]) => !sought || `${name}.${key} ${text}`.toLowerCase().includes(sought))])
      .filter(([, entries]) => entries.length);
    show(body, sections.length ? sections.map(([name, entries]) => part(name, entries, Boolean(sought))) : empty('Nothing of this name.'));
  }
  get('environment').then((given) => { found = given; draw(); }, (error) => show(body, problem(error)));
  return { focus: () => search };
}

/** Every leaf as a dotted name and a text. Objects with a name and little else are told by it. */
function flatten(given, prefix = '') {
  if (Array.isArray(given)) {
    if (given.every((one) => one === null || typeof one !== 'object')) return [[prefix || 'value', given.map(value).join(' ')]];
    return given.flatMap((one, index) => {
      const { name, ...rest } = one ?? {};
      const texts = Object.values(rest);
      return name && texts.every((text) => text === null || typeof text !== 'object') ? [[`${prefix}${prefix ? '.' : ''}${name}`, texts.map(value).join(' ')]] : flatten(one, `${prefix}[${index}]`);
    });
  }
  if (given === null || typeof given !== 'object') return [[prefix || 'value', value(given)]];
  return Object.entries(given).flatMap(([key, inner]) => (inner !== null && typeof inner === 'object'
    ? flatten(inner, prefix ? `${prefix}.${key}` : key) : [[prefix ? `${prefix}.${key}` : key, value(inner)]]));
}

function part(name, entries, open) {
  const rows = (list) => h('dl', { class: 'pairs' }, list.map(([key, text]) => [h('dt', {}, key), h('dd', {}, text || '–')]));
  const groups = new Map();
  for (const entry of entries) {
    const group = entry[0].includes('.') ? entry[0].slice(0, entry[0].indexOf('.')) : '';
    groups.set(group, [...(groups.get(group) ?? []), entry]);
  }
  const short = [...groups].filter(([group, list]) => !group || list.length <= LONG).flatMap(([, list]) => list);
  return h('section', { class: 'card' }, h('h2', {}, name), short.length ? rows(short) : null,
    [...groups].filter(([group, list]) => group && list.length > LONG)
      .map(([group, list]) => h('details', { open }, h('summary', {}, `${group} (${count(list.length)})`), rows(list.map(([key, text]) => [key.slice(group.length + 1), text])))));
}
