// Every setting that is in use, and where it comes from.

import { store } from '../lib/api.js';
import { h, show } from '../lib/dom.js';
import { count, value } from '../lib/format.js';
import { badge, empty, problem, table } from '../lib/ui.js';

export function configuration(root, { params, replace }) {
  const body = h('div', {}, h('p', { class: 'empty' }, 'Reading…'));
  const search = h('input', { type: 'search', value: params.get('text') ?? '', placeholder: 'Find a setting', 'aria-label': 'Find a setting', spellcheck: 'false', autocomplete: 'off', on: { input: () => draw() } });
  const only = h('input', { type: 'checkbox', checked: params.get('set') === '1', on: { change: () => draw() } });
  show(root, h('h1', {}, 'Configuration'), h('div', { class: 'filters' }, search, h('label', { class: 'check' }, only, 'Only what is not the default')), body);
  let settings = [];
  function draw() {
    replace('configuration', { text: search.value.trim(), set: only.checked ? '1' : '' });
    const sought = search.value.trim().toLowerCase();
    const shown = settings.filter((one) => (!only.checked || !isDefault(one)) && `${one.name} ${value(one.value)} ${one.source}`.toLowerCase().includes(sought));
    show(body, shown.length ? [h('p', { class: 'muted' }, `${count(shown.length)} of ${count(settings.length)} settings; secrets are hidden.`), table('Settings', [
      { head: 'Setting', cell: (one) => h('code', {}, one.name) },
      { head: 'Value', class: 'long', cell: (one) => value(one.value) },
      { head: 'From', cell: (one) => (isDefault(one) ? h('span', { class: 'muted' }, one.source) : badge(one.source, 'info')) },
    ], shown)] : empty('No setting matches.'));
  }
  store('configuration').then((given) => { settings = given.settings; draw(); }, (error) => show(body, problem(error)));
  return { focus: () => search };
}

function isDefault(setting) {
  return String(setting.source).startsWith('default');
}
