//! What travels in metadata, who is trusted with it, and what strangers cannot make up.

use http::{HeaderName, Request as HttpRequest};
use opentelemetry::baggage::BaggageExt as _;
use tonic::{Code, Request, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;
use tracewell::{http::ServerLayer as HttpLayer, rpc::ServerLayer};

use crate::{
    harness::{MISSING, SERVED, World, item, text},
    stock::{Item, Level, stock_server::StockServer},
};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn baggage_and_captured_metadata_arrive_and_secrets_do_not() {
    let world = World::new();
    world.runtime.block_on(async {
        let names = ["x-shop", "x-api-key"].map(HeaderName::from_static);
        let layer = world.capture.rpc_server_layer().with_captured_request_metadata(names);
        let address = world.serve(layer).await;
        let mut client = world.client(address).await;
        let mut request = Request::new(item(1, 1));
        request.metadata_mut().insert("x-shop", "north".parse().unwrap());
        request.metadata_mut().insert("x-api-key", "hunter2hunter2".parse().unwrap());
        let baggage =
            opentelemetry::Context::current().with_baggage([opentelemetry::KeyValue::new("tenant", "acme")]);
        let call = client.reserve(request);
        opentelemetry::trace::FutureExt::with_context(call, baggage).await.unwrap();
        let (server, _) = world.pair("shop.Stock/Reserve").await;
        let tenant = ("tenant".to_owned(), "acme".to_owned());
        assert!(world.shop.metadata.lock().unwrap().contains(&tenant));
        assert_eq!(text(&server, "rpc.request.metadata.x-shop").as_deref(), Some("[north]"));
        assert_eq!(text(&server, "rpc.request.metadata.x-api-key").as_deref(), Some("[REDACTED]"));
    });
}

#[test]
fn strangers_are_linked_and_hosts_that_are_not_trusted_learn_nothing() {
    let world = World::new();
    world.runtime.block_on(async {
        let address = world.serve(world.capture.rpc_server_layer().with_public_endpoint(true)).await;
        world.client(address).await.reserve(item(1, 1)).await.unwrap();
        let (server, called) = world.pair("shop.Stock/Reserve").await;
        assert!(server.is_root());
        assert_eq!(server.links(), [(called.trace_id().to_owned(), called.span_id().to_owned())]);

        world.capture.clear();
        let address = world.serve(world.capture.rpc_server_layer()).await;
        let target: http::Uri = format!("http://{address}").parse().unwrap();
        let layer = world.capture.rpc_client_layer().with_target(&target);
        let layer = layer.with_propagation_to(move |uri| uri.host() != Some("127.0.0.1"));
        let channel = tonic::transport::Endpoint::from(target).connect().await.unwrap();
        let channel = tower::ServiceBuilder::new().layer(layer).service(channel);
        let mut client = crate::stock::stock_client::StockClient::new(channel);
        client.reserve(item(1, 1)).await.unwrap();
        let (server, called) = world.pair("shop.Stock/Reserve").await;
        assert!(server.is_root() && server.links().is_empty());
        assert_ne!(server.trace_id(), called.trace_id());
    });
}

#[test]
fn a_method_that_nobody_has_is_other_to_metrics() {
    let world = World::new();
    world.runtime.block_on(async {
        let address = world.serve(world.capture.rpc_server_layer()).await;
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut client = Grpc::new(channel.connect().await.unwrap());
        for made_up in ["/made.Up/One", "/made.Up/Two"] {
            client.ready().await.unwrap();
            let path = PathAndQuery::from_static(made_up);
            let codec = ProstCodec::<Item, Level>::default();
            let status = client.unary(Request::new(item(1, 1)), path, codec).await.unwrap_err();
            assert_eq!(status.code(), Code::Unimplemented);
        }
        let servers = world.spans("grpc", "server", 2).await;
        assert_eq!(text(&servers[0], "rpc.method").as_deref(), Some("_OTHER"));
        assert_eq!(text(&servers[0], "rpc.method_original").as_deref(), Some("made.Up/One"));
        let metric = world.capture.metric(SERVED).unwrap();
        assert_eq!(metric.points().len(), 1, "{metric:?}");
        assert_eq!(metric.point(&[("rpc.method", "_OTHER")]).unwrap().count(), 2);
        let recent = world.capture.requests().snapshot().recent;
        assert!(recent.iter().all(|entry| entry.entry.route.is_none()), "{recent:?}");
        world.assert_quiet(2).await;
    });
}

/// Both layers around one router: HTTP's has the routes, the call's has the calls, and the registry each request once.
#[test]
fn beside_the_layer_of_http_nothing_is_counted_twice() {
    let world = World::new();
    world.runtime.block_on(async {
        let (http, rpc): (HttpLayer, ServerLayer) =
            (world.capture.server_layer(), world.capture.rpc_server_layer());
        let app = tonic::service::Routes::new(StockServer::new(world.shop.clone()))
            .into_axum_router()
            .route("/page", axum::routing::get(|| async { "a page" }))
            .layer(rpc)
            .layer(http);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });

        world.client(address).await.reserve(item(1, 1)).await.unwrap();
        let page = reqwest::Client::builder().no_proxy().build().unwrap();
        page.get(format!("http://{address}/page")).send().await.unwrap().error_for_status().unwrap();

        let (rpc, called) = {
            let spans = world.spans("shop.Stock/Reserve", "server", 1).await;
            (spans[0].clone(), world.spans("shop.Stock/Reserve", "client", 1).await.remove(0))
        };
        tokio::time::timeout(crate::harness::PATIENCE, world.capture.requests().idle()).await.unwrap();
        let spans = world.capture.spans();
        let outer = spans.iter().find(|span| span.span_id() == rpc.parent_span_id()).unwrap();
        assert_eq!(outer.parent_span_id(), called.span_id());
        assert_eq!(world.totals().started, 2);
        let count = |name| world.capture.metric(name).unwrap().count();
        assert_eq!((count(SERVED), count("http.server.request.duration")), (1, 2));

        // the one entry says how the call ended, whichever layer made it
        world.client(address).await.reserve(item(MISSING, 1)).await.unwrap_err();
        tokio::time::timeout(crate::harness::PATIENCE, world.capture.requests().idle()).await.unwrap();
        let recent = world.capture.requests().snapshot().recent;
        let said = |key: &str| {
            let fact = recent[0].entry.annotations.iter().find(|fact| fact.key == key);
            fact.map(|fact| fact.shown().to_owned())
        };
        assert_eq!(said("status").as_deref(), Some("NOT_FOUND"));
    });
}

/// A client's body in HTTP that says it is gRPC and is not: answered as it would be, and told as it went.
#[test]
fn an_answer_without_a_status_has_the_code_that_http_means() {
    let world = World::new();
    world.runtime.block_on(async {
        let layer = world.capture.rpc_server_layer();
        let app = axum::Router::new()
            .route("/shop.Page/Show", axum::routing::post(|| async { "no trailers" }))
            .route("/shop.Page/Busy", axum::routing::post(|| async { http::StatusCode::SERVICE_UNAVAILABLE }))
            .layer(layer);
        for path in ["/shop.Page/Show", "/shop.Page/Busy", "/made.Up/Page"] {
            let request = HttpRequest::post(path)
                .header("content-type", "application/grpc")
                .header("traceparent", TRACEPARENT)
                .body(axum::body::Body::empty())
                .unwrap();
            let response = tower::ServiceExt::oneshot(app.clone(), request).await.unwrap();
            http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
        }
        let code = |name: &str| text(&world.capture.span(name).unwrap(), "rpc.response.status_code");
        assert_eq!(code("shop.Page/Show").as_deref(), Some("UNKNOWN"));
        assert_eq!(code("shop.Page/Busy").as_deref(), Some("UNAVAILABLE"));
        assert_eq!(world.capture.span("shop.Page/Show").unwrap().trace_id(), &TRACEPARENT[3..35]);
        let made_up = world.capture.span("grpc").unwrap();
        assert_eq!(text(&made_up, "rpc.method_original").as_deref(), Some("made.Up/Page"));
        world.assert_quiet(3).await;
    });
}
