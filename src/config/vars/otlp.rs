//! Where each signal's OTLP requests go and how.

use std::path::PathBuf;

use super::{
    parse,
    reader::{Reader, because},
    table::{
        OTLP_CERTIFICATE, OTLP_CLIENT_CERTIFICATE, OTLP_CLIENT_KEY, OTLP_COMPRESSION, OTLP_ENDPOINT,
        OTLP_HEADERS, OTLP_INSECURE, OTLP_PROTOCOL, OTLP_TIMEOUT, PerSignal,
    },
};
use crate::config::{Endpoint, Otlp, Protocol, Signal};

pub(super) fn otlp(reader: &mut Reader<'_>, signal: Signal) -> Otlp {
    let protocol = reader.per_signal(&OTLP_PROTOCOL, signal, parse::word);
    let insecure = reader.per_signal(&OTLP_INSECURE, signal, parse::boolean);
    let endpoint = endpoint(reader, signal, protocol, insecure);
    let mut headers =
        reader.optional_per_signal(&OTLP_HEADERS, signal, "", parse::headers).unwrap_or_default();
    headers.authorize(&endpoint);
    let (client_certificate, client_key) = client_identity(reader, signal);
    Otlp {
        protocol,
        endpoint,
        headers,
        timeout: reader.per_signal(&OTLP_TIMEOUT, signal, parse::timeout),
        compression: reader.per_signal(&OTLP_COMPRESSION, signal, parse::word),
        certificate: reader.optional_per_signal(
            &OTLP_CERTIFICATE,
            signal,
            "the system's certificates",
            parse::certificates,
        ),
        client_certificate,
        client_key,
    }
}

fn endpoint(reader: &mut Reader<'_>, signal: Signal, protocol: Protocol, insecure: bool) -> Endpoint {
    let default = match protocol {
        Protocol::Grpc => "http://localhost:4317",
        Protocol::HttpProtobuf | Protocol::HttpJson => "http://localhost:4318",
    };
    let base = |text: &str| Endpoint::of_base(text, signal, protocol, insecure).map_err(because);
    let generic = reader.read(&OTLP_ENDPOINT.generic, default, base);
    let used = generic.as_ref().map_or(default.to_owned(), Endpoint::to_string);
    let own = reader.read(OTLP_ENDPOINT.own(signal), &used, |text| {
        Endpoint::of_signal(text, protocol, insecure).map_err(because)
    });
    own.or(generic).unwrap_or_else(|| base(default).expect("the default is a URL"))
}

/// Certificate and key, both or neither.
fn client_identity(reader: &mut Reader<'_>, signal: Signal) -> (Option<PathBuf>, Option<PathBuf>) {
    let certificate = reader.optional_per_signal(&OTLP_CLIENT_CERTIFICATE, signal, "", parse::certificates);
    let key = reader.optional_per_signal(&OTLP_CLIENT_KEY, signal, "", parse::private_key);
    match (certificate, key) {
        (Some(certificate), Some(key)) => (Some(certificate), Some(key)),
        (None, None) => (None, None),
        (Some(_), None) => alone(reader, signal, &OTLP_CLIENT_CERTIFICATE, &OTLP_CLIENT_KEY),
        (None, Some(_)) => alone(reader, signal, &OTLP_CLIENT_KEY, &OTLP_CLIENT_CERTIFICATE),
    }
}

/// Reports the half that has no other; another half that cannot be used has been reported itself.
fn alone(
    reader: &mut Reader<'_>,
    signal: Signal,
    given: &'static PerSignal,
    other: &'static PerSignal,
) -> (Option<PathBuf>, Option<PathBuf>) {
    if !reader.is_set(other.own(signal)) && !reader.is_set(&other.generic) {
        let own = given.own(signal);
        let var = if reader.is_set(own) { own } else { &given.generic };
        let value = reader.source.get(var.name).unwrap_or_default();
        reader.mistake(var, &value, &format!("{} is not set", other.generic.name), "");
    }
    (None, None)
}
