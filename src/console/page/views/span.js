// Everything about one row of a trace: a span, one of its events, or a log record.

import { go, h } from '../lib/dom.js';
import { ms, time } from '../lib/format.js';
import { between, millis } from '../lib/otlp.js';
import { badge, copy, pairs, traceLink } from '../lib/ui.js';

const SEEN = 100;

export function detail(item, state) {
  if (item.kind === 'log') return logDetail(item.log, { inTrace: true });
  if (item.kind === 'event') {
    return [h('h3', {}, item.event.name), h('p', { class: 'muted' }, `event, ${ms(item.at)} after the trace’s start, of `, h('strong', {}, item.node.span.name)), pairs(item.event.attributes)];
  }
  const { node } = item;
  const { span } = node;
  return [
    h('h3', {}, span.name),
    h('div', { class: 'facts' }, span.isError ? badge('failed', 'bad') : null, span.kind ? badge(span.kind) : null, span.service ? badge(span.service, 'info') : null),
    span.problem ? h('p', { class: 'problem' }, span.problem) : null,
    pairs([
      ['duration', ms(node.duration)],
      ['of it, itself', ms(node.self)],
      ['starts after', ms(node.at)],
      ['at', time(millis(span.start))],
      ['span id', span.id],
      ...(span.parentId ? [['parent', node.parent ? node.parent.span.name : `${span.parentId} (not here: of another process, or not sampled)`]] : []),
      ...(span.scope ? [['scope', span.scope]] : []),
      ...(span.dropped ? [['left out', `${span.dropped} attributes, events or links over the limit`]] : []),
    ]),
    h('div', { class: 'facts' }, onward(state, node), copy(span.id, 'span id')),
    part('Attributes', span.attributes.size, pairs(span.attributes), true),
    part('Events', span.events.length, span.events.slice(0, SEEN).map((event) => [
      h('h4', {}, event.name, h('span', { class: 'muted' }, ` +${ms(between(state.built.start, event.at))}`)), pairs(event.attributes)]), true),
    part('Links', span.links.length, span.links.slice(0, SEEN).map((link) => [h('p', {}, traceLink(link.traceId, link.spanId, h('code', {}, link.traceId))), pairs(link.attributes)]), true),
    part('Logs', node.logs.length, h('ul', { class: 'lines' }, node.logs.slice(0, SEEN).map((log) => h('li', {},
      h('span', { class: `level ${log.level}` }, log.level), ` +${ms(log.offset)} `, log.text)),
    node.logs.length > SEEN ? h('li', {}, h('a', { href: go('logs', { trace_id: span.traceId }) }, `and ${node.logs.length - SEEN} more`)) : null), true),
    part('Resource', span.resource.size, pairs(span.resource), false),
  ];
}

function part(title, size, content, open) {
  return size ? h('details', { open }, h('summary', {}, `${title} (${size})`), content) : null;
}

export function logDetail(log, { inTrace } = {}) {
  return [
    h('h3', { class: 'message' }, log.text),
    h('div', { class: 'facts' }, h('span', { class: `level ${log.level}` }, log.level), h('span', { class: 'muted' }, time(millis(log.at))), copy(log.text, 'message')),
    pairs([
      ...(log.target ? [['target', log.target]] : []),
      ...(log.event && log.event !== log.text ? [['event', log.event]] : []),
      ...(log.traceId ? [['trace', inTrace ? log.traceId : traceLink(log.traceId, log.spanId, h('code', {}, log.traceId))]] : []),
      ...(log.spanId ? [['span', log.spanId]] : []),
    ]),
    log.attributes.size ? [h('h4', {}, 'Attributes'), pairs(log.attributes)] : null,
  ];
}

/** Links to other programs, as the operator configured them: http and https only. */
export function onward(state, node) {
  const { built, id, links } = state;
  const span = node?.span ?? built.roots[0]?.span;
  const values = {
    trace_id: id, span_id: span?.id ?? '', service: span?.service ?? '',
    start_ms: String(Math.floor(millis(built.start))), end_ms: String(Math.ceil(millis(built.end))),
  };
  return (links ?? []).map(({ label, url }) => {
    const filled = String(url).replace(/\{(trace_id|span_id|service|start_ms|end_ms)\}/g, (_, name) => encodeURIComponent(values[name]));
    if (!/^https?:\/\//i.test(filled)) return null;
    return h('a', { href: filled, target: '_blank', rel: 'noopener noreferrer', class: 'onward' }, `Open in ${label}`);
  });
}
