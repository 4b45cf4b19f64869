//! The declarative configuration file by what it does: telemetry is built with it, something happens, and what arrives counts.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    logs::AnyValue,
    metrics::MeterProvider as _,
    trace::{SpanContext, TraceContextExt as _, TraceState, Tracer as _, TracerProvider as _},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{LogProcessor, SdkLogRecord},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    trace::{SpanData, SpanExporter},
};
use tracewell::{
    Builder, InitError, Telemetry,
    config::{Origin, Sampler},
    otel::RegisterComponents as _,
    testing::{Collector, Signal, proto::metrics::v1::metric::Data},
};
use tracing_subscriber::layer::SubscriberExt as _;

/// A file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tracewell-{}.yaml", uuid::Uuid::new_v4()));
        fs::write(&path, format!("file_format: \"1.1\"\n{text}")).unwrap();
        Self(path)
    }

    /// Telemetry of this file and these variables.
    fn builder(&self, variables: &[(&str, &str)]) -> Builder {
        let file = ("OTEL_CONFIG_FILE".to_owned(), self.0.to_str().unwrap().to_owned());
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Telemetry::builder().with_env(variables.chain([file])).with_stdout(false)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A span with a log record and a measurement inside.
fn work(telemetry: &Telemetry) {
    let subscriber = tracing_subscriber::registry().with(telemetry.layers());
    let counter = telemetry.meter_provider().meter("test").u64_counter("jobs").build();
    tracing::subscriber::with_default(subscriber, || {
        tracing::info_span!("work").in_scope(|| {
            tracing::info!("hello");
            counter.add(1, &[]);
        });
    });
}

/// Which of spans, points of [`work`]'s counter and log records arrived.
fn arrived(collector: &Collector) -> [u64; 3] {
    let jobs = collector.metrics().iter().filter(|metric| metric.name() == "jobs").count() as u64;
    [collector.accepted_items(Signal::Traces), jobs, collector.accepted_items(Signal::Logs)]
}

#[test]
fn each_processor_and_reader_of_the_file_sends_what_happens() {
    let (first, second) = (Collector::start(), Collector::start());
    let (one, two) = (first.endpoint(), second.address());
    let file = File::new(&format!(
        "resource:
  attributes: [{{name: service.name, value: shop}}, {{name: answer, value: 42, type: int}}]
tracer_provider:
  processors:
    - batch: {{exporter: {{otlp_http: {{endpoint: {one}/v1/traces}}}}}}
    - simple: {{exporter: {{otlp_grpc: {{endpoint: \"{two}\", tls: {{insecure: true}}}}}}}}
meter_provider:
  readers:
    - periodic: {{exporter: {{otlp_http: {{endpoint: {one}/v1/metrics}}}}}}
    - periodic: {{exporter: {{otlp_http: {{endpoint: \"http://{two}/v1/metrics\", temporality_preference: delta}}}}}}
logger_provider:
  processors:
    - batch: {{exporter: {{otlp_http: {{endpoint: {one}/v1/logs, encoding: json}}}}}}
    - batch: {{exporter: {{otlp_http: {{endpoint: \"http://{two}/v1/logs\"}}}}}}
"
    ));
    // what the file takes the place of does not count
    let variables = [("OTEL_TRACES_EXPORTER", "none"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")];
    let telemetry =
        file.builder(&[&variables[..], &[("TRACEWELL_STRICT", "true")]].concat()).build().unwrap();
    work(&telemetry);
    let report = tokio::runtime::Runtime::new().unwrap().block_on(telemetry.shutdown()).unwrap();
    assert_eq!((arrived(&first), arrived(&second)), ([1, 1, 1], [1, 1, 1]));
    // an item counts for each way out
    assert_eq!([report.signals[0].account.exported, report.signals[2].account.exported], [2, 2]);
    let temporality = |collector: &Collector| {
        let metrics = collector.metrics();
        let jobs = metrics.iter().find(|metric| metric.name() == "jobs").unwrap();
        let Some(Data::Sum(sum)) = &jobs.metric.data else { panic!("no sum") };
        sum.aggregation_temporality
    };
    assert_eq!((temporality(&first), temporality(&second)), (2, 1), "cumulative, delta");
    let span = &second.spans()[0];
    let attributes = format!("{:?}", span.resource.attributes);
    assert!(attributes.contains("IntValue(42)") && attributes.contains("shop"), "{attributes}");
}

#[test]
fn a_provider_that_is_not_in_the_file_sends_nothing() {
    let collector = Collector::start();
    let endpoint = collector.endpoint();
    let logs = format!(
        "logger_provider: {{processors: [batch: {{exporter: {{otlp_http: {{endpoint: {endpoint}/v1/logs}}}}}}]}}"
    );
    let telemetry = File::new(&logs).builder(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).build().unwrap();
    work(&telemetry);
    drop(telemetry);
    assert_eq!(arrived(&collector), [0, 0, 1]);
    // `disabled` is for all of them
    let telemetry = File::new(&format!("disabled: true\n{logs}")).builder(&[]).build().unwrap();
    work(&telemetry);
    drop(telemetry);
    assert_eq!(arrived(&collector), [0, 0, 1]);
}

#[test]
fn each_kind_of_parent_has_its_sampler() {
    let kept = |sampler: &str| {
        let text = format!(
            "tracer_provider: {{processors: [simple: {{exporter: {{console: }}}}], sampler: {sampler}}}"
        );
        let telemetry = File::new(&text).builder(&[("TRACEWELL_STRICT", "true")]).build().unwrap();
        let tracer = telemetry.tracer_provider().tracer("test");
        let parent = |sampled: bool, remote| {
            let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
            let span = SpanContext::new(TraceId::from(7), SpanId::from(7), flags, remote, TraceState::NONE);
            Context::new().with_remote_span_context(span)
        };
        [Context::new(), parent(true, true), parent(false, true), parent(true, false), parent(false, false)]
            .map(|parent| {
                let span = tracer.build_with_context(tracer.span_builder("s"), &parent);
                opentelemetry::trace::Span::span_context(&span).is_sampled()
            })
    };
    for (sampler, expected) in [
        ("{always_off: }", [false; 5]),
        ("{parent_based: }", [true, true, false, true, false]),
        ("{parent_based: {root: {always_off: }}}", [false, true, false, true, false]),
        ("{parent_based: {remote_parent_sampled: {always_off: }}}", [true, false, false, true, false]),
        ("{parent_based: {remote_parent_not_sampled: {always_on: }}}", [true, true, true, true, false]),
        (
            "{parent_based: {local_parent_sampled: {trace_id_ratio_based: {ratio: 0}}}}",
            [true, true, false, false, false],
        ),
        ("{parent_based: {local_parent_not_sampled: {always_on: }}}", [true, true, false, true, true]),
        // one inside the other: each decides by the same parent
        (
            "{parent_based: {root: {parent_based: {root: {always_off: }, remote_parent_sampled: {always_off: }}}}}",
            [false, true, false, true, false],
        ),
    ] {
        assert_eq!(kept(sampler), expected, "{sampler}");
    }
}

#[test]
fn views_and_cardinality_limits_of_the_file_shape_the_metrics() {
    let collector = Collector::start();
    let endpoint = collector.endpoint();
    let file = File::new(&format!(
        "meter_provider:
  readers:
    - periodic:
        exporter: {{otlp_http: {{endpoint: {endpoint}/v1/metrics}}}}
        cardinality_limits: {{default: 100, counter: 3}}
  views:
    - selector: {{instrument_name: job.time, meter_name: jobs, unit: s, instrument_type: histogram}}
      stream:
        name: job.seconds
        description: how long
        aggregation: {{explicit_bucket_histogram: {{boundaries: [1, 10], record_min_max: false}}}}
        attribute_keys: {{included: [kind]}}
    - {{selector: {{instrument_name: \"noise?\"}}, stream: {{aggregation: {{drop: }}}}}}
    - {{selector: {{unit: By}}, stream: {{aggregation: {{base2_exponential_bucket_histogram: {{max_size: 20}}}}}}}}
"
    ));
    let telemetry = file.builder(&[("TRACEWELL_STRICT", "true")]).build().unwrap();
    let (jobs, other) = (telemetry.meter_provider().meter("jobs"), telemetry.meter_provider().meter("other"));
    let labels = [opentelemetry::KeyValue::new("kind", "a"), opentelemetry::KeyValue::new("id", 1)];
    for meter in [&jobs, &other] {
        meter.f64_histogram("job.time").with_unit("s").build().record(5.0, &labels);
    }
    jobs.u64_counter("noise1").build().add(1, &[]);
    jobs.u64_histogram("size").with_unit("By").build().record(5, &[]);
    let counter = jobs.u64_counter("many").build();
    (0..50).for_each(|id| counter.add(1, &[opentelemetry::KeyValue::new("id", id)]));
    drop(telemetry);
    let metrics = collector.metrics();
    let find = |name: &str, meter: &str| {
        metrics
            .iter()
            .find(|metric| metric.name() == name && metric.scope.name == meter)
            .map(|metric| &metric.metric)
    };
    let Some(Data::Histogram(shaped)) = &find("job.seconds", "jobs").unwrap().data else {
        panic!("no histogram")
    };
    let point = &shaped.data_points[0];
    assert_eq!(
        (point.explicit_bounds.as_slice(), point.bucket_counts.as_slice()),
        (&[1.0, 10.0][..], &[0, 1, 0][..])
    );
    assert_eq!((point.attributes.len(), point.min, point.max), (1, None, None));
    assert_eq!(find("job.seconds", "jobs").unwrap().description, "how long");
    // of another meter: as it is
    assert!(find("job.time", "other").is_some() && find("job.time", "jobs").is_none());
    assert!(find("noise1", "jobs").is_none());
    assert!(matches!(find("size", "jobs").unwrap().data, Some(Data::ExponentialHistogram(_))));
    let Some(Data::Sum(many)) = &find("many", "jobs").unwrap().data else { panic!("no sum") };
    assert!(many.data_points.len() <= 4, "{} series of 50", many.data_points.len());
}

/// One measurement of every kind of instrument, each with the same four attributes.
fn measure_with_everything(telemetry: &Telemetry) {
    let labels = ["kind", "job.id", "job.queue", "host"].map(|key| opentelemetry::KeyValue::new(key, "x"));
    let meter = telemetry.meter_provider().meter("jobs");
    let span = telemetry.tracer_provider().tracer("test").start("span");
    {
        let _current = opentelemetry::Context::new().with_span(span).attach();
        meter.u64_counter("counter").build().add(1, &labels);
        meter.u64_counter("bound").build().bind(&labels).add(1);
        meter.f64_histogram("histogram").build().record(1.0, &labels);
    }
    meter.i64_up_down_counter("up.down").build().add(1, &labels);
    meter.f64_gauge("gauge").build().record(1.0, &labels);
    meter.f64_gauge("gauge.bound").build().bind(&labels).record(1.0);
    meter.u64_counter("every").build().add(1, &labels);
    meter.u64_counter("none.but").build().add(1, &labels);
    let observed = labels.clone();
    meter.u64_observable_gauge("observed").with_callback(move |of| of.observe(1, &observed)).build();
    telemetry.meter_provider().meter("other").u64_counter("other").build().add(1, &labels);
}

#[test]
fn attribute_keys_of_views_may_be_patterns_for_every_kind_of_instrument() {
    let collector = Collector::start();
    let file = File::new(&format!(
        "tracer_provider: {{processors: [simple: {{exporter: {{otlp_http: {{endpoint: {0}/v1/traces}}}}}}]}}
meter_provider:
  readers: [periodic: {{exporter: {{otlp_http: {{endpoint: {0}/v1/metrics}}}}}}]
  views:
    - {{selector: {{instrument_name: every}}, stream: {{attribute_keys: {{}}}}}}
    - {{selector: {{instrument_name: none.but}}, stream: {{attribute_keys: {{included: ['k?nd']}}}}}}
    - {{selector: {{meter_name: jobs}}, stream: {{attribute_keys: {{included: ['job.*', kind], excluded: [job.id]}}}}}}
",
        collector.endpoint()
    ));
    let telemetry = file.builder(&[("TRACEWELL_STRICT", "true")]).build().unwrap();
    measure_with_everything(&telemetry);
    drop(telemetry);
    let metrics = collector.metrics();
    let keys = |name: &str| {
        let metric = metrics.iter().find(|metric| metric.name() == name);
        let metric = &metric.unwrap_or_else(|| panic!("no {name}")).metric;
        let (attributes, exemplars) = match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => (&sum.data_points[0].attributes, &sum.data_points[0].exemplars),
            Data::Gauge(gauge) => (&gauge.data_points[0].attributes, &gauge.data_points[0].exemplars),
            Data::Histogram(histogram) => {
                (&histogram.data_points[0].attributes, &histogram.data_points[0].exemplars)
            }
            other => panic!("{other:?}"),
        };
        let mut keys: Vec<&str> = attributes.iter().map(|attribute| &*attribute.key).collect();
        keys.sort_unstable();
        let dropped = exemplars.first().map(|exemplar| exemplar.filtered_attributes.len());
        (keys.join(" "), dropped)
    };
    let left = "job.queue kind".to_owned();
    for (name, dropped) in [("counter", Some(2)), ("bound", Some(2)), ("histogram", Some(2))] {
        assert_eq!(keys(name), (left.clone(), dropped), "{name}: an exemplar has the others");
    }
    for name in ["up.down", "gauge", "gauge.bound", "observed"] {
        assert_eq!(keys(name), (left.clone(), None), "{name}");
    }
    for (name, kept) in [
        ("every", "host job.id job.queue kind"),
        ("none.but", "kind"),
        ("other", "host job.id job.queue kind"),
    ] {
        assert_eq!(keys(name).0, kept, "{name}");
    }
}

#[test]
fn every_value_says_where_it_comes_from_and_code_wins() {
    let file = File::new(
        "tracer_provider:
  processors: [batch: {max_queue_size: 9, exporter: {otlp_http: {endpoint: \"http://u:secret@127.0.0.1:1/v1/traces\"}}}]
  sampler: {always_off: }
distribution: {tracewell: {drain_ms: 7, prestop_ms: 8}}",
    );
    let variables = [
        ("OTEL_BSP_SCHEDULE_DELAY", "1"),
        ("TRACEWELL_PRESTOP_MS", "2"),
        ("OTEL_TRACES_SAMPLER", "always_on"),
    ];
    let telemetry = file
        .builder(&variables)
        .with_sampler(Sampler::AlwaysOn)
        .with_shutdown_deadline(Duration::from_millis(50))
        .build()
        .unwrap();
    let explanation = telemetry.explain();
    let is = |name: &str| {
        let setting = explanation.get(name).unwrap();
        (setting.value.clone(), setting.source())
    };
    let expect =
        |name: &str, value: &str, source: &str| assert_eq!(is(name), (value.to_owned(), source.to_owned()));
    let batch = "file: tracer_provider.processors[0].batch";
    expect("OTEL_BSP_MAX_QUEUE_SIZE", "9", &format!("{batch}.max_queue_size"));
    expect("OTEL_BSP_SCHEDULE_DELAY", "5000", "default");
    expect("OTEL_TRACES_SAMPLER", "always_on", "code");
    expect("TRACEWELL_DRAIN_MS", "7", "file: distribution.tracewell.drain_ms");
    expect("TRACEWELL_PRESTOP_MS", "2", "environment");
    expect("OTEL_LOGS_EXPORTER", "none", "file: logger_provider (missing)");
    expect("OTEL_CONFIG_FILE", file.0.to_str().unwrap(), "environment");
    let endpoint = is("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    assert_eq!(endpoint.0, "http://REDACTED:REDACTED@127.0.0.1:1/v1/traces");
    assert!(!explanation.to_string().contains("secret"));
    assert_eq!(explanation.get("OTEL_TRACES_SAMPLER").unwrap().origin, Origin::Code);
    assert_eq!(telemetry.config().traces.sampler, Sampler::AlwaysOn);
    // the same for the operator
    let shown = tokio::runtime::Runtime::new().unwrap().block_on(telemetry.show_environment());
    let settings = &shown["config"]["settings"];
    assert_eq!(settings["OTEL_BSP_MAX_QUEUE_SIZE"]["source"], format!("{batch}.max_queue_size"));
    assert_eq!(settings["TRACEWELL_DRAIN_MS"]["source"], "file: distribution.tracewell.drain_ms");
}

#[test]
fn strict_names_every_mistake_and_otherwise_the_service_starts() {
    let file = File::new(
        "disabled: maybe\ntracer_provider: {procesors: []}\ndistribution: {tracewell: {drain_ms: x}}",
    );
    let Err(InitError::Mistakes(mistakes)) = file.builder(&[("TRACEWELL_STRICT", "true")]).build() else {
        panic!("strict takes no mistake");
    };
    let paths: Vec<&str> = mistakes.iter().map(|mistake| &*mistake.variable).collect();
    let expected = [
        "disabled",
        "tracer_provider.processors",
        "tracer_provider.procesors",
        "distribution.tracewell.drain_ms",
    ];
    assert!(expected.iter().all(|path| paths.contains(path)) && paths.len() == 4, "{paths:?}");
    let telemetry = file.builder(&[]).build().unwrap();
    assert_eq!(telemetry.explain().others.len(), 4);
    // warnings pass
    let newer = File::new("some_other_tool: {anything: goes}");
    let telemetry = newer.builder(&[("TRACEWELL_STRICT", "true")]).build().unwrap();
    assert!(telemetry.explain().others[0].warning);
}

/// What components of the program's own were given.
type Seen = Arc<Mutex<Vec<String>>>;

#[derive(Debug)]
struct Own(Seen);

impl Own {
    fn say(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
}

impl SpanExporter for Own {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        batch.iter().for_each(|span| self.say(format!("span {}", span.name)));
        Ok(())
    }
}

impl LogProcessor for Own {
    fn emit(&self, record: &mut SdkLogRecord, _: &opentelemetry::InstrumentationScope) {
        if let Some(AnyValue::String(body)) = record.body() {
            self.say(format!("record {body}"));
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
}

impl PushMetricExporter for Own {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let metrics = metrics.scope_metrics().flat_map(|scope| scope.metrics());
        metrics.filter(|metric| metric.name() == "jobs").for_each(|_| self.say("metric jobs".to_owned()));
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

#[test]
fn components_of_the_program_are_created_by_name_with_their_properties() {
    let file = File::new(
        "tracer_provider:
  processors:
    - batch: {exporter: {courier: {address: here, tries: 3}}}
    - batch: {exporter: {courier: {}}}
    - batch: {exporter: {carrier: }}
logger_provider: {processors: [taster: ]}
meter_provider: {readers: [periodic: {exporter: {meter.man: {every: [1, 2]}}}]}",
    );
    let seen = Seen::default();
    let builder = |variables| {
        let [spans, logs, metrics] = [(); 3].map(|()| Arc::clone(&seen));
        file.builder(variables)
            .register_span_exporter("courier", move |properties| {
                let address = properties["address"].as_str().ok_or("address is missing")?;
                spans.lock().unwrap().push(format!("{address} {}", properties["tries"]));
                Ok::<_, &str>(Own(Arc::clone(&spans)))
            })
            .register_log_processor("taster", move |properties| {
                assert!(properties.is_null());
                Ok::<_, String>(Own(Arc::clone(&logs)))
            })
            .register_metric_exporter("meter.man", move |properties| {
                assert_eq!(properties["every"], serde_json::json!([1, 2]));
                Ok::<_, String>(Own(Arc::clone(&metrics)))
            })
    };
    let Err(InitError::Mistakes(mistakes)) = builder(&[("TRACEWELL_STRICT", "true")]).build() else {
        panic!("one is not registered, and one cannot be created");
    };
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    let expected = [
        "tracer_provider.processors[1].batch.exporter.courier: address is missing",
        "tracer_provider.processors[2].batch.exporter.carrier: no such span exporter; accepted are built-in ones and \
         registered ones (courier)",
    ];
    assert!(
        lines.len() == 2 && lines.iter().zip(expected).all(|(line, expected)| line.starts_with(expected)),
        "{lines:#?}"
    );
    seen.lock().unwrap().clear();
    let telemetry = builder(&[]).build().unwrap();
    work(&telemetry);
    drop(telemetry);
    let seen = seen.lock().unwrap();
    for expected in ["here 3", "span work", "record hello", "metric jobs"] {
        assert!(seen.iter().any(|seen| seen == expected), "{expected}: {seen:?}");
    }
    let twice = Telemetry::builder()
        .with_env([("OTEL_SDK_DISABLED", "true")])
        .register_span_exporter("a", |_| Ok::<_, String>(Own(Seen::default())))
        .register_span_exporter("a", |_| Ok::<_, String>(Own(Seen::default())))
        .build();
    assert!(matches!(twice, Err(InitError::Unusable(problems)) if problems[0].contains("twice")));
}
