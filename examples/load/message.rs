//! OTLP messages as an instrumented service sends them.

use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::{
        AggregationTemporality, Exemplar, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
        exemplar, metric, number_data_point,
    },
    resource::v1::Resource,
    trace::v1::{Span, Status, span::SpanKind, status::StatusCode},
};

/// What a trace is about, which decides whether a sampler keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Error,
    Slow,
    Probe,
    Rest,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Error, Self::Slow, Self::Probe, Self::Rest];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Slow => "slow",
            Self::Probe => "probe",
            Self::Rest => "rest",
        }
    }

    fn path(self, route: u64) -> String {
        if self == Self::Probe { "/health".to_owned() } else { format!("/items/{route}") }
    }

    fn route(self) -> &'static str {
        if self == Self::Probe { "/health" } else { "/items/{id}" }
    }

    fn status(self) -> i64 {
        if self == Self::Error { 500 } else { 200 }
    }

    pub(crate) fn duration(self) -> Duration {
        Duration::from_millis(if self == Self::Slow { 900 } else { 20 })
    }
}

/// One trace: its request at one service, and what that calls at another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace {
    pub(crate) id: u128,
    pub(crate) kind: Kind,
}

impl Trace {
    fn trace_id(self) -> Vec<u8> {
        self.id.to_be_bytes().to_vec()
    }

    fn span_id(self, span: u64) -> Vec<u8> {
        mixed(low(self.id) ^ (span + 1)).to_be_bytes().to_vec()
    }

    /// Span 0 is the request's; an error is in the last span, far from it.
    pub(crate) fn span(self, span: u64, of: u64, now: SystemTime) -> Span {
        let server = span == 0;
        let failed = self.kind == Kind::Error && (server || span + 1 == of);
        let mut attributes = vec![text("http.request.method", "GET"), number("server.port", 8080)];
        if server {
            attributes.extend([
                text("url.path", &self.kind.path(low(self.id) % 100)),
                text("http.route", self.kind.route()),
                text("url.scheme", "http"),
                text("client.address", "192.0.2.17"),
                text("user_agent.original", "load"),
                number("http.response.status_code", self.kind.status()),
            ]);
        } else {
            attributes.extend([text("server.address", "inventory"), number("step", signed(span))]);
        }
        let length = if server { self.kind.duration() } else { Duration::from_millis(5) };
        Span {
            trace_id: self.trace_id(),
            span_id: self.span_id(span),
            parent_span_id: if server { Vec::new() } else { self.span_id(0) },
            name: if server { format!("GET {}", self.kind.route()) } else { format!("step {span}") },
            kind: if server { SpanKind::Server.into() } else { SpanKind::Internal.into() },
            flags: 0x101,
            start_time_unix_nano: nanos(now - length),
            end_time_unix_nano: nanos(now),
            status: failed.then(|| Status { code: StatusCode::Error.into(), message: String::new() }),
            attributes,
            ..Span::default()
        }
    }

    pub(crate) fn log_record(self, index: u64, now: SystemTime) -> LogRecord {
        LogRecord {
            time_unix_nano: nanos(now),
            observed_time_unix_nano: nanos(now),
            severity_number: if self.kind == Kind::Error { 17 } else { 9 },
            severity_text: if self.kind == Kind::Error { "ERROR" } else { "INFO" }.to_owned(),
            body: Some(AnyValue { value: Some(Value::StringValue(format!("item shown, step {index}"))) }),
            attributes: vec![number("item.id", signed(low(self.id) % 100)), number("step", signed(index))],
            trace_id: self.trace_id(),
            span_id: self.span_id(0),
            flags: 1,
            ..LogRecord::default()
        }
    }

    fn exemplar(self, now: SystemTime) -> Exemplar {
        Exemplar {
            time_unix_nano: nanos(now),
            trace_id: self.trace_id(),
            span_id: self.span_id(0),
            value: Some(exemplar::Value::AsDouble(self.kind.duration().as_secs_f64())),
            ..Exemplar::default()
        }
    }
}

/// The cumulative duration of one service's requests with one status.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    fast: u64,
    slow: u64,
    sum: f64,
    last: [Option<Trace>; 2],
}

impl Durations {
    pub(crate) fn record(&mut self, trace: Trace) {
        let slow = trace.kind == Kind::Slow;
        *(if slow { &mut self.slow } else { &mut self.fast }) += 1;
        self.sum += trace.kind.duration().as_secs_f64();
        self.last[usize::from(slow)] = Some(trace);
    }

    fn point(&mut self, status: i64, start: SystemTime, now: SystemTime) -> HistogramDataPoint {
        let mut attributes = vec![
            text("http.request.method", "GET"),
            text("http.route", Kind::Rest.route()),
            number("http.response.status_code", status),
        ];
        if status >= 500 {
            attributes.push(text("error.type", &status.to_string()));
        }
        HistogramDataPoint {
            attributes,
            start_time_unix_nano: nanos(start),
            time_unix_nano: nanos(now),
            count: self.fast + self.slow,
            sum: Some(self.sum),
            explicit_bounds: vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5],
            bucket_counts: vec![0, 0, self.fast, 0, 0, 0, 0, self.slow, 0, 0],
            exemplars: self
                .last
                .iter_mut()
                .filter_map(Option::take)
                .map(|trace| trace.exemplar(now))
                .collect(),
            ..HistogramDataPoint::default()
        }
    }
}

/// The request durations and `series` counters of a service.
pub(crate) fn metrics(
    [ok, failed]: &mut [Durations; 2],
    series: u64,
    start: SystemTime,
    now: SystemTime,
) -> (Vec<Metric>, u64) {
    let points = vec![ok.point(200, start, now), failed.point(500, start, now)];
    let count = signed(ok.fast + ok.slow + failed.fast);
    let counters = (0..series).map(|index| NumberDataPoint {
        attributes: vec![number("series", signed(index))],
        start_time_unix_nano: nanos(start),
        time_unix_nano: nanos(now),
        value: Some(number_data_point::Value::AsInt(count)),
        ..NumberDataPoint::default()
    });
    let cumulative = AggregationTemporality::Cumulative.into();
    let histogram = Histogram { data_points: points, aggregation_temporality: cumulative };
    let sum =
        Sum { data_points: counters.collect(), aggregation_temporality: cumulative, is_monotonic: true };
    let named = |name: &str, unit: &str, data| Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    };
    let metrics = vec![
        named("http.server.request.duration", "s", metric::Data::Histogram(histogram)),
        named("load.items", "{item}", metric::Data::Sum(sum)),
    ];
    (metrics, 2 + series)
}

pub(crate) fn resource(service: u64, seed: u64) -> Resource {
    let attributes = vec![
        text("service.name", &format!("load-{service}")),
        text("service.namespace", "load"),
        text("service.version", "1.0.0"),
        text("service.instance.id", &format!("{:016x}", mixed(seed ^ (service << 32)))),
        text("deployment.environment.name", "load"),
        text("telemetry.sdk.language", "rust"),
    ];
    Resource { attributes, ..Resource::default() }
}

pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope { name: "load".to_owned(), ..InstrumentationScope::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

pub(crate) fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn low(id: u128) -> u64 {
    u64::try_from(id & u128::from(u64::MAX)).unwrap_or_default()
}

/// One step of splitmix64: a well-spread number from any other.
pub(crate) fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
