//! Assertions on metrics and their exemplars.

use std::sync::Arc;

use super::{Expected, Narrowed, Scene, all, fail, found};
use crate::testing::{CapturedMetric, CapturedPoint, ExemplarRecord};

/// The points of one metric, narrowed down call by call: at least one must be left.
///
/// Made by [`Capture::assert_metric`](crate::testing::Capture::assert_metric). A demand that nobody fulfils ends the test
/// with a message that shows each point that was left, what it has instead, and the whole tree.
#[derive(Debug, Clone)]
pub struct MetricAssertion {
    scene: Arc<Scene>,
    points: Narrowed<CapturedPoint>,
}

#[expect(clippy::return_self_not_must_use, reason = "called for what it checks")]
#[expect(clippy::must_use_candidate, reason = "called for what it checks")]
impl MetricAssertion {
    #[track_caller]
    pub(in crate::testing) fn new(
        scene: Scene,
        name: &str,
        metric: Option<CapturedMetric>,
        names: impl FnOnce() -> Vec<String>,
    ) -> Self {
        let points = metric.map(|metric| metric.points().to_vec()).unwrap_or_default();
        if points.is_empty() {
            fail(&format!("no metric {name:?} was measured"), "measured", &names(), &scene.tree);
        }
        Self {
            scene: Arc::new(scene),
            points: Narrowed { demanded: format!("point of {name:?}"), left: points },
        }
    }

    #[track_caller]
    fn narrow(
        mut self,
        demand: &str,
        keep: impl Fn(&CapturedPoint) -> bool,
        instead: impl Fn(&CapturedPoint) -> String,
    ) -> Self {
        let scene = Arc::clone(&self.scene);
        self.points.narrow(demand, keep, instead, || scene.tree.clone());
        self
    }

    /// Points with this attribute, with this value and its type.
    ///
    /// # Panics
    ///
    /// When no point that is left has it.
    #[track_caller]
    pub fn has(self, key: &str, value: impl Into<Expected>) -> Self {
        let value = value.into();
        let keep = |point: &CapturedPoint| value.is(point.attributes().get(key));
        self.narrow(&format!(" with {key} = {value}"), keep, |point| found(point.attributes(), key))
    }

    /// Points without this attribute.
    ///
    /// # Panics
    ///
    /// When every point that is left has it.
    #[track_caller]
    pub fn lacks(self, key: &str) -> Self {
        let keep = |point: &CapturedPoint| point.attributes().get(key).is_none();
        self.narrow(&format!(" without {key}"), keep, |point| found(point.attributes(), key))
    }

    /// The measurements of all points that are left, of a histogram, are so many together.
    ///
    /// # Panics
    ///
    /// When they are more or fewer.
    #[track_caller]
    pub fn count(self, count: u64) -> Self {
        let found: u64 = self.points.left.iter().map(CapturedPoint::count).sum();
        self.check(found == count, &format!("{found} measurements, not {count}"))
    }

    /// The values of all points that are left, sums of a histogram, are this together, in the instrument's unit.
    ///
    /// # Panics
    ///
    /// When they are not.
    #[track_caller]
    #[expect(clippy::float_cmp, reason = "the sum of what was measured, not the result of a calculation")]
    pub fn value(self, value: f64) -> Self {
        let found: f64 = self.points.left.iter().map(CapturedPoint::value).sum();
        self.check(found == value, &format!("{found:?}, not {value:?}"))
    }

    #[track_caller]
    fn check(self, holds: bool, message: &str) -> Self {
        if !holds {
            let lines: Vec<_> = self.points.left.iter().map(line).collect();
            fail(&format!("{}: {message}", self.points.demanded), "points", &lines, &self.scene.tree);
        }
        self
    }

    /// Points one of whose exemplars was measured in a span of this name, ended or still open: trace id and span id lead
    /// there.
    ///
    /// # Panics
    ///
    /// When no point that is left has such an exemplar.
    #[track_caller]
    pub fn exemplar_of(self, span: &str) -> Self {
        let scene = Arc::clone(&self.scene);
        let leads = |exemplar: &ExemplarRecord| scene.leads(&exemplar.trace_id(), &exemplar.span_id());
        let keep = |point: &CapturedPoint| point.exemplars().iter().any(|one| leads(one) == Some(span));
        let instead = |point: &CapturedPoint| {
            let exemplar = |one: &ExemplarRecord| match (leads(one), &*one.trace_id()) {
                (Some(name), _) => format!("{:?} leads to {name:?}", one.value()),
                (None, "") => format!("{:?} leads nowhere", one.value()),
                (None, trace) => format!("{:?} leads to trace {trace}, span {}", one.value(), one.span_id()),
            };
            let all: Vec<_> = point.exemplars().iter().map(exemplar).collect();
            let exemplars = if all.is_empty() { "no exemplars".to_owned() } else { all.join(", ") };
            format!("{}: {exemplars}", line(point))
        };
        self.narrow(&format!(" with an exemplar of span {span:?}"), keep, instead)
    }

    /// Exactly so many points are left.
    ///
    /// # Panics
    ///
    /// When more or fewer are.
    #[track_caller]
    pub fn times(self, times: usize) -> Self {
        self.points.times(times, line, || self.scene.tree.clone());
        self
    }

    /// The first point that is left.
    #[must_use]
    pub fn get(&self) -> &CapturedPoint {
        // an assertion that left none did not return
        &self.points.left[0]
    }
}

fn line(point: &CapturedPoint) -> String {
    let value = match point.count() {
        0 => format!("{:?}", point.value()),
        1 => format!("1 measurement, {:?}", point.value()),
        count => format!("{count} measurements, sum {:?}", point.value()),
    };
    format!("{value} ({})", all(point.attributes()))
}
