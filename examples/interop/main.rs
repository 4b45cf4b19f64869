//! A service among services in other languages, each with its own OpenTelemetry SDK: it passes every request on to the
//! next hop, over HTTP or gRPC, on one port, with the trace and the baggage.
//!
//! ```console
//! $ cargo run --example interop
//! http 8090
//! grpc 8090
//! $ curl 'localhost:8090/relay?hops=grpc://127.0.0.1:8090,http://127.0.0.1:8090'
//! ```
//!
//! `tests/interop` has the same service in Python and in Go.

use std::{collections::BTreeMap, error::Error, time::Instant};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{Request, Response, StatusCode, Uri, uri::PathAndQuery},
    routing::{get, post},
};
use opentelemetry::{
    Context, KeyValue,
    baggage::BaggageExt as _,
    metrics::Histogram,
    trace::{FutureExt as _, TraceContextExt as _},
};
use reqwest_middleware::ClientWithMiddleware;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tonic::{Status, client::Grpc as GrpcClient, server::Grpc as GrpcServer, transport::Endpoint};
use tonic_prost::ProstCodec;
use tower::ServiceBuilder;
use tracewell::{http, rpc};

const NAME: &str = "rust";
type Failure = Box<dyn Error + Send + Sync>;

/// Who was here, in which trace and with which baggage.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    name: String,
    trace_id: String,
    baggage: BTreeMap<String, String>,
}

#[derive(Clone)]
struct Relay {
    http: ClientWithMiddleware,
    duration: Histogram<f64>,
}

impl Relay {
    /// Says who is here, and what the hops after say.
    async fn relay(&self, hops: &str) -> Result<Vec<Said>, Failure> {
        let started = Instant::now();
        tracing::info!("relayed by {NAME}");
        let context = Context::current();
        let members: BTreeMap<_, _> =
            context.baggage().iter().map(|(key, (value, _))| (key.to_string(), value.to_string())).collect();
        let trace_id = context.span().span_context().trace_id().to_string();
        let mut said = vec![Said { name: NAME.to_owned(), trace_id, baggage: members.clone() }];
        if !hops.is_empty() {
            let (hop, rest) = hops.split_once(',').unwrap_or((hops, ""));
            let members = members.into_iter().map(|(key, value)| KeyValue::new(key, value));
            let seen = KeyValue::new(format!("seen.{NAME}"), "yes");
            let context = context.with_baggage(members.chain([seen]));
            said.extend(self.call(hop, rest).with_context(context).await?);
        }
        self.duration.record(started.elapsed().as_secs_f64(), &[]);
        Ok(said)
    }

    async fn call(&self, hop: &str, rest: &str) -> Result<Vec<Said>, Failure> {
        let Some(address) = hop.strip_prefix("grpc://") else {
            let url = reqwest::Url::parse_with_params(&format!("{hop}/relay"), [("hops", rest)])?;
            return Ok(self.http.get(url).send().await?.error_for_status()?.json().await?);
        };
        let target: Uri = format!("http://{address}").parse()?;
        let channel = Endpoint::from(target.clone()).connect_lazy();
        let layer = rpc::ClientLayer::new().with_target(&target);
        let mut client = GrpcClient::new(ServiceBuilder::new().layer(layer).service(channel));
        client.ready().await?;
        // a google.protobuf.StringValue is a String to prost
        let codec = ProstCodec::<String, String>::default();
        let path = PathAndQuery::from_static("/interop.Relay/Pass");
        let answer = client.unary(tonic::Request::new(rest.to_owned()), path, codec).await?;
        Ok(serde_json::from_str(answer.get_ref())?)
    }
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    hops: String,
}

async fn over_http(
    State(relay): State<Relay>,
    Query(asked): Query<Asked>,
) -> Result<Json<Vec<Said>>, (StatusCode, String)> {
    let said = relay.relay(&asked.hops).await;
    said.map(Json).map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))
}

/// What `tonic-build` would write for `service Relay { rpc Pass(StringValue) returns (StringValue); }`.
async fn over_grpc(
    State(relay): State<Relay>,
    request: Request<axum::body::Body>,
) -> Response<tonic::body::Body> {
    let service = tower::service_fn(move |request: tonic::Request<String>| {
        let relay = relay.clone();
        async move {
            let said = relay.relay(request.get_ref()).await;
            let said = said.map_err(|error| Status::unavailable(error.to_string()))?;
            let text = serde_json::to_string(&said).map_err(|error| Status::internal(error.to_string()))?;
            Ok::<_, Status>(tonic::Response::new(text))
        }
    });
    GrpcServer::new(ProstCodec::<String, String>::default()).unary(service, request).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let telemetry = tracewell::Telemetry::builder().default_service_name(NAME).install()?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let http = reqwest_middleware::ClientBuilder::new(client).with(http::ClientLayer::new().middleware());
    let meter = opentelemetry::global::meter("relay");
    let duration = meter.f64_histogram("relay.duration").with_unit("s").build();
    let relay = Relay { http: http.build(), duration };

    // each layer around its own routes
    let pages = Router::new().route("/relay", get(over_http)).layer(http::ServerLayer::new());
    let calls = Router::new().route("/interop.Relay/Pass", post(over_grpc)).layer(rpc::ServerLayer::new());
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:8090".to_owned());
    let listener = TcpListener::bind(&address).await?;
    let port = listener.local_addr()?.port();
    tell(&format!("http {port}\ngrpc {port}"));
    telemetry.serve(listener, pages.merge(calls).with_state(relay)).await?;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a person starts it")]
fn tell(text: &str) {
    eprintln!("{text}");
}
