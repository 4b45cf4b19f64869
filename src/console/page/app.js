// The console: which view is shown, the keys that lead to it, and what is always there.

import { Live } from './lib/live.js';
import { go, h, say, show } from './lib/dom.js';
import { configuration } from './views/configuration.js';
import { environment } from './views/environment.js';
import { health } from './views/health.js';
import { loglevel } from './views/loglevel.js';
import { logs } from './views/logs.js';
import { metrics } from './views/metrics.js';
import { overview } from './views/overview.js';
import { requests } from './views/requests.js';
import { trace } from './views/trace.js';
import { traces } from './views/traces.js';

const VIEWS = [
  { path: 'overview', key: 'o', name: 'Overview', render: overview },
  { path: 'requests', key: 'r', name: 'Requests', render: requests },
  { path: 'traces', key: 't', name: 'Traces', render: traces, inner: trace },
  { path: 'logs', key: 'l', name: 'Logs', render: logs },
  { path: 'metrics', key: 'm', name: 'Metrics', render: metrics, inner: metrics },
  { path: 'health', key: 'h', name: 'Health', render: health },
  { path: 'environment', key: 'e', name: 'Environment', render: environment },
  { path: 'loglevel', key: 'v', name: 'Log level', render: loglevel },
  { path: 'configuration', key: 'c', name: 'Configuration', render: configuration },
];
const STATES = { live: 'live', waiting: 'no connection', polling: 'live', paused: 'paused' };

const view = document.getElementById('view');
const nav = document.getElementById('nav');
const liveState = document.getElementById('live');
let current = null;
let service = 'tracewell';
let leading = -Infinity;

const live = new Live((state) => {
  liveState.textContent = STATES[state];
  liveState.dataset.state = state;
});

function open() {
  const [path, search] = location.hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  const [first, ...rest] = path.split('/').filter(Boolean);
  const found = VIEWS.find((one) => one.path === first) ?? VIEWS[0];
  current?.stop?.();
  current = null;
  live.watch({});
  const root = h('div', { class: `view view-${found.path}` });
  show(view, root);
  const title = (words) => { document.title = `${words} · ${service}`; };
  title(found.name);
  for (const link of nav.querySelectorAll('a')) {
    if (link.dataset.path === found.path) {
      link.setAttribute('aria-current', 'page');
      link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    } else link.removeAttribute('aria-current');
  }
  const context = { rest, params: new URLSearchParams(search ?? ''), live, title, replace: (to, query) => history.replaceState(null, '', go(to, query)) };
  try {
    current = (rest.length && found.inner ? found.inner : found.render)(root, context) ?? null;
  } catch (error) {
    // an address that somebody mistyped, say
    show(root, h('h1', {}, found.name), h('p', { class: 'problem', role: 'alert' }, `This address cannot be shown: ${error.message}`));
    throw error;
  }
  view.focus({ preventScroll: true });
  scrollTo(0, 0);
  say(found.name);
}

function navigation() {
  show(nav, h('ul', {}, VIEWS.map(({ path, key, name }) => h('li', {}, h('a', { href: go(path), data: { path }, title: `g ${key}` }, h('span', {}, name), path === 'health' || path === 'requests' ? h('span', { class: 'count', id: `nav-${path}` }) : null)))));
}

/** What is said beside every view. */
function always(data) {
  if (data.service?.name && data.service.name !== service) {
    service = data.service.name;
    document.getElementById('service').textContent = service;
    document.title = `${document.title.split(' · ')[0]} · ${service}`;
  }
  document.getElementById('service').title = [data.service?.version && `version ${data.service.version}`, data.service?.instance && `instance ${data.service.instance}`].filter(Boolean).join(', ');
  document.getElementById('nav-requests').textContent = String((data.active?.requests ?? 0) + (data.active?.tasks ?? 0) || '');
  const failing = document.getElementById('nav-health');
  failing.textContent = data.health && !data.health.ready ? '!' : '';
  failing.title = data.health?.failing?.length ? `failing: ${data.health.failing.join(', ')}` : '';
}

function theme() {
  const button = document.getElementById('theme');
  const order = ['auto', 'light', 'dark'];
  const read = () => { try { return localStorage.getItem('tracewell.theme') ?? 'auto'; } catch { return 'auto'; } };
  let chosen = order.includes(read()) ? read() : 'auto';
  const apply = () => {
    if (chosen === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    button.textContent = { auto: '◐', light: '☀', dark: '☾' }[chosen];
    button.setAttribute('aria-label', `Colours: ${chosen}`);
    button.title = `Colours: ${chosen}`;
  };
  button.addEventListener('click', () => {
    chosen = order[(order.indexOf(chosen) + 1) % order.length];
    try { localStorage.setItem('tracewell.theme', chosen); } catch { /* private windows have none */ }
    apply();
  });
  apply();
}

function help() {
  const keys = [['/', 'to the filter of the view, or to the search'], ['j, k', 'down and up in a list'], ['Enter', 'open what is chosen'], ['← →', 'fold and unfold a span'],
    ['Space', 'pause the log, with the list in focus'], ['g, then a letter', VIEWS.map(({ key, name }) => `${key} ${name.toLowerCase()}`).join(', ')], ['Esc', 'leave a field, close the details'], ['?', 'this help']];
  const dialog = h('dialog', { 'aria-label': 'Keys', on: { close: () => dialog.remove(), click: (event) => { if (event.target === dialog) dialog.close(); } } },
    h('form', { method: 'dialog' }, h('h2', {}, 'Keys'), h('dl', { class: 'pairs keys' }, keys.map(([key, words]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, words)])),
      h('div', { class: 'actions' }, h('button', { class: 'primary' }, 'Close'))));
  document.body.append(dialog);
  dialog.showModal();
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  const isField = event.target.matches?.('input:not([type=checkbox]), select, textarea');
  if (event.key === 'Escape') {
    if (isField) event.target.blur();
    else document.querySelector('.side:not([hidden]) .close')?.click();
    return;
  }
  if (isField) return;
  if (performance.now() - leading < 1200) {
    leading = -Infinity;
    const found = VIEWS.find(({ key }) => key === event.key);
    if (found) {
      event.preventDefault();
      location.hash = go(found.path);
    }
    return;
  }
  const actions = {
    '/': () => (current?.focus?.() ?? document.getElementById('find-text')).focus(),
    '?': help,
    g: () => { leading = performance.now(); },
    j: () => current?.list?.step(1),
    k: () => current?.list?.step(-1),
    Enter: () => { if (document.activeElement === view || document.activeElement === document.body) current?.list?.openCurrent(); },
  };
  if (!Object.hasOwn(actions, event.key)) return;
  if (event.key !== 'Enter') event.preventDefault();
  actions[event.key]();
}

async function start() {
  navigation();
  theme();
  document.getElementById('help').addEventListener('click', help);
  document.getElementById('skip').addEventListener('click', (event) => { event.preventDefault(); view.focus(); });
  document.getElementById('find').addEventListener('submit', (event) => {
    event.preventDefault();
    const sought = document.getElementById('find-text').value.trim();
    location.hash = /^[0-9a-f]{32}$/i.test(sought) ? go(`traces/${sought.toLowerCase()}`) : go('traces', { text: sought });
  });
  addEventListener('keydown', keys);
  live.always({ overview: always });
  const first = await live.probe();
  if (first) always(first);
  addEventListener('hashchange', open);
  open();
}

start();
