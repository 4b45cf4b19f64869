//! The four kinds of calls, and how each may end by itself.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Code, Request};

use crate::{
    harness::{BROKEN, CALLED, HANGS, MISSING, PANICS, SERVED, World, ending, item, text, texts},
    stock::Item,
};

#[test]
fn a_unary_call_is_one_trace_one_entry_and_one_point_on_either_side() {
    let world = World::new();
    world.runtime.block_on(async {
        let mut client = world.start().await;
        let level = client.reserve(item(1, 3)).await.unwrap().into_inner();
        assert_eq!(level.quantity, 3);
        let (server, client) = world.pair("shop.Stock/Reserve").await;
        assert_eq!((server.trace_id(), server.parent_span_id()), (client.trace_id(), client.span_id()));
        assert!(server.has_remote_parent());
        for span in [&server, &client] {
            assert_eq!(text(span, "rpc.system.name").as_deref(), Some("grpc"));
            assert_eq!(text(span, "rpc.method").as_deref(), Some("shop.Stock/Reserve"));
            assert_eq!(text(span, "server.address").as_deref(), Some("127.0.0.1"));
            assert!(text(span, "server.port").is_some());
            assert_eq!(ending(span), texts([Some("OK"), None, None]));
            assert!(!span.is_error());
            assert_eq!(text(span, "tracewell.rpc.response.messages").as_deref(), Some("1"));
        }
        assert_eq!(text(&server, "tracewell.rpc.request.messages").as_deref(), Some("1"));

        let log = world.capture.log("reserving").unwrap();
        assert_eq!((log.trace_id(), log.span_id()), (server.trace_id(), server.span_id()));
        for (name, span) in [(SERVED, &server), (CALLED, &client)] {
            let metric = world.capture.metric(name).unwrap();
            let point = metric
                .point(&[("rpc.method", "shop.Stock/Reserve"), ("rpc.response.status_code", "OK")])
                .unwrap();
            assert_eq!((metric.unit(), metric.points().len(), point.count()), ("s", 1, 1));
            assert_eq!(point.attributes().text("rpc.system.name").as_deref(), Some("grpc"));
            assert_eq!(point.buckets().len(), 15, "the advised boundaries");
            assert_eq!(point.exemplars()[0].span_id(), span.span_id());
            assert!((point.sum() - span.duration().as_secs_f64()).abs() < 1e-6, "one reading of the clock");
            let named = point.attributes().text("server.address").is_some();
            assert_eq!(named, name == CALLED, "callers choose a server's name");
        }
        let recent = world.capture.requests().snapshot().recent;
        assert_eq!(recent[0].entry.route.as_deref(), Some("shop.Stock/Reserve"));
        let current = ("current".to_owned(), "shop.Stock/Reserve".to_owned());
        assert!(
            world.shop.metadata.lock().unwrap().contains(&current),
            "the entry is the handler's current one"
        );
        world.assert_quiet(1).await;
        assert_eq!(world.totals().completed, 1);
    });
}

#[test]
fn streams_are_in_the_registry_until_their_own_end_and_count_their_messages() {
    let world = World::new();
    world.runtime.block_on(async {
        let mut client = world.start().await;
        let messages = |span: &tracewell::testing::CapturedSpan| {
            ["tracewell.rpc.request.messages", "tracewell.rpc.response.messages"].map(|key| text(span, key))
        };
        // the server streams
        let mut levels = client.watch(item(HANGS, 2)).await.unwrap().into_inner();
        for _ in 0..2 {
            assert!(levels.message().await.unwrap().is_some());
        }
        world.wait_for_stage("streaming").await;
        assert!(world.capture.span("shop.Stock/Watch").is_none(), "ends with its stream");
        drop(levels);
        world.spans("shop.Stock/Watch", "server", 1).await;
        let levels = client.watch(item(1, 3)).await.unwrap().into_inner();
        assert_eq!(levels.collect::<Vec<_>>().await.len(), 3);
        let ended = world.spans("shop.Stock/Watch", "server", 2).await.pop().unwrap();
        assert_eq!(messages(&ended), texts([Some("1"), Some("3")]));

        // the client streams
        let (sender, items) = mpsc::channel(4);
        let mut restocking = client.clone();
        let restocked = tokio::spawn(async move {
            restocking.restock(ReceiverStream::new(items)).await.unwrap().into_inner()
        });
        sender.send(item(1, 5)).await.unwrap();
        sender.send(item(1, 6)).await.unwrap();
        world.wait_for_stage("streaming").await;
        drop(sender);
        assert_eq!(restocked.await.unwrap().quantity, 11);
        let (restock, _) = world.pair("shop.Stock/Restock").await;
        assert_eq!(messages(&restock), texts([Some("2"), Some("1")]));

        // both do
        let (sender, items) = mpsc::channel::<Item>(4);
        let mut levels = client.trade(ReceiverStream::new(items)).await.unwrap().into_inner();
        world.wait_for_stage("streaming").await;
        for quantity in 0..3 {
            sender.send(item(1, quantity)).await.unwrap();
            assert_eq!(levels.message().await.unwrap().unwrap().quantity, quantity);
        }
        drop(sender);
        assert_eq!(levels.message().await.unwrap(), None);
        let (trade, called) = world.pair("shop.Stock/Trade").await;
        assert_eq!(messages(&trade), texts([Some("3"), Some("3")]));
        assert_eq!(messages(&called), texts([None, Some("3")]));
        assert_eq!(ending(&called), texts([Some("OK"), None, None]));
        world.assert_quiet(4).await;
        assert_eq!((world.totals().completed, world.totals().aborted), (3, 1));
    });
}

#[test]
fn only_the_servers_own_faults_are_its_errors_and_their_words_hide_secrets() {
    let world = World::new();
    world.runtime.block_on(async {
        let mut client = world.start().await;
        assert_eq!(client.reserve(item(MISSING, 1)).await.unwrap_err().code(), Code::NotFound);
        let (server, called) = world.pair("shop.Stock/Reserve").await;
        assert_eq!(ending(&server), texts([Some("NOT_FOUND"), None, None]));
        assert_eq!(ending(&called), texts([Some("NOT_FOUND"), Some("NOT_FOUND"), None]));
        assert_eq!((server.is_error(), called.is_error()), (false, true));
        assert_eq!(called.status_message(), "no such product");

        // after a stream has begun
        world.capture.clear();
        let mut levels = client.watch(item(BROKEN, 2)).await.unwrap().into_inner();
        while let Ok(Some(_)) = levels.message().await {}
        let (server, called) = world.pair("shop.Stock/Watch").await;
        for span in [&server, &called] {
            assert_eq!(ending(span), texts([Some("INTERNAL"), Some("INTERNAL"), None]));
            assert!(span.is_error());
            assert_eq!(span.status_message(), "cannot reach postgres://REDACTED:REDACTED@db/shop");
        }
        let logs = world.capture.logs();
        let told = logs.iter().find(|log| log.event_name() == "rpc.server.call.exception").unwrap();
        assert_eq!((told.level(), told.span_id()), ("ERROR", server.span_id()));
        world.assert_quiet(2).await;
        assert_eq!((world.totals().completed, world.totals().failed), (1, 1));
    });
}

#[test]
fn a_panic_ends_the_call_as_one() {
    let world = World::new();
    world.runtime.block_on(async {
        let mut client = world.start().await;
        client.reserve(item(PANICS, 1)).await.unwrap_err();
        let (server, called) = world.pair("shop.Stock/Reserve").await;
        assert_eq!(ending(&server), texts([None, Some("panic"), None]));
        assert!(server.is_error() && called.is_error(), "{called:?}");
        world.assert_quiet(1).await;
        assert_eq!(world.totals().panicked, 1);
    });
}

#[test]
fn a_deadline_is_shown_while_it_runs_and_is_what_the_call_ends_with() {
    let world = World::new();
    world.runtime.block_on(async {
        let mut client = world.start().await;
        let mut request = Request::new(item(HANGS, 1));
        request.set_timeout(Duration::from_millis(250));
        let waiting = tokio::spawn(async move { client.reserve(request).await.unwrap_err() });
        world.shop.arrived.notified().await;
        let active = world.capture.requests().snapshot().active;
        let deadline = active[0].annotations.iter().find(|annotation| annotation.key == "deadline").unwrap();
        assert_eq!(deadline.shown(), "250ms");
        waiting.await.unwrap();
        let (server, called) = world.pair("shop.Stock/Reserve").await;
        let late = Some("DEADLINE_EXCEEDED");
        assert_eq!(ending(&server), texts([late, late, Some("cancelled")]));
        assert_eq!(ending(&called)[..2], texts([late, late]));
        assert_eq!(text(&server, "tracewell.rpc.timeout").as_deref(), Some("0.25"));
        world.assert_quiet(1).await;

        // a deadline that cannot be read loses nothing
        world.capture.clear();
        let mut client = world.start().await;
        let mut request = Request::new(item(1, 1));
        request.metadata_mut().insert("grpc-timeout", "soon".parse().unwrap());
        client.reserve(request).await.unwrap();
        let (server, _) = world.pair("shop.Stock/Reserve").await;
        assert_eq!(ending(&server), texts([Some("OK"), None, None]));
        assert_eq!(text(&server, "tracewell.rpc.timeout"), None);
    });
}
