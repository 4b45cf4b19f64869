// Traces: found by route, status, duration, attribute or text.

import { store } from '../lib/api.js';
import { go, h, say, settled, show, throttled } from '../lib/dom.js';
import { ago, count, many, ms, time } from '../lib/format.js';
import { badge, filters, outcome, problem, statusBadge, storeOff } from '../lib/ui.js';
import { Windowed } from '../lib/windowed.js';

const PAGE = 100;
const WIDEST = 500;
const MOST = 5000;

const FIELDS = [
  { name: 'text', title: 'Text or trace id', hint: 'in names, attributes, logs', wide: true },
  { name: 'route', title: 'Route', hint: '/orders/{id}' },
  { name: 'method', title: 'Method', hint: 'POST' },
  { name: 'status', title: 'Status', hint: 'error, ok, 503' },
  { name: 'outcome', title: 'Outcome', options: [['', 'any'], ...['completed', 'failed', 'cancelled', 'panicked', 'aborted'].map((word) => [word, word])] },
  { name: 'min_ms', title: 'At least ms', type: 'number', min: '0', hint: '500' },
  { name: 'attribute', title: 'Attribute', hint: 'order=7' },
  { name: 'sort', title: 'Order', options: [['', 'newest first'], ['slowest', 'slowest first']] },
];
const NAMES = [...FIELDS.map((field) => field.name), 'max_ms'];

export function traces(root, { params, live, replace }) {
  show(root, h('h1', {}, 'Traces'));
  if (live.storeOff) return void root.append(storeOff(live.storeOff));
  let wanted = Object.fromEntries(NAMES.map((name) => [name, params.get(name) ?? '']));
  let [items, next, reading, pending, longest, round] = [[], null, false, 0, 1, 0];
  const tally = h('p', { class: 'muted' }, 'Reading…');
  const trouble = h('div', {});
  const fresh = h('button', { type: 'button', class: 'fresh', hidden: true, on: { click: () => { list.element.scrollTop = 0; read(); } } });
  const list = new Windowed({
    rowHeight: 36, label: 'Traces', class: 'traces', row: (item) => row(item, longest), key: (item) => item.trace_id,
    open: (item) => { location.hash = go(`traces/${item.trace_id}`); },
    end: () => { if (next && !reading && wanted.sort !== 'slowest' && items.length < MOST) read(next); },
  });

  const changed = settled(250, (values) => {
    if (/^[0-9a-f]{32}$/i.test(values.text)) {
      location.hash = go(`traces/${values.text.toLowerCase()}`);
      return;
    }
    wanted = { ...wanted, ...values };
    replace('traces', wanted);
    list.element.scrollTop = 0;
    read();
  });

  async function read(before) {
    const own = (round += 1);
    reading = true;
    const { sort, ...query } = wanted;
    try {
      const page = await store('traces', { query: { ...query, limit: sort === 'slowest' ? WIDEST : PAGE, before } });
      if (own !== round) return;
      items = before ? [...items, ...page.traces] : page.traces;
      if (sort === 'slowest') items.sort((one, other) => other.duration_ms - one.duration_ms);
      next = page.next ?? null;
      longest = items.reduce((most, item) => Math.max(most, item.duration_ms), 1);
      show(trouble);
      list.set(items, { keepPlace: true });
      const words = !items.length ? 'No trace matches.'
        : sort === 'slowest' && next ? `the slowest of the last ${count(items.length)}` : next ? `${count(items.length)} traces and more` : many(items.length, 'trace');
      show(tally, words);
      if (!before && own === 1) say(words);
      pending = 0;
      fresh.hidden = true;
    } catch (error) {
      if (own === round) show(trouble, problem(error));
    } finally {
      if (own === round) reading = false;
    }
  }

  const come = throttled(1000, () => {
    if (list.isAtTop && items.length <= WIDEST) read();
    else {
      fresh.hidden = false;
      fresh.textContent = `${count(pending)} new or changed: show`;
    }
  });
  live.watch({ opened: come, traces: (data) => { pending += (data.traces ?? []).length; come(); } });
  root.append(filters('Filter of traces', FIELDS, wanted, changed), h('div', { class: 'bar' }, tally, fresh), trouble, list.element);
  read();
  return { list, focus: () => root.querySelector('input[name=text]'), stop: () => { changed.cancel(); come.cancel(); list.stop(); } };
}

function row(item, longest) {
  const name = item.root ? item.name : `${item.name ?? 'trace'} (root is elsewhere)`;
  return {
    class: item.errors ? 'bad' : '',
    label: `${name}, ${ms(item.duration_ms)}, ${item.errors ? `${item.errors} errors` : 'no error'}, ${ago(item.started_at)}`,
    cells: [
      { class: 'when', content: time(item.started_at) },
      { class: 'what', content: [h('a', { href: go(`traces/${item.trace_id}`), title: item.trace_id, tabindex: '-1' }, name), ' ',
        statusBadge(item.status_code, false), ' ', item.outcome && item.outcome !== 'completed' ? outcome(item.outcome) : null] },
      { class: 'how-long', content: [h('span', { class: 'beamlet', style: { width: `${Math.max(0.5, (item.duration_ms / longest) * 100)}%` } }), h('span', {}, ms(item.duration_ms))] },
      { class: 'how-many', content: [many(item.spans, 'span'), item.logs ? `, ${many(item.logs, 'log')}` : null, ' ', item.errors ? badge(`${count(item.errors)} failed`, 'bad') : null] },
    ],
  };
}
