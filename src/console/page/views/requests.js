// Active requests and tasks, live and oldest first; and what ended last.

import { get, giveToken, hasToken, remove } from '../lib/api.js';
import { go, h, say, show } from '../lib/dom.js';
import { ago, count, ms, time } from '../lib/format.js';
import { ask, badge, empty, outcome, problem, section, statusBadge, table, traceLink } from '../lib/ui.js';
import { Windowed } from '../lib/windowed.js';

const KINDS = [['', 'All'], ['request', 'Requests'], ['task', 'Tasks'], ['stuck', 'Stuck']];

export function requests(root, { params, live, replace }) {
  let kind = params.get('kind') ?? '';
  let [latest, paused] = [null, false];
  const mayCancel = document.documentElement.dataset.cancel === 'true';
  const totals = h('p', { class: 'muted' });
  const trouble = h('div', {});
  const idle = h('div', {});
  const [recent, routes, jobs] = Array.from({ length: 3 }, () => h('div', {}));
  const list = new Windowed({
    rowHeight: 40, label: 'Active requests and tasks, oldest first', class: `active ${mayCancel ? 'with-cancel' : ''}`, key: (entry) => entry.id,
    row: (entry) => row(entry, latest.longest, mayCancel ? cancel : null),
    open: (entry) => { location.href = `debug/requests/${encodeURIComponent(entry.id)}`; },
  });
  const tabs = h('div', { class: 'tabs', role: 'group', 'aria-label': 'Which are shown' }, KINDS.map(([given, words]) => h('button', {
    type: 'button', 'aria-pressed': String(given === kind), on: { click: (event) => {
      kind = given;
      for (const button of tabs.children) button.setAttribute('aria-pressed', String(button === event.target));
      replace('requests', { kind });
      draw();
    } },
  }, words)));
  const pause = h('button', { type: 'button', class: 'quiet', 'aria-pressed': 'false', on: { click: () => {
    paused = !paused;
    pause.setAttribute('aria-pressed', String(paused));
    pause.textContent = paused ? 'Go on' : 'Pause';
  } } }, 'Pause');
  show(root, h('h1', {}, 'Requests and tasks'), totals, trouble, h('div', { class: 'bar' }, tabs, h('span', { class: 'push' }), pause), list.element, idle,
    section('By route and duration', routes), section('Ended last', recent), jobs);

  async function cancel(entry) {
    if (!hasToken()) {
      const given = await ask(`Cancel ${entry.name}?`, 'Its future is dropped; whoever waits for it gets no answer. This needs the admin token (TRACEWELL_ADMIN_TOKEN), which this page forgets when it is closed.',
        { label: 'Admin token', type: 'password', action: 'Cancel it' });
      if (!given) return;
      giveToken(given);
    } else if ((await ask(`Cancel ${entry.name}?`, 'Its future is dropped; whoever waits for it gets no answer.', { action: 'Cancel it' })) === null) {
      return;
    }
    try {
      await remove(`debug/requests/${encodeURIComponent(entry.id)}?by=console`);
      show(trouble, h('p', { class: 'done', role: 'status' }, `${entry.name} (#${entry.id}) was cancelled.`));
    } catch (error) {
      // a wrong token is asked for again
      if (error.status === 403) giveToken(null);
      show(trouble, problem(error));
    }
  }

  function draw() {
    if (!latest) return;
    const shown = latest.active.filter((entry) => (kind === 'stuck' ? entry.stuck : !kind || entry.kind === kind));
    list.set(shown, { keepPlace: true });
    list.element.hidden = !shown.length;
    show(idle, shown.length ? null : empty('Nothing of this is running.'));
  }
  function take(data) {
    if (paused) return;
    const active = data.active ?? [];
    latest = { active, longest: Math.max(1000, ...active.map((entry) => entry.age_ms)) };
    const { totals: all = {} } = data;
    show(totals, `${count(active.length)} running${data.unlisted ? ` and ${count(data.unlisted)} not listed` : ''}. Of ${count(all.started)} requests `
      + ['completed', 'failed', 'cancelled', 'panicked', 'aborted'].filter((word) => all[word]).map((word) => `${count(all[word])} ${word}`).join(', '));
    draw();
    if (data.recent) show(recent, ended(data.recent.slice(0, 30)));
    if (data.groups) show(routes, byRoute(data.groups, routes));
    if (data.jobs?.length) show(jobs, periodic(data.jobs));
  }
  const read = () => get('debug/requests', { query: { format: 'json' } }).then(take, (error) => show(trouble, problem(error)));
  read().then(() => { if (latest) say(`${latest.active.length} running`); });
  live.watch({ requests: take });
  return { list, stop: () => list.stop() };
}

function row(entry, longest, cancel) {
  const notes = Object.entries(entry.annotations ?? {}).map(([key, value]) => `${key}=${typeof value === 'object' ? JSON.stringify(value) : value}`).join(' ');
  return {
    class: entry.stuck ? 'bad' : '', label: `${entry.name}, running for ${ms(entry.age_ms)}${entry.stage ? `, in stage ${entry.stage}` : ''}`,
    cells: [
      { class: 'age', content: [h('span', { class: `beamlet ${entry.stuck ? 'bad' : ''}`, style: { width: `${Math.max(1, (entry.age_ms / longest) * 100)}%` } }), h('span', {}, ms(entry.age_ms))] },
      { class: 'what', content: [entry.kind === 'task' ? badge('task', 'info') : null, h('span', { title: entry.path ?? '' }, entry.name), entry.stuck ? badge('stuck', 'bad') : null] },
      { class: 'stage', content: entry.stage ? badge(entry.stage) : '' },
      { class: 'notes', content: h('span', { title: notes }, notes) },
      { class: 'links', content: [traceLink(entry.trace_id, entry.span_id), h('a', { href: `debug/requests/${encodeURIComponent(entry.id)}`, 'aria-label': `All about ${entry.name} ${entry.id}` }, `#${entry.id}`),
        cancel ? h('button', { type: 'button', class: 'danger', 'aria-label': `Cancel ${entry.name} ${entry.id}`, on: { click: () => cancel(entry) } }, 'Cancel') : null] },
    ],
  };
}

function ended(entries) {
  if (!entries.length) return empty('Nothing has ended yet.');
  return table('Requests and tasks that ended last', [
    { head: 'Started', cell: (one) => time(one.started_at) },
    { head: 'What', cell: (one) => h('span', { title: one.path ?? '' }, one.name) },
    { head: 'Outcome', cell: (one) => [outcome(one.outcome), ' ', statusBadge(one.status)] },
    { head: 'Duration', class: 'n', cell: (one) => ms(one.duration_ms) },
    { head: 'Trace', cell: (one) => traceLink(one.trace_id, one.span_id) ?? '–' },
  ], entries);
}

/** The last ten of each latency, of errors and of what was given up. */
function byRoute(groups, old) {
  const open = new Set([...old.querySelectorAll('details[open]')].map((one) => one.dataset.group));
  return groups.map((group) => {
    const lists = [...(group.latencies ?? []).map((band) => [`from ${ms(band.min_ms)}`, band.recent]), ['failed', group.errors ?? []], ['cancelled', group.cancelled ?? []]]
      .filter(([, list]) => list.length);
    const key = `${group.kind} ${group.name}`;
    return h('details', { open: open.has(key), data: { group: key } },
      h('summary', {}, group.kind === 'task' ? badge('task', 'info') : null, ' ', group.name || '(no route)', ' ',
        h('span', { class: 'muted' }, `${count(group.active)} running`), ' ', group.errors?.length ? badge(`${group.errors.length} failed`, 'bad') : null),
      lists.map(([title, list]) => h('p', { class: 'band' }, h('span', { class: 'title' }, title),
        list.map((one) => h('a', { href: one.trace_id ? go(`traces/${one.trace_id}`) : `debug/requests/${encodeURIComponent(one.id)}`, title: `${time(one.started_at)} ${one.path ?? ''}` }, ms(one.duration_ms))))));
  });
}

function periodic(jobs) {
  return section('Periodic tasks', table('Periodic tasks', [
    { head: 'Name', cell: (job) => job.name },
    { head: 'Every', class: 'n', cell: (job) => ms(job.interval_ms) },
    { head: 'Last run', cell: (job) => (job.last_run ? ago(job.last_run) : '–') },
    { head: 'Took', class: 'n', cell: (job) => ms(job.last_duration_ms) },
    { head: 'Runs', class: 'n', cell: (job) => count(job.runs) },
    { head: 'Failures', class: 'n', cell: (job) => h('span', { class: job.failures ? 'bad' : null, title: job.last_error ?? '' }, count(job.failures)) },
    { head: 'Now', cell: (job) => (job.running ? badge(job.overrun ? 'running, late' : 'running', job.overrun ? 'warn' : 'ok') : '') },
  ], jobs));
}
