// The log as it is written, newest on top, by level, target, text and trace.

import { store } from '../lib/api.js';
import { h, perFrame, say, settled, show } from '../lib/dom.js';
import { count, many, time, value } from '../lib/format.js';
import { LEVELS, logs as readLogs, millis } from '../lib/otlp.js';
import { filters, problem, storeOff, traceLink } from '../lib/ui.js';
import { Windowed } from '../lib/windowed.js';
import { logDetail } from './span.js';

const PAGE = 500;
const MOST = 50000;

const FIELDS = [
  { name: 'text', title: 'Text', hint: 'in message or attributes', wide: true },
  { name: 'min_level', title: 'Level', options: [['', 'all'], ...LEVELS.slice(1).map((level) => [level, level === 'error' ? level : `${level} and above`])] },
  { name: 'target', title: 'Target', hint: 'storefront::shop' },
  { name: 'trace_id', title: 'Trace id', hint: '32 hex digits' },
];

export function logs(root, { params, live, replace }) {
  show(root, h('h1', {}, 'Logs'));
  if (live.storeOff) return void root.append(storeOff(live.storeOff));
  let wanted = Object.fromEntries(FIELDS.map(({ name }) => [name, params.get(name) ?? '']));
  let [items, waiting, next, reading, paused, round, lost, serial] = [[], [], null, false, false, 0, 0, 0];
  const tally = h('p', { class: 'muted' }, 'Reading…');
  const trouble = h('div', {});
  const side = h('aside', { class: 'side', 'aria-label': 'Details of the chosen line', hidden: true });
  const pause = h('button', { type: 'button', class: 'quiet', 'aria-pressed': 'false', on: { click: () => setPaused(!paused) } }, 'Pause');
  const list = new Windowed({
    rowHeight: 26, label: 'Log lines, newest first', class: 'logs', row, key: (log) => log.serial,
    open: (log) => {
      side.hidden = false;
      show(side, h('button', { type: 'button', class: 'quiet close', 'aria-label': 'Close the details', on: { click: () => { side.hidden = true; list.element.focus(); } } }, '×'), logDetail(log));
    },
    end: () => { if (next && !reading && items.length < MOST) read(next); },
    onKey: (event) => { if (event.key !== ' ') return false; setPaused(!paused); return true; },
  });

  function setPaused(given) {
    paused = given;
    pause.setAttribute('aria-pressed', String(paused));
    pause.textContent = paused ? 'Go on' : 'Pause';
    say(paused ? 'Paused' : 'Going on');
    come();
  }
  const changed = settled(250, (values) => {
    wanted = values;
    replace('logs', wanted);
    list.element.scrollTop = 0;
    read();
  });
  const numbered = (records) => { for (const record of records) record.serial = (serial += 1); return records; };
  function words() {
    show(tally, `${many(items.length, 'line')}${next ? ' and more' : ''}${waiting.length ? `, ${count(waiting.length)} new` : ''}${paused ? ', paused' : ''}`
      + `${lost ? `; ${count(lost)} came too fast to be shown live: change the filter to read them` : ''}`);
  }
  async function read(before) {
    const own = (round += 1);
    reading = true;
    try {
      const page = await store('logs', { query: { ...wanted, limit: PAGE, before } });
      if (own !== round) return;
      const records = numbered(readLogs(page));
      records.sort((one, other) => (one.at > other.at ? -1 : one.at < other.at ? 1 : 0));
      if (before) {
        items = [...items, ...records];
      } else {
        // some lines that came while this was asked for are in the answer, and some are not
        const known = new Set(records.slice(0, PAGE).map(same));
        waiting = waiting.filter((log) => !known.has(same(log)) && !(log.at < (records[0]?.at ?? 0n)));
        [items, lost] = [records, 0];
      }
      next = page.next ?? null;
      show(trouble);
      list.set(items, { keepPlace: Boolean(before) });
    } catch (error) {
      if (own === round) show(trouble, problem(error));
    } finally {
      if (own === round) {
        reading = false;
        come();
      }
    }
  }
  const come = perFrame(() => {
    if (!paused && !reading && waiting.length) {
      items = [...waiting.reverse(), ...items].slice(0, MOST);
      waiting = [];
      list.set(items, { keepPlace: true });
    }
    words();
  });
  live.watch({
    opened: () => { if (!paused && list.isAtTop) read(); },
    logs: (data) => {
      const records = numbered(readLogs(data).filter((log) => passes(log, wanted)));
      records.sort((one, other) => (one.at < other.at ? -1 : one.at > other.at ? 1 : 0));
      waiting.push(...records);
      // a page that is paused for the night keeps the newest
      if (waiting.length > MOST) waiting.splice(0, waiting.length - MOST);
      if (records.length) come();
    },
    lost: (data) => { lost += data.logs ?? 0; come(); },
  });
  root.append(filters('Filter of log lines', FIELDS, wanted, changed), h('div', { class: 'bar' }, tally, h('span', { class: 'push' }), pause), trouble,
    h('section', { class: 'card flush with-side', 'aria-label': 'Log' }, h('div', { class: 'main' }, list.element), side));
  read();
  return { list, focus: () => root.querySelector('input[name=text]'), stop: () => { changed.cancel(); come.cancel(); list.stop(); } };
}

function same(log) {
  return `${log.at} ${log.spanId} ${log.text}`;
}

/** The filter of the store, for what comes live. */
function passes(log, { min_level: level, target, text, trace_id: trace }) {
  if (level && LEVELS.indexOf(log.level) < LEVELS.indexOf(level)) return false;
  if (target && !log.target.startsWith(target)) return false;
  if (trace && log.traceId !== trace.toLowerCase()) return false;
  if (!text) return true;
  const sought = text.toLowerCase();
  return log.text.toLowerCase().includes(sought) || [...log.attributes.values()].some((given) => value(given).toLowerCase().includes(sought));
}

function row(log) {
  const attributes = [...log.attributes].map(([key, given]) => `${key}=${value(given)}`).join(' ');
  return {
    class: log.level, label: `${log.level}, ${time(millis(log.at))}: ${log.text}`,
    cells: [
      { class: 'when', content: time(millis(log.at)) },
      { class: 'of', content: h('span', { class: `level ${log.level}` }, log.level) },
      { class: 'text', content: [h('span', { class: 'words', title: log.text }, log.text), ' ', h('span', { class: 'muted' }, attributes)] },
      { class: 'target', content: h('span', { title: log.target }, log.target) },
      { class: 'links', content: traceLink(log.traceId, log.spanId) ?? '' },
    ],
  };
}
