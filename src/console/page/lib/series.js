// From points as they are exported to what a person reads: rates, percentiles, values.

const QUANTILES = [0.5, 0.95, 0.99];

/** A series that begins this soon after its own start has had nothing before. */
const FRESH = 30e3;

/** When anything of a metric was collected. */
export function collections(series) {
  return [...new Set([...series].flatMap((one) => one.points.map((point) => point.at)))].sort((one, other) => one - other);
}

/**
 * How much came between two points of a series; a restart begins anew. The first point of all kept ones tells nothing, for
 * earlier ones may have been dropped; but a series that comes later than others did not exist before.
 */
function difference(before, now, isDelta, read, times) {
  if (isDelta) return read(now);
  if (!before) return now.at > times[0] || now.at - now.start < FRESH ? read(now) : null;
  const passed = read(now) - read(before);
  return now.start !== before.start || passed < 0 ? read(now) : passed;
}

/** Events a second of a monotonic sum. */
export function rate(points, isDelta, times) {
  return points.map((point, index) => {
    const before = points[index - 1];
    const came = difference(before, point, isDelta, (one) => one.value ?? one.count, times);
    const earlier = before?.at ?? times[times.indexOf(point.at) - 1] ?? point.start;
    const seconds = (point.at - earlier) / 1000;
    return [point.at, came === null || !(seconds > 0) ? null : came / seconds];
  });
}

export function values(points) {
  return points.map((point) => [point.at, point.value]);
}

/** Percentiles over time, of all given series together. `null` where nothing came. */
export function percentiles(series, isDelta) {
  const times = collections(series);
  const found = new Map();
  for (const { points } of series) {
    points.forEach((point, index) => {
      const came = buckets(points[index - 1], point, isDelta, times);
      if (!came) return;
      const at = found.get(point.at) ?? new Map();
      for (const [upper, n] of came) at.set(upper, (at.get(upper) ?? 0) + n);
      found.set(point.at, at);
    });
  }
  const sorted = [...found].sort(([one], [other]) => one - other);
  // no percentile lies above what was measured, however wide its bucket is
  const most = series.flatMap(({ points }) => points.map((point) => point.max));
  const largest = most.length && most.every((max) => max !== null) ? Math.max(...most) : Infinity;
  return QUANTILES.map((share) => ({ name: `p${share * 100}`, points: sorted.map(([at, counts]) => [at, quantile(counts, share, largest)]) }));
}

/** What came into each bucket, by its upper bound: `[[upper, n]]`. */
function buckets(before, now, isDelta, times) {
  const first = difference(before, now, isDelta, (one) => one.count, times);
  if (first === null) return null;
  if (now.exponential) return exponential(before?.exponential, now.exponential, isDelta || !before || now.start !== before.start);
  return now.counts.map((_, index) => [now.bounds[index] ?? Infinity, Math.max(0, difference(before, now, isDelta, (one) => one.counts[index] ?? 0, times))]);
}

function exponential(before, now, whole) {
  const uppers = (point) => {
    const found = new Map([[0, Number(point.zeroCount ?? 0)]]);
    const base = 2 ** (2 ** -point.scale);
    (point.positive?.bucketCounts ?? []).forEach((n, index) => found.set(base ** ((point.positive.offset ?? 0) + index + 1), Number(n)));
    return found;
  };
  const found = uppers(now);
  // at another scale the buckets cannot be compared
  const earlier = !whole && before?.scale === now.scale ? uppers(before) : new Map();
  return [...found].map(([upper, n]) => [upper, Math.max(0, n - (earlier.get(upper) ?? 0))]);
}

/** Linear inside a bucket, as Prometheus' histogram_quantile. */
function quantile(found, share, largest) {
  const sorted = [...found].sort(([one], [other]) => one - other);
  const total = sorted.reduce((sum, [, n]) => sum + n, 0);
  if (!total) return null;
  let [passed, lower] = [0, 0];
  for (const [upper, n] of sorted) {
    if (n && passed + n >= share * total) return Math.min(largest, Number.isFinite(upper) ? lower + (upper - lower) * ((share * total - passed) / n) : lower);
    passed += n;
    if (Number.isFinite(upper)) lower = upper;
  }
  return lower;
}

/** The exemplars of the series, each once. */
export function exemplars(series) {
  const found = new Map();
  for (const { points, attributes } of series) {
    for (const point of points) {
      for (const exemplar of point.exemplars) {
        if (exemplar.traceId && exemplar.value !== null) found.set(`${exemplar.traceId} ${exemplar.at} ${exemplar.value}`, { ...exemplar, of: attributes });
      }
    }
  }
  return [...found.values()].sort((one, other) => one.at - other.at);
}
