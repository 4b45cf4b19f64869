//! What a program wants of requests and tasks: whom to believe, what they carry, when they count as stuck.

use super::Builder;
use crate::{
    config::{IpRange, ProxyHeaders},
    requests::{Registry, Thresholds},
};

impl Builder {
    /// Enters requests into this registry; the global one otherwise.
    pub fn with_registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// From which age on requests and tasks count as stuck, per route and per name of tasks too, in the place of
    /// `TRACEWELL_STUCK_MS` and `TRACEWELL_STUCK_TASKS_MS`. [`Telemetry::serve`](crate::Telemetry::serve) watches over them.
    pub fn with_stuck_thresholds(mut self, thresholds: Thresholds) -> Self {
        self.stuck = Some(thresholds);
        self
    }

    /// How many of the last log lines are kept of each request and task, 100 at most; see
    /// [`Registry::keep_log_lines`].
    pub fn with_request_log_lines(self, lines: usize) -> Self {
        self.change(move |config| {
            config.requests.log_lines = lines;
            Ok(())
        })
    }

    /// Members of the baggage that become attributes, of the same name, of every span and log record that is made where
    /// the baggage has them. Callers write baggage: a name that is listed here is a value that they choose.
    pub fn with_baggage_attributes<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        self.change(move |config| {
            config.http.baggage_attributes.clone_from(&names);
            Ok(())
        })
    }

    /// Attributes set by [`requests::set_attribute`](crate::requests::set_attribute) that metrics have too. Each value
    /// is a series of its own: tenants or plans, never users.
    pub fn with_metric_attributes<K: Into<String>>(self, keys: impl IntoIterator<Item = K>) -> Self {
        let keys: Vec<String> = keys.into_iter().map(Into::into).collect();
        self.change(move |config| {
            config.requests.metric_attributes.clone_from(&keys);
            Ok(())
        })
    }

    /// Makes requests cheaper, at one price: `OpenTelemetrySpanExt` finds nothing at a request's own span, where its
    /// `context()` is an empty one. What it is used for has another way there: `opentelemetry::Context::current()`, and
    /// [`requests::set_attribute`](crate::requests::set_attribute). The request's span stays a span like any other for
    /// `tracing`, and all other spans stay as they are.
    pub fn with_lean_spans(self, lean: bool) -> Self {
        self.change(move |config| {
            config.requests.lean_spans = lean;
            Ok(())
        })
    }

    /// The proxies whose `Forwarded` and `X-Forwarded-*` headers count; see
    /// [`ServerLayer::with_trusted_proxies`](crate::http::ServerLayer::with_trusted_proxies).
    pub fn with_trusted_proxies(self, proxies: impl IntoIterator<Item = IpRange>) -> Self {
        let proxies: Vec<IpRange> = proxies.into_iter().collect();
        self.change(move |config| {
            config.http.trusted_proxies.clone_from(&proxies);
            Ok(())
        })
    }

    /// Which headers of trusted proxies count; [`ProxyHeaders::Any`] unless said otherwise.
    pub fn with_proxy_headers(self, headers: ProxyHeaders) -> Self {
        self.change(move |config| {
            config.http.proxy_headers = headers;
            Ok(())
        })
    }

    /// Headers that become attributes of the server span: `http.request.header.<name>`. Secrets in them are hidden.
    pub fn with_captured_request_headers<N: AsRef<str>>(self, names: impl IntoIterator<Item = N>) -> Self {
        let names = header_names(names);
        self.change(move |config| names.clone().map(|names| config.http.request_headers = names))
    }

    /// Headers that become attributes of the server span: `http.response.header.<name>`. Secrets in them are hidden.
    pub fn with_captured_response_headers<N: AsRef<str>>(self, names: impl IntoIterator<Item = N>) -> Self {
        let names = header_names(names);
        self.change(move |config| names.clone().map(|names| config.http.response_headers = names))
    }
}

fn header_names<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Result<Vec<String>, String> {
    let parsed = names.into_iter().map(|name| match http::HeaderName::from_bytes(name.as_ref().as_bytes()) {
        Ok(name) => Ok(name.as_str().to_owned()),
        Err(_) => Err(format!(
            "{:?} is no name of an HTTP header; accepted are names such as x-tenant",
            name.as_ref()
        )),
    });
    parsed.collect()
}
