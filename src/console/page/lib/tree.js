// A trace as a tree, and where its time went. No recursion: a trace may be as deep as it is long.

import { between } from './otlp.js';

/** Nodes in the order of their starts; those whose parent is not here are roots. Times are ms after the trace's start. */
export function tree(spans, logs) {
  const nodes = spans.map((span) => ({ span, parent: null, children: [], logs: [], depth: 0, at: 0, duration: 0, self: 0 }));
  const byId = new Map(nodes.map((node) => [node.span.id, node]));
  const times = spans.flatMap((span) => [span.start, span.end > span.start ? span.end : span.start]).concat(logs.map((log) => log.at));
  let [start, end] = [times[0] ?? 0n, times[0] ?? 0n];
  for (const at of times) {
    if (at < start) start = at;
    if (at > end) end = at;
  }
  const roots = [];
  for (const node of nodes) {
    node.at = between(start, node.span.start);
    node.duration = Math.max(0, between(node.span.start, node.span.end));
    const parent = node.span.parentId ? byId.get(node.span.parentId) : null;
    if (parent && parent !== node) {
      node.parent = parent;
      parent.children.push(node);
    } else {
      roots.push(node);
    }
  }
  const loose = [];
  for (const log of logs) {
    log.offset = between(start, log.at);
    const node = log.spanId ? byId.get(log.spanId) : null;
    (node ? node.logs : loose).push(log);
    log.node = node ?? null;
  }
  for (const node of nodes) node.self = selfTime(node);
  return { nodes, byId, roots, loose, start, end, duration: between(start, end) };
}

/** What of a span's duration none of its children covers. */
function selfTime(node) {
  let covered = 0;
  let until = node.at;
  const end = node.at + node.duration;
  for (const child of node.children) { // sorted by their starts, as all spans are
    const from = Math.max(child.at, until);
    const to = Math.min(child.at + child.duration, end);
    if (to > from) {
      covered += to - from;
      until = to;
    }
  }
  return Math.max(0, node.duration - covered);
}

/** What took the longest, not counting what it waited for: by service and name. */
export function whereTheTimeWent(built) {
  const groups = new Map();
  for (const node of built.nodes) {
    const key = `${node.span.service}\n${node.span.name}`;
    const group = groups.get(key) ?? { name: node.span.name, service: node.span.service, count: 0, self: 0, longest: node };
    group.count += 1;
    group.self += node.self;
    if (node.self > group.longest.self) group.longest = node;
    groups.set(key, group);
  }
  return [...groups.values()].sort((one, other) => other.self - one.self);
}

/** The longest time in a span in which nothing below it went on, and what is told of its two ends. */
export function longestPause(node) {
  const named = (child) => {
    const attempt = child.span.attributes.get('http.request.resend_count');
    return attempt ? `${child.span.name}, retry ${attempt}` : child.span.name;
  };
  const moments = [
    ...node.children.map((child) => ({ from: child.at, to: child.at + child.duration, what: named(child) })),
    ...node.logs.map((log) => ({ from: log.offset, to: log.offset, what: log.text, isLog: true })),
  ].sort((one, other) => one.from - other.from);
  const end = node.at + node.duration;
  let best = { took: 0, after: null, before: null };
  let [until, last, line] = [node.at, null, null];
  for (const moment of [...moments, { from: end, to: end, what: null }]) {
    const took = moment.from - until;
    if (took > best.took) {
      // a line that was logged just before says more than the span which ended then
      const isNear = line && until - line.from < took / 10;
      best = { took, after: isNear ? line.what : last, before: moment.what };
    }
    if (moment.isLog) line = moment;
    if (moment.to >= until) [until, last] = [moment.to, moment.what];
  }
  return best;
}

/** The span that a person calls the request: the first that came in from outside, else the longest root. */
export function entry(built) {
  const served = built.nodes.find((node) => node.span.kind === 'server' || node.span.kind === 'consumer');
  return served ?? built.roots.reduce((best, node) => (!best || node.duration > best.duration ? node : best), null);
}

/** The rows of the waterfall: spans with their children, events and logs in the order of time. */
export function rows(built, { collapsed, withLogs }) {
  const found = [];
  const order = (one, other) => one.at - other.at;
  const stack = [];
  const push = (items) => { for (let index = items.length - 1; index >= 0; index -= 1) stack.push(items[index]); };
  const loose = withLogs ? built.loose.map((log) => ({ kind: 'log', log, at: log.offset, depth: 0 })) : [];
  push([...built.roots.map((node) => ({ kind: 'span', node, at: node.at, depth: 0 })), ...loose].sort(order));
  const seen = new Set();
  while (stack.length) {
    const item = stack.pop();
    found.push(item);
    if (item.kind !== 'span') continue;
    const { node, depth } = item;
    // spans that name each other as parents are nobody's children, and never come here; a doubled id may
    if (seen.has(node)) continue;
    seen.add(node);
    const inside = node.children.map((child) => ({ kind: 'span', node: child, at: child.at, depth: depth + 1 }));
    if (withLogs) {
      for (const log of node.logs) inside.push({ kind: 'log', log, node, at: log.offset, depth: depth + 1 });
      for (const event of node.span.events) inside.push({ kind: 'event', event, node, at: between(built.start, event.at), depth: depth + 1 });
    }
    item.hasMore = inside.length > 0;
    item.isOpen = !collapsed.has(node.span.id);
    if (item.hasMore && item.isOpen) push(inside.sort(order));
  }
  return found;
}
