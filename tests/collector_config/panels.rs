//! The three-way join against `local/`, and the queries of every panel and alert, against what real services sent there.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};

use crate::{
    service,
    stack::{Stack, config, example},
};

/// Series that exist in trouble only, which the rules' own tests make.
const IN_TROUBLE: [&str; 4] = [
    "otelcol_exporter_send_failed_spans_total",
    "otelcol_exporter_enqueue_failed_spans_total",
    "otelcol_exporter_enqueue_failed_log_records_total",
    "otelcol_exporter_enqueue_failed_metric_points_total",
];

/// The queries of a dashboard to one kind of backend, with Grafana's variables filled in as Grafana would.
pub(crate) fn queries(dashboard: &str, backend: &str) -> Vec<String> {
    let text = fs::read_to_string(config(&format!("local/grafana/dashboards/{dashboard}"))).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries = targets.filter(|target| target["datasource"]["type"] == backend).map(|target| {
        let filled = ["$service", "$route", "$job"]
            .iter()
            .fold(target["expr"].as_str().unwrap().to_owned(), |query, name| query.replace(name, ".+"));
        let filled = filled.replace("$__rate_interval", "1m").replace("$__auto", "1m");
        assert!(!filled.contains("$_") && !filled.contains('$'), "a variable that nobody fills in: {filled}");
        filled
    });
    queries.collect()
}

pub(crate) fn all() {
    let mut stack = Stack::new();
    stack.backends();
    stack.local();
    let otlp = stack.url("local");
    storefront(&mut stack, &otlp);
    let _troubled = service::in_trouble(&otlp);
    one_id_everywhere(&mut stack);
    refused_by_backends(&stack, &otlp); // an empty Prometheus would take any time for its first
    for dashboard in ["services.json", "collectors.json"] {
        let found = queries(dashboard, "prometheus");
        assert!(found.len() > 8, "{found:?}");
        for query in found {
            stack.wait_for(&query, |stack| stack.promql(&query), |found| !found.is_empty());
        }
    }
    for query in queries("services.json", "loki") {
        let results =
            |answer: &Value| answer["data"]["result"].as_array().is_some_and(|found| !found.is_empty());
        stack.wait_for(&query, |stack| stack.loki(&query), results);
    }
    rules_have_their_data(&mut stack);
}

/// The example with its visitors: retries, fallbacks, cancelled streams, failing payments.
fn storefront(stack: &mut Stack, otlp: &str) {
    let env = vec![
        ("STOREFRONT_ADDR", stack.address("shop")),
        ("PAYMENTS_ADDR", stack.address("payments")),
        ("TRACEWELL_ADMIN_ADDR", stack.address("shop_admin")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.to_owned()),
    ];
    let ready = stack.url("shop_admin") + "/ready"; // which runs the checks
    stack.launch(
        "storefront",
        example("storefront"),
        vec!["--visitors".to_owned(), "6".to_owned()],
        env,
        ready,
    );
    stack.wait_ready("storefront");
}

/// A log record and a point from long ago, which Loki and Prometheus refuse for good.
fn refused_by_backends(stack: &Stack, otlp: &str) {
    let old = "1600000000000000000";
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "late"}}]});
    let record = json!({"timeUnixNano": old, "body": {"stringValue": "years ago"}});
    let logs = json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]});
    let points = json!([{"timeUnixNano": old, "asDouble": 1.0}]);
    let metric = json!({"name": "late", "gauge": {"dataPoints": points}});
    let metrics =
        json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]});
    stack.post(&format!("{otlp}/v1/logs"), &logs).unwrap();
    stack.post(&format!("{otlp}/v1/metrics"), &metrics).unwrap();
}

/// From a slow bucket's exemplar to its trace and its log lines, as the README says.
fn one_id_everywhere(stack: &mut Stack) {
    let selector = r#"http_server_request_duration_seconds_bucket{service_name="storefront",http_route="/products/{id}"}"#;
    let found = stack.wait_for("an exemplar", |stack| stack.exemplars(selector), |found| !found.is_empty());
    let id = found[0].trace_id.clone();
    stack.wait_for("its trace", |stack| stack.spans_of(&id), |spans| *spans > 0);
    let query = format!(r#"{{service_name="storefront"}} | trace_id="{id}""#);
    let line = |answer: &Value| answer["data"]["result"][0]["values"][0].is_array();
    stack.wait_for("its log lines", |stack| stack.loki(&query), line);
}

/// Every selector of every rule finds series, and no rule fails.
fn rules_have_their_data(stack: &mut Stack) {
    let url = stack.url("prometheus");
    let rules = format!("{url}/api/v1/rules");
    let healthy = |answer: &Value| rules_of(answer).iter().all(|rule| rule["health"] == "ok");
    let rules = stack.wait_for("healthy rules", |s| s.get(&rules, &[]).unwrap(), healthy);
    let mut selectors = BTreeSet::new();
    for rule in rules_of(&rules) {
        let query = [("query", rule["query"].as_str().unwrap().to_owned())];
        let parsed = stack.get(&format!("{url}/api/v1/parse_query"), &query).unwrap();
        collect_selectors(&parsed["data"], &mut selectors);
    }
    assert!(selectors.len() > 25, "{selectors:?}");
    for selector in selectors.iter().filter(|selector| !IN_TROUBLE.iter().any(|name| selector.contains(name)))
    {
        let query = format!("last_over_time({selector}[5m])");
        stack.wait_for(&query, |stack| stack.promql(&query), |found| !found.is_empty());
    }
}

fn rules_of(answer: &Value) -> Vec<Value> {
    let groups = answer["data"]["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn collect_selectors(node: &Value, found: &mut BTreeSet<String>) {
    match node {
        Value::Object(fields) => {
            if node["type"] == "vectorSelector" || node["type"] == "matrixSelector" {
                let matchers = node["matchers"].as_array().unwrap().iter();
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let matchers = matchers
                    .map(|m| format!("{}{}\"{}\"", text(&m["name"]), text(&m["type"]), text(&m["value"])));
                found.insert(format!("{{{}}}", matchers.collect::<Vec<_>>().join(",")));
            }
            fields.values().for_each(|value| collect_selectors(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_selectors(value, found)),
        _ => {}
    }
}
