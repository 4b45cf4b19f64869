// Every instrument, and the chart of one: a histogram's percentiles with exemplars that open their traces.

import { store } from '../lib/api.js';
import { lines } from '../lib/charts.js';
import { go, h, say, show, throttled } from '../lib/dom.js';
import { ago, count, measured, number } from '../lib/format.js';
import { metric as readMetric } from '../lib/otlp.js';
import { collections, exemplars, percentiles, rate, values } from '../lib/series.js';
import { empty, pairs, problem, storeOff, table, traceLink } from '../lib/ui.js';

const USUAL = 'http.server.request.duration';
const MOST_LINES = 8;
const MOST_DOTS = 150;
const MOST_SERIES = 100;

export function metrics(root, { rest, live, title }) {
  show(root, h('h1', {}, 'Metrics'));
  if (live.storeOff) return void root.append(storeOff(live.storeOff));
  const name = rest.length ? decodeURIComponent(rest.join('/')) : null;
  if (name) title(name);
  const names = h('ul', { class: 'names' });
  const body = h('div', { class: 'metric' });
  const search = h('input', { type: 'search', placeholder: 'Find an instrument', 'aria-label': 'Find an instrument', spellcheck: 'false', autocomplete: 'off', on: { input: () => sift() } });
  root.append(h('div', { class: 'metrics' }, h('div', { class: 'instruments' }, search, names), body));
  let [chosen, current, all] = [null, name, []];

  function sift() {
    const sought = search.value.trim().toLowerCase();
    const found = all.filter((one) => `${one.name} ${one.description ?? ''}`.toLowerCase().includes(sought));
    show(names, found.length ? found.map((one) => h('li', {}, h('a', { href: go(`metrics/${encodeURIComponent(one.name)}`), 'aria-current': one.name === current ? 'page' : null },
      h('span', {}, one.name), h('span', { class: 'muted' }, `${one.kind.replace('_', ' ')}, ${count(one.series)}`)))) : h('li', {}, empty('No instrument of this name.')));
  }
  async function list() {
    const { instruments } = await store('metrics');
    all = instruments.sort((one, other) => (one.name < other.name ? -1 : 1));
    current ??= (all.find((one) => one.name === USUAL) ?? all[0])?.name ?? null;
    sift();
    if (!current) show(body, empty('Nothing has been measured yet: the first points come with the first collection.'));
  }
  async function draw() {
    if (!current) return;
    let found;
    try {
      found = readMetric(await store(`metrics/${encodeURIComponent(current)}`, { query: { limit: 240 } }));
    } catch (error) {
      show(body, problem(error));
      return;
    }
    if (!found) show(body, empty(`No point of ${current} is kept.`));
    else show(body, one(found, chosen, (key) => { chosen = key; draw(); }));
  }
  list().then(draw).then(() => say(current ? `Chart of ${current}` : 'No metrics yet')).catch((error) => show(body, problem(error)));
  const again = throttled(1000, () => draw());
  const anew = throttled(5000, () => list().catch(() => {}));
  live.watch({ metrics: (data) => {
    // not under somebody's pointer or keyboard
    if ((!data.names || data.names.includes(current)) && !body.matches(':hover') && !body.contains(document.activeElement)) again();
    if (!search.value) anew();
  } });
  return { focus: () => search, stop: () => { again.cancel(); anew.cancel(); } };
}

/** By what sets the series apart: what all of them have says nothing. */
function namer(every) {
  const keys = [...new Set(every.flatMap((series) => [...series.attributes.keys()]))].sort();
  const telling = keys.filter((key) => new Set(every.map((series) => series.attributes.get(key))).size > 1);
  const used = telling.length ? telling : keys;
  return (series) => used.filter((key) => series.attributes.has(key)).map((key) => `${key}=${series.attributes.get(key)}`).join(', ') || 'all';
}

function one(found, chosen, choose) {
  const every = [...found.series.values()];
  const nameOf = namer(every);
  const times = collections(every);
  const shown = chosen && found.series.has(chosen) ? [found.series.get(chosen)] : every;
  const isHistogram = found.kind === 'histogram' || found.kind === 'exponentialHistogram';
  const format = (given) => measured(given, found.unit);
  const parts = [h('h2', {}, found.name), found.description ? h('p', { class: 'muted' }, found.description) : null];
  if (isHistogram) {
    const seen = exemplars(shown);
    const dots = seen.slice(-MOST_DOTS).map((exemplar) => ({
      at: exemplar.at, value: exemplar.value, href: go(`traces/${exemplar.traceId}`, { span: exemplar.spanId }),
      label: `${format(exemplar.value)}, ${describe(exemplar)}: open the trace`,
    }));
    parts.push(lines({ series: percentiles(shown, found.isDelta).map((line, index) => ({ ...line, colour: [0, 3, 5][index] })), dots, format, label: `Percentiles of ${found.name} over time, with exemplars` }));
    parts.push(slowest(seen, format));
  } else {
    const isRate = found.kind === 'sum' && found.isMonotonic;
    const points = (series) => (isRate ? rate(series.points, found.isDelta, times) : values(series.points));
    const recent = (series) => Math.abs(points(series).at(-1)?.[1] ?? 0);
    const drawn = [...shown].sort((a, b) => recent(b) - recent(a)).slice(0, MOST_LINES);
    const read = isRate ? (given) => `${found.unit === 'By' ? measured(given, 'By') : number(given)}/s` : format;
    parts.push(lines({ series: drawn.map((series) => ({ name: nameOf(series), points: points(series) })), format: read, label: `${found.name} over time` }));
    if (shown.length > drawn.length) parts.push(h('p', { class: 'muted' }, `The ${drawn.length} largest of ${count(shown.length)} series are drawn.`));
  }
  parts.push(h('div', { class: 'bar' }, h('h3', {}, `${count(every.length)} series`), chosen ? h('button', { type: 'button', class: 'quiet', on: { click: () => choose(null) } }, 'All of them') : null));
  parts.push(table('Series', [
    { head: 'Attributes', cell: (series) => h('button', { type: 'button', class: 'link', 'aria-pressed': String(series.key === chosen), on: { click: () => choose(series.key === chosen ? null : series.key) } }, nameOf(series)) },
    ...(isHistogram ? [
      { head: 'Count', class: 'n', cell: (series) => count(series.points.at(-1)?.count) },
      { head: 'Mean', class: 'n', cell: (series) => { const last = series.points.at(-1); return last?.count ? format(last.sum / last.count) : '–'; } },
    ] : [{ head: 'Value', class: 'n', cell: (series) => format(series.points.at(-1)?.value) }]),
    { head: 'Last', cell: (series) => (series.points.length ? ago(series.points.at(-1).at) : '–') },
  ], every.slice(0, MOST_SERIES)));
  if (every.length > MOST_SERIES) parts.push(h('p', { class: 'muted' }, `${MOST_SERIES} of ${count(every.length)} are listed.`));
  return parts;
}

function describe(exemplar) {
  return ['http.request.method', 'http.route', 'http.response.status_code'].map((key) => exemplar.of.get(key)).filter((given) => given !== undefined).join(' ') || exemplar.traceId.slice(0, 8);
}

/** The same exemplars for whoever does not use a pointer. */
function slowest(seen, format) {
  if (!seen.length) return null;
  const largest = [...seen].sort((a, b) => b.value - a.value).slice(0, 5);
  return h('div', { class: 'largest' }, h('h3', {}, 'Largest exemplars'), pairs(largest.map((exemplar) => [format(exemplar.value),
    h('span', {}, describe(exemplar), ' ', traceLink(exemplar.traceId, exemplar.spanId), h('span', { class: 'muted' }, ` ${ago(exemplar.at)}`))])));
}
