//! Every variable by what it does: telemetry is built with it, something happens, and the collector's view counts.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::HashMap, time::Duration};

use opentelemetry::{
    Context, KeyValue, SpanId, TraceFlags, TraceId,
    logs::{LogRecord as _, Logger as _, LoggerProvider as _},
    metrics::MeterProvider as _,
    propagation::TextMapPropagator as _,
    trace::{
        Link, Span as _, SpanContext, TraceContextExt as _, TraceState, Tracer as _, TracerProvider as _,
    },
};
use tracewell::{
    InitError, Loss, SignalState, Telemetry,
    config::Protocol,
    testing::{Collector, Fault, Signal, proto::metrics::v1::metric::Data},
};
use tracing_subscriber::layer::SubscriberExt as _;

const PATIENCE: Duration = Duration::from_secs(20);

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Telemetry of these variables, sent to the collector; nothing is sent before a flush unless they say so.
fn build(collector: &Collector, pairs: Pairs<'_>) -> Telemetry {
    let quiet = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
        ("OTEL_BSP_SCHEDULE_DELAY", "600000".to_owned()),
        ("OTEL_BLRP_SCHEDULE_DELAY", "600000".to_owned()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "600000".to_owned()),
    ];
    let pairs = pairs.iter().map(|(name, value)| (*name, (*value).to_owned()));
    Telemetry::builder().with_env(quiet.into_iter().chain(pairs)).with_stdout(false).build().unwrap()
}

/// A span with a log record and two measurements inside.
fn work(telemetry: &Telemetry) {
    let subscriber = tracing_subscriber::registry().with(telemetry.layers());
    let meter = telemetry.meter_provider().meter("test");
    let (counter, histogram) = (meter.u64_counter("jobs").build(), meter.f64_histogram("job.size").build());
    tracing::subscriber::with_default(subscriber, || {
        let span = tracing::info_span!("work", text = "éèêë", other = 1, more = 2);
        span.in_scope(|| {
            tracing::info!(text = "éèêë", other = 1, more = 2, "hello");
            counter.add(1, &[]);
            histogram.record(3.0, &[]);
        });
    });
}

/// What arrives when telemetry with these variables works once and ends.
fn run(pairs: Pairs<'_>) -> Collector {
    let collector = Collector::start();
    let telemetry = build(&collector, pairs);
    work(&telemetry);
    drop(telemetry);
    collector
}

/// Spans, points of [`work`]'s own instruments, log records.
fn counts(collector: &Collector) -> [u64; 3] {
    let own =
        collector.metrics().iter().filter(|metric| ["jobs", "job.size"].contains(&metric.name())).count();
    [collector.accepted_items(Signal::Traces), own as u64, collector.accepted_items(Signal::Logs)]
}

#[test]
fn exporters_choose_where_each_signal_goes() {
    for (pairs, expected) in [
        (&[][..], [1, 2, 1]),
        (&[("OTEL_TRACES_EXPORTER", "none")], [0, 2, 1]),
        (&[("OTEL_METRICS_EXPORTER", "None")], [1, 0, 1]),
        (&[("OTEL_LOGS_EXPORTER", "none")], [1, 2, 0]),
        (&[("OTEL_TRACES_EXPORTER", "otlp,OTLP")], [1, 2, 1]),
        // what cannot be used is as if it were not set
        (&[("OTEL_TRACES_EXPORTER", "zipkin")], [1, 2, 1]),
        (&[("OTEL_SDK_DISABLED", "TRUE")], [0, 0, 0]),
        (&[("OTEL_SDK_DISABLED", "1")], [1, 2, 1]),
    ] {
        assert_eq!(counts(&run(pairs)), expected, "{pairs:?}");
    }
}

#[test]
fn a_disabled_sdk_opens_no_connection_and_still_propagates() {
    let collector = Collector::start();
    let telemetry = build(&collector, &[("OTEL_SDK_DISABLED", "true")]);
    work(&telemetry);
    assert!(telemetry.status().iter().all(|report| report.state == SignalState::Off));
    assert!(headers_of(&telemetry).contains_key("traceparent"));
    drop(telemetry);
    assert_eq!(collector.read(|recorded| recorded.connections()), 0);
}

#[test]
fn empty_variables_are_unset_variables() {
    let names: Vec<_> = tracewell::config::variables().map(|row| row.name).collect();
    let endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let delays = ["OTEL_BSP_SCHEDULE_DELAY", "OTEL_BLRP_SCHEDULE_DELAY", "OTEL_METRIC_EXPORT_INTERVAL"];
    let pairs: Vec<_> = names
        .into_iter()
        .filter(|name| *name != endpoint && !delays.contains(name))
        .map(|name| (name, ""))
        .collect();
    assert_eq!(counts(&run(&pairs)), [1, 2, 1]);
}

#[test]
fn the_sampler_decides_which_traces_are_kept() {
    let remote = |sampled| {
        let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let span = SpanContext::new(TraceId::from(7), SpanId::from(7), flags, true, TraceState::NONE);
        Context::new().with_remote_span_context(span)
    };
    // kept: roots, children of a sampled parent, children of another
    for (sampler, argument, expected) in [
        ("always_on", "", [true, true, true]),
        ("ALWAYS_OFF", "", [false, false, false]),
        ("parentbased_always_on", "", [true, true, false]),
        ("ParentBased_Always_Off", "", [false, true, false]),
        ("traceidratio", "0", [false, false, false]),
        ("traceidratio", "1", [true, true, true]),
        ("parentbased_traceidratio", "0", [false, true, false]),
        // a share that is none is as if it were not set
        ("traceidratio", "1.5", [true, true, true]),
        ("traceidratio", "NaN", [true, true, true]),
        ("xray", "", [true, true, false]),
        ("", "", [true, true, false]),
    ] {
        let collector = Collector::start();
        let telemetry =
            build(&collector, &[("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", argument)]);
        let tracer = telemetry.tracer_provider().tracer("test");
        let parents = [Context::new(), remote(true), remote(false)];
        let kept = parents.map(|parent| tracer.start_with_context("s", &parent).span_context().is_sampled());
        assert_eq!(kept, expected, "{sampler} {argument}");
        drop(telemetry);
        assert_eq!(collector.spans().len(), expected.into_iter().filter(|kept| *kept).count(), "{sampler}");
    }
    let collector = Collector::start();
    let telemetry =
        build(&collector, &[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.5")]);
    let tracer = telemetry.tracer_provider().tracer("test");
    (0..1000).for_each(|_| drop(tracer.start("s")));
    drop(telemetry);
    assert!((350..650).contains(&collector.spans().len()), "{}", collector.spans().len());
}

#[test]
fn batches_and_queues_have_the_sizes_given() {
    let collector = Collector::start();
    let telemetry = build(
        &collector,
        &[("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2"), ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "3")],
    );
    (0..7).for_each(|_| work(&telemetry));
    drop(telemetry);
    for (signal, most) in [(Signal::Traces, 2), (Signal::Logs, 3)] {
        let sizes: Vec<_> =
            collector.requests().iter().filter(|r| r.signal == signal).map(|request| request.items).collect();
        assert_eq!((sizes.iter().sum::<u64>(), sizes.iter().max()), (7, Some(&most)), "{sizes:?}");
    }

    // of 20, the queue holds 2 and a batch of at most 2 is on its way
    let collector = Collector::start();
    collector.silence();
    let telemetry = build(
        &collector,
        &[
            ("OTEL_BSP_MAX_QUEUE_SIZE", "2"),
            ("OTEL_BLRP_MAX_QUEUE_SIZE", "2"),
            ("TRACEWELL_SHUTDOWN_MS", "50"),
        ],
    );
    (0..20).for_each(|_| work(&telemetry));
    let [traces, _, logs] = telemetry.status();
    for account in [traces.account, logs.account] {
        assert!((16..=18).contains(&account.lost(Loss::QueueFull)), "{account:?}");
    }
}

#[test]
fn delays_and_intervals_send_without_being_asked() {
    let collector = Collector::start();
    let telemetry = build(
        &collector,
        // zero is at once, not never and not a busy loop
        &[("OTEL_BSP_SCHEDULE_DELAY", "0"), ("OTEL_METRIC_EXPORT_INTERVAL", "20")],
    );
    work(&telemetry);
    let sent = |signal, requests| {
        collector.wait_for(PATIENCE, |recorded| {
            recorded.request_count(signal) >= requests && recorded.accepted_items(signal) > 0
        })
    };
    assert!(sent(Signal::Traces, 1) && sent(Signal::Metrics, 3));
    assert_eq!(collector.accepted_items(Signal::Logs), 0, "its delay has not passed");
    drop(telemetry);
    let collector = Collector::start();
    let telemetry = build(&collector, &[("OTEL_BLRP_SCHEDULE_DELAY", "1")]);
    work(&telemetry);
    assert!(collector.wait_for(PATIENCE, |recorded| recorded.accepted_items(Signal::Logs) == 1));
    drop(telemetry);
}

#[test]
fn a_metric_interval_of_zero_is_refused_rather_than_a_busy_loop() {
    let collector = Collector::start();
    let telemetry = build(&collector, &[("OTEL_METRIC_EXPORT_INTERVAL", "0")]);
    assert_eq!(telemetry.config().metrics.interval, Duration::from_secs(60));
    drop(telemetry);
}

/// How many of its five attributes a link keeps.
fn link_attributes(pairs: Pairs<'_>) -> usize {
    let collector = Collector::start();
    let telemetry = build(&collector, pairs);
    let to = SpanContext::new(TraceId::from(1), SpanId::from(1), TraceFlags::SAMPLED, true, TraceState::NONE);
    let attributes = (0..5).map(|at| KeyValue::new(format!("a{at}"), at)).collect();
    let tracer = telemetry.tracer_provider().tracer("test");
    drop(tracer.build(tracer.span_builder("s").with_links(vec![Link::new(to, attributes, 0)])));
    drop(telemetry);
    collector.spans()[0].span.links[0].attributes.len()
}

#[test]
fn count_limits_drop_and_say_how_many() {
    let pairs = [
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "3"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "1"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "1"),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "1"),
        ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "1"),
    ];
    assert_eq!(link_attributes(&[("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "1")]), 1);
    let collector = Collector::start();
    let telemetry = build(&collector, &pairs);
    work(&telemetry);
    let logger = telemetry.logger_provider().logger("direct");
    let mut record = logger.create_log_record();
    (0..3).for_each(|at| record.add_attribute(format!("a{at}"), at));
    logger.emit(record);
    let attributes = || (0..5).map(|at| KeyValue::new(format!("a{at}"), at)).collect::<Vec<_>>();
    let link = || {
        let to =
            SpanContext::new(TraceId::from(1), SpanId::from(1), TraceFlags::SAMPLED, true, TraceState::NONE);
        Link::new(to, attributes(), 0)
    };
    let tracer = telemetry.tracer_provider().tracer("test");
    let mut span = tracer
        .build(tracer.span_builder("direct").with_attributes(attributes()).with_links(vec![link(), link()]));
    span.add_event("one", attributes());
    span.add_event("two", attributes());
    drop(span);
    drop(telemetry);
    let span = collector.spans().into_iter().find(|span| span.name() == "direct").unwrap().span;
    assert_eq!((span.attributes.len(), span.dropped_attributes_count), (2, 3));
    assert_eq!((span.events.len(), span.dropped_events_count), (1, 1));
    assert_eq!((span.links.len(), span.dropped_links_count), (1, 1));
    assert_eq!((span.events[0].attributes.len(), span.events[0].dropped_attributes_count), (1, 4));
    assert_eq!(
        (span.links[0].attributes.len(), span.links[0].dropped_attributes_count),
        (3, 2),
        "the general one"
    );
    for log in collector.logs() {
        assert_eq!((log.record.attributes.len(), log.record.dropped_attributes_count), (1, 2), "{log:?}");
    }
    assert_eq!(collector.logs().len(), 2);
}

#[test]
fn value_limits_cut_between_characters_and_the_signals_own_one_wins() {
    let all = run(&[("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")]);
    assert_eq!(all.spans()[0].attribute("text").as_deref(), Some("éèê"));
    assert_eq!(all.logs()[0].attribute("text").as_deref(), Some("éèê"));
    assert_eq!(all.logs()[0].body(), "hello", "a body is no attribute");
    let own = run(&[
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3"),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "1"),
        ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "2"),
    ]);
    assert_eq!(own.spans()[0].attribute("text").as_deref(), Some("é"));
    assert_eq!(own.logs()[0].attribute("text").as_deref(), Some("éè"));
    assert_eq!(run(&[]).spans()[0].attribute("text").as_deref(), Some("éèêë"));
}

#[test]
fn protocol_compression_and_headers_are_what_is_sent() {
    for (name, protocol) in [
        ("grpc", Protocol::Grpc),
        ("HTTP/protobuf", Protocol::HttpProtobuf),
        ("http/json", Protocol::HttpJson),
    ] {
        let collector = run(&[
            ("OTEL_EXPORTER_OTLP_PROTOCOL", name),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "none"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b,x-all=1"),
            ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "x-tenant=own"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", ""),
        ]);
        assert_eq!(counts(&collector), [1, 2, 1], "{name}");
        for request in collector.requests() {
            let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(request.protocol, protocol);
            let encoding =
                header(if protocol == Protocol::Grpc { "grpc-encoding" } else { "content-encoding" });
            let zipped = encoding == Some("gzip");
            assert_eq!(zipped, request.signal != Signal::Logs, "{name} {:?}", request.signal);
            let tenant = if request.signal == Signal::Metrics { "own" } else { "a b" };
            assert_eq!(header("x-tenant"), Some(tenant));
        }
    }
    let mixed =
        run(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"), ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc")]);
    let spoken = |signal| mixed.requests().iter().find(|r| r.signal == signal).map(|r| r.protocol);
    assert_eq!(
        (spoken(Signal::Traces), spoken(Signal::Logs)),
        (Some(Protocol::HttpJson), Some(Protocol::Grpc))
    );
}

#[test]
fn a_signals_own_endpoint_is_used_as_it_is() {
    let (all, traces) = (Collector::start(), Collector::start());
    let telemetry = build(
        &all,
        &[
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("{}/v1/traces", traces.endpoint())),
            // without the path nobody takes it
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &all.endpoint()),
        ],
    );
    work(&telemetry);
    drop(telemetry);
    assert_eq!((counts(&all), counts(&traces)), ([0, 2, 0], [1, 0, 0]));
}

#[test]
fn a_timeout_ends_an_export_and_zero_is_no_limit() {
    let collector = Collector::start();
    collector.set(Signal::Traces, Fault::Hang);
    collector.set(Signal::Logs, Fault::Delay(Duration::from_millis(300)));
    let telemetry = build(
        &collector,
        &[
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "50"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
            ("OTEL_BSP_SCHEDULE_DELAY", "1"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "1"),
        ],
    );
    work(&telemetry);
    assert!(collector.wait_for(PATIENCE, |recorded| recorded.accepted_items(Signal::Logs) == 1));
    drop(telemetry);
    assert_eq!(collector.accepted_items(Signal::Traces), 0);
}

#[test]
fn a_batch_processors_timeout_limits_its_exports() {
    let collector = Collector::start();
    collector.set_all(Fault::Hang);
    let telemetry = build(
        &collector,
        &[
            ("OTEL_BSP_EXPORT_TIMEOUT", "51"),
            ("OTEL_BLRP_EXPORT_TIMEOUT", "52"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
            ("OTEL_BSP_SCHEDULE_DELAY", "1"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "1"),
            ("TRACEWELL_SHUTDOWN_MS", "10"),
        ],
    );
    work(&telemetry);
    let until = std::time::Instant::now() + PATIENCE;
    for (signal, limit) in [(0, "51 ms"), (2, "52 ms")] {
        let cause = loop {
            assert!(std::time::Instant::now() < until, "{limit}");
            match telemetry.status()[signal].last_error.clone() {
                Some((_, cause)) => break cause,
                None => std::thread::yield_now(),
            }
        };
        assert!(cause.contains(limit), "{cause}");
    }
    drop(telemetry);
}

#[test]
fn insecure_counts_for_grpc_without_a_scheme() {
    for (insecure, expected) in [("true", [1, 2, 1]), ("false", [0, 0, 0])] {
        let collector = Collector::start();
        let address = collector.address().to_string();
        let telemetry = build(
            &collector,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &address),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                ("OTEL_EXPORTER_OTLP_INSECURE", insecure),
                ("TRACEWELL_SHUTDOWN_MS", "3000"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
            ],
        );
        work(&telemetry);
        drop(telemetry);
        assert_eq!(counts(&collector), expected, "{insecure}");
    }
}

#[test]
fn certificates_open_the_connection() {
    let directory = std::env::temp_dir().join(format!("tracewell-environment-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    for protocol in ["http/protobuf", "grpc"] {
        let collector = Collector::start_mutual_tls();
        let files = collector.write_tls_files(&directory).unwrap();
        let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let (ca, certificate, key) =
            (path(&files.ca), path(&files.client_certificate), path(&files.client_key));
        let given = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", &ca),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &certificate),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &key),
        ];
        for (pairs, expected) in [(&given[..], [1, 2, 1]), (&given[..2], [0, 0, 0])] {
            collector.forget();
            let before = counts(&collector);
            let mut pairs = pairs.to_vec();
            pairs.push(("TRACEWELL_SHUTDOWN_MS", "3000"));
            let telemetry = build(&collector, &pairs);
            work(&telemetry);
            drop(telemetry);
            let after = counts(&collector);
            let sent: Vec<_> = after.iter().zip(before).map(|(after, before)| after - before).collect();
            assert_eq!(sent, expected, "{protocol} {}", pairs.len());
        }
    }
    let _ = std::fs::remove_dir_all(&directory);
}

#[test]
fn changed_certificates_are_read_again_and_nothing_is_lost() {
    let directory = std::env::temp_dir().join(format!("tracewell-renewed-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    for protocol in ["http/protobuf", "grpc"] {
        let (collector, other) = (Collector::start_mutual_tls(), Collector::start_mutual_tls());
        // the other's authority and client are strangers here
        let files = other.write_tls_files(&directory).unwrap();
        let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let telemetry = build(
            &collector,
            &[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", &path(&files.ca)),
                ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &path(&files.client_certificate)),
                ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &path(&files.client_key)),
                ("OTEL_BSP_SCHEDULE_DELAY", "1"),
            ],
        );
        work(&telemetry);
        let until = std::time::Instant::now() + PATIENCE;
        while telemetry.status()[0].state != SignalState::Down {
            assert!(std::time::Instant::now() < until, "{protocol}");
            std::thread::yield_now();
        }
        // half of it cannot be used and changes nothing
        std::fs::write(&files.client_key, "-----BEGIN PRIVATE KEY-----\n").unwrap();
        collector.write_tls_files(&directory).unwrap();
        assert!(collector.wait_for(PATIENCE, |recorded| recorded.accepted_items(Signal::Traces) == 1));
        drop(telemetry);
        assert_eq!(counts(&collector), [1, 2, 1], "{protocol}");
    }
    let _ = std::fs::remove_dir_all(&directory);
}

/// The values of `jobs` in two exports, of which the first counted 1 and the second 1 more.
fn sums(preference: &str) -> Vec<i64> {
    use tracewell::testing::proto::metrics::v1::number_data_point::Value;
    let collector = Collector::start();
    let telemetry = build(&collector, &[("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", preference)]);
    let counter = telemetry.meter_provider().meter("test").u64_counter("jobs").build();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for _ in 0..2 {
        counter.add(1, &[]);
        runtime.block_on(telemetry.flush(PATIENCE));
    }
    let value = |data: &Data| match data {
        Data::Sum(sum) => match sum.data_points[0].value {
            Some(Value::AsInt(value)) => value,
            _ => -1,
        },
        _ => -1,
    };
    let jobs = collector.metrics();
    let jobs = jobs.iter().filter(|metric| metric.name() == "jobs");
    jobs.filter_map(|metric| metric.metric.data.as_ref()).map(value).collect()
}

#[test]
fn temporality_is_total_or_change() {
    assert_eq!(sums("cumulative"), [1, 2]);
    assert_eq!(sums("DELTA"), [1, 1]);
    assert_eq!(sums("lowmemory"), [1, 1]);
    assert_eq!(sums("what"), [1, 2]);
}

#[test]
fn histograms_are_what_the_preference_says() {
    let is_exponential = |pairs: Pairs<'_>| {
        let metrics = run(pairs).metrics();
        let size = metrics.iter().find(|metric| metric.name() == "job.size").unwrap();
        matches!(size.metric.data, Some(Data::ExponentialHistogram(_)))
    };
    let name = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
    assert!(is_exponential(&[(name, "base2_exponential_bucket_histogram")]));
    assert!(!is_exponential(&[(name, "explicit_bucket_histogram")]) && !is_exponential(&[]));
}

#[test]
fn the_exemplar_filter_says_which_measurements_become_exemplars() {
    for (filter, inside, outside) in [
        ("trace_based", true, false),
        ("Always_On", true, true),
        ("always_off", false, false),
        ("", true, false),
    ] {
        let collector = Collector::start();
        let telemetry = build(&collector, &[("OTEL_METRICS_EXEMPLAR_FILTER", filter)]);
        work(&telemetry);
        telemetry.meter_provider().meter("test").u64_counter("outside").build().add(1, &[]);
        drop(telemetry);
        let has = |metric| !collector.exemplars(metric).is_empty();
        assert_eq!((has("jobs"), has("outside")), (inside, outside), "{filter}");
    }
}

#[test]
fn the_resource_is_what_the_operator_says() {
    let seen = |pairs: Pairs<'_>, key: &str| run(pairs).spans()[0].resource().text(key);
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=pairs,team=a%2Cb%3D%C3%A9,host.name=h");
    assert_eq!(seen(&[attributes], "service.name").as_deref(), Some("pairs"));
    assert_eq!(seen(&[attributes], "team").as_deref(), Some("a,b=é"));
    assert_eq!(seen(&[attributes], "host.name").as_deref(), Some("h"), "over what is detected");
    assert_eq!(seen(&[attributes, ("OTEL_SERVICE_NAME", "own")], "service.name").as_deref(), Some("own"));
    let broken = ("OTEL_RESOURCE_ATTRIBUTES", "team=a,x=%zz");
    assert_eq!(seen(&[broken], "team"), None, "all or nothing");
    assert!(seen(&[], "service.name").unwrap().starts_with("unknown_service:"));
    assert!(seen(&[], "process.pid").is_some());
    assert_eq!(seen(&[("OTEL_RUST_RESOURCE_DETECTORS", "none")], "process.pid"), None);
}

/// The headers a remote span's context is passed on with.
fn headers_of(telemetry: &Telemetry) -> HashMap<String, String> {
    let span = SpanContext::new(
        TraceId::from(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736),
        SpanId::from(7),
        TraceFlags::SAMPLED,
        true,
        TraceState::NONE,
    );
    let context = Context::new().with_remote_span_context(span);
    let context = opentelemetry::baggage::BaggageExt::with_baggage(&context, [KeyValue::new("k", "v")]);
    let mut headers = HashMap::new();
    telemetry.propagator().inject_context(&context, &mut headers);
    headers
}

#[test]
fn propagators_write_their_headers() {
    let collector = Collector::start();
    for (value, expected) in [
        ("", &["baggage", "traceparent"][..]),
        ("tracecontext", &["traceparent"]),
        ("Baggage,baggage", &["baggage"]),
        ("b3", &["b3"]),
        ("b3multi", &["x-b3-sampled", "x-b3-spanid", "x-b3-traceid"]),
        ("none", &[]),
        ("jaeger,b3", &["b3"]),
        ("xray", &["baggage", "traceparent"]),
    ] {
        let telemetry = build(&collector, &[("OTEL_PROPAGATORS", value)]);
        let mut names: Vec<_> = headers_of(&telemetry).into_keys().map(|name| name.to_lowercase()).collect();
        names.sort();
        assert_eq!(names, expected, "{value}");
    }
}

#[tokio::test]
async fn methods_that_are_not_known_are_other() {
    use tower::{ServiceBuilder, ServiceExt as _};
    for (methods, expected) in [("", "POST"), ("GET", "_OTHER"), ("post", "_OTHER"), ("GET,POST", "POST")] {
        let collector = Collector::start();
        let telemetry = build(&collector, &[("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", methods)]);
        let subscriber = tracing_subscriber::registry().with(telemetry.layers());
        let _here = tracing::subscriber::set_default(subscriber);
        let answer = |_: http::Request<axum::body::Body>| async {
            Ok::<_, std::convert::Infallible>(http::Response::new(axum::body::Body::empty()))
        };
        let service = ServiceBuilder::new().layer(telemetry.server_layer()).service_fn(answer);
        let request = http::Request::post("/x").body(axum::body::Body::empty()).unwrap();
        drop(service.oneshot(request).await.unwrap());
        telemetry.shutdown().await.unwrap();
        let method = collector.spans()[0].attribute("http.request.method");
        assert_eq!(method.as_deref(), Some(expected), "{methods}");
    }
}

#[test]
fn prometheus_listens_where_it_is_told() {
    let collector = Collector::start();
    let telemetry = build(
        &collector,
        &[
            ("OTEL_METRICS_EXPORTER", "prometheus"),
            ("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1"),
            ("OTEL_EXPORTER_PROMETHEUS_PORT", "0"),
        ],
    );
    work(&telemetry);
    let address = telemetry.prometheus_address().unwrap();
    assert!(address.ip().is_loopback());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let page = runtime.block_on(async {
        reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap()
    });
    assert!(page.contains("jobs_total"), "{page}");
    drop(telemetry);
    assert_eq!(collector.accepted_items(Signal::Metrics), 0);
}

#[test]
fn a_preset_changes_defaults_and_yields_to_what_is_explicit() {
    let collector = Collector::start();
    let telemetry = Telemetry::builder()
        .with_env([
            ("TRACEWELL_PRESET", "Test"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()),
            ("OTEL_BLRP_SCHEDULE_DELAY", "600000"),
        ])
        .with_stdout(false)
        .build()
        .unwrap();
    work(&telemetry);
    assert!(collector.wait_for(PATIENCE, |recorded| {
        recorded.accepted_items(Signal::Traces) > 0 && recorded.accepted_items(Signal::Metrics) > 0
    }));
    assert_eq!(collector.accepted_items(Signal::Logs), 0);
    drop(telemetry);
}

#[test]
fn strict_makes_all_mistakes_one_error_and_hides_secrets() {
    let error = Telemetry::builder()
        .with_env([
            ("TRACEWELL_STRICT", "true"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://user:hunter2@host"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api key=hunter2"),
            ("TRACEWELL_ADMIN_TOKEN", "hunter2 ö"),
        ])
        .build()
        .unwrap_err();
    let InitError::Mistakes(mistakes) = &error else { panic!("{error}") };
    assert_eq!(mistakes.len(), 5, "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}

#[test]
fn what_code_says_wins_and_is_explained() {
    use tracewell::config::{Origin, Sampler};
    let telemetry = Telemetry::builder()
        .with_env([("OTEL_TRACES_SAMPLER", "always_on"), ("OTEL_SDK_DISABLED", "true")])
        .with_sampler(Sampler::AlwaysOff)
        .build()
        .unwrap();
    let setting =
        |name| telemetry.explain().get(name).map(|setting| (setting.value.clone(), setting.origin)).unwrap();
    assert_eq!(setting("OTEL_TRACES_SAMPLER"), ("always_off".to_owned(), Origin::Code));
    assert_eq!(setting("OTEL_SDK_DISABLED"), ("true".to_owned(), Origin::Environment));
    assert_eq!(setting("OTEL_BSP_MAX_QUEUE_SIZE"), ("2048".to_owned(), Origin::Default));
}
