//! The pipeline's account as the conventions' `otel.sdk.*` metrics (semantic conventions 1.44, otel/sdk-metrics.md).

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use opentelemetry::{KeyValue, metrics::Meter};

use super::{
    account::{Account, Loss},
    signal_status::SignalStatus,
};
use crate::config::{Config, Exporter, Otlp, Protocol, Signal};

/// One signal's instruments, read from its account at each collection.
struct Observed {
    /// The conventions' word for the signal's items in names.
    item: &'static str,
    unit: &'static str,
    signal: Signal,
    status: Arc<SignalStatus>,
    exporter: [KeyValue; 2],
}

/// Makes the metrics of every signal that is sent over OTLP.
pub(super) fn observe(meter: &Meter, config: &Config, statuses: &[Arc<SignalStatus>; 3]) {
    let [traces, metrics, logs] = statuses;
    let sent = |exporters: &[Exporter]| exporters.contains(&Exporter::Otlp);
    if sent(&config.traces.exporters) {
        let exporter = exporter("span", &config.traces.otlp);
        let status = Arc::clone(traces);
        let of = Observed { item: "span", unit: "{span}", signal: Signal::Traces, status, exporter };
        of.processor(meter, "batching_span_processor", config.traces.batch.max_queue_size);
        of.exporter(meter);
    }
    if sent(&config.logs.exporters) {
        let exporter = exporter("log", &config.logs.otlp);
        let status = Arc::clone(logs);
        let of = Observed { item: "log", unit: "{log_record}", signal: Signal::Logs, status, exporter };
        of.processor(meter, "batching_log_processor", config.logs.batch.max_queue_size);
        of.exporter(meter);
    }
    if sent(&config.metrics.exporters) {
        let exporter = exporter("metric", &config.metrics.otlp);
        let (item, unit, status) = ("metric_data_point", "{data_point}", Arc::clone(metrics));
        Observed { item, unit, signal: Signal::Metrics, status, exporter }.exporter(meter);
    }
}

fn component(kind: String) -> [KeyValue; 2] {
    let name = format!("{kind}/0");
    [KeyValue::new("otel.component.type", kind), KeyValue::new("otel.component.name", name)]
}

fn exporter(signal: &str, otlp: &Otlp) -> [KeyValue; 2] {
    let transport = match otlp.protocol {
        Protocol::Grpc => "otlp_grpc",
        Protocol::HttpJson => "otlp_http_json",
        Protocol::HttpProtobuf => "otlp_http",
    };
    component(format!("{transport}_{signal}_exporter"))
}

/// A collection takes no longer than this from a signal's first instrument to its last.
const COLLECTION: Duration = Duration::from_secs(1);

thread_local! {
    /// The reading of the collection that runs on this thread: whose it is, when, and what was read.
    static READING: Cell<Option<(usize, Instant, Account)>> = const { Cell::new(None) };
}

impl Observed {
    /// The account as a signal's first instrument reads it, for all its instruments. Their callbacks run one after the
    /// other on one thread, so that what a collection shows adds up.
    fn read(status: &Arc<SignalStatus>, signal: Signal) -> Account {
        let account = status.report(signal).account;
        READING.set(Some((Arc::as_ptr(status) as usize, Instant::now(), account)));
        account
    }

    /// What the first instrument has read; read now if a view has taken that one away.
    fn account(status: &Arc<SignalStatus>, signal: Signal) -> Account {
        let own = Arc::as_ptr(status) as usize;
        match READING.get() {
            Some((whose, at, account)) if whose == own && at.elapsed() < COLLECTION => account,
            _ => Self::read(status, signal),
        }
    }

    fn processor(&self, meter: &Meter, kind: &str, capacity: usize) {
        let attributes = component(kind.to_owned());
        let name = |what| format!("otel.sdk.processor.{}.{what}", self.item);
        let (status, signal, own) = (Arc::clone(&self.status), self.signal, attributes.clone());
        meter
            .i64_observable_up_down_counter(name("queue.size"))
            .with_unit(self.unit)
            .with_description("Items in the processor's queue, a batch in flight included.")
            .with_callback(move |observer| {
                let queued = Self::read(&status, signal).queued;
                observer.observe(i64::try_from(queued).unwrap_or(i64::MAX), &own);
            })
            .build();
        let own = attributes.clone();
        meter
            .i64_observable_up_down_counter(name("queue.capacity"))
            .with_unit(self.unit)
            .with_description("Items the processor's queue holds at most.")
            .with_callback(move |observer| {
                observer.observe(i64::try_from(capacity).unwrap_or(i64::MAX), &own)
            })
            .build();
        let (status, signal) = (Arc::clone(&self.status), self.signal);
        meter
            .u64_observable_counter(name("processed"))
            .with_unit(self.unit)
            .with_description("Items the processor is done with: handed to the exporter, or dropped.")
            .with_callback(move |observer| {
                let account = Self::account(&status, signal);
                observer.observe(account.exported + account.failed, &attributes);
                for (loss, error) in [(Loss::QueueFull, "queue_full"), (Loss::Shutdown, "already_shutdown")] {
                    let lost = account.lost(loss);
                    if lost > 0 {
                        observer.observe(lost, &failed(&attributes, error));
                    }
                }
            })
            .build();
    }

    fn exporter(&self, meter: &Meter) {
        let (status, signal, own) = (Arc::clone(&self.status), self.signal, self.exporter.clone());
        meter
            .u64_observable_counter(format!("otel.sdk.exporter.{}.exported", self.item))
            .with_unit(self.unit)
            .with_description("Items whose export is over: taken by the collector, or failed.")
            .with_callback(move |observer| {
                let account = Self::account(&status, signal);
                observer.observe(account.exported, &own);
                for (loss, lost) in account.losses() {
                    if !matches!(loss, Loss::QueueFull | Loss::Shutdown) {
                        observer.observe(lost, &failed(&own, loss.as_str()));
                    }
                }
            })
            .build();
    }
}

fn failed(component: &[KeyValue; 2], error: &'static str) -> [KeyValue; 3] {
    let [kind, name] = component.clone();
    [kind, name, KeyValue::new("error.type", error)]
}
