// Charts of a few hundred points, drawn as SVG.

import { h, show, svg } from './dom.js';
import { shortTime } from './format.js';

const LEFT = 62;
const RIGHT = 14;
const TOP = 10;
const BOTTOM = 24;

/** A round number not below `value`: 1, 2 or 5 times a power of ten. */
function round(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999999);
}

function path(points, x, y) {
  let text = '';
  let pen = 'M';
  for (const [at, value] of points) {
    if (value === null || value === undefined || Number.isNaN(value)) { pen = 'M'; continue; }
    // a point that stands alone is a dot: nothing long, with round ends
    text += `${pen}${x(at).toFixed(1)} ${y(value).toFixed(1)}${pen === 'M' ? 'h0' : ''}`;
    pen = 'L';
  }
  return text;
}

/**
 * Lines over time. `series`: `{ name, points: [[ms, value]] }`; `dots`: `{ at, value, href, label }`, each a link.
 * `format` makes a value a text, `label` says what the chart is for whoever does not see it.
 */
export function lines({ series, dots = [], format, label, height = 220, most = 800 }) {
  const shown = series.filter((one) => one.points.some(([, value]) => value !== null && value !== undefined));
  // the drawing is scaled to its place, and its text with it
  const wide = innerWidth < 600 ? 400 : most;
  const times = [...shown.flatMap((one) => one.points.map(([at]) => at)), ...dots.map((dot) => dot.at)];
  if (!times.length) return h('p', { class: 'empty' }, 'No points yet.');
  const start = Math.min(...times);
  const end = Math.max(...times, start + 1000);
  const values = [...shown.flatMap((one) => one.points.map(([, value]) => value ?? 0)), ...dots.map((dot) => dot.value)];
  const top = round(Math.max(...values));
  const bottom = Math.min(0, -round(-Math.min(...values, 0)) * (Math.min(...values) < 0 ? 1 : 0));
  const x = (at) => LEFT + ((at - start) / (end - start)) * (wide - LEFT - RIGHT);
  const y = (value) => TOP + (1 - (value - bottom) / (top - bottom)) * (height - TOP - BOTTOM);
  const shares = String(top).includes('2') ? [0, 0.25, 0.5, 0.75, 1] : [0, 0.2, 0.4, 0.6, 0.8, 1];
  const grid = shares.map((share) => bottom + share * (top - bottom));
  const ticks = (wide > 400 ? [0, 0.25, 0.5, 0.75, 1] : [0, 0.5, 1]).map((share) => start + share * (end - start));
  const anchor = (index) => (index === 0 ? 'start' : index === ticks.length - 1 ? 'end' : 'middle');
  const cross = svg('line', { class: 'cross', y1: TOP, y2: height - BOTTOM, visibility: 'hidden' });
  const drawing = svg('svg', { viewBox: `0 0 ${wide} ${height}`, class: 'chart', role: dots.length ? 'group' : 'img', 'aria-label': label },
    grid.map((value) => [
      svg('line', { class: 'grid', x1: LEFT, x2: wide - RIGHT, y1: y(value), y2: y(value) }),
      svg('text', { class: 'tick', x: LEFT - 8, y: y(value) + 4, 'text-anchor': 'end' }, format(value)),
    ]),
    ticks.map((at, index) => svg('text', { class: 'tick', x: x(at), y: height - 6, 'text-anchor': anchor(index) }, shortTime(at))),
    shown.map((one, index) => svg('path', { class: `line c${(one.colour ?? index) % 8}`, d: path(one.points, x, y) })),
    cross,
    dots.map((dot) => svg('a', { href: dot.href, 'aria-label': dot.label, class: 'exemplar' },
      svg('circle', { cx: x(dot.at), cy: y(dot.value), r: 5 }), svg('title', {}, dot.label))));
  const readout = h('output', { class: 'readout' });
  const legend = h('div', { class: 'legend' }, shown.map((one, index) => h('span', { class: `key c${(one.colour ?? index) % 8}` }, one.name)),
    dots.length ? h('span', { class: 'key exemplars' }, 'exemplars: each opens its trace') : null, readout);
  drawing.addEventListener('pointermove', (event) => {
    const box = drawing.getBoundingClientRect();
    const at = start + ((((event.clientX - box.left) / box.width) * wide - LEFT) / (wide - LEFT - RIGHT)) * (end - start);
    const near = nearest(shown, at);
    if (near === null) return;
    cross.setAttribute('x1', x(near));
    cross.setAttribute('x2', x(near));
    cross.setAttribute('visibility', 'visible');
    const said = shown.map((one) => [one.name, one.points.find(([time]) => time === near)?.[1]])
      .filter(([, value]) => value !== undefined && value !== null).map(([name, value]) => `${name} ${format(value)}`);
    show(readout, `${shortTime(near)}  ${said.join(' · ')}`);
  });
  drawing.addEventListener('pointerleave', () => { cross.setAttribute('visibility', 'hidden'); show(readout); });
  return h('div', { class: 'plot' }, drawing, legend);
}

function nearest(series, at) {
  let best = null;
  for (const one of series) {
    for (const [time, value] of one.points) {
      if (value !== null && (best === null || Math.abs(time - at) < Math.abs(best - at))) best = time;
    }
  }
  return best;
}

/** A small area without axes; the text beside it says the number. */
export function spark(values, { label, tone } = {}) {
  const top = Math.max(...values.map((value) => value ?? 0), 1e-9);
  const step = 100 / Math.max(1, values.length - 1);
  const line = values.map((value, index) => `${(index * step).toFixed(2)},${(27 - ((value ?? 0) / top) * 24).toFixed(2)}`);
  return svg('svg', { viewBox: '0 0 100 28', preserveAspectRatio: 'none', class: `spark ${tone ?? ''}`, role: 'img', 'aria-label': label },
    values.length > 1 ? [
      svg('polygon', { points: `0,28 ${line.join(' ')} 100,28` }),
      svg('polyline', { points: line.join(' '), 'vector-effect': 'non-scaling-stroke' }),
    ] : null);
}
