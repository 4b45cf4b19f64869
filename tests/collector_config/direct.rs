//! A service that sends each signal straight to its backend, with the variables of `direct/local.env`.

use std::fs;

use serde_json::Value;

use crate::stack::{Stack, config, example};

pub(crate) fn all() {
    let mut stack = Stack::new();
    stack.backends();
    let file = fs::read_to_string(config("direct/local.env")).unwrap();
    // the addresses are the backends' usual ones; here they have others
    let file = file
        .replace("127.0.0.1:14318", &stack.address("jaeger_otlp_http"))
        .replace("127.0.0.1:3100", &stack.address("loki"))
        .replace("127.0.0.1:9090", &stack.address("prometheus"));
    let variables: Vec<(String, String)> = file
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert!(variables.len() >= 4, "{variables:?}");
    let mut env = vec![
        ("STOREFRONT_ADDR", stack.address("shop")),
        ("PAYMENTS_ADDR", stack.address("payments")),
        ("TRACEWELL_ADMIN_ADDR", stack.address("shop_admin")),
    ];
    let leaked = variables.into_iter().map(|(name, value)| (&*name.leak(), value));
    env.extend(leaked); // a program's variables have names that live as long as the test
    let ready = stack.url("shop_admin") + "/ready";
    stack.launch(
        "storefront",
        example("storefront"),
        vec!["--visitors".to_owned(), "2".to_owned()],
        env,
        ready,
    );
    stack.wait_ready("storefront");

    let selector = r#"http_server_request_duration_seconds_bucket{service_name="storefront",http_route="/products/{id}"}"#;
    let found = stack.wait_for("an exemplar", |stack| stack.exemplars(selector), |found| !found.is_empty());
    let id = found[0].trace_id.clone();
    stack.wait_for("its trace", |stack| stack.spans_of(&id), |spans| *spans > 0);
    let query = format!(r#"{{service_name="storefront"}} | trace_id="{id}""#);
    let line = |answer: &Value| answer["data"]["result"][0]["values"][0].is_array();
    stack.wait_for("its log lines", |stack| stack.loki(&query), line);
}
