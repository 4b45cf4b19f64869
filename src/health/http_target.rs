//! The check of an HTTP target: one request on a connection of its own, with nothing left running behind it.

use std::{error::Error, future::poll_fn, pin::pin, sync::Arc, task::Poll};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use tower_service::Service as _;

use super::{Check, Verdict};

const ACCEPTED: &str = "accepted is http://host/path or https://host/path, without credentials";

impl Check {
    /// Passes when a GET of `url` is answered with a status from 200 to 399, as Kubernetes' own probes have it; redirects
    /// are not followed, and the body is not read. Each run has a connection of its own, closed at its end. HTTPS trusts
    /// the system's certificates.
    ///
    /// The request has no trace context, and nothing about it is in this service's telemetry. A URL that cannot be used
    /// fails, saying so.
    pub fn http(url: impl AsRef<str>) -> Self {
        let target = Target::new(url.as_ref()).map(Arc::new);
        Self::new(move || {
            let target = target.clone();
            async move {
                match target {
                    Ok(target) => target.ask().await,
                    Err(problem) => Verdict::fail(problem),
                }
            }
        })
    }
}

struct Target {
    uri: Uri,
    connector: HttpsConnector<HttpConnector>,
}

impl Target {
    fn new(url: &str) -> Result<Self, String> {
        // what was given may hold a password
        let unusable = |why: &str| format!("the check's URL {why}; {ACCEPTED}");
        let uri: Uri = url.parse().map_err(|error| unusable(&format!("cannot be read ({error})")))?;
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(unusable("has no scheme that is known")),
        };
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err(unusable("has no host, or credentials before it"));
        }
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(https)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Ok(Self { uri, connector })
    }

    async fn ask(&self) -> Verdict {
        let shown = self.shown();
        match self.status().await {
            Ok(status) => {
                let said = format!("{shown} answers {}", status.as_u16());
                let good = status.is_success() || status.is_redirection();
                let verdict = if good { Verdict::pass(said) } else { Verdict::fail(said) };
                verdict.with_data("status_code", status.as_u16())
            }
            Err(error) => Verdict::fail(format!("{shown}: {}", root_cause(&*error))),
        }
    }

    /// Without the query, where a key may be.
    fn shown(&self) -> String {
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        format!("{}://{authority}{}", self.uri.scheme_str().unwrap_or_default(), self.uri.path())
    }

    async fn status(&self) -> Result<StatusCode, Box<dyn Error + Send + Sync>> {
        let stream = self.connector.clone().call(self.uri.clone()).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self.uri.authority().map_or("", |authority| authority.as_str());
        let request = Request::get(path)
            .header(header::HOST, HeaderValue::from_str(host)?)
            .header(header::USER_AGENT, concat!("tracewell/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())?;
        let (mut answer, mut connection) = (pin!(sender.send_request(request)), pin!(connection));
        let mut ended = false;
        // in this future, not in a task of its own: it ends with the check
        let answer = poll_fn(|task| {
            if let Poll::Ready(answer) = answer.as_mut().poll(task) {
                return Poll::Ready(answer);
            }
            // its end, with an answer or not, is the answer's too
            ended = ended || connection.as_mut().poll(task).is_ready();
            answer.as_mut().poll(task)
        });
        Ok(answer.await?.status())
    }
}

fn tls(https: bool) -> Result<rustls::ClientConfig, String> {
    // the provider is named, or rustls panics when two crates brought one each
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?;
    let builder = match https {
        true => {
            builder.with_native_roots().map_err(|error| format!("TLS: the system's certificates: {error}"))?
        }
        // plain HTTP: a container without any certificates must not be a reason to fail
        false => builder.with_root_certificates(rustls::RootCertStore::empty()),
    };
    Ok(builder.with_no_client_auth())
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
