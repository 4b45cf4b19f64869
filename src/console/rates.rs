//! How many requests there were by route, how many failed and how long they took: counted as server spans come, so that
//! what the store has to let go still counts.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::SpanData;

use super::trace::{Standing, duration, is_error, route, standing};
use crate::redaction::Redactor;

/// Seconds of one step.
pub(crate) const STEP: u64 = 5;
/// Steps that are kept: ten minutes.
const STEPS: usize = 120;
/// Steps of the window by route: a minute.
const WINDOW: u64 = 60 / STEP;
/// Routes at most; the rest are one.
const ROUTES: usize = 256;
/// Longest name of a route, in bytes.
const NAME: usize = 256;

/// What there are too many of, or what is too long.
const OTHER: (Option<&str>, Option<&str>) = (None, Some("(other)"));

type Route = (Option<String>, Option<String>);

/// Requests over time.
#[derive(Debug)]
pub(super) struct Rates {
    /// Durations kept of one step; of more, evenly spread ones.
    samples: usize,
    routes: Vec<Route>,
    /// By method and route, without one an empty text.
    known: HashMap<Box<str>, HashMap<Box<str>, u16>>,
    steps: VecDeque<Step>,
}

#[derive(Debug)]
struct Step {
    /// Its begin in steps since 1970.
    at: u64,
    requests: u64,
    errors: u64,
    by_route: HashMap<u16, (u64, u64)>,
    samples: Vec<(u16, f32)>,
    /// p50 and p95 of a step outside of the window, whose samples are gone.
    settled: Option<(f64, f64)>,
}

/// What one route had in the window.
#[derive(Debug, Clone)]
pub(crate) struct RouteRate {
    pub(crate) method: Option<String>,
    pub(crate) route: Option<String>,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) rate: f64,
    pub(crate) percentiles: [f64; 3],
}

/// What all routes had in one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepRate {
    pub(crate) at: SystemTime,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) p50: Option<f64>,
    pub(crate) p95: Option<f64>,
}

impl Rates {
    /// Keeps so many durations of each step.
    pub(super) fn new(samples: usize) -> Self {
        Self { samples, routes: Vec::new(), known: HashMap::new(), steps: VecDeque::new() }
    }

    /// Counts a span if it is a request that came in.
    pub(super) fn count(&mut self, span: &SpanData, now: SystemTime, redactor: &Redactor) {
        if span.span_kind != SpanKind::Server || standing(span) == Standing::Child {
            return;
        }
        // a time to come is a mistake of whoever set it
        let at = step(span.end_time.min(now));
        let newest = self.steps.back().map_or(0, |step| step.at);
        if at + WINDOW <= newest {
            return;
        }
        let (method, route) = route(span);
        let (key, most) = (self.seen(method.as_deref(), route.as_deref(), redactor), self.samples);
        let step = self.step(at);
        step.requests += 1;
        let failed = u64::from(is_error(span));
        step.errors += failed;
        let of_route = step.by_route.entry(key).or_default();
        *of_route = (of_route.0 + 1, of_route.1 + failed);
        let sample = (key, (duration(span).as_secs_f64() * 1e3) as f32);
        if step.samples.len() < most {
            step.samples.push(sample);
        } else {
            // Vitter's algorithm R, with the duration's own noise as its dice
            let dice = span.end_time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
            let at = (dice ^ (dice >> 7)).wrapping_mul(0x9E37_79B9_7F4A_7C15) % step.requests;
            if let Some(kept) = step.samples.get_mut(at as usize) {
                *kept = sample;
            }
        }
    }

    /// The number of a method and a route as they may be seen. What has no secret is known as it is; what has one is
    /// looked through each time, so that secrets make no routes.
    fn seen(&mut self, method: Option<&str>, route: Option<&str>, redactor: &Redactor) -> u16 {
        if let Some(known) = self.known(method, route) {
            return known;
        }
        let (method, route) = (method.map(|text| redactor.text(text)), route.map(|text| redactor.text(text)));
        self.route(method.as_deref(), route.as_deref())
    }

    fn known(&self, method: Option<&str>, route: Option<&str>) -> Option<u16> {
        let known = self.known.get(method.unwrap_or_default())?;
        known.get(route.unwrap_or_default()).copied()
    }

    fn route(&mut self, method: Option<&str>, route: Option<&str>) -> u16 {
        if let Some(known) = self.known(method, route) {
            return known;
        }
        let is_long = |text: Option<&str>| text.is_some_and(|text| text.len() > NAME);
        let is_other = OTHER == (method, route);
        if (self.routes.len() >= ROUTES || is_long(method) || is_long(route)) && !is_other {
            return self.route(OTHER.0, OTHER.1);
        }
        let key = u16::try_from(self.routes.len()).unwrap_or(u16::MAX);
        self.routes.push((method.map(str::to_owned), route.map(str::to_owned)));
        let known = self.known.entry(method.unwrap_or_default().into()).or_default();
        known.insert(route.unwrap_or_default().into(), key);
        key
    }

    fn step(&mut self, at: u64) -> &mut Step {
        let place = self.steps.partition_point(|step| step.at < at);
        if self.steps.get(place).is_none_or(|step| step.at != at) {
            self.steps.insert(place, Step::new(at));
            let newest = self.steps.back().map_or(at, |step| step.at);
            for step in &mut self.steps {
                if step.at + WINDOW <= newest {
                    step.settle();
                }
            }
            while self.steps.front().is_some_and(|first| first.at + (STEPS as u64) <= newest) {
                self.steps.pop_front();
            }
        }
        let place = self.steps.partition_point(|step| step.at < at);
        &mut self.steps[place]
    }

    /// The window that ends `now`, by route; the most requests first.
    pub(super) fn routes(&self, now: SystemTime) -> Vec<RouteRate> {
        let current = step(now);
        let in_window = |step: &&Step| step.at + WINDOW > current && step.at <= current;
        let covered = seconds_into(now) + (60 - STEP) as f64;
        let mut all: HashMap<u16, (u64, u64, Vec<f32>)> = HashMap::new();
        for step in self.steps.iter().filter(in_window) {
            for (key, (requests, errors)) in &step.by_route {
                let sum = all.entry(*key).or_default();
                sum.0 += requests;
                sum.1 += errors;
            }
            for (key, sample) in &step.samples {
                all.entry(*key).or_default().2.push(*sample);
            }
        }
        let mut routes: Vec<_> = all
            .into_iter()
            .filter_map(|(key, (requests, errors, mut samples))| {
                let (method, route) = self.routes.get(usize::from(key))?.clone();
                samples.sort_by(f32::total_cmp);
                let percentiles = [0.5, 0.95, 0.99].map(|share| percentile(&samples, share).unwrap_or(0.0));
                Some(RouteRate {
                    method,
                    route,
                    requests,
                    errors,
                    rate: requests as f64 / covered,
                    percentiles,
                })
            })
            .collect();
        routes.sort_by(|a, b| (b.requests, &a.route, &a.method).cmp(&(a.requests, &b.route, &b.method)));
        routes
    }

    /// The last ten minutes, one value per step, from the first one that had a request; the step that is not over is left out.
    pub(super) fn series(&self, now: SystemTime) -> Vec<StepRate> {
        let current = step(now);
        let first =
            self.steps.front().map_or(current, |step| step.at).max(current.saturating_sub(STEPS as u64));
        (first..current)
            .map(|at| {
                let found = self.steps.binary_search_by_key(&at, |step| step.at).ok();
                let found = found.and_then(|place| self.steps.get(place));
                let both = found.and_then(Step::percentiles);
                StepRate {
                    at: UNIX_EPOCH + Duration::from_secs(at * STEP),
                    requests: found.map_or(0, |step| step.requests),
                    errors: found.map_or(0, |step| step.errors),
                    p50: both.map(|both| both.0),
                    p95: both.map(|both| both.1),
                }
            })
            .collect()
    }
}

impl Step {
    fn new(at: u64) -> Self {
        Self { at, requests: 0, errors: 0, by_route: HashMap::new(), samples: Vec::new(), settled: None }
    }

    fn settle(&mut self) {
        if self.settled.is_none() {
            self.settled = self.percentiles();
            self.samples = Vec::new();
            self.by_route = HashMap::new();
        }
    }

    fn percentiles(&self) -> Option<(f64, f64)> {
        self.settled.or_else(|| {
            let mut samples: Vec<f32> = self.samples.iter().map(|(_, sample)| *sample).collect();
            samples.sort_by(f32::total_cmp);
            percentile(&samples, 0.5).zip(percentile(&samples, 0.95))
        })
    }
}

fn step(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / STEP)
}

/// Seconds since the current step began.
fn seconds_into(now: SystemTime) -> f64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs() % STEP) as f64 + f64::from(since.subsec_millis()) / 1e3
}

/// By the nearest rank.
fn percentile(sorted: &[f32], share: f64) -> Option<f64> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let values: Vec<f32> = (1..=100).map(|value| value as f32).collect();
        assert_eq!([0.5, 0.95, 0.99].map(|share| percentile(&values, share)), [50.0, 95.0, 99.0].map(Some));
        assert_eq!(percentile(&[7.0], 0.5), Some(7.0));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
