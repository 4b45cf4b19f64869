// How it is now: rate, errors and durations by route, what is slow or fails, and whether telemetry gets out.

import { get, store } from '../lib/api.js';
import { go, h, show } from '../lib/dom.js';
import { ago, bytes, count, many, ms, number, percent } from '../lib/format.js';
import { lines, spark } from '../lib/charts.js';
import { badge, empty, outcome, problem, section, statusBadge, storeOff, table } from '../lib/ui.js';

const EVERY = 5000;
const SHOWN = 6;

export function overview(root, { live }) {
  const [cards, slow, failed, routes, charts, flow] = Array.from({ length: 6 }, () => h('div', {}));
  cards.className = 'cards';
  const problems = h('div', { class: 'two' }, section('Slowest of each kind', slow), section('Failed last', failed));
  show(root, h('h1', {}, 'Overview'));
  if (live.storeOff) root.append(storeOff(live.storeOff));
  else root.append(cards, problems, section('Routes', routes), section('Durations and rate', charts));
  root.append(section('Telemetry on its way out', flow));

  let [stopped, timer, drawn] = [false, 0, 0];
  const draw = (data) => {
    show(cards, tiles(data));
    show(routes, routeTable(data));
    // a chart that is drawn anew every second cannot be pointed at
    if (Date.now() - drawn > EVERY - 200) {
      drawn = Date.now();
      show(charts, chart(data));
    }
  };
  async function round() {
    const parts = [pipeline(flow)];
    if (!live.storeOff) parts.push(notable(slow, failed));
    await Promise.all(parts);
    if (!stopped) timer = setTimeout(round, EVERY);
  }
  if (!live.storeOff) store('overview').then((data) => { if (!stopped) draw(data); }, (error) => show(cards, problem(error)));
  live.watch({ overview: draw });
  round();
  return { stop: () => { stopped = true; clearTimeout(timer); } };
}

function tile(title, number, words, more, href, tone) {
  const inside = [h('span', { class: 'title' }, title), h('span', { class: 'number' }, number), h('span', { class: 'muted' }, words), more];
  return href ? h('a', { class: `tile ${tone ?? ''}`, href }, inside) : h('div', { class: `tile ${tone ?? ''}` }, inside);
}

function tiles(data) {
  const routes = data.routes ?? [];
  const sum = (key) => routes.reduce((total, route) => total + (route[key] ?? 0), 0);
  const [requests, errors] = [sum('requests'), sum('errors')];
  const series = data.series ?? [];
  const seconds = data.window_seconds ?? 60;
  const p95 = routes.reduce((most, route) => Math.max(most, route.p95_ms ?? 0), 0);
  const health = data.health ?? {};
  return [
    tile('Requests', `${number(sum('rate'))}/s`, `${count(requests)} in ${seconds} s`,
      spark(series.map((one) => one.requests), { label: 'Requests over the last ten minutes' }), go('traces')),
    tile('Errors', requests ? percent(errors / requests) : '–', `${count(errors)} in ${seconds} s`,
      spark(series.map((one) => one.errors), { label: 'Errors over the last ten minutes', tone: 'bad' }), go('traces', { status: 'error' }), errors ? 'bad' : ''),
    tile('95th percentile', p95 ? ms(p95) : '–', 'of the slowest route',
      spark(series.map((one) => one.p95_ms), { label: '95th percentile over the last ten minutes' }), go('traces', { sort: 'slowest' })),
    tile('Running now', count(data.active?.requests), `and ${many(data.active?.tasks, 'task')}`, null, go('requests')),
    tile('Ready', health.ready ? 'yes' : 'no', health.failing?.length ? `failing: ${health.failing.join(', ')}` : 'every check passes', null, go('health'), health.ready ? 'ok' : 'bad'),
  ];
}

function routeTable(data) {
  const routes = [...(data.routes ?? [])].sort((one, other) => (other.errors - one.errors) || ((other.p95_ms ?? 0) - (one.p95_ms ?? 0)));
  if (!routes.length) return empty(`No request has ended in the last ${data.window_seconds ?? 60} seconds.`);
  const of = (route) => ({ route: route.route, method: route.method });
  const longest = Math.max(...routes.map((route) => route.p95_ms ?? 0), 1);
  return [
    table('Routes, failing and slow ones first', [
      { head: 'Route', cell: (route) => h('a', { href: go('traces', of(route)) }, h('strong', {}, route.method), ' ', route.route || '(no route)') },
      { head: 'Rate', class: 'n', cell: (route) => `${number(route.rate)}/s` },
      { head: 'Errors', class: 'n', cell: (route) => (route.errors ? h('a', { class: 'bad', href: go('traces', { ...of(route), status: 'error' }) }, `${count(route.errors)} (${percent(route.errors / route.requests)})`) : '0') },
      { head: 'p50', class: 'n', cell: (route) => ms(route.p50_ms) },
      { head: 'p95', class: 'n', cell: (route) => [h('span', { class: 'beamlet', style: { width: `${((route.p95_ms ?? 0) / longest) * 100}%` } }), h('span', {}, ms(route.p95_ms))] },
      { head: 'p99', class: 'n', cell: (route) => ms(route.p99_ms) },
      { head: 'Traces', cell: (route) => h('a', { href: go('traces', { ...of(route), min_ms: Math.floor(route.p95_ms ?? 0) || '', sort: 'slowest' }), 'aria-label': `Slowest traces of ${route.method} ${route.route ?? ''}` }, 'slowest') },
    ], routes),
    h('p', { class: 'muted' }, `Of the root server spans of the last ${data.window_seconds ?? 60} seconds that are kept here: sampled requests only.`),
  ];
}

function chart(data) {
  const series = (data.series ?? []).map((one) => ({ ...one, at: Date.parse(one.at) }));
  const of = (key, scale = 1) => series.map((one) => [one.at, one[key] === null || one[key] === undefined ? null : one[key] * scale]);
  return h('div', { class: 'two' },
    h('figure', {}, h('figcaption', {}, 'Duration'), lines({
      most: 560, series: [{ name: 'p50', points: of('p50_ms'), colour: 0 }, { name: 'p95', points: of('p95_ms'), colour: 3 }], format: ms,
      label: 'Median and 95th percentile of durations over the last ten minutes',
    })),
    h('figure', {}, h('figcaption', {}, 'Requests a second'), lines({
      most: 560, series: [{ name: 'requests', points: of('requests', 0.2), colour: 0 }, { name: 'errors', points: of('errors', 0.2), colour: 5 }],
      format: (value) => `${number(value)}/s`, label: 'Requests and errors a second over the last ten minutes',
    })));
}

/** Straight to what somebody who was woken up looks for. */
async function notable(slow, failed) {
  try {
    const [all, bad] = await Promise.all([store('traces', { query: { limit: 500 } }), store('traces', { query: { limit: SHOWN, status: 'error' } })]);
    // of each kind the slowest: ten of the same tell no more than one
    const kinds = new Map();
    for (const one of all.traces) if (one.root && !(kinds.get(one.name)?.duration_ms >= one.duration_ms)) kinds.set(one.name, one);
    const slowest = [...kinds.values()].sort((one, other) => other.duration_ms - one.duration_ms).slice(0, SHOWN);
    show(slow, slowest.length ? list(slowest, slowest[0].duration_ms) : empty('No trace is kept yet.'));
    show(failed, bad.traces.length ? list(bad.traces, null) : empty('Nothing has failed.'));
  } catch (error) {
    show(slow, problem(error));
  }
}

function list(traces, longest) {
  return h('ul', { class: 'notable' }, traces.map((one) => h('li', {},
    h('a', { href: go(`traces/${one.trace_id}`) },
      longest ? h('span', { class: 'beamlet', style: { width: `${Math.max(1, (one.duration_ms / longest) * 100)}%` } }) : null,
      h('strong', { class: 'n' }, ms(one.duration_ms)), h('span', { class: 'what' }, one.name ?? one.trace_id),
      statusBadge(one.status_code, false), one.errors && !['failed', 'panicked'].includes(one.outcome) ? badge(`${count(one.errors)} failed`, 'bad') : null, one.outcome && one.outcome !== 'completed' ? outcome(one.outcome) : null,
      h('span', { class: 'muted' }, ago(one.started_at))))));
}

async function pipeline(flow) {
  try {
    const [signals, overviewNow] = await Promise.all([get('telemetry'), store('overview').catch(() => null)]);
    const states = { up: 'ok', down: 'bad', idle: '', off: '' };
    const kept = overviewNow?.store;
    show(flow, table('Signals', [
      { head: 'Signal', cell: ([name]) => h('strong', {}, name) },
      { head: 'State', cell: ([, one]) => badge(one.state, states[one.state]) },
      { head: 'To', cell: ([, one]) => (one.endpoint ? h('code', {}, one.endpoint) : '–') },
      { head: 'Emitted', class: 'n', cell: ([, one]) => count(one.emitted) },
      { head: 'Exported', class: 'n', cell: ([, one]) => count(one.exported) },
      { head: 'Lost', class: 'n', cell: ([, one]) => h('span', { class: one.dropped + one.failed ? 'bad' : null, title: Object.entries(one.losses ?? {}).map(([why, n]) => `${why}: ${n}`).join(', ') }, count(one.dropped + one.failed)) },
      { head: 'Queued', class: 'n', cell: ([, one]) => count(one.queued) },
      { head: 'Last trouble', cell: ([, one]) => (one.state === 'down' && one.last_error ? `${one.last_error.cause}, ${ago(one.last_error.at)}` : '') },
    ], ['traces', 'metrics', 'logs'].filter((name) => signals[name]).map((name) => [name, signals[name]])),
    kept ? h('p', { class: 'muted' }, `Kept in this process: ${many(kept.traces, 'trace')} with ${many(kept.spans, 'span')}, ${many(kept.logs, 'log record')} and ${many(kept.metric_points, 'point')} in ${bytes(kept.bytes)} of ${bytes(kept.limit_bytes)}, for at most ${ms((kept.max_age_seconds ?? 0) * 1000)}`
      + `${kept.evicted_traces || kept.evicted_logs ? `; ${count(kept.evicted_traces)} traces and ${count(kept.evicted_logs)} log records had to go` : ''}.`) : null);
  } catch (error) {
    show(flow, problem(error));
  }
}
