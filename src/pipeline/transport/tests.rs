//! A collector that moves: the address of its name is asked for again. And a request that is too large for any.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;

use super::{MAX_REQUEST, SendErrorKind, Transport, dns::hosts};
use crate::{
    config::{Config, Exporter, Signal, Source},
    pipeline::{metrics::PointAccount, signal_status::SignalStatus},
    testing::Collector,
};

fn one_span() -> Bytes {
    let span = Span { trace_id: vec![1; 16], span_id: vec![2; 8], name: "one".into(), ..Span::default() };
    let scope = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    let request = ExportTraceServiceRequest { resource_spans: vec![resource] };
    Bytes::from(request.encode_to_vec())
}

fn transport(host: &str, protocol: &str, max_age: Duration) -> Arc<Transport> {
    let endpoint = format!("http://{host}");
    let source = Source::from_pairs([
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("{endpoint}/v1/traces")),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "300".to_owned()),
    ]);
    let otlp = Config::resolve(&source).0.traces.otlp;
    let status = SignalStatus::new(None, Arc::new(PointAccount::default()));
    let mut transport =
        Transport::new(Signal::Traces, &[Exporter::Otlp], &otlp, status).expect("a transport");
    Arc::get_mut(&mut transport).expect("the only one").max_age = max_age;
    transport
}

#[tokio::test]
async fn a_collector_that_moves_is_found_at_its_new_address() {
    for protocol in ["grpc", "http/protobuf"] {
        let (first, second) = (Collector::start(), Collector::start());
        let host = format!("moves-{}.test", protocol.replace('/', "-"));
        hosts::set(&host, first.address());
        let transport = transport(&host, protocol, Duration::from_secs(600));
        transport.send(one_span(), None).await.unwrap();
        assert_eq!(first.accepted_items(Signal::Traces), 1, "{protocol}");
        // the old machine is gone without a word: the connection stays open, and nothing comes back over it
        first.silence();
        hosts::set(&host, second.address());
        let found = tokio::time::timeout(Duration::from_secs(20), transport.send(one_span(), None));
        found.await.expect("in time").unwrap();
        assert_eq!(second.accepted_items(Signal::Traces), 1, "{protocol}");
    }
}

#[tokio::test]
async fn an_old_server_that_lives_on_behind_a_moved_name_is_left_in_time() {
    for protocol in ["grpc", "http/protobuf"] {
        let (first, second) = (Collector::start(), Collector::start());
        let host = format!("ages-{}.test", protocol.replace('/', "-"));
        hosts::set(&host, first.address());
        let young = transport(&host, protocol, Duration::from_secs(600));
        let old = transport(&host, protocol, Duration::ZERO);
        for transport in [&young, &old] {
            transport.send(one_span(), None).await.unwrap();
        }
        hosts::set(&host, second.address());
        for transport in [&young, &old] {
            transport.send(one_span(), None).await.unwrap();
        }
        assert_eq!(first.accepted_items(Signal::Traces), 3, "{protocol}: an open connection is used again");
        assert_eq!(second.accepted_items(Signal::Traces), 1, "{protocol}");
    }
}

#[tokio::test]
async fn a_request_beyond_the_limit_is_refused_here_and_the_next_one_goes() {
    let collector = Collector::start();
    let transport = transport(&collector.address().to_string(), "http/protobuf", Duration::from_secs(600));
    let error = transport.send(Bytes::from(vec![0; MAX_REQUEST + 1]), None).await.unwrap_err();
    assert_eq!(error.kind, SendErrorKind::TooLarge);
    assert_eq!(error.cause, format!("a request of {} bytes: the limit is {MAX_REQUEST}", MAX_REQUEST + 1));
    transport.send(one_span(), None).await.unwrap();
    assert_eq!(collector.accepted_items(Signal::Traces), 1);
}
