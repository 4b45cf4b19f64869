//! Agents and gateways under load, with parts that are killed: counted to the last span.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use crate::{
    load::{Load, Taken},
    stack::{Stack, run, wait_until},
};

const TAIL_SAMPLING: &str = "gateway/tail-sampling.yaml";

/// Traces by kind: how many were made, and of how many Jaeger has every span.
fn kept(stack: &mut Stack, taken: &[Taken]) -> BTreeMap<String, (usize, usize)> {
    let mut kept = BTreeMap::new();
    for trace in taken {
        let spans = stack.spans_of(&trace.trace_id);
        assert!(spans == 0 || spans == trace.spans, "{spans} of {trace:?}");
        let (all, whole) = kept.entry(trace.kind.clone()).or_insert((0, 0));
        *all += 1;
        *whole += usize::from(spans == trace.spans);
    }
    kept
}

pub(crate) fn tail_sampling() {
    let mut stack = Stack::new();
    stack.backends();
    stack.gateway(&[TAIL_SAMPLING]);
    stack.agent(&[]);
    let agent = stack.url("agent");

    only_agents_are_let_in(&mut stack);
    let personal = personal_data(&stack, &agent);

    let flags = ["--traces", "250", "--seconds", "8", "--services", "8", "--interval", "2", "--series", "5"];
    let (report, taken) = Load::start(&stack, &agent, &flags).finish();
    assert_eq!(report["spans"]["taken"], 12_000);
    let decided = r#"sum(otelcol_processor_tail_sampling_global_count_traces_sampled_total)"#;
    let all = 2000.0 + 1.0; // and the one with personal data
    stack.wait_for("every decision", |s| s.promql(decided), |f| f.iter().any(|sample| sample.value >= all));
    let failed: Vec<_> = taken.iter().filter(|trace| trace.kind == "error").collect();
    stack.wait_for(
        "the traces with errors",
        |stack| failed.iter().filter(|trace| stack.spans_of(&trace.trace_id) == trace.spans).count(),
        |found| *found == failed.len(),
    );
    // the last export of what was kept; then nothing is under way
    let sent = r#"sum(otelcol_exporter_queue_size{job="otelcol-gateway",data_type="traces"})"#;
    stack.wait_for(
        "an empty queue",
        |s| s.promql(sent),
        |f| !f.is_empty() && f.iter().all(|sample| sample.value == 0.0),
    );

    let kept = kept(&mut stack, &taken);
    assert!(kept["error"].0 > 5 && kept["slow"].0 > 5 && kept["probe"].0 > 50, "{kept:?}");
    assert_eq!(kept["error"].0, kept["error"].1, "every trace with an error is kept: {kept:?}");
    assert_eq!(kept["slow"].0, kept["slow"].1, "every slow trace is kept: {kept:?}");
    assert_eq!(kept["probe"].1, 0, "probes are dropped: {kept:?}");
    // 10 % of about 1870 traces: 187 ± 13; five times that is no chance
    assert!((122..=252).contains(&kept["rest"].1), "a tenth of the rest is kept: {kept:?}");

    exemplars_lead_to_kept_traces(&mut stack);
    personal_data_is_gone(&mut stack, &personal);
    a_stop_decides_what_waits(&mut stack, &agent);
}

/// Every trace has an error, and most of them are still undecided when the gateway is asked to stop.
fn a_stop_decides_what_waits(stack: &mut Stack, agent: &str) {
    let flags = ["--traces", "100", "--seconds", "3", "--errors", "10000", "--seed", "9"];
    let (_, taken) = Load::start(stack, agent, &flags).finish();
    stack.stop("gateway");
    stack.start_again("gateway");
    stack.wait_for(
        "every trace",
        |stack| taken.iter().filter(|trace| stack.spans_of(&trace.trace_id) == trace.spans).count(),
        |found| *found == taken.len(),
    );
}

/// Those behind the sampler always; those of the service where the rules keep errors and slow requests.
fn exemplars_lead_to_kept_traces(stack: &mut Stack) {
    for selector in [
        r#"kept_traces_duration_seconds_bucket{span_kind="SPAN_KIND_SERVER"}"#,
        r#"http_server_request_duration_seconds_bucket{error_type!=""}"#,
        r#"http_server_request_duration_seconds_bucket{le="1"}"#, // from 500 ms on
    ] {
        let found = stack.wait_for(selector, |stack| stack.exemplars(selector), |found| found.len() >= 3);
        for exemplar in found {
            assert!(stack.spans_of(&exemplar.trace_id) > 0, "{selector}: {exemplar:?} leads nowhere");
        }
    }
    panels_of_the_sampler(stack);
}

fn panels_of_the_sampler(stack: &mut Stack) {
    for query in crate::panels::queries("tail-sampling.json", "prometheus") {
        stack.wait_for(&query, |stack| stack.promql(&query), |found| !found.is_empty());
    }
}

/// The gateway's door: no certificate, no token, no entry.
fn only_agents_are_let_in(stack: &mut Stack) {
    let url = format!("https://localhost:{}/v1/traces", stack.port("gateway_http"));
    let file = |name: &str| stack.file(&format!("tls/agent/{name}"));
    let (ca, cert, key) = (file("ca.crt"), file("tls.crt"), file("tls.key"));
    let token = std::fs::read_to_string(file("token")).unwrap();
    let bearer = format!("authorization: Bearer {}", token.trim());
    let post =
        ["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "content-type: application/json", "-d", "{}"];
    let curl = |more: &[&str]| {
        let args = [&post, &["--noproxy", "*", "--cacert", &ca][..], more, &[&url]].concat();
        run("/usr/bin/curl", &args, &[])
    };
    assert_eq!(curl(&["--cert", &cert, "--key", &key, "-H", &bearer]).unwrap(), "200");
    assert_eq!(curl(&["--cert", &cert, "--key", &key]).unwrap(), "401");
    assert_eq!(curl(&["--cert", &cert, "--key", &key, "-H", "authorization: Bearer wrong"]).unwrap(), "401");
    curl(&["-H", &bearer]).unwrap_err(); // the handshake fails
}

/// A failed request that carries what nobody should have sent; its trace id.
fn personal_data(stack: &Stack, agent: &str) -> String {
    let trace_id = uuid::Uuid::new_v4().simple().to_string();
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let now = stack_now();
    let attributes = json!([
        text("user.email", "ada@example.org"),
        text("http.request.header.authorization", "Bearer abc"),
        text("note", "paid with 4111 1111 1111 1111"),
        text("client.address", "203.0.113.77"),
        text("order.id", "42"),
    ]);
    let resource = json!({"attributes": [text("service.name", "careless")]});
    let span = json!({"traceId": trace_id, "spanId": &trace_id[..16], "name": "POST /orders", "kind": 2,
        "startTimeUnixNano": now, "endTimeUnixNano": now, "status": {"code": 2}, "attributes": attributes});
    let record = json!({"timeUnixNano": now, "severityText": "ERROR", "traceId": trace_id,
        "body": {"stringValue": "no mail to ada@example.org"}, "attributes": attributes});
    let spans = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]});
    let logs = json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]});
    stack.post(&format!("{agent}/v1/traces"), &spans).unwrap();
    stack.post(&format!("{agent}/v1/logs"), &logs).unwrap();
    trace_id
}

fn stack_now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    now.as_nanos().to_string()
}

fn personal_data_is_gone(stack: &mut Stack, trace_id: &str) {
    let query = format!(r#"{{service_name="careless"}} | trace_id="{trace_id}""#);
    let lines = stack.wait_for(
        "the careless line",
        |stack| stack.loki(&query).to_string(),
        |found| found.contains("no mail"),
    );
    let trace = stack.jaeger_trace(trace_id).unwrap().to_string();
    for (where_, text) in [("Jaeger", &trace), ("Loki", &lines)] {
        for secret in ["ada@", "Bearer", "4111", "203.0.113.77"] {
            assert!(!text.contains(secret), "{secret} is in {where_}: {text}");
        }
        for kept in ["203.0.113.0", "42"] {
            assert!(text.contains(kept), "{kept} is not in {where_}: {text}");
        }
    }
}

/// Everything that the load generator's messages were acknowledged for is in the backends.
fn nothing_is_lost(stack: &mut Stack, taken: &[Taken], log_records: f64) {
    let mut missing: Vec<&Taken> = taken.iter().collect();
    let all = wait_until(Duration::from_secs(60), || {
        missing.retain(|trace| stack.spans_of(&trace.trace_id) != trace.spans);
        missing.is_empty().then_some(())
    });
    assert!(all.is_some(), "{} of {} traces are lost, such as {:?}", missing.len(), taken.len(), missing[0]);
    stack.wait_for("every log record in Loki", Stack::loki_count, |found| *found >= log_records);
    // cumulative: the last point says it all
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let items = taken.iter().filter(|trace| trace.kind != "probe").count() as f64;
    let query = r#"sum(last_over_time(load_items_total{series="0"}[15m]))"#;
    let counted =
        stack.wait_for("the last points", |s| s.promql(query), |f| f.iter().any(|f| f.value >= items));
    assert_eq!(counted[0].value.to_bits(), items.to_bits(), "{counted:?}");
}

const ACCEPTED: &str = "otelcol_receiver_accepted_spans";
const QUEUED: &str = "otelcol_exporter_queue_size";
const SENT: &str = "otelcol_exporter_sent_spans";

/// Waits until a Collector's own metric, which the backends may not have, has reached a value.
fn wait_for_own(stack: &mut Stack, port: &'static str, metric: &str, value: f64) {
    stack.wait_for(metric, |stack| stack.own_metric(port, metric), |found| *found >= value);
}

pub(crate) fn killed() {
    let mut stack = Stack::new();
    stack.backends();
    stack.gateway(&[]);
    stack.agent(&[]);
    let agent = stack.url("agent");
    let flags = ["--traces", "200", "--seconds", "10", "--services", "6", "--interval", "2", "--series", "5"];
    let mut load = Load::start(&stack, &agent, &flags);
    wait_for_own(&mut stack, "agent_metrics", SENT, 500.0); // some are through
    stack.kill("gateway");
    wait_for_own(&mut stack, "agent_metrics", QUEUED, 500_000.0); // bytes: some hundred spans wait for it
    stack.kill("agent");
    load.wait_for_refusal();
    stack.start_again("agent");
    wait_for_own(&mut stack, "agent_metrics", ACCEPTED, 500.0); // it counts from zero again
    stack.start_again("gateway");
    let (report, taken) = load.finish();
    assert!(report["refused_answers"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(taken.len(), 2000);
    nothing_is_lost(&mut stack, &taken, 4000.0);
}

pub(crate) fn stream() {
    let mut stack = Stack::new();
    stack.backends();
    let port = stack.port("kafka").to_string();
    let mut broker = std::process::Command::new(crate::stack::binaries().unwrap().join("checks"))
        .args(["kafka", &port, "4"])
        .stdin(std::process::Stdio::piped()) // it ends with us
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    stack.agent(&["stream/agent.yaml"]);
    let agent = stack.url("agent");
    let flags = ["--traces", "100", "--seconds", "8", "--services", "6", "--interval", "2", "--series", "5"];
    let load = Load::start(&stack, &agent, &flags);
    wait_for_own(&mut stack, "agent_metrics", SENT, 1500.0); // no gateway at all: the broker has them
    stack.stop("jaeger");
    stack.gateway(&["stream/gateway.yaml"]);
    let waits = "sum(otelcol_exporter_queue_size{job=\"otelcol-gateway\",data_type=\"traces\"})";
    stack.wait_for("spans in its queue", |s| s.promql(waits), |f| f.iter().any(|f| f.value > 1000.0));
    stack.kill("gateway"); // what it has read is on its disk, and nowhere else
    stack.start_again("jaeger");
    stack.start_again("gateway");
    let (_, taken) = load.finish();
    assert_eq!(taken.len(), 800);
    nothing_is_lost(&mut stack, &taken, 1600.0);

    // behind the stream a sampler sees every trace whole, although its spans came in two messages
    stack.stop("gateway");
    stack.gateway(&["gateway/tail-sampling.yaml", "stream/gateway.yaml"]);
    let more = ["--seed", "2", "--errors", "2000", "--seconds", "4"];
    let (_, taken) = Load::start(&stack, &agent, &[&flags[..], &more].concat()).finish();
    let failed: Vec<_> = taken.iter().filter(|trace| trace.kind == "error").collect();
    assert!(failed.len() > 40, "{}", failed.len());
    stack.wait_for(
        "the traces with errors",
        |stack| failed.iter().filter(|trace| stack.spans_of(&trace.trace_id) == trace.spans).count(),
        |found| *found == failed.len(),
    );
    broker.kill().unwrap();
    broker.wait().unwrap();
}
