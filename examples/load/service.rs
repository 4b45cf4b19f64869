//! One simulated service: makes its traces, sends its messages until they are taken, and keeps account.

use std::{
    fmt::Write as _,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    logs::v1::{ResourceLogs, ScopeLogs},
    metrics::v1::{ResourceMetrics, ScopeMetrics},
    trace::v1::{ResourceSpans, ScopeSpans},
};
use prost::Message;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{
    message::{Durations, Kind, Trace, metrics, mixed, resource, scope},
    settings::Settings,
};

/// How often a service sends its spans and log records.
const TICK: Duration = Duration::from_millis(200);
const BACKOFF: Duration = Duration::from_millis(100);
/// Whether the first refusal was told; the report counts the others.
static SAID: AtomicBool = AtomicBool::new(false);

/// Items of one signal.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Items {
    pub(crate) taken: u64,
    /// Refused until the patience was over, or for good.
    pub(crate) given_up: u64,
}

impl Items {
    fn add(&mut self, other: Self) {
        self.taken += other.taken;
        self.given_up += other.given_up;
    }

    pub(crate) fn report(self, seconds: f64) -> Value {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = self.taken as f64 / seconds;
        json!({ "taken": self.taken, "given_up": self.given_up, "a_second": rate })
    }
}

/// What became of everything that was made.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) spans: Items,
    pub(crate) log_records: Items,
    pub(crate) points: Items,
    /// Requests that were taken.
    pub(crate) messages: u64,
    pub(crate) refusals: u64,
    pub(crate) last_error: Option<String>,
    traces: Vec<(Trace, u64)>,
}

impl Account {
    pub(crate) fn add(&mut self, other: Self) {
        self.spans.add(other.spans);
        self.log_records.add(other.log_records);
        self.points.add(other.points);
        self.messages += other.messages;
        self.refusals += other.refusals;
        self.last_error = other.last_error.or(self.last_error.take());
        self.traces.extend(other.traces);
    }

    pub(crate) fn complete(&self) -> bool {
        self.spans.given_up + self.log_records.given_up + self.points.given_up == 0
    }

    pub(crate) fn by_kind(&self) -> Value {
        let count = |kind| self.traces.iter().filter(|(trace, _)| trace.kind == kind).count();
        Kind::ALL.into_iter().map(|kind| (kind.name().to_owned(), json!(count(kind)))).collect()
    }

    pub(crate) fn record_lines(&self) -> String {
        self.traces.iter().fold(String::new(), |mut text, (trace, spans)| {
            let _ = writeln!(text, "{:032x} {} {spans}", trace.id, trace.kind.name()); // a String takes all
            text
        })
    }
}

#[derive(Debug)]
pub(crate) struct Service {
    index: u64,
    settings: Arc<Settings>,
    client: reqwest::Client,
    durations: [Durations; 2],
    account: Account,
}

impl Service {
    pub(crate) fn new(index: u64, settings: Arc<Settings>, client: reqwest::Client) -> Self {
        Self { index, settings, client, durations: Default::default(), account: Account::default() }
    }

    /// Ends when all its traces are made and taken or given up.
    pub(crate) async fn run(mut self) -> Account {
        let start = SystemTime::now();
        let ticks = self.settings.seconds * 5;
        let total = self.settings.traces * self.settings.seconds;
        let mut tick = interval(TICK);
        // behind time, it catches up: the number of traces does not depend on who takes them how fast
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for done in 0..ticks {
            tick.tick().await;
            let due = (total * done / ticks)..(total * (done + 1) / ticks);
            let traces: Vec<_> = due
                .filter(|trace| trace % self.settings.services == self.index)
                .map(|n| self.trace(n))
                .collect();
            self.send_traces(&traces).await;
            if (done + 1) % (self.settings.interval * 5) == 0 || done + 1 == ticks {
                self.send_metrics(start).await;
            }
        }
        self.account
    }

    fn trace(&self, number: u64) -> Trace {
        let settings = &self.settings;
        let high = mixed(settings.seed.rotate_left(32) ^ number);
        let id = (u128::from(high) << 64) | u128::from(mixed(high ^ settings.seed));
        let kind = match mixed(high) % 10_000 {
            part if part < settings.errors => Kind::Error,
            part if part < settings.errors + settings.slow => Kind::Slow,
            part if part < settings.errors + settings.slow + settings.probes => Kind::Probe,
            _ => Kind::Rest,
        };
        Trace { id, kind }
    }

    /// The second half of every trace is another service's, in a message of its own.
    async fn send_traces(&mut self, traces: &[Trace]) {
        if traces.is_empty() {
            return;
        }
        let (now, spans, logs) = (SystemTime::now(), self.settings.spans, self.settings.logs);
        let callee = (self.index + 1) % self.settings.services;
        let mut taken = true;
        for (service, range) in [(self.index, 0..spans / 2), (callee, spans / 2..spans)] {
            let of =
                |trace: &Trace| range.clone().map(|span| trace.span(span, spans, now)).collect::<Vec<_>>();
            let spans: Vec<_> = traces.iter().flat_map(of).collect();
            let count = count(&spans);
            let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }];
            let resource = Some(resource(service, self.settings.seed));
            let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
            let items =
                self.send(service, "traces", &ExportTraceServiceRequest { resource_spans }, count).await;
            taken &= items.given_up == 0;
            self.account.spans.add(items);
        }
        for trace in traces.iter().filter(|trace| trace.kind != Kind::Probe) {
            self.durations[usize::from(trace.kind == Kind::Error)].record(*trace);
        }
        if taken {
            self.account.traces.extend(traces.iter().map(|trace| (*trace, spans)));
        }
        let of = |trace: &Trace| (0..logs).map(|index| trace.log_record(index, now)).collect::<Vec<_>>();
        let log_records: Vec<_> = traces.iter().flat_map(of).collect();
        if log_records.is_empty() {
            return;
        }
        let count = count(&log_records);
        let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() }];
        let resource = Some(resource(self.index, self.settings.seed));
        let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
        let items = self.send(self.index, "logs", &ExportLogsServiceRequest { resource_logs }, count).await;
        self.account.log_records.add(items);
    }

    async fn send_metrics(&mut self, start: SystemTime) {
        let (metrics, count) = metrics(&mut self.durations, self.settings.series, start, SystemTime::now());
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
        let resource = Some(resource(self.index, self.settings.seed));
        let resource_metrics =
            vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
        let message = ExportMetricsServiceRequest { resource_metrics };
        let items = self.send(self.index, "metrics", &message, count).await;
        self.account.points.add(items);
    }

    /// Sends until taken, refused for good, or the patience is over.
    async fn send(&mut self, service: u64, signal: &str, message: &impl Message, items: u64) -> Items {
        let url = format!("{}/v1/{signal}", self.settings.endpoint(service));
        let body = bytes::Bytes::from(message.encode_to_vec());
        let end = Instant::now() + Duration::from_secs(self.settings.patience);
        loop {
            let request = self.client.post(&url).header("content-type", "application/x-protobuf");
            let again = match request.body(body.clone()).send().await {
                Ok(answer) if answer.status().is_success() => {
                    self.account.messages += 1;
                    return Items { taken: items, given_up: 0 };
                }
                Ok(answer) => {
                    let status = answer.status();
                    self.account.last_error = Some(format!("{url}: {status}"));
                    matches!(status.as_u16(), 429 | 502..=504)
                }
                Err(error) => {
                    self.account.last_error = Some(error.to_string());
                    true
                }
            };
            self.account.refusals += 1;
            if !SAID.swap(true, Ordering::Relaxed) {
                let error = self.account.last_error.as_deref().unwrap_or_default();
                let patience = self.settings.patience;
                // nobody to tell when stderr is gone
                let _ =
                    writeln!(std::io::stderr(), "load: refused, and sent again for {patience} s: {error}");
            }
            if !again || Instant::now() + BACKOFF > end {
                return Items { taken: 0, given_up: items };
            }
            sleep(BACKOFF).await;
        }
    }
}

fn count<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}
