//! What stays and what goes.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity},
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::{
    logs::{SdkLogRecord, SdkLoggerProvider},
    trace::{SpanData, SpanEvents, SpanLinks},
};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{
        AggregationTemporality, Exemplar, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
        metric::Data, number_data_point::Value as Number,
    },
};

use super::{
    history::History,
    size,
    store::{Bounds, Freed, Store},
    trace::{StoredLog, StoredSpan},
};

const MIB: usize = 1 << 20;

fn store(bytes: usize) -> Store {
    Store::new(Bounds { bytes, age: Duration::from_secs(60) })
}

fn span(trace: u128, id: u64, milliseconds: u64, failed: bool) -> SpanData {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) + Duration::from_millis(id);
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(trace.to_be_bytes()),
            SpanId::from_bytes(id.to_be_bytes()),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: if id == 1 { SpanId::INVALID } else { SpanId::from_bytes(1_u64.to_be_bytes()) },
        parent_span_is_remote: false,
        span_kind: SpanKind::Server,
        name: "GET /".into(),
        start_time: start,
        end_time: start + Duration::from_millis(milliseconds),
        attributes: vec![KeyValue::new("padding", "x".repeat(1000))],
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if failed { Status::error("no") } else { Status::Unset },
        instrumentation_scope: InstrumentationScope::default(),
    }
}

fn add(store: &mut Store, data: SpanData) {
    let size = size::span(&data);
    store.add_span(&Arc::new(StoredSpan { data, size }), Instant::now(), &mut Freed::default());
}

fn record(trace: Option<u128>, text: &str) -> SdkLogRecord {
    let mut record = SdkLoggerProvider::builder().build().logger("").create_log_record();
    record.set_severity_number(Severity::Info);
    record.set_body(AnyValue::from(text.to_owned()));
    if let Some(trace) = trace {
        let id = TraceId::from_bytes(trace.to_be_bytes());
        record.set_trace_context(id, SpanId::from_bytes(7_u64.to_be_bytes()), None);
    }
    record
}

fn log(store: &mut Store, trace: Option<u128>, text: &str) {
    let record = record(trace, text);
    let size = size::record(&record);
    let scope = Arc::new(InstrumentationScope::default());
    let came = Instant::now();
    store.add_log(StoredLog { number: 0, record, scope, size, came }, came, &mut Freed::default());
}

fn id(trace: u128) -> TraceId {
    TraceId::from_bytes(trace.to_be_bytes())
}

fn kept(store: &Store, trace: u128) -> Option<usize> {
    store.spans(id(trace)).map(|spans| spans.len())
}

#[test]
fn a_trace_is_named_by_what_was_asked_for_and_by_its_caller_only_if_that_is_all() {
    let mut store = store(MIB);
    let head = |store: &Store| store.summaries(u64::MAX, 1)[0].head.data.name.to_string();
    let named = |id, name: &'static str, kind, is_remote| SpanData {
        name: name.into(),
        span_kind: kind,
        parent_span_is_remote: is_remote,
        ..span(1, id, 10, false)
    };
    add(&mut store, named(1, "GET", SpanKind::Client, false));
    assert_eq!(head(&store), "GET");
    add(&mut store, named(3, "POST /payments", SpanKind::Server, true));
    add(&mut store, named(2, "POST /orders", SpanKind::Server, true));
    assert_eq!(head(&store), "POST /orders", "the first that was served, though its caller is here");
    let root = SpanData { parent_span_id: SpanId::INVALID, ..named(4, "nightly", SpanKind::Internal, false) };
    add(&mut store, root);
    assert_eq!(head(&store), "nightly", "no call at all");
}

#[test]
fn a_trace_goes_with_its_records_and_what_comes_for_it_later_is_not_kept() {
    let mut store = store(MIB / 4);
    for slower in 900..905 {
        add(&mut store, span(slower, 1, 50, false));
    }
    for span_id in [2, 3, 1] {
        add(&mut store, span(1, span_id, 5, false));
    }
    log(&mut store, Some(1), "said in the first trace");
    assert_eq!((kept(&store, 1), store.logs_of(id(1)).len()), (Some(3), 1));
    for other in 2..400 {
        add(&mut store, span(other, 2, 5, false));
        add(&mut store, span(other, 1, 5, false));
        log(&mut store, Some(other), "said in another");
    }
    assert_eq!(kept(&store, 1), None, "the oldest went");
    assert!(store.logs_before(u64::MAX, 10_000).iter().all(|log| log.trace_id() != Some(id(1))));
    for other in 2..400 {
        assert!(matches!(kept(&store, other), None | Some(2)), "a part of trace {other}");
        assert_eq!(store.logs_of(id(other)).len(), usize::from(kept(&store, other).is_some()));
    }
    add(&mut store, span(1, 4, 5, false));
    assert_eq!((kept(&store, 1), store.fill().dropped_spans), (None, 1), "half a trace is none");
    let fill = store.fill();
    assert!(fill.bytes <= MIB / 4 && fill.bytes > MIB / 5, "{fill:?}");
    assert_eq!(fill.traces as u64 + fill.evicted_traces, 404);
    assert_eq!((fill.spans + 5, fill.logs + 5), (2 * fill.traces, fill.traces), "the slower ones have less");
}

#[test]
fn failed_traces_and_the_slowest_stay_longest_whatever_comes() {
    let mut store = store(MIB);
    add(&mut store, span(1, 2, 1, true));
    add(&mut store, span(1, 1, 1, false));
    add(&mut store, span(2, 1, 900, false));
    for other in 10..20 {
        add(&mut store, span(other, 1, 100, false));
    }
    for other in 1000..6000 {
        add(&mut store, span(other, 1, 1 + other as u64 % 7, false));
    }
    assert_eq!(kept(&store, 1), Some(2), "one of its spans failed");
    assert_eq!(kept(&store, 2), Some(1), "the slowest of all");
    assert!((10..20).filter(|other| kept(&store, *other).is_some()).count() >= 4, "the slowest of its kind");
    assert!(kept(&store, 5999).is_some() && kept(&store, 1000).is_none(), "of the rest the newest stay");
    // a storm of errors takes no more than a half
    for other in 10_000..15_000 {
        add(&mut store, span(other, 1, 1, true));
    }
    assert!(kept(&store, 5999).is_some(), "what explains the storm");
    assert_eq!(kept(&store, 1), None);
    let fill = store.fill();
    assert!(fill.bytes <= MIB, "{fill:?}");
}

#[test]
fn a_trace_that_never_ends_keeps_its_newest_records_and_no_more_than_its_share() {
    let mut store = store(MIB);
    for number in 0..5000 {
        log(&mut store, Some(1), &format!("{number} {}", "x".repeat(200)));
    }
    add(&mut store, span(2, 1, 5, false));
    let logs = store.logs_of(id(1));
    assert!(logs.len() > 100 && logs.len() < 500, "{}", logs.len());
    let last = logs.last().and_then(|log| log.record.body().cloned());
    assert!(matches!(last, Some(AnyValue::String(text)) if text.as_str().starts_with("4999 ")));
    for number in 2..5000 {
        add(&mut store, span(1, number, 5, false));
    }
    assert_eq!(kept(&store, 2), Some(1), "one large trace costs no other");
    let fill = store.fill();
    assert!(fill.bytes < MIB / 2 && fill.dropped_spans > 4000, "{fill:?}");
}

#[test]
fn what_is_too_old_goes_failed_or_not() {
    let mut store = store(MIB);
    add(&mut store, span(1, 1, 5, true));
    add(&mut store, span(2, 1, 5, false));
    log(&mut store, None, "of nobody");
    let mut freed = Freed::default();
    store.expire(Instant::now(), &mut freed);
    assert_eq!((store.fill().traces, store.fill().logs), (2, 1));
    store.expire(Instant::now() + Duration::from_secs(61), &mut freed);
    let fill = store.fill();
    assert_eq!((fill.traces, fill.logs, fill.bytes), (0, 0, 0), "and nothing is counted that is not there");
}

/// One reading of a counter: a value and the times of its exemplars per series.
fn reading(series: &[(i64, &[u64])]) -> ExportMetricsServiceRequest {
    let points = series.iter().enumerate().map(|(number, (value, exemplars))| NumberDataPoint {
        attributes: vec![(&KeyValue::new("number", number as i64)).into()],
        value: Some(Number::AsInt(*value)),
        exemplars: exemplars
            .iter()
            .map(|at| Exemplar { time_unix_nano: *at, ..Exemplar::default() })
            .collect(),
        ..NumberDataPoint::default()
    });
    let sum = Sum {
        data_points: points.collect(),
        aggregation_temporality: AggregationTemporality::Cumulative as i32,
        is_monotonic: true,
    };
    let metric = Metric { name: "logins".to_owned(), data: Some(Data::Sum(sum)), ..Metric::default() };
    let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }
}

/// Time, value and number of exemplars of every point that is shown.
fn shown(history: &History, most: usize) -> Vec<(u64, i64, usize)> {
    let excerpts = history.excerpts("logins", most);
    let Some(Data::Sum(sum)) = excerpts[0].metric().data else { panic!("no sum") };
    let point = |point: NumberDataPoint| match point.value {
        Some(Number::AsInt(value)) => (point.time_unix_nano, value, point.exemplars.len()),
        other => panic!("{other:?}"),
    };
    sum.data_points.into_iter().map(point).collect()
}

#[test]
fn a_value_that_stands_still_is_kept_once_and_shown_at_each_reading() {
    let mut history = History::new(MIB);
    assert_eq!(history.add(&reading(&[(1, &[7]), (5, &[])]), 10), ["logins"]);
    assert!(history.add(&reading(&[(1, &[7]), (5, &[])]), 20).is_empty(), "nothing has changed");
    assert_eq!(history.points(), 2);
    history.add(&reading(&[(2, &[7, 8]), (5, &[])]), 30);
    let first = [(10, 1, 1), (20, 1, 0), (30, 2, 1)];
    let second = [(10, 5, 0), (20, 5, 0), (30, 5, 0)];
    assert_eq!(shown(&history, 10), [first, second].concat(), "an exemplar is there once");
    assert_eq!(shown(&history, 1), [(30, 2, 1), (30, 5, 0)]);
}

#[test]
fn readings_and_series_stay_within_their_bytes() {
    let mut history = History::new(MIB);
    let many: Vec<(i64, &[u64])> = (0..20_000).map(|number| (number, &[] as &[u64])).collect();
    history.add(&reading(&many), 1);
    assert!(history.bytes() <= MIB && history.series_dropped > 10_000, "{}", history.bytes());
    for at in 2..2000 {
        let values: Vec<(i64, &[u64])> = (0..50).map(|number| (number + at, &[] as &[u64])).collect();
        history.add(&reading(&values), at as u64);
        assert!(history.bytes() <= MIB, "{}", history.bytes());
    }
    assert_eq!(shown(&history, 1).first(), Some(&(1999, 1999, 0)), "the newest stay");
}

#[test]
fn metrics_that_are_too_many_leave_room_for_the_readings_of_the_others() {
    let mut history = History::new(MIB);
    history.add(&reading(&[(1, &[])]), 1);
    let mut many = reading(&[(1, &[])]);
    let scope = &mut many.resource_metrics[0].scope_metrics[0];
    let named = |number| Metric { name: format!("made up {number}"), ..scope.metrics[0].clone() };
    scope.metrics = (0..5_000).map(named).collect();
    history.add(&many, 2);
    assert!(history.bytes() <= MIB && history.series_dropped > 1_000, "{}", history.bytes());
    history.add(&reading(&[(2, &[])]), 3);
    assert_eq!(shown(&history, 1), [(3, 2, 0)]);
}
