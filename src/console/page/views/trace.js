// One trace: where its time went, the waterfall with logs and events in it, and what the registry saw of its requests.

import { get, store } from '../lib/api.js';
import { go, h, say, settled, show } from '../lib/dom.js';
import { count, dateTime, many, ms, percent, time } from '../lib/format.js';
import { logs as readLogs, millis, spans as readSpans } from '../lib/otlp.js';
import { entry as entrySpan, longestPause, rows, tree, whereTheTimeWent } from '../lib/tree.js';
import { badge, copy, empty, outcome, problem, section, statusBadge, storeOff } from '../lib/ui.js';
import { Windowed } from '../lib/windowed.js';
import { detail, onward } from './span.js';

const MOST_INDENT = 14;

export function trace(root, { rest, params, live, title }) {
  const id = decodeURIComponent(rest[0]).toLowerCase();
  title(`Trace ${id.slice(0, 8)}`);
  if (live.storeOff) return withoutStore(root, id, live.storeOff);
  const state = { id, collapsed: new Set(), withLogs: true, span: params.get('span'), built: null, links: [], colours: new Map() };
  const head = h('div', { class: 'trace-head' }, h('h1', {}, `Trace ${id.slice(0, 8)}`), h('p', { class: 'empty' }, 'Reading…'));
  const story = h('div', {});
  const side = h('aside', { class: 'side', 'aria-label': 'Details of the chosen row', hidden: true });
  const history = h('div', {});
  const list = new Windowed({
    rowHeight: 28, role: 'treegrid', label: 'Spans, events and logs in the order of time', class: 'waterfall',
    row: (item) => row(item, state, toggle),
    key: (item) => (item.kind === 'span' ? item.node.span.id : item.log ?? item.event),
    open: (item) => choose(item),
    onKey: (event, item) => {
      if (!['ArrowRight', 'ArrowLeft'].includes(event.key) || item?.kind !== 'span' || !item.hasMore) return false;
      if (item.isOpen !== (event.key === 'ArrowRight')) toggle(item.node.span.id);
      return true;
    },
  });
  const axis = h('div', { class: 'axis', 'aria-hidden': 'true' });
  const box = h('label', { class: 'check' }, h('input', {
    type: 'checkbox', checked: true, on: { change: (event) => { state.withLogs = event.target.checked; redraw(); } },
  }), 'Logs and events');
  const fold = h('button', { type: 'button', class: 'quiet', on: { click: () => foldAll() } }, 'Fold all');
  const tally = h('span', { class: 'muted' });
  show(root, head, story, h('section', { class: 'card flush', 'aria-label': 'Waterfall' },
    h('div', { class: 'bar' }, h('h2', {}, 'Waterfall'), tally, h('span', { class: 'push' }), box, fold),
    h('div', { class: 'with-side' }, h('div', { class: 'main' }, axis, list.element), side)), history);

  function toggle(spanId) {
    if (!state.collapsed.delete(spanId)) state.collapsed.add(spanId);
    redraw();
  }
  function foldAll() {
    if (state.collapsed.size) state.collapsed.clear();
    else for (const node of state.built?.nodes ?? []) if (node.children.length || node.logs.length) state.collapsed.add(node.span.id);
    redraw();
  }
  function redraw() {
    if (!state.built) return;
    state.rows = rows(state.built, state);
    list.set(state.rows);
    fold.textContent = state.collapsed.size ? 'Unfold all' : 'Fold all';
  }
  function choose(item) {
    const node = item.node ?? null;
    state.span = node?.span.id ?? null;
    // the address can be sent to a colleague, and says which span is meant
    history_(go(`traces/${id}`, { span: state.span }));
    side.hidden = false;
    show(side, h('button', { type: 'button', class: 'quiet close', 'aria-label': 'Close the details', on: { click: close } }, '×'),
      detail(item, state));
    side.scrollTop = 0;
  }
  function close() {
    side.hidden = true;
    list.element.focus();
  }
  function find(spanId, open) {
    if (!state.rows.some((item) => item.kind === 'span' && item.node.span.id === spanId)) {
      for (let node = state.built.byId.get(spanId)?.parent; node; node = node.parent) state.collapsed.delete(node.span.id);
      redraw();
    }
    const index = state.rows.findIndex((item) => item.kind === 'span' && item.node.span.id === spanId);
    if (index >= 0) list.choose(index, { open, focus: open });
  }

  async function read() {
    const none = (error) => { if (error.status === 404 && !error.storeIsOff) return null; throw error; };
    const path = `traces/${encodeURIComponent(id)}`;
    const [spans, logs, requests, links] = await Promise.all([
      store(path).catch(none), store(`${path}/logs`).catch(none), store(`${path}/requests`).catch(none), store('links').catch(() => null),
    ]);
    state.links = links?.links ?? [];
    state.requests = requests ?? { active: [], recent: [] };
    const first = !state.built;
    state.built = spans || logs ? tree(readSpans(spans ?? {}), readLogs(logs ?? {})) : null;
    if (!state.built || (!state.built.nodes.length && !state.built.loose.length)) {
      show(head, h('h1', {}, `Trace ${id.slice(0, 8)}`), missing(id, state.requests));
      show(history, registry(state));
      state.built = null;
      return;
    }
    for (const node of state.built.nodes) if (!state.colours.has(node.span.service)) state.colours.set(node.span.service, state.colours.size % 8);
    show(head, heading(state));
    show(story, where(state, find));
    show(tally, `${many(state.built.nodes.length, 'span')} · ${many(state.built.nodes.reduce((sum, node) => sum + node.logs.length, state.built.loose.length), 'log')} · ${ms(state.built.duration)}`);
    show(axis, h('span', {}), h('span', { class: 'ticks' }, [0, 0.25, 0.5, 0.75, 1].map((share) => h('span', {}, ms(share * state.built.duration)))));
    redraw();
    show(history, registry(state));
    if (first && state.span) find(state.span, true);
    if (first) say(`Trace of ${many(state.built.nodes.length, 'span')}, ${ms(state.built.duration)}`);
  }
  const refuse = (error) => show(head, h('h1', {}, `Trace ${id.slice(0, 8)}`), problem(error));
  const again = settled(400, () => read().catch(refuse));
  read().catch(refuse);
  live.watch({
    opened: () => { if (!state.built) again(); },
    traces: (data) => { if ((data.traces ?? []).some((changed) => changed.trace_id === id)) again(); },
  });
  return { list, stop: () => { again.cancel(); list.stop(); } };
}

function history_(hash) {
  history.replaceState(null, '', hash);
}

async function withoutStore(root, id, words) {
  show(root, h('h1', {}, `Trace ${id.slice(0, 8)}`), storeOff(words));
  try {
    const all = await get('debug/requests', { query: { format: 'json', trace_id: id } });
    root.append(registry({ requests: all }) ?? '');
  } catch (error) {
    root.append(problem(error));
  }
}

function missing(id, requests) {
  const running = requests.active.length > 0;
  return h('div', {}, h('p', {}, h('code', {}, id)), empty(running
    ? 'No span of it has ended yet. What is running is below; the waterfall comes by itself.'
    : 'Nothing of it is kept here: it was not sampled, has been pushed out by newer ones, or belongs to another process.'));
}

function heading(state) {
  const { built, id } = state;
  const root = entrySpan(built);
  const code = root?.span.attributes.get('http.response.status_code');
  const ending = root?.span.attributes.get('tracewell.outcome');
  const errors = built.nodes.filter((node) => node.span.isError).length;
  return [
    h('div', { class: 'bar' }, h('h1', {}, root?.span.name ?? `Trace ${id.slice(0, 8)}`), h('span', { class: 'push' }),
      onward(state, null), h('a', { href: go('logs', { trace_id: id }) }, 'Its logs'),
      h('a', { href: `console/api/traces/${id}?download=1`, download: `trace-${id}.json` }, 'Download')),
    h('div', { class: 'facts' },
      statusBadge(code, root?.span.isError), ending ? outcome(ending) : null,
      h('strong', {}, ms(root?.duration ?? built.duration)),
      errors ? badge(many(errors, 'failed span'), 'bad') : null,
      h('span', { class: 'muted' }, dateTime(millis(built.start))),
      h('span', { class: 'id' }, h('code', {}, id), copy(id, 'trace id'))),
  ];
}

/** The sentence that answers “why was it slow”. */
function where(state, find) {
  const { built } = state;
  const total = entrySpan(built)?.duration || built.duration || 1;
  const groups = whereTheTimeWent(built).filter((group) => group.self > 0).slice(0, 4);
  const failed = built.nodes.filter((node) => node.span.isError);
  // the innermost failure is nearest to the cause
  const cause = failed.filter((node) => !node.children.some((child) => child.span.isError))[0];
  if (!groups.length && !cause) return null;
  const link = (node, words) => h('button', { type: 'button', class: 'link', on: { click: () => find(node.span.id, true) } }, words);
  return h('section', { class: 'card where', 'aria-labelledby': 's-where' }, h('h2', { id: 's-where' }, 'Where the time went'),
    h('ul', {}, groups.map((group) => h('li', {},
      h('span', { class: 'share' }, h('span', { class: `fill c${state.colours.get(group.service) ?? 0}`, style: { width: `${Math.min(100, (group.self / total) * 100)}%` } })),
      h('span', { class: 'n' }, percent(group.self / total)), h('span', { class: 'n' }, ms(group.self)),
      h('span', { class: 'what' }, link(group.longest, group.name), group.count > 1 ? ` × ${count(group.count)}` : null,
        group.service ? h('span', { class: 'muted' }, ` ${group.service}`) : null)))),
    pause(groups[0]?.longest, total),
    stages((state.requests.recent ?? []).find((one) => one.span_id === entrySpan(built)?.span.id)),
    cause ? h('p', { class: 'cause' }, badge('failed', 'bad'), ' ', link(cause, cause.span.name), ' ', reason(cause)) : null);
}

/** A wait that no span accounts for: between two attempts, say. */
function pause(node, total) {
  const found = node ? longestPause(node) : { took: 0 };
  if (found.took < total * 0.15 || !(node.children.length || node.logs.length)) return null;
  const around = [found.after ? ` after “${found.after}”` : ' from its start', found.before ? `, before “${found.before}”` : ', until its end'];
  return h('p', { class: 'pause' }, 'The longest pause in ', h('strong', {}, node.span.name), ': ', h('strong', {}, ms(found.took)), around);
}

function reason(node) {
  const { span } = node;
  const said = span.problem || node.logs.filter((log) => log.level === 'error').at(-1)?.text
    || span.attributes.get('error.message') || span.attributes.get('exception.message') || span.attributes.get('error.type');
  return said ? String(said) : null;
}

function row(item, state, toggle) {
  const width = Math.max(state.built.duration, 0.001);
  const left = `${Math.min(99.8, (item.at / width) * 100)}%`;
  const indent = { 'padding-left': `${Math.min(item.depth, MOST_INDENT) * 14 + (item.kind === 'span' ? 0 : 20)}px` };
  if (item.kind === 'span') {
    const { node } = item;
    const { span } = node;
    const share = (node.duration / width) * 100;
    const place = placed((item.at / width) * 100, share);
    const resend = span.attributes.get('http.request.resend_count');
    const twist = item.hasMore ? h('button', {
      type: 'button', class: 'twist', tabindex: '-1', 'aria-label': item.isOpen ? 'Fold' : 'Unfold', on: { click: () => toggle(span.id) },
    }, item.isOpen ? '▾' : '▸') : h('span', { class: 'twist' });
    return {
      class: `span ${span.isError ? 'bad' : ''}`, level: item.depth + 1, expanded: item.hasMore ? item.isOpen : undefined,
      label: `${span.name}, ${ms(node.duration)}${span.isError ? ', failed' : ''}`,
      cells: [
        h('div', { class: 'name', role: 'gridcell', style: indent }, twist, h('span', { class: `dot c${state.colours.get(span.service)}` }),
          h('span', { class: 'words', title: span.name }, span.name),
          resend ? badge(`retry ${resend}`, 'warn') : null, span.isError ? badge('failed', 'bad') : null,
          item.depth > MOST_INDENT ? badge(`depth ${item.depth}`) : null),
        h('div', { class: 'lane', role: 'gridcell' },
          h('span', { class: `beam c${state.colours.get(span.service)} ${span.isError ? 'bad' : ''}`, style: { left, width: `max(2px, ${share}%)` } }),
          h('span', { class: `took ${place.where}`, style: place.style }, ms(node.duration))),
      ],
    };
  }
  const isLog = item.kind === 'log';
  const level = isLog ? item.log.level : 'event';
  const words = isLog ? item.log.text : item.event.name;
  return {
    class: `note ${level}`, level: item.depth + 1, label: `${level} at ${ms(item.at)}: ${words}`,
    cells: [
      h('div', { class: 'name', role: 'gridcell', style: indent }, h('span', { class: `level ${level}` }, level), h('span', { class: 'words', title: words }, words)),
      h('div', { class: 'lane', role: 'gridcell' }, h('span', { class: `mark ${level}`, style: { left } }),
        h('span', { class: 'took', style: item.at / width > 0.75 ? { right: `${100 - (item.at / width) * 100}%` } : { left } }, `+${ms(item.at)}`)),
    ],
  };
}

/** Where a bar's duration is written: behind it, else before it, else on it. */
function placed(from, share) {
  if (from + share <= 80) return { where: 'behind', style: { left: `${from + share}%` } };
  if (from >= 22) return { where: 'before', style: { right: `${100 - from}%` } };
  return { where: 'inside', style: { left: `${from}%` } };
}

/** How long a request was in each of its stages. */
function stages(entry) {
  if (!entry) return null;
  const total = entry.duration_ms ?? entry.age_ms ?? 0;
  const all = entry.stages ?? (entry.stage ? [{ stage: entry.stage, at_ms: 0 }] : []);
  return all.length ? h('ol', { class: 'stages', 'aria-label': 'Stages' }, all.map((stage, index) => {
    const took = Math.max(0, (all[index + 1]?.at_ms ?? total) - stage.at_ms);
    return h('li', { class: `c${index % 8}`, style: { 'flex-grow': String(Math.max(took / (total || 1), 0.001)) }, title: `${stage.stage || 'no stage'}: ${ms(took)}` },
      h('span', {}, stage.stage || 'no stage'), ' ', h('span', { class: 'muted' }, ms(took)));
  })) : null;
}

/** What the registry of requests saw: stages and ends, also of what was not sampled. */
function registry(state) {
  const entries = [...(state.requests?.active ?? []), ...(state.requests?.recent ?? [])];
  if (!entries.length) return null;
  return section('Requests and tasks of this trace', entries.map((entry) => {
    const total = entry.duration_ms ?? entry.age_ms ?? 0;
    return h('div', { class: 'entry' },
      h('div', { class: 'facts' }, h('a', { href: `debug/requests/${encodeURIComponent(entry.id)}` }, `#${entry.id}`), h('strong', {}, entry.name),
        entry.path ? h('code', {}, entry.path) : null,
        entry.outcome ? outcome(entry.outcome) : badge(entry.stuck ? 'stuck' : 'running', entry.stuck ? 'bad' : 'info'),
        statusBadge(entry.status), h('span', {}, ms(total)), h('span', { class: 'muted' }, time(entry.started_at)),
        entry.span_id && state.built ? h('a', { href: go(`traces/${entry.trace_id}`, { span: entry.span_id }) }, 'its span') : null),
      stages(entry),
      Object.keys(entry.annotations ?? {}).length ? h('p', { class: 'notes' }, Object.entries(entry.annotations).map(([key, value]) => h('span', {}, key, '=', h('code', {}, String(value)), ' '))) : null);
  }));
}
