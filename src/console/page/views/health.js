// Checks, and what protects the service from what it calls.

import { get } from '../lib/api.js';
import { h, say, show } from '../lib/dom.js';
import { count, dateTime, ms, percent } from '../lib/format.js';
import { badge, empty, pairs, problem, section, table } from '../lib/ui.js';

const EVERY = 5000;
const TONES = { pass: 'ok', warn: 'warn', fail: 'bad' };

export function health(root) {
  const [summary, checks, guards] = Array.from({ length: 3 }, () => h('div', {}));
  const again = h('button', { type: 'button', class: 'quiet', on: { click: () => read(true) } }, 'Check again');
  show(root, h('div', { class: 'bar' }, h('h1', {}, 'Health'), h('span', { class: 'push' }), again), summary, section('Checks', checks), section('Breakers and bulkheads', guards));
  let [stopped, timer] = [false, 0];
  async function read(asked) {
    clearTimeout(timer);
    try {
      const [report, ready, resilience] = await Promise.all([
        // 503 with a report is an answer, not an error
        get('healthcheck', { tolerate: [503] }), get('ready', { tolerate: [503] }), get('debug/resilience', { query: { format: 'json' } })]);
      if (stopped) return;
      const failing = report.results.filter((one) => !one.passed);
      show(summary, h('div', { class: 'cards' },
        h('div', { class: `tile ${ready.status === 'success' ? 'ok' : 'bad'}` }, h('span', { class: 'title' }, 'Traffic may come'), h('span', { class: 'number' }, ready.status === 'success' ? 'yes' : 'no'),
          h('span', { class: 'muted' }, ready.results.filter((one) => !one.passed).map((one) => `${one.checker}: ${one.output ?? 'failed'}`).join('; ') || 'every check of its group passes')),
        h('div', { class: `tile ${failing.length ? 'bad' : 'ok'}` }, h('span', { class: 'title' }, 'All checks'), h('span', { class: 'number' }, `${report.results.length - failing.length} of ${report.results.length}`),
          h('span', { class: 'muted' }, report.version ? `version ${report.version}` : dateTime(report.timestamp)))));
      show(checks, report.results.length ? cards(report.results) : empty('No check is registered.'), report.disabled?.length ? h('p', { class: 'muted' }, `Switched off: ${report.disabled.join(', ')}`) : null);
      show(guards, protection(resilience));
      if (asked) say(failing.length ? `${failing.length} checks fail` : 'Every check passes');
    } catch (error) {
      if (!stopped) show(summary, problem(error));
    }
    if (!stopped) timer = setTimeout(read, EVERY);
  }
  read();
  return { stop: () => { stopped = true; clearTimeout(timer); } };
}

function cards(results) {
  const order = ['fail', 'warn', 'pass'];
  const status = (one) => one.status ?? (one.passed ? 'pass' : 'fail');
  return h('ul', { class: 'checks' }, [...results].sort((one, other) => order.indexOf(status(one)) - order.indexOf(status(other))).map((one) => h('li', { class: TONES[status(one)] },
    h('div', { class: 'facts' }, badge(status(one), TONES[status(one)]), h('strong', {}, one.checker), one.critical === false ? h('span', { class: 'muted' }, 'not critical') : null,
      h('span', { class: 'push' }), h('span', { class: 'muted' }, `${ms(one.duration_ms)}${one.cached ? `, from ${ms(one.age_ms)} ago` : ''}`)),
    h('p', {}, one.output ?? ''), one.data && Object.keys(one.data).length ? h('details', {}, h('summary', {}, 'Data'), pairs(Object.entries(one.data))) : null)));
}

function protection({ breakers = [], bulkheads = [], policies = [] }) {
  if (!breakers.length && !bulkheads.length && !policies.length) return empty('The service has none.');
  const states = { closed: 'ok', open: 'bad' };
  return [
    breakers.length ? table('Breakers', [
      { head: 'Breaker', cell: (one) => one.target },
      { head: 'State', cell: (one) => badge(one.state, states[one.state] ?? 'warn') },
      { head: 'Open for', class: 'n', cell: (one) => (one.open_since_ms === null ? '' : one.by_hand ? 'until reset' : `${ms(one.open_since_ms)} of ${ms(one.open_for_ms)}`) },
      { head: 'Good', class: 'n', cell: (one) => count(one.good) },
      { head: 'Bad', class: 'n', cell: (one) => h('span', { class: one.bad ? 'bad' : null }, count(one.bad)) },
      { head: 'Rejected', class: 'n', cell: (one) => count(one.rejected) },
      { head: 'Opens at', class: 'n', cell: (one) => `${percent(one.failure_share)} of ${count(one.min_calls)}` },
    ], breakers) : null,
    bulkheads.length ? table('Bulkheads', [
      { head: 'Bulkhead', cell: (one) => one.name },
      { head: 'In use', class: 'n', cell: (one) => `${count(one.in_use)} of ${count(one.limit)}` },
      { head: 'Waiting', class: 'n', cell: (one) => count(one.waiting) },
      { head: 'Rejected', class: 'n', cell: (one) => count(one.rejected) },
    ], bulkheads) : null,
    policies.length ? table('Policies', [
      { head: 'Policy', cell: (one) => one.name },
      { head: 'Retries', class: 'n', cell: (one) => count(one.retries) },
      { head: 'Given up', class: 'n', cell: (one) => count(one.given_up) },
    ], policies) : null,
  ];
}
