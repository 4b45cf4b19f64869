//! Which traces are kept, as callers, collectors and the next service see it: rules by request and attribute, shares that
//! others go on from, rates, and the random flag of trace ids.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    convert::Infallible,
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body, routing::any};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Empty};
use opentelemetry::{
    KeyValue,
    trace::{Span as _, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracewell::{
    Builder, InitError, Telemetry,
    config::{RemoteParent, Sampler, SamplingRule},
    testing::{Collector, SpanRecord},
};
use tracing::dispatcher::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt as _;

const LONG: Duration = Duration::from_secs(30);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

type Headers<'a> = &'a [(&'a str, &'a str)];

/// A service with a router, which calls another service.
struct Service {
    // before its collector: it ends by sending
    telemetry: Telemetry,
    collector: Collector,
    runtime: tokio::runtime::Runtime,
    _default: DefaultGuard,
}

impl Service {
    fn with(variables: Headers<'_>) -> Self {
        Self::of(variables, |builder| builder)
    }

    fn of(variables: Headers<'_>, change: impl FnOnce(Builder) -> Builder) -> Self {
        let collector = Collector::start();
        let endpoint = collector.endpoint();
        let variables = variables.iter().copied().chain([("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint)]);
        let telemetry = change(Telemetry::builder().with_env(variables)).with_stdout(false).build().unwrap();
        let subscriber = tracing_subscriber::Registry::default().with(telemetry.layers());
        let _default = tracing::dispatcher::set_default(&subscriber.into());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { telemetry, collector, runtime, _default }
    }

    /// Serves a request; what the service sends with its own call.
    fn serve(&self, line: &str, headers: Headers<'_>) -> HeaderMap {
        let seen = Arc::new(Mutex::new(HeaderMap::new()));
        let sent = Arc::clone(&seen);
        let next = self.telemetry.client_layer().layer(service_fn(move |request: Request<Empty<Bytes>>| {
            *sent.lock().unwrap() = request.headers().clone();
            async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) }
        }));
        let handler = any(move || async move {
            tracing::info!("handled");
            next.oneshot(Request::get("http://next/").body(Empty::new()).unwrap()).await.unwrap();
        });
        let app = Router::new()
            .route("/orders/{id}", handler.clone())
            .route("/search", handler.clone())
            .route("/health/live", handler);
        let app = app.layer(self.telemetry.server_layer());
        let (method, path) = line.split_once(' ').unwrap();
        let request =
            headers.iter().fold(Request::builder().method(method).uri(path), |request, (name, value)| {
                request.header(*name, *value)
            });
        self.runtime.block_on(async {
            let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            let _ = response.into_body().collect().await;
        });
        seen.lock().unwrap().clone()
    }

    /// Whether the request's trace is kept, as the next service is told.
    fn keeps(&self, line: &str, headers: Headers<'_>) -> bool {
        sampled(&self.serve(line, headers))
    }

    fn end(self) -> (Vec<SpanRecord>, Collector) {
        let report = self.runtime.block_on(self.telemetry.shutdown_within(LONG)).unwrap();
        assert!(report.is_complete(), "{report:?}");
        (self.collector.spans(), self.collector)
    }
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map_or(String::new(), |value| value.to_str().unwrap().to_owned())
}

fn flags(headers: &HeaderMap) -> String {
    header(headers, "traceparent")[53..].to_owned()
}

fn sampled(headers: &HeaderMap) -> bool {
    matches!(&*flags(headers), "01" | "03")
}

/// A `traceparent` whose id has this randomness.
fn parent(randomness: u64, flags: &str) -> String {
    format!("00-4bf92f3577b34da6a3{randomness:014x}-{SPAN}-{flags}")
}

fn rules(rules: &str) -> Vec<(&str, &str)> {
    vec![("TRACEWELL_SAMPLING_RULES", rules)]
}

#[test]
fn the_first_rule_that_holds_decides_and_spans_logs_and_exemplars_follow() {
    let service = Service::with(&rules(
        "drop path=/health/*, keep header.x-debug, drop header.x-bot=*crawler*|\"a, b\", keep route=/orders/{id} \
         method=POST|PUT, drop attribute.user_agent.original=old*, drop method=DELETE, drop route=/search",
    ));
    for (line, headers, kept) in [
        ("GET /health/live", &[("x-debug", "1")][..], false),
        ("GET /search", &[], false),
        ("GET /search", &[("X-Debug", "")], true),
        ("GET /orders/7", &[("x-bot", "one"), ("x-bot", "a crawler, two")], false),
        ("GET /orders/7", &[("x-bot", "a, b")], false),
        ("GET /orders/7", &[("x-bot", "a")], true),
        ("POST /orders/7", &[("user-agent", "old/1")], true),
        ("GET /orders/7", &[("user-agent", "old/1")], false),
        ("GET /orders/7", &[("user-agent", "new/1")], true),
        ("DELETE /orders/7", &[], false),
        ("GET /nowhere", &[], true),
    ] {
        if line != "GET /nowhere" {
            assert_eq!(service.keeps(line, headers), kept, "{line} {headers:?}");
        } else {
            service.serve(line, headers);
        }
    }
    let (spans, collector) = service.end();
    let server = |span: &&SpanRecord| span.span.kind == 2;
    let mut names: Vec<&str> = spans.iter().filter(server).map(SpanRecord::name).collect();
    names.sort_unstable();
    assert_eq!(names, ["GET", "GET /orders/{id}", "GET /orders/{id}", "GET /search", "POST /orders/{id}"]);
    assert_eq!(spans.iter().filter(|span| !server(span)).count(), 4, "calls go as their requests do");
    let logs = collector.logs();
    let handled = logs.iter().filter(|log| log.body() == "handled");
    let (kept, dropped): (Vec<_>, Vec<_>) = handled.partition(|log| log.record.flags & 1 == 1);
    assert_eq!((kept.len(), dropped.len()), (4, 6), "every line is there, and says whether its trace is");
    let ids: Vec<String> = spans.iter().map(SpanRecord::trace_id).collect();
    assert!(kept.iter().all(|log| ids.contains(&log.trace_id())));
    let exemplars = collector.exemplars("http.server.request.duration");
    assert!(!exemplars.is_empty() && exemplars.iter().all(|exemplar| ids.contains(&exemplar.trace_id())));
}

#[test]
fn a_route_is_known_inside_of_the_router_only() {
    let keeps = |inside: bool, rule: &str| {
        let service = Service::with(&rules(rule));
        let app = Router::new().route("/orders/{id}", any(async || ()));
        let layer = service.telemetry.server_layer();
        let request = Request::get("/orders/7").body(Body::empty()).unwrap();
        service.runtime.block_on(async {
            if inside {
                app.layer(layer).oneshot(request).await.unwrap();
            } else {
                layer.layer(app).oneshot(request).await.unwrap();
            }
        });
        service.end().0.len() == 1
    };
    assert!(!keeps(true, "drop route=/orders/*"));
    assert!(keeps(false, "drop route=/orders/*"), "no router has seen it yet");
    assert!(!keeps(false, "drop path=/orders/*"));
}

#[test]
fn a_caller_decides_unless_it_is_ignored() {
    let drop = ("TRACEWELL_SAMPLING_RULES", "drop path=/search, keep path=/orders/7");
    let (kept, not) = (format!("00-{TRACE}-{SPAN}-01"), format!("00-{TRACE}-{SPAN}-00"));
    let answers = |variables: Headers<'_>| {
        let service = Service::with(variables);
        let asked = |line: &str, parent: &str| service.keeps(line, &[("traceparent", parent)]);
        [asked("GET /search", &kept), asked("GET /orders/7", &not), asked("GET /orders/8", &not)]
    };
    assert_eq!(answers(&[drop]), [true, false, false]);
    let ignore = ("TRACEWELL_SAMPLING_REMOTE_PARENT", "ignore");
    assert_eq!(answers(&[drop, ignore]), [false, true, true]);
    assert_eq!(answers(&[ignore]), [true, true, true]);
    let off = ("OTEL_TRACES_SAMPLER", "parentbased_always_off");
    assert_eq!(answers(&[drop, ignore, off]), [false, true, false]);
    assert_eq!(answers(&[drop, off]), [true, false, false]);
    // a sampler that looks at no parent does not begin to because there are rules
    assert_eq!(answers(&[drop, ("OTEL_TRACES_SAMPLER", "always_on")]), [false, true, true]);
    // one trace, whoever decides
    let service = Service::with(&[drop, ignore]);
    let sent = service.serve("GET /orders/7", &[("traceparent", &not), ("tracestate", "a=1,ot=th:8")]);
    assert!(header(&sent, "traceparent").starts_with(&format!("00-{TRACE}-")));
    assert_eq!(header(&sent, "tracestate"), "ot=th:0,a=1", "the caller's share is not this service's");
    let (spans, _) = service.end();
    let server = spans.iter().find(|span| span.name() == "GET /orders/{id}").unwrap();
    assert_eq!(server.parent_span_id(), SPAN);
    assert_eq!(server.span.trace_state, "ot=th:0,a=1");
}

/// Ids whose randomness lies in the middle of each thousandth.
fn thousand() -> impl Iterator<Item = u64> {
    let part = (1_u64 << 56) / 1000;
    (0..1000).map(move |number| number * part + part / 2)
}

/// The numbers of those that are kept; with what is said of their share.
fn kept(sampler: &str) -> (Vec<usize>, Vec<String>) {
    let telemetry = Telemetry::builder()
        .with_env([("TRACEWELL_SAMPLING_RULES", sampler), ("TRACEWELL_SAMPLING_REMOTE_PARENT", "ignore")])
        .with_env_defaults([("OTEL_TRACES_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "none")])
        .with_stdout(false)
        .build()
        .unwrap();
    let tracer = telemetry.tracer_provider().tracer("test");
    let (mut numbers, mut states) = (Vec::new(), Vec::new());
    for (number, randomness) in thousand().enumerate() {
        let trace = u128::from(randomness) | 0x004b_f92f_3577_b34d_a6a3 << 56;
        let context = opentelemetry::trace::SpanContext::new(
            trace.into(),
            7.into(),
            opentelemetry::TraceFlags::new(2),
            true,
            opentelemetry::trace::TraceState::NONE,
        );
        let parent = opentelemetry::Context::new().with_remote_span_context(context);
        let span = tracer.start_with_context("span", &parent);
        // a span in the trace goes as the first of this process does
        let child = tracer.start_with_context("child", &parent.with_span(span));
        if child.span_context().is_sampled() {
            numbers.push(number);
            states.push(child.span_context().trace_state().header());
        }
    }
    states.dedup();
    (numbers, states)
}

#[test]
fn a_share_is_exact_and_what_it_keeps_every_larger_one_keeps_too() {
    for (share, threshold) in [("0.1%", "ffbe77"), ("10%", "e666"), ("25%", "c"), ("50%", "8"), ("keep", "0")]
    {
        let (numbers, states) = kept(share);
        let count = match share {
            "keep" => 1000,
            share => (share.trim_end_matches('%').parse::<f64>().unwrap() * 10.0) as usize,
        };
        assert_eq!(numbers, (1000 - count..1000).collect::<Vec<_>>(), "{share}: the greatest randomness");
        assert_eq!(states, [format!("ot=th:{threshold}")], "{share}");
    }
    assert_eq!(kept("drop"), (Vec::new(), Vec::new()));
}

#[test]
fn what_a_caller_says_of_randomness_and_share_counts() {
    let ignored = ("TRACEWELL_SAMPLING_REMOTE_PARENT", "ignore");
    let quarter = Service::with(&[
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ignored,
    ]);
    let state = |service: &Service, parent: &str, state: &str| {
        let sent = service.serve("GET /search", &[("traceparent", parent), ("tracestate", state)]);
        (sampled(&sent), header(&sent, "tracestate"))
    };
    let (low, high) = (0x003f_ffff_ffff_ffff, 0x00c0_0000_0000_0000);
    let told = |kept: bool, state: &str| (kept, state.to_owned());
    assert_eq!(state(&quarter, &parent(high, "00"), "a=1"), told(true, "ot=th:c,a=1"));
    assert_eq!(
        state(&quarter, &parent(high - 1, "03"), "ot=th:8"),
        told(false, ""),
        "no share of what is not kept"
    );
    // explicit randomness wins over the id's, and stays
    assert_eq!(
        state(&quarter, &parent(low, "02"), "ot=rv:c0000000000000"),
        told(true, "ot=th:c;rv:c0000000000000")
    );
    assert_eq!(
        state(&quarter, &parent(high, "03"), "ot=th:0;rv:bfffffffffffff"),
        told(false, "ot=rv:bfffffffffffff")
    );
    // followed, a caller's share is passed on, unless the trace cannot be one of it
    let follows = Service::with(&[]);
    assert_eq!(state(&follows, &parent(high, "03"), "a=1,ot=th:c"), told(true, "a=1,ot=th:c"));
    assert_eq!(state(&follows, &parent(high - 1, "03"), "a=1,ot=th:c"), told(true, "a=1"));
    // a rate is no share
    let rate = Service::with(&[("TRACEWELL_SAMPLING_RULES", "1000/s"), ignored]);
    assert_eq!(
        state(&rate, &parent(high, "03"), "ot=th:c;rv:c0000000000000"),
        told(true, "ot=rv:c0000000000000")
    );
}

#[test]
fn a_rate_lets_so_many_pass_whoever_calls() {
    let service = Service::with(&[
        ("TRACEWELL_SAMPLING_RULES", "0.001/s route=/search, drop route=/search"),
        ("TRACEWELL_SAMPLING_REMOTE_PARENT", "ignore"),
    ]);
    // the first of the rule's three users has the one that there is in a thousand seconds
    assert!(service.keeps("GET /search", &[("traceparent", &parent(1, "00"))]));
    assert!(!service.keeps("GET /search", &[]));
    assert!(!service.keeps("GET /search", &[("traceparent", &parent(1, "01"))]));
    assert!(service.keeps("GET /orders/7", &[]));
}

#[test]
fn ids_made_here_are_random_and_others_are_what_their_caller_says() {
    let service = Service::with(&rules("drop route=/search"));
    assert_eq!(flags(&service.serve("GET /orders/7", &[])), "03");
    assert_eq!(flags(&service.serve("GET /search", &[])), "02", "whether it is kept or not");
    for given in ["00", "01", "02", "03"] {
        let sent = service.serve("GET /orders/7", &[("traceparent", &parent(7, given))]);
        assert_eq!(flags(&sent), given);
    }
    // of what later versions may mean nothing is passed on
    assert_eq!(flags(&service.serve("GET /orders/7", &[("traceparent", &parent(7, "fd"))])), "01");
    let (spans, collector) = service.end();
    let mut flags: Vec<(&str, u32)> =
        spans.iter().map(|span| (span.name(), span.span.flags & 0xff)).collect();
    flags.sort_unstable();
    // one that was begun here, one with the flag, two without: each with its call
    let each = |name| [(name, 1), (name, 1), (name, 3), (name, 3)];
    assert_eq!(flags, [each("GET"), each("GET /orders/{id}")].concat());
    let logs = collector.logs();
    let begun_here = logs.iter().filter(|log| log.trace_id() != TRACE && !log.trace_id().ends_with("07"));
    assert_eq!(begun_here.map(|log| log.record.flags).collect::<Vec<_>>(), [3, 2]);
}

#[test]
fn rules_in_code_are_rules_of_the_variable_and_mistakes_are_told() {
    let rules =
        [SamplingRule::drop().with_header_value("X-Bot", "*"), SamplingRule::keep().with_path("/search")];
    let service = Service::of(&[("TRACEWELL_SAMPLING_RULES", "keep")], |builder| {
        builder
            .with_sampling_rules(rules)
            .with_sampler(Sampler::parent_based(Sampler::AlwaysOff))
            .with_remote_parent(RemoteParent::Ignore)
    });
    let given = parent(7, "01");
    assert!(!service.keeps("GET /search", &[("x-bot", "")]));
    assert!(service.keeps("GET /search", &[]));
    assert!(!service.keeps("GET /orders/7", &[("traceparent", &given)]));
    assert_eq!(
        setting(&service.telemetry, "TRACEWELL_SAMPLING_RULES"),
        "drop header.x-bot=*, keep path=/search"
    );

    let built = |change: fn(Builder) -> Builder| {
        change(Telemetry::builder().with_env([("OTEL_SDK_DISABLED", "true")])).build().map(drop).map_err(
            |error| match error {
                InitError::Unusable(problems) => problems.join("; "),
                other => other.to_string(),
            },
        )
    };
    let told = built(|builder| builder.with_sampling_rules([SamplingRule::ratio(1.5).with_path("/x")]));
    let why = "sampling rule \"150% path=/x\": sampler traceidratio{1.5}: accepted is a share from 0 to 1";
    assert!(told.as_ref().is_err_and(|told| told.contains(why)), "{told:?}");
    let told = built(|builder| builder.with_sampling_rules([SamplingRule::keep().with_header("a b")]));
    assert!(told.is_err_and(|told| told.contains("\"a b\" is no name of a header")));
    let told = built(|builder| builder.with_sampler(Sampler::parent_based(Sampler::PerSecond(f64::NAN))));
    assert!(told.is_err_and(|told| told.contains("accepted is a rate above 0")));
    let strict = [("TRACEWELL_STRICT", "true"), ("TRACEWELL_SAMPLING_RULES", "keep, kep path=/x")];
    let told = Telemetry::builder().with_env(strict).build().map(drop).unwrap_err().to_string();
    assert!(told.contains("rule 2: \"kep\" is no action; accepted is keep, drop,"), "{told}");
}

fn with_file<T>(text: &str, use_it: impl FnOnce(&std::path::Path) -> T) -> T {
    let path = std::env::temp_dir().join(format!("tracewell-{}.yaml", uuid::Uuid::new_v4()));
    fs::write(&path, text).unwrap();
    let result = use_it(&path);
    fs::remove_file(path).unwrap();
    result
}

/// Whether a span is kept, and what it says of its share.
fn asked(
    telemetry: &Telemetry,
    kind: SpanKind,
    attributes: &[KeyValue],
    parent: Option<(&str, &str)>,
) -> String {
    let headers = parent.map(|(parent, state)| {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", parent.parse().unwrap());
        headers.insert("tracestate", state.parse().unwrap());
        headers
    });
    let context = headers.map_or_else(opentelemetry::Context::new, |headers| {
        use opentelemetry::propagation::TextMapPropagator as _;
        let propagator = opentelemetry_sdk::propagation::TraceContextPropagator::new();
        propagator.extract(&opentelemetry_http::HeaderExtractor(&headers))
    });
    let tracer = telemetry.tracer_provider().tracer("test");
    let builder = tracer.span_builder("span").with_kind(kind).with_attributes(attributes.to_vec());
    let span = builder.start_with_context(&tracer, &context);
    let (kept, state) = (span.span_context().is_sampled(), span.span_context().trace_state().header());
    format!("{}{state}", if kept { "kept " } else { "" })
}

#[test]
fn composed_samplers_of_a_file_decide_as_the_schema_says() {
    let text = r#"
file_format: "1.1"
tracer_provider:
  processors: [simple: {exporter: {console: }}]
  sampler:
    composite/development:
      rule_based:
        rules:
          - {attribute_values: {key: status, values: ["404", "a*"]}, sampler: {always_off: }}
          - {attribute_patterns: {key: paths, included: ["/h*"], excluded: ["/home"]}, sampler: {always_off: }}
          - {span_kinds: [client, producer], parent: [none], sampler: {probability: {ratio: 1.0}}}
          - {parent: [remote, local], sampler: {parent_threshold: {root: {always_off: }}}}
          - {span_kinds: [server], sampler: {always_on: }}
"#;
    let strict = |path: &std::path::Path| {
        let builder = Telemetry::builder().with_env([("TRACEWELL_STRICT", "true")]).with_config_file(path);
        builder.with_stdout(false).build().unwrap()
    };
    let telemetry = with_file(text, strict);
    let root = |kind, attributes: &[KeyValue]| asked(&telemetry, kind, attributes, None);
    assert_eq!(root(SpanKind::Server, &[]), "kept ot=th:0");
    assert_eq!(root(SpanKind::Internal, &[]), "", "no rule is about it");
    assert_eq!(root(SpanKind::Producer, &[]), "kept ot=th:0");
    assert_eq!(root(SpanKind::Server, &[KeyValue::new("status", 404)]), "");
    assert_eq!(
        root(SpanKind::Server, &[KeyValue::new("status", "ab")]),
        "kept ot=th:0",
        "values are no patterns"
    );
    let paths = |paths: &[&'static str]| {
        let paths = paths.iter().map(|path| (*path).into()).collect::<Vec<opentelemetry::StringValue>>();
        [KeyValue::new("paths", opentelemetry::Value::Array(paths.into()))]
    };
    assert_eq!(root(SpanKind::Server, &paths(&["/x", "/health"])), "", "one of them is enough");
    assert_eq!(root(SpanKind::Server, &paths(&["/home"])), "kept ot=th:0");
    let child = |parent: &str, state: &str| asked(&telemetry, SpanKind::Server, &[], Some((parent, state)));
    let high = 0x00c0_0000_0000_0000;
    assert_eq!(child(&parent(high, "03"), "ot=th:c"), "kept ot=th:c");
    assert_eq!(child(&parent(high - 1, "03"), "ot=th:c"), "", "the threshold decides, not the flag");
    assert_eq!(child(&parent(high, "03"), "a=1"), "kept a=1", "a share that is not known is not said");
    assert_eq!(child(&parent(high, "02"), "a=1"), "a=1");
    assert_eq!(
        Telemetry::builder().with_env([("OTEL_SDK_DISABLED", "true")]).build().map(|t| root_of(&t)).unwrap(),
        "parentbased_always_on"
    );
    assert!(
        root_of(&telemetry)
            .starts_with("rules{drop attribute.status=404|a*, drop attribute.paths=/h*!/home,")
    );
}

fn root_of(telemetry: &Telemetry) -> String {
    setting(telemetry, "OTEL_TRACES_SAMPLER")
}

fn setting(telemetry: &Telemetry, name: &str) -> String {
    telemetry.explain().get(name).unwrap().value.clone()
}

#[test]
fn rules_of_a_file_change_while_the_service_runs() {
    let text = |rules: &str| {
        format!(
            "file_format: \"1.1\"\ntracer_provider: {{processors: [simple: {{exporter: {{console: }}}}]}}\n\
             distribution: {{tracewell: {{sampling_rules: [{rules}]}}}}"
        )
    };
    with_file(&text("'drop path=\"/a,b\"', 'drop attribute.x=1'"), |path| {
        let builder = Telemetry::builder().with_env::<&str, &str>([]).with_config_file(path);
        let telemetry = builder.with_stdout(false).build().unwrap();
        let one = |x: i64| asked(&telemetry, SpanKind::Internal, &[KeyValue::new("x", x)], None);
        assert_eq!((one(1), one(2)), (String::new(), "kept ot=th:0".to_owned()));
        fs::write(path, text("'drop attribute.x=2'")).unwrap();
        assert_eq!(telemetry.reload().unwrap().changed, ["TRACEWELL_SAMPLING_RULES"]);
        assert_eq!((one(1), one(2)), ("kept ot=th:0".to_owned(), String::new()));
        fs::write(path, text("'drp attribute.x=2'")).unwrap();
        let refused = telemetry.reload().unwrap_err().to_string();
        assert!(refused.contains("distribution.tracewell.sampling_rules"), "{refused}");
        assert!(refused.contains("\"drp\" is no action; accepted is keep"), "{refused}");
        assert_eq!(one(2), "", "what was in use stays");
    });
}
