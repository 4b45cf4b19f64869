//! Buckets of both kinds of histogram as the classic ones: upper bounds, and counts with one more for `+Inf`.

use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, exponential_histogram_data_point::Buckets,
};

/// Exponential buckets kept of both signs together; more are merged pairwise. The zero bucket and an edge below the
/// first bucket of each sign come on top.
const MAX_EXPONENTIAL_BUCKETS: i64 = 160;
/// The scales the data model allows.
const SCALES: std::ops::RangeInclusive<i32> = -10..=20;

/// Bounds and counts of a histogram with explicit bounds, `None` if they contradict each other.
pub(super) fn explicit(point: &HistogramDataPoint) -> Option<(&[f64], &[u64])> {
    let (bounds, counts) = (point.explicit_bounds.as_slice(), point.bucket_counts.as_slice());
    if bounds.is_empty() && counts.is_empty() {
        return Some((&[], std::slice::from_ref(&point.count)));
    }
    let ascending = bounds.windows(2).all(|pair| pair[0] < pair[1]) && !bounds.iter().any(|b| b.is_nan());
    if !ascending || counts.len() != bounds.len() + 1 {
        return None;
    }
    // a bound at infinity is the line that ends every histogram anyway
    Some((bounds.strip_suffix(&[f64::INFINITY]).unwrap_or(bounds), counts))
}

/// Buffers for the converted buckets of an exponential histogram.
#[derive(Debug, Default)]
pub(super) struct Converted {
    pub(super) bounds: Vec<f64>,
    /// one more than `bounds`
    pub(super) counts: Vec<u64>,
    /// counts of what had no bound of its own yet
    carry: u64,
}

impl Converted {
    /// Converts `point`; false, with the buffers in no useful state, if its scale is out of range.
    pub(super) fn fill(&mut self, point: &ExponentialHistogramDataPoint) -> bool {
        self.bounds.clear();
        self.counts.clear();
        self.carry = 0;
        if !SCALES.contains(&point.scale) {
            return false;
        }
        let positive = Side::new(point.positive.as_ref());
        let negative = Side::new(point.negative.as_ref());
        let mut merge = 0;
        while positive.len(merge) + negative.len(merge) > MAX_EXPONENTIAL_BUCKETS {
            merge += 1;
        }
        let scale = point.scale - merge;
        let bound = |index: i64| (index as f64 * f64::from(-scale).exp2()).exp2();

        if let Some(last) = negative.last(merge) {
            self.push(-bound(last + 1), 0);
        }
        for (index, count) in negative.counts.iter().enumerate().rev() {
            self.push(-bound((negative.first + index as i64) >> merge), *count);
        }
        let zero = point.zero_threshold;
        self.push(if zero.is_finite() && zero > 0.0 { zero } else { 0.0 }, point.zero_count);
        if !positive.counts.is_empty() {
            self.push(bound(positive.first >> merge), 0);
        }
        for (index, count) in positive.counts.iter().enumerate() {
            self.push(bound(((positive.first + index as i64) >> merge) + 1), *count);
        }
        self.counts.push(self.carry);
        true
    }

    /// Adds what is not above `bound`. Bounds come in ascending order; equal ones are one bucket.
    fn push(&mut self, bound: f64, count: u64) {
        let last = self.bounds.last().copied();
        if !bound.is_finite() {
            self.carry = self.carry.saturating_add(count);
        } else if last.is_none_or(|last| bound > last) {
            self.bounds.push(bound);
            self.counts.push(count.saturating_add(std::mem::take(&mut self.carry)));
        } else if let Some(total) = self.counts.last_mut() {
            *total = total.saturating_add(count);
        }
    }
}

/// The buckets of one sign from the first to the last that counted something.
struct Side<'a> {
    first: i64,
    counts: &'a [u64],
}

impl<'a> Side<'a> {
    fn new(buckets: Option<&'a Buckets>) -> Self {
        let Some(buckets) = buckets else { return Self { first: 0, counts: &[] } };
        let counts = buckets.bucket_counts.as_slice();
        let start = counts.iter().position(|count| *count > 0).unwrap_or(counts.len());
        let end = counts.iter().rposition(|count| *count > 0).map_or(start, |last| last + 1);
        Self { first: i64::from(buckets.offset) + start as i64, counts: &counts[start..end] }
    }

    fn last(&self, merge: i32) -> Option<i64> {
        let length = i64::try_from(self.counts.len()).ok().filter(|length| *length > 0)?;
        Some((self.first + length - 1) >> merge)
    }

    /// How many buckets are left when 2^`merge` neighbours become one.
    fn len(&self, merge: i32) -> i64 {
        self.last(merge).map_or(0, |last| last - (self.first >> merge) + 1)
    }
}
