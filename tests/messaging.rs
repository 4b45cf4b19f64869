//! Messages without a broker: what a destination adds to tasks, and what is said of names of which there are many.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context as Poller, Waker},
};

use tracewell::{
    messaging::Destination,
    otel::sdk::propagation::TraceContextPropagator,
    tasks::{State, Tasks},
    testing::{Capture, CapturedSpan},
};

type Outcome = Result<(), &'static str>;

fn tasks(capture: &Capture) -> Tasks {
    Tasks::new(capture.requests().clone(), &capture.meter_provider())
}

#[test]
fn many_names_are_one_series_by_their_template() {
    let capture = Capture::new();
    let orders = Destination::new("nats", "orders.acme")
        .with_template("orders.{customer}")
        .with_tasks(tasks(&capture));
    capture.runtime().block_on(async {
        orders.send("invoice", 1).run(|_| async { Outcome::Ok(()) }).await.unwrap();
        orders.receive("invoice", 1, &HashMap::<String, String>::new()).run(async {}).await;
    });
    let span = capture.span("send orders.{customer}").unwrap();
    assert_eq!(span.attributes().str("messaging.destination.name"), Some("orders.acme"));
    for metric in [
        "messaging.client.operation.duration",
        "messaging.client.sent.messages",
        "messaging.client.consumed.messages",
        "messaging.process.duration",
    ] {
        let metric = capture.metric(metric).unwrap();
        let attributes = metric.points()[0].attributes();
        assert_eq!(attributes.str("messaging.destination.template"), Some("orders.{customer}"), "{metric:?}");
        assert_eq!(attributes.get("messaging.destination.name"), None, "{metric:?}");
    }
}

#[test]
fn a_delivery_links_to_its_sender_or_goes_on_with_its_trace() {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let capture = Capture::new();
    let _current = capture.set_default();
    let orders = Destination::new("nats", "orders").with_tasks(tasks(&capture));
    let headers = orders.send_batch("invoice").add(1);
    tracing::info_span!("request").in_scope(|| {
        orders.receive("links", 1, &headers).start().succeed();
        orders.receive("goes on", 1, &headers).continuing_trace().start().succeed();
    });
    let ids = |span: &str| {
        let span = capture.span(span).unwrap();
        (span.trace_id().to_owned(), span.span_id().to_owned())
    };
    let (sender, around) = (ids("create orders"), ids("request"));
    let spans = capture.spans();
    let of = |id: &str| {
        let its = |span: &&CapturedSpan| span.attributes().str("tracewell.task.name") == Some(id);
        spans.iter().find(its).unwrap()
    };
    assert_eq!(
        (of("links").parent_span_id(), of("links").links()),
        (around.1.as_str(), vec![sender.clone()])
    );
    let goes_on = of("goes on");
    assert_eq!((goes_on.trace_id(), goes_on.parent_span_id()), (sender.0.as_str(), sender.1.as_str()));
    assert_eq!(goes_on.links(), [sender.clone(), around]);
}

#[test]
fn each_operation_ends_once_however_it_ends() {
    let capture = Capture::new();
    let tasks = tasks(&capture);
    let orders = Destination::new("nats", "orders").with_tasks(tasks.clone());
    let _current = capture.set_default();
    let mut poller = Poller::from_waker(Waker::noop());
    let mut left = Box::pin(orders.settle("ack", std::future::pending::<Outcome>()));
    assert!(left.as_mut().poll(&mut poller).is_pending());
    drop(left);
    let mut panics = Box::pin(orders.pull(async { panic!("bug") }, |_: &()| Vec::new()));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _: std::task::Poll<Result<(), &str>> = panics.as_mut().poll(&mut poller);
    }));
    assert!(panicked.is_err());
    let mut batch = orders.send_batch("invoice");
    let headers = [batch.add(1), batch.add(2)];
    let mut refused = Box::pin(batch.run(async { Outcome::Err("full") }));
    assert!(refused.as_mut().poll(&mut poller).is_ready());
    // a delivery that is skipped is one all the same
    let skipped = orders.receive("invoice", 1, &headers[0]);
    assert!(!skipped.has_succeeded() && !skipped.is_redelivery());
    drop(skipped);

    let attribute = |span: &str, key: &str| capture.span(span).unwrap().attributes().text(key);
    assert_eq!(attribute("ack orders", "tracewell.outcome").as_deref(), Some("cancelled"));
    assert_eq!(attribute("receive orders", "error.type").as_deref(), Some("panic"));
    assert_eq!(attribute("send orders", "error.type").as_deref(), Some("&str"));
    let sent = capture.metric("messaging.client.sent.messages").unwrap();
    assert_eq!(sent.point(&[("error.type", "&str")]).unwrap().value(), 2.0, "attempts count too");
    let counts = tasks.counts();
    let invoice = counts.iter().find(|counts| counts.name == "invoice").unwrap();
    assert_eq!((invoice.of(State::Sent), invoice.of(State::Received)), (0, 1));
    assert_eq!(capture.metric("messaging.client.consumed.messages").unwrap().value(), 1.0);
    assert_eq!(capture.metric("messaging.client.operation.duration").unwrap().count(), 3);
    assert_eq!(capture.read(|captured| captured.open_spans()), 0);
    assert_eq!(capture.requests().active_count(), 0);
}
