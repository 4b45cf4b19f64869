//! Secrets that must go, and harmless texts that must stay, in every form they come in.

use std::borrow::Cow;

use super::*;

const JWT: &str =
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";

const SECRET_NAMES: &[&str] = &[
    "key",
    "api_key",
    "apiKey",
    "APIKey",
    "x-api-key",
    "X-Auth-Token",
    "DB_PASSWORD",
    "dbPassword",
    "PGPASSWORD",
    "password2",
    "pass",
    "user.pass",
    "client-secret",
    "http.request.header.authorization",
    "Set-Cookie",
    "aws.credentials",
    "SENTRY_DSN",
    "session",
    "session.id",
    "JSESSIONID",
    "accesstoken",
    "OAuth2Token",
    "token_id",
    "passwd",
    "csrftoken",
    "private_key",
    "AWS_SECRET_ACCESS_KEY",
    "proxy-authorization",
];

const HARMLESS_NAMES: &[&str] = &[
    "",
    "monkey",
    "author",
    "passenger",
    "keyboard",
    "tokenizer",
    "compass",
    "passed",
    "bypass",
    "obsession",
    "secretary",
    "authority",
    "public_key",
    "routing_key",
    "messaging.kafka.message.key",
    "gen_ai.token.type",
    "token_count",
    "session.count",
    "auth.method",
    "trace_id",
    "span_id",
    "user.id",
    "http.route",
    "order.total",
    "db.query.text",
    "keys",
    "input_tokens",
    "passthrough",
    "service.instance.id",
    "idempotency-key",
];

#[test]
fn names_are_secret_by_whole_words() {
    let redactor = Redactor::new();
    for name in SECRET_NAMES {
        assert!(redactor.is_secret_name(name), "{name}");
    }
    for name in HARMLESS_NAMES {
        assert!(!redactor.is_secret_name(name), "{name}");
    }
}

#[test]
fn a_person_adds_names_and_takes_names_away() {
    let redactor = Redactor::new().with_names(["customerNumber", "pin"]).with_harmless_names(["Session.Id"]);
    assert_eq!(redactor.value("x-customer-number", "7"), REDACTED);
    assert_eq!(redactor.value("card.pin", "7"), REDACTED);
    assert_eq!(redactor.value("spinner", "7"), "7");
    assert_eq!(redactor.value("session.id", "7"), "7");
    assert_eq!(redactor.text("customer_number=12 pin=4"), "customer_number=REDACTED pin=REDACTED");
    assert_eq!(Redactor::off().value("password", JWT), JWT);
    assert_eq!(Redactor::off().with_names(["pin"]).value("pin", "1"), REDACTED);
}

#[test]
fn texts_lose_what_looks_like_a_secret_and_keep_the_rest() {
    let redactor = Redactor::new();
    for (given, expected) in [
        ("GET postgres://app:hunter2@db:5432/shop now", "GET postgres://REDACTED:REDACTED@db:5432/shop now"),
        ("redis://:hunter2@cache", "redis://REDACTED:REDACTED@cache"),
        ("https://a:p/w@d@host/x", "https://REDACTED:REDACTED@host/x"),
        ("https://ghtoken@github.com/x.git", "https://REDACTED@github.com/x.git"),
        ("Authorization: Bearer abc.DEF-123", "Authorization: Bearer REDACTED"),
        ("sent Basic dXNlcjpwYXNz, failed", "sent Basic REDACTED, failed"),
        ("authorization=Bearer s3cr3t;", "authorization=REDACTED;"),
        ("login password=hunter2 user=ada", "login password=REDACTED user=ada"),
        ("User { name: \"Ada\", password: \"hunter2\" }", "User { name: \"Ada\", password: \"REDACTED\" }"),
        ("Config { token: Some(\"abc\\\"d\"), port: 1 }", "Config { token: Some(\"REDACTED\"), port: 1 }"),
        ("{\"password\":\"hunter2\",\"pin\":1}", "{\"password\":\"REDACTED\",\"pin\":1}"),
        ("{\"password\": 1234}", "{\"password\": REDACTED}"),
        ("\"{\\\"secret\\\":\\\"hunter2\\\"}\"", "\"{\\\"secret\\\":\\\"REDACTED\\\"}\""),
        ("x-api-key: abc123, accept: */*", "x-api-key: REDACTED, accept: */*"),
        ("cookie: a=b; c=d\nhost: x", "cookie: REDACTED\nhost: x"),
        ("/blob?sv=1&sig=abc%3D&x=2", "/blob?sv=1&sig=REDACTED&x=2"),
        ("key AKIAIOSFODNN7EXAMPLE", "key REDACTED"),
        ("using ghp_16C7e42F292c6912E7710c838347Ae178B4a.", "using REDACTED."),
        ("wJalrXUtnFEMI7K7MDENGbPxRfiCYEXAMPLE9Q0z", "REDACTED"),
        ("naïve – password=\"héé\" – ok", "naïve – password=\"REDACTED\" – ok"),
    ] {
        assert_eq!(redactor.text(given), expected);
        assert_eq!(redactor.text(expected), expected, "a second look changes nothing");
    }
    assert_eq!(redactor.text(&format!("token was {JWT}, bad")), "token was REDACTED, bad");
    let pem = "a -----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY----- b";
    assert_eq!(redactor.text(pem), "a REDACTED b");
    assert_eq!(redactor.text(&pem[..50]), "a REDACTED");
}

#[test]
fn harmless_texts_stay_and_cost_no_allocation() {
    let redactor = Redactor::new();
    for text in [
        "",
        "hello",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "550e8400-e29b-41d4-a716-446655440000",
        "550E8400-E29B-41D4-A716-446655440000",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "SHA256:47DEQpj8HBSaTImW5JCeuQeRkm5NMpJWZG3hSuFU",
        "my-long-service-name-7d9f8b6c5d-x2x4z",
        "one_request_three_signals-1a2b3c4d5e6f7a8b",
        "core::ops::function::FnOnce::call_once::h7a9c1d2e3f405162",
        "HttpServerRequestDurationHistogramBucketBoundaries2",
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        "http://localhost:4318/v1/traces",
        "http://host:8080/users/a@b.example",
        "ssh://git@github.com/a/b.git",
        "http://[::1]:80/a@b",
        "Bearer tokens are required",
        "Basic Authentication failed",
        "unexpected token: expected a comma",
        "invalid password: too short",
        "the key == value, a.key != b.key, secret => x",
        "auth::token::verify(path)",
        "SELECT key, token FROM sessions WHERE id = $1",
        "author=Ada monkey=1 passenger=2",
        "has_token=true session=None",
        "2026-11-21T13:05:45.123456Z INFO GET /products/7 200 1.25ms",
        "4111 1111 1111 1111",
        "ada@example.org",
        "-----BEGIN CERTIFICATE-----",
        "/usr/lib/x86_64-linux-gnu/libssl.so.3",
        "€ ünïcödé 漢字",
    ] {
        assert!(matches!(redactor.text(text), Cow::Borrowed(_)), "{text}: {}", redactor.text(text));
    }
}

#[test]
fn card_numbers_and_addresses_go_by_choice() {
    let redactor = Redactor::new().with_shape(Shape::CardNumber).with_shape(Shape::Email);
    assert_eq!(redactor.text("card 4111 1111 1111 1111 ok"), "card REDACTED ok");
    assert_eq!(redactor.text("card 4111-1111-1111-1111."), "card REDACTED.");
    assert_eq!(redactor.text("card 4111111111111112"), "card 4111111111111112", "a wrong check digit");
    assert_eq!(redactor.text("mail Ada.L@mail.example.org."), "mail REDACTED.");
    assert_eq!(redactor.text("a@b, @, x@localhost"), "a@b, @, x@localhost");
    let bare = Redactor::new().without_shape(Shape::Jwt).without_shape(Shape::RandomString);
    assert_eq!(bare.text(JWT), JWT);
}

#[test]
fn queries_hide_the_seven_and_secret_names() {
    let redactor = Redactor::new();
    assert!(matches!(redactor.query("a=1&b=sig&sig"), Cow::Borrowed(_)));
    let query = "a=1&sig=S&X-Amz-Signature=x&Sig=kept&sig=&api_key=k&b=%20";
    let expected = "a=1&sig=REDACTED&X-Amz-Signature=REDACTED&Sig=kept&sig=&api_key=REDACTED&b=%20";
    assert_eq!(redactor.query(query), expected);
}

#[test]
fn hostile_texts_are_cut_and_take_linear_time() {
    let redactor = Redactor::new().with_shape(Shape::CardNumber).with_shape(Shape::Email);
    let began = std::time::Instant::now();
    for part in [
        "://",
        "key='",
        "a:b/://",
        "-----BEGIN ",
        "=",
        ":",
        "@",
        "1 ",
        "eyJaaaaa.",
        "Bearer ",
        "\\\"",
        "ab",
        "é",
    ] {
        let text = part.repeat((MOST + 100) / part.len());
        let seen = redactor.text(&text);
        assert!(seen.ends_with("…[cut]") && seen.len() <= 4 * MOST, "{part}");
    }
    // quadratic would be hours
    assert!(began.elapsed() < std::time::Duration::from_secs(30));
    let long = format!("{}password=x", "a ".repeat(MOST / 2));
    assert!(!redactor.text(&long).contains("password"), "nothing is shown unseen");
}

#[test]
fn metric_points_that_differ_in_a_secret_stay_two() {
    use opentelemetry_proto::tonic::{
        collector::metrics::v1::ExportMetricsServiceRequest,
        common::v1::{AnyValue, KeyValue, any_value::Value},
        metrics::v1::{Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data},
    };
    let point = |value: &str| NumberDataPoint {
        attributes: vec![KeyValue {
            key: "api_key".into(),
            value: Some(AnyValue { value: Some(Value::StringValue(value.into())) }),
            ..KeyValue::default()
        }],
        ..NumberDataPoint::default()
    };
    let sum = Sum { data_points: vec![point("hunter2"), point("hunter3")], ..Sum::default() };
    let metric = Metric { data: Some(Data::Sum(sum)), ..Metric::default() };
    let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    let mut request = ExportMetricsServiceRequest { resource_metrics: vec![resource] };
    Redactor::new().metrics(&mut request);
    let Some(Data::Sum(sum)) = &request.resource_metrics[0].scope_metrics[0].metrics[0].data else {
        panic!()
    };
    let [one, two] = &sum.data_points[..] else { panic!() };
    assert_ne!(one.attributes, two.attributes);
    let text = serde_json::to_string(&request).unwrap();
    assert!(text.contains("REDACTED-") && !text.contains("hunter"), "{text}");
}
