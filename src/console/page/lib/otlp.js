// OTLP JSON to plain values. Times stay BigInt nanoseconds where differences count: a double cannot hold them.

export function nanos(given) {
  try { return BigInt(given ?? 0); } catch { return 0n; }
}

/** Milliseconds since 1970. */
export function millis(given) {
  return Number(nanos(given) / 1000n) / 1e3;
}

/** Milliseconds between two times. */
export function between(from, to) {
  return Number(to - from) / 1e6;
}

function any(value) {
  if (value === null || value === undefined) return null;
  const [kind, given] = Object.entries(value.value ?? value)[0] ?? [null, null];
  switch (kind?.toLowerCase()) {
    case 'intvalue': return Number.isSafeInteger(Number(given)) ? Number(given) : String(given);
    case 'arrayvalue': return (given.values ?? []).map(any);
    case 'kvlistvalue': return Object.fromEntries((given.values ?? []).map((pair) => [pair.key, any(pair.value)]));
    default: return given;
  }
}

export function attributes(list) {
  return new Map((list ?? []).map((pair) => [pair.key, any(pair.value)]));
}

const SPAN_KINDS = ['', 'internal', 'server', 'client', 'producer', 'consumer'];
const WORDS = { INTERNAL: 1, SERVER: 2, CLIENT: 3, PRODUCER: 4, CONSUMER: 5 };

function kindOf(given) {
  const index = typeof given === 'string' ? WORDS[given.replace('SPAN_KIND_', '')] ?? 0 : given ?? 0;
  return SPAN_KINDS[index] ?? '';
}

function isError(status) {
  return status?.code === 2 || status?.code === 'STATUS_CODE_ERROR';
}

/** Every span, in the order of their starts. */
export function spans(document) {
  const found = [];
  for (const group of document.resourceSpans ?? []) {
    const resource = attributes(group.resource?.attributes);
    for (const scoped of group.scopeSpans ?? []) {
      for (const span of scoped.spans ?? []) {
        found.push({
          traceId: span.traceId, id: span.spanId, parentId: span.parentSpanId || null,
          name: span.name ?? '', kind: kindOf(span.kind),
          start: nanos(span.startTimeUnixNano), end: nanos(span.endTimeUnixNano),
          attributes: attributes(span.attributes), resource,
          service: resource.get('service.name') ?? '', scope: scoped.scope?.name ?? '',
          isError: isError(span.status), problem: span.status?.message ?? '',
          events: (span.events ?? []).map((event) => ({
            at: nanos(event.timeUnixNano), name: event.name ?? '', attributes: attributes(event.attributes),
          })),
          links: (span.links ?? []).map((link) => ({
            traceId: link.traceId, spanId: link.spanId, attributes: attributes(link.attributes),
          })),
          dropped: (span.droppedAttributesCount ?? 0) + (span.droppedEventsCount ?? 0) + (span.droppedLinksCount ?? 0),
        });
      }
    }
  }
  return found.sort((one, other) => (one.start < other.start ? -1 : one.start > other.start ? 1 : 0));
}

export const LEVELS = ['trace', 'debug', 'info', 'warn', 'error'];

function levelOf(number) {
  if (number >= 17) return 'error';
  if (number >= 13) return 'warn';
  if (number >= 9) return 'info';
  return number >= 5 ? 'debug' : 'trace';
}

/** Every log record, in the document's order. */
export function logs(document) {
  const found = [];
  for (const group of document.resourceLogs ?? []) {
    for (const scoped of group.scopeLogs ?? []) {
      for (const record of scoped.logRecords ?? []) {
        const body = any(record.body);
        const at = nanos(record.timeUnixNano && record.timeUnixNano !== '0' ? record.timeUnixNano : record.observedTimeUnixNano);
        found.push({
          at, level: levelOf(record.severityNumber ?? 9),
          text: typeof body === 'string' ? body : body === null ? record.eventName ?? '' : JSON.stringify(body),
          event: record.eventName ?? '', target: scoped.scope?.name ?? '',
          traceId: record.traceId || null, spanId: record.spanId || null,
          attributes: attributes(record.attributes),
        });
      }
    }
  }
  return found;
}

function point(given) {
  const exemplars = (given.exemplars ?? []).map((exemplar) => ({
    at: millis(exemplar.timeUnixNano), value: plain(exemplar), traceId: exemplar.traceId || null, spanId: exemplar.spanId || null,
    attributes: attributes(exemplar.filteredAttributes),
  }));
  return {
    at: millis(given.timeUnixNano), start: millis(given.startTimeUnixNano),
    attributes: attributes(given.attributes), exemplars, value: plain(given),
    count: Number(given.count ?? 0), sum: Number(given.sum ?? 0), min: given.min ?? null, max: given.max ?? null,
    bounds: (given.explicitBounds ?? []).map(Number), counts: (given.bucketCounts ?? []).map(Number),
    exponential: given.scale === undefined || given.scale === null ? null : given,
  };
}

/** Of a point or an exemplar: `asInt` is text, and some encoders keep the value in an object of its own. */
function plain(given) {
  const held = given.value && typeof given.value === 'object' ? given.value : given;
  const found = held.asDouble ?? held.AsDouble ?? held.asInt ?? held.AsInt;
  return found === undefined || found === null ? null : Number(found);
}

/** One metric and its series: the points of each in the order of time. */
export function metric(document) {
  let found = null;
  for (const group of document.resourceMetrics ?? []) {
    for (const scoped of group.scopeMetrics ?? []) {
      for (const given of scoped.metrics ?? []) {
        const data = given.data ?? given;
        const [kind, body] = ['sum', 'gauge', 'histogram', 'exponentialHistogram', 'summary']
          .map((kind) => [kind, data[kind]]).find(([, body]) => body) ?? ['gauge', {}];
        found ??= {
          name: given.name, unit: given.unit ?? '', description: given.description ?? '', kind,
          isMonotonic: body.isMonotonic === true,
          isDelta: body.aggregationTemporality === 1 || body.aggregationTemporality === 'AGGREGATION_TEMPORALITY_DELTA',
          series: new Map(),
        };
        for (const one of body.dataPoints ?? []) {
          const read = point(one);
          const key = JSON.stringify([...read.attributes].sort(([a], [b]) => (a < b ? -1 : 1)));
          if (!found.series.has(key)) found.series.set(key, { key, attributes: read.attributes, points: [] });
          found.series.get(key).points.push(read);
        }
      }
    }
  }
  for (const series of found?.series.values() ?? []) series.points.sort((one, other) => one.at - other.at);
  return found;
}
