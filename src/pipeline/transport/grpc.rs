//! OTLP/gRPC over tonic: the request is already encoded, so the codec passes bytes through.

use std::{str::FromStr as _, time::Duration};

use bytes::{Buf, BufMut as _, Bytes};
use tonic::{
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{MetadataKey, MetadataMap, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::{
    Accepted, Payload, SendError, SendErrorKind, dns,
    grpc_status::Checked,
    response::{self, Encoding},
};
use crate::config::{Compression, Otlp, Signal};

#[derive(Debug)]
pub(super) struct GrpcWire {
    signal: Signal,
    endpoint: Endpoint,
    connect_timeout: Duration,
    channel: Channel,
    metadata: MetadataMap,
    compression: Compression,
}

impl GrpcWire {
    /// Must be called inside the exporter's runtime: the channel belongs to it.
    pub(super) fn new(signal: Signal, otlp: &Otlp) -> Result<Self, String> {
        let connect_timeout = otlp.timeout.unwrap_or(Duration::from_secs(30));
        let mut endpoint = Endpoint::from_shared(otlp.endpoint.uri().to_string())
            .map_err(|error| format!("endpoint {}: {error}", otlp.endpoint))?
            .user_agent(super::super::USER_AGENT)
            .map_err(|error| error.to_string())?
            .connect_timeout(connect_timeout);
        if otlp.endpoint.is_https() {
            endpoint = endpoint.tls_config(tls(otlp)?).map_err(|error| format!("TLS: {error}"))?;
        }
        let mut metadata = MetadataMap::new();
        for (name, value) in otlp.headers.iter() {
            let name = MetadataKey::from_str(name.as_str())
                .map_err(|_| format!("header {name}: no gRPC metadata name"))?;
            let value = MetadataValue::try_from(value.as_bytes())
                .map_err(|_| format!("header {name}: its value is no gRPC metadata"))?;
            metadata.insert(name, value);
        }
        let channel = channel(&endpoint, connect_timeout);
        Ok(Self { signal, endpoint, connect_timeout, channel, metadata, compression: otlp.compression })
    }

    /// The same without a connection.
    pub(super) fn anew(&self) -> Self {
        Self {
            signal: self.signal,
            channel: channel(&self.endpoint, self.connect_timeout),
            endpoint: self.endpoint.clone(),
            connect_timeout: self.connect_timeout,
            metadata: self.metadata.clone(),
            compression: self.compression,
        }
    }

    pub(super) async fn send(&self, payload: &Payload) -> Result<Accepted, SendError> {
        let mut client = tonic::client::Grpc::new(Checked(self.channel.clone()))
            .accept_compressed(CompressionEncoding::Gzip);
        if self.compression == Compression::Gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        client.ready().await.map_err(|error| SendError::retryable(response::root_cause(&error)))?;
        let mut request = tonic::Request::new(payload.body.clone());
        *request.metadata_mut() = self.metadata.clone();
        unary(self.signal, client, request).await
    }
}

/// Makes the call and reads its answer.
pub(super) async fn unary<T>(
    signal: Signal,
    mut client: tonic::client::Grpc<T>,
    request: tonic::Request<Bytes>,
) -> Result<Accepted, SendError>
where
    T: tonic::client::GrpcService<tonic::body::Body>,
    T::ResponseBody: http_body::Body + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let path = http::uri::PathAndQuery::from_static(method(signal));
    match client.unary(request, path, Encoded).await {
        Ok(answer) => {
            response::accepted(signal, answer.get_ref(), Encoding::Protobuf).ok_or_else(|| SendError {
                kind: SendErrorKind::Unreadable,
                cause: "gRPC status Ok with a message that is no OTLP response".to_owned(),
            })
        }
        Err(status) => Err(response::grpc_error(&status)),
    }
}

fn channel(endpoint: &Endpoint, connect_timeout: Duration) -> Channel {
    endpoint.connect_with_connector_lazy(dns::connector(Some(connect_timeout)))
}

const fn method(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    }
}

fn tls(otlp: &Otlp) -> Result<ClientTlsConfig, String> {
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| format!("TLS: certificate {}: {error}", path.display()))
    };
    let mut tls = ClientTlsConfig::new();
    tls = match &otlp.certificate {
        Some(path) => tls.ca_certificate(Certificate::from_pem(read(path)?)),
        None => tls.with_native_roots(),
    };
    if let (Some(certificate), Some(key)) = (&otlp.client_certificate, &otlp.client_key) {
        tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(tls)
}

/// Messages that are encoded before they come here and decoded after they left.
#[derive(Debug, Clone, Copy, Default)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = Bytes;
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, tonic::Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length)))
    }
}
