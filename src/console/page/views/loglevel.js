// Which events are logged: changed for a while, and back by itself.

import { get, put } from '../lib/api.js';
import { go, h, say, show } from '../lib/dom.js';
import { dateTime, ms, time } from '../lib/format.js';
import { empty, problem, section, table } from '../lib/ui.js';

const SPANS = [['300', 'for 5 minutes'], ['900', 'for 15 minutes'], ['3600', 'for an hour'], ['60', 'for a minute'], ['', 'until the next change']];

export function loglevel(root, { live }) {
  const now = h('div', {});
  const trouble = h('div', {});
  const changes = h('div', {});
  const input = h('input', { name: 'filter', type: 'text', required: true, spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off', 'aria-describedby': 'filter-hint' });
  const span = h('select', { name: 'for' }, SPANS.map(([given, words]) => h('option', { value: given }, words)));
  const form = h('form', { class: 'filters', 'aria-label': 'Change the log level', on: { submit: (event) => { event.preventDefault(); change(); } } },
    h('label', { class: 'wide' }, h('span', {}, 'Filter'), input), h('label', {}, h('span', {}, 'How long'), span), h('button', { type: 'submit', class: 'primary' }, 'Set it'));
  const quick = h('div', { class: 'tabs', role: 'group', 'aria-label': 'Usual filters' });
  show(root, h('h1', {}, 'Log level'), section('Now', now), section('Change it', form, quick,
    h('p', { class: 'muted', id: 'filter-hint' }, 'Directives as in RUST_LOG: a level, or target=level, separated by commas: ', h('code', {}, 'info,my_crate=debug'), '. The change itself is logged.'), trouble),
  section('Earlier changes', changes), h('p', {}, h('a', { href: go('logs') }, 'To the logs')));
  let [timer, first, state] = [0, true, null];

  function draw() {
    clearTimeout(timer);
    const left = state.reverts_at ? Date.parse(state.reverts_at) - Date.now() : null;
    show(now, h('p', { class: 'facts' }, h('code', { class: 'filter' }, state.filter), left === null ? h('span', { class: 'muted' }, 'until it is changed')
      : h('span', { class: 'badge warn' }, left > 0 ? `goes back in ${ms(Math.round(left / 1000) * 1000)}, at ${time(state.reverts_at)}` : 'going back…')));
    if (left !== null) timer = setTimeout(() => (left > 0 ? draw() : read()), 1000);
  }
  function take(given) {
    state = given;
    if (first) {
      first = false;
      input.value = state.filter;
      const words = state.filter.split(',').map((one) => one.trim());
      const targets = words.filter((one) => one.includes('=')).join(',');
      show(quick, ['error', 'warn', 'info', 'debug', 'trace'].map((level) => h('button', { type: 'button', on: { click: () => { input.value = targets ? `${level},${targets}` : level; input.focus(); } } }, level)));
    }
    const earlier = state.changes ?? [];
    show(changes, earlier.length ? table('Earlier changes', [{ head: 'At', cell: (one) => dateTime(one.at) }, { head: 'Filter', cell: (one) => h('code', {}, one.filter) }], [...earlier].reverse()) : empty('None since the start.'));
    draw();
  }
  const read = () => get('loglevel').then(take, (error) => show(trouble, problem(error)));
  async function change() {
    const body = { filter: input.value.trim() };
    if (span.value) body.for_seconds = Number(span.value);
    try {
      take(await put('loglevel', body));
      show(trouble, h('p', { class: 'done', role: 'status' }, `Now logging ${state.filter}.`));
      say(`Now logging ${state.filter}`);
    } catch (error) {
      show(trouble, problem(error));
    }
  }
  read();
  live.watch({});
  return { focus: () => input, stop: () => clearTimeout(timer) };
}
