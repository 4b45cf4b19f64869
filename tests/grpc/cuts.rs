//! Calls that are cut in the middle, in both directions: each ends everywhere, once.

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    harness::{HANGS, Relay, World, ending, item, texts},
    stock::Item,
};

const CANCELLED: Option<&str> = Some("CANCELLED");

#[test]
fn a_caller_that_leaves_cancels_before_the_headers_and_aborts_after() {
    let world = World::new();
    world.runtime.block_on(async {
        let client = world.start().await;
        let mut leaving = client.clone();
        let call = tokio::spawn(async move { drop(leaving.reserve(item(HANGS, 1)).await) });
        world.shop.arrived.notified().await;
        call.abort();
        let (server, called) = world.pair("shop.Stock/Reserve").await;
        assert_eq!(ending(&server), texts([CANCELLED, None, Some("cancelled")]));
        assert_eq!(ending(&called), texts([CANCELLED, CANCELLED, Some("cancelled")]));
        assert!(!server.is_error(), "a caller that leaves is no error");

        let mut levels = client.clone().watch(item(HANGS, 2)).await.unwrap().into_inner();
        levels.message().await.unwrap().unwrap();
        drop(levels);
        let (server, called) = world.pair("shop.Stock/Watch").await;
        assert_eq!(ending(&server), texts([CANCELLED, None, Some("aborted")]));
        assert_eq!(ending(&called), texts([CANCELLED, CANCELLED, Some("aborted")]));
        world.assert_quiet(2).await;
        assert_eq!((world.totals().cancelled, world.totals().aborted), (1, 1));
    });
}

#[test]
fn a_connection_that_is_cut_ends_the_streams_of_both_sides() {
    let world = World::new();
    world.runtime.block_on(async {
        let server = world.serve(world.capture.rpc_server_layer()).await;
        // while the server streams
        let relay = Relay::before(server).await;
        let mut client = world.client(relay.address).await;
        let mut levels = client.watch(item(HANGS, 2)).await.unwrap().into_inner();
        levels.message().await.unwrap().unwrap();
        relay.cut().await;
        while let Ok(Some(_)) = levels.message().await {}
        let (served, called) = world.pair("shop.Stock/Watch").await;
        assert_eq!(ending(&served), texts([CANCELLED, None, Some("aborted")]));
        assert_eq!(ending(&called), texts([Some("UNAVAILABLE"), Some("reset"), None]));

        // while the client streams
        let relay = Relay::before(server).await;
        let mut client = world.client(relay.address).await;
        let (sender, items) = mpsc::channel(1);
        let call = tokio::spawn(async move { client.restock(ReceiverStream::new(items)).await.unwrap_err() });
        for quantity in 1..=3 {
            sender.send(item(1, quantity)).await.unwrap();
            while world.shop.seen.lock().unwrap().last() != Some(&quantity) {
                world.shop.arrived.notified().await;
            }
        }
        relay.cut().await;
        call.await.unwrap();
        assert_eq!(*world.shop.seen.lock().unwrap(), [1, 2, 3]);
        let (served, called) = world.pair("shop.Stock/Restock").await;
        assert_eq!(ending(&served)[1..], texts([None, Some("cancelled")]), "{served:?}");
        assert!(called.is_error(), "{called:?}");

        // while both do
        let relay = Relay::before(server).await;
        let mut client = world.client(relay.address).await;
        let (sender, items) = mpsc::channel::<Item>(1);
        let mut levels = client.trade(ReceiverStream::new(items)).await.unwrap().into_inner();
        sender.send(item(1, 9)).await.unwrap();
        levels.message().await.unwrap().unwrap();
        relay.cut().await;
        while let Ok(Some(_)) = levels.message().await {}
        let (served, _) = world.pair("shop.Stock/Trade").await;
        assert_eq!(ending(&served)[2].as_deref(), Some("aborted"), "{served:?}");
        world.assert_quiet(3).await;
    });
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    let world = World::new();
    world.runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let target: http::Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        drop(listener);
        let channel = tonic::transport::Endpoint::from(target.clone()).connect_lazy();
        let layer = world.capture.rpc_client_layer().with_target(&target);
        let channel = tower::ServiceBuilder::new().layer(layer).service(channel);
        let status =
            crate::stock::stock_client::StockClient::new(channel).reserve(item(1, 1)).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unavailable, "tonic still finds its own errors");
        let called = world.spans("shop.Stock/Reserve", "client", 1).await.remove(0);
        assert_eq!(ending(&called), texts([Some("UNAVAILABLE"), Some("connect"), None]));
        assert!(called.is_error());
    });
}

/// Calls of all kinds, each left at a place of its own.
#[test]
fn whatever_is_left_when_each_call_is_counted_once() {
    const CALLS: u32 = 240;
    let world = World::new();
    world.runtime.block_on(async {
        let client = world.start().await;
        let calls = (0..CALLS).map(|n| {
            let mut client = client.clone();
            async move {
                let patience = std::time::Duration::from_micros(u64::from(n / 3) * 40);
                let product = if n % 2 == 0 { HANGS } else { 1 };
                let call = async {
                    match n % 3 {
                        0 => drop(client.reserve(item(product, 1)).await),
                        1 => {
                            let levels = client.watch(item(product, n % 7)).await;
                            let Ok(levels) = levels else { return };
                            let mut levels = levels.into_inner();
                            while let Ok(Some(_)) = levels.message().await {}
                        }
                        _ => {
                            let items = tokio_stream::iter((0..n % 5).map(|n| item(1, n)));
                            drop(client.restock(items).await);
                        }
                    }
                };
                let _ = tokio::time::timeout(patience, call).await;
            }
        });
        join_all(calls).await;
        tokio::time::timeout(crate::harness::PATIENCE, world.capture.requests().idle()).await.unwrap();
        let totals = world.totals();
        world.assert_quiet(totals.started).await;
        // a call that was given up before it left has no server's side
        let spans = world.capture.spans();
        let servers = spans.iter().filter(|span| span.kind() == "server").count() as u64;
        let clients = spans.iter().filter(|span| span.kind() == "client").count() as u64;
        assert_eq!(servers, totals.started);
        assert_eq!(world.capture.metric(crate::harness::CALLED).unwrap().count(), clients);
        assert!(
            clients <= u64::from(CALLS) && totals.completed > 0 && totals.started < clients + 1,
            "{totals:?}"
        );
    });
}
