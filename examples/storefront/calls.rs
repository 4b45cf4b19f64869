//! A call out: a CLIENT span whose trace context travels with the request.

use opentelemetry::global;
use opentelemetry_http::HeaderInjector;
use reqwest::{Request, RequestBuilder, Response};
use tracewell::otel::bridge::OpenTelemetrySpanExt as _;
use tracing::{Instrument as _, Span, field::Empty};

/// Sends one request, once. The span ends when the response's headers are here.
pub(crate) async fn send(request: RequestBuilder) -> reqwest::Result<Response> {
    let (client, request) = request.build_split();
    let mut request = request?;
    let span = client_span(&request);
    let context = span.context();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut HeaderInjector(request.headers_mut()));
    });
    let result = client.execute(request).instrument(span.clone()).await;
    match &result {
        Ok(response) => {
            let status = response.status();
            span.record("http.response.status_code", status.as_u16());
            if status.is_client_error() || status.is_server_error() {
                fail(&span, status.as_str());
            }
        }
        Err(error) => fail(&span, if error.is_timeout() { "timeout" } else { "connection" }),
    }
    result
}

/// Names as in the conventions for HTTP client spans (http/http-spans.md).
fn client_span(request: &Request) -> Span {
    let url = request.url();
    tracing::info_span!(
        "call",
        otel.kind = "client",
        otel.name = request.method().as_str(),
        otel.status_code = Empty,
        http.request.method = request.method().as_str(),
        http.response.status_code = Empty,
        server.address = url.host_str(),
        server.port = url.port_or_known_default(),
        url.full = url.as_str(),
        error.type = Empty,
    )
}

fn fail(span: &Span, error_type: &str) {
    span.record("error.type", error_type);
    span.record("otel.status_code", "ERROR");
}
