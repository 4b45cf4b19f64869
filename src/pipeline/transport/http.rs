//! OTLP/HTTP over hyper, with TLS by rustls.

use std::io::Write as _;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::{
    Accepted, Payload, SendError, SendErrorKind,
    dns::{self, Resolver},
    response::{self, Encoding},
};
use crate::config::{Compression, Otlp, Signal};

/// Longest answer that is read (OTLP specification: 4 MiB).
const MAX_RESPONSE: usize = 4 * 1024 * 1024;

type Connector = HttpsConnector<HttpConnector<Resolver>>;

#[derive(Debug)]
pub(super) struct HttpWire {
    signal: Signal,
    connector: Connector,
    client: Client<Connector, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    compression: Compression,
}

impl HttpWire {
    pub(super) fn new(signal: Signal, otlp: &Otlp) -> Result<Self, String> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(otlp)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(dns::connector(otlp.timeout));
        let client = client(&connector);
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(super::super::USER_AGENT));
        for (name, value) in otlp.headers.iter() {
            headers.insert(name, value.clone());
        }
        let uri = otlp.endpoint.uri().clone();
        Ok(Self { signal, connector, client, uri, headers, compression: otlp.compression })
    }

    /// The same without a connection.
    pub(super) fn anew(&self) -> Self {
        Self {
            signal: self.signal,
            client: client(&self.connector),
            connector: self.connector.clone(),
            uri: self.uri.clone(),
            headers: self.headers.clone(),
            compression: self.compression,
        }
    }

    pub(super) async fn send(&self, payload: &Payload) -> Result<Accepted, SendError> {
        let response = self
            .client
            .request(self.request(payload)?)
            .await
            .map_err(|error| SendError::retryable(response::root_cause(&error)))?;
        read(self.signal, payload.json, response).await
    }

    fn request(&self, payload: &Payload) -> Result<Request<Full<Bytes>>, SendError> {
        let never =
            |error: &dyn std::fmt::Display| SendError::rejected(format!("cannot make the request: {error}"));
        let mut request = Request::post(self.uri.clone());
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.clone());
            let media_type = if payload.json { "application/json" } else { "application/x-protobuf" };
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        let body = match self.compression {
            Compression::Gzip => {
                request = request.header(header::CONTENT_ENCODING, "gzip");
                gzip(&payload.body).map_err(|error| never(&error))?
            }
            _ => payload.body.clone(),
        };
        request.body(Full::new(body)).map_err(|error| never(&error))
    }
}

fn client(connector: &Connector) -> Client<Connector, Full<Bytes>> {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(1)
        .build(connector.clone())
}

fn gzip(body: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body)?;
    Ok(encoder.finish()?.into())
}

/// Reads the answer to a request that was JSON or not.
pub(super) async fn read<B>(
    signal: Signal,
    sent_json: bool,
    response: Response<B>,
) -> Result<Accepted, SendError>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let retry_after = header(header::RETRY_AFTER).map(str::to_owned);
    let encoding = Encoding::of(header(header::CONTENT_TYPE), sent_json);
    let body = Limited::new(response.into_body(), MAX_RESPONSE).collect().await;
    if !status.is_success() {
        // the status says enough without its body
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        return Err(response::http_error(status.as_u16(), retry_after.as_deref(), &body, encoding));
    }
    let body = body.map_err(|error| SendError::retryable(response::root_cause(&*error)))?.to_bytes();
    response::accepted(signal, &body, encoding).ok_or_else(|| SendError {
        kind: SendErrorKind::Unreadable,
        cause: format!("HTTP status {} with a body that is no OTLP response", status.as_u16()),
    })
}

fn tls(otlp: &Otlp) -> Result<rustls::ClientConfig, String> {
    // the provider is named, or rustls panics when two crates brought one each
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?;
    let builder = match &otlp.certificate {
        Some(path) => {
            let unusable =
                |error: &dyn std::fmt::Display| format!("TLS: certificate {}: {error}", path.display());
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
                let certificate = certificate.map_err(|error| unusable(&error))?;
                roots.add(certificate).map_err(|error| unusable(&error))?;
            }
            builder.with_root_certificates(roots)
        }
        None if otlp.endpoint.is_https() => {
            builder.with_native_roots().map_err(|error| format!("TLS: the system's certificates: {error}"))?
        }
        // plain HTTP: a container without any certificates must not be a reason to fail
        None => builder.with_root_certificates(rustls::RootCertStore::empty()),
    };
    match (&otlp.client_certificate, &otlp.client_key) {
        (Some(certificate), Some(key)) => {
            let unusable = |error: &dyn std::fmt::Display| format!("TLS: client certificate: {error}");
            let chain = CertificateDer::pem_file_iter(certificate)
                .map_err(|error| unusable(&error))?
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| unusable(&error))?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(&error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| unusable(&error))
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}
