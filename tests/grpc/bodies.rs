//! Bodies of answers, down to their frames, as no well-meaning server sends them: each ends its call once.

use std::{convert::Infallible, io, panic::AssertUnwindSafe};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, StreamBody, combinators::UnsyncBoxBody};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracewell::testing::CapturedSpan;

use crate::harness::{World, ending, texts};

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// One message, then `end`.
fn message_and(end: impl FnOnce() -> io::Error + Send + 'static) -> Body {
    let message = || Ok(Frame::data(Bytes::from_static(&[0, 0, 0, 0, 1, 7])));
    let rest = stream::once(async move { Err(end()) });
    StreamBody::new(stream::once(async move { message() }).chain(rest)).boxed_unsync()
}

/// The span of a call that is answered like this; the body is read to its end unless it is left.
async fn answered(world: &World, method: &str, left: bool, answer: Response<Body>) -> CapturedSpan {
    let answer = std::sync::Mutex::new(Some(answer));
    let service = service_fn(move |_: Request<_>| {
        let answer = answer.lock().unwrap().take().unwrap();
        async { Ok::<_, Infallible>(answer) }
    });
    let service = world.capture.rpc_server_layer().layer(service);
    let request = Request::post(format!("/shop.Frames/{method}")).header("content-type", "application/grpc");
    let response = service.oneshot(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    if left {
        drop(response);
    } else {
        let _ = AssertUnwindSafe(response.into_body().collect()).catch_unwind().await;
    }
    world.spans(&format!("shop.Frames/{method}"), "server", 1).await.remove(0)
}

#[test]
fn however_the_body_goes_the_call_ends_with_it() {
    let world = World::new();
    world.runtime.block_on(async {
        let no_body = || Empty::new().map_err(|never: Infallible| match never {}).boxed_unsync();
        let trailers_only = Response::builder().header("grpc-status", "5").body(no_body()).unwrap();
        let span = answered(&world, "TrailersOnly", true, trailers_only).await;
        assert_eq!(ending(&span), texts([Some("NOT_FOUND"), None, None]), "delivered with its headers");

        let unread = Response::new(message_and(|| panic!("nobody asks for it")));
        let span = answered(&world, "Unread", true, unread).await;
        assert_eq!(ending(&span), texts([Some("CANCELLED"), None, Some("aborted")]));

        let fails = Response::new(message_and(|| io::Error::other("the disk is gone")));
        let span = answered(&world, "Fails", false, fails).await;
        assert_eq!(ending(&span), texts([None, Some("std::io::error::Error"), Some("aborted")]));
        assert!(span.is_error());

        let panics = Response::new(message_and(|| panic!("in the middle")));
        let span = answered(&world, "Panics", false, panics).await;
        assert_eq!(ending(&span), texts([None, Some("panic"), None]));

        world.assert_quiet(4).await;
        let totals = world.totals();
        assert_eq!((totals.completed, totals.aborted, totals.panicked), (1, 2, 1));
    });
}
