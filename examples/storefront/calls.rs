//! Calls out: each attempt is a CLIENT span whose trace context travels with the request.

use axum::http::{Request, Response};
use bytes::Bytes;
use reqwest::Body;
use tower::{Layer as _, ServiceExt as _, util::BoxCloneSyncService};
use tracewell::http::{CallBody, ClientLayer};

/// What goes wrong with a call.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
/// An observed client for whole bodies, which can be sent again.
pub(crate) type Calls = BoxCloneSyncService<Request<Bytes>, Response<CallBody<Body>>, Error>;

/// Makes a service of reqwest's client, and observes it.
pub(crate) fn observed(client: reqwest::Client) -> Calls {
    let service = tower::service_fn(move |request: Request<Bytes>| {
        let client = client.clone();
        async move { client.execute(request.try_into()?).await.map(Response::<Body>::from) }
    });
    BoxCloneSyncService::new(ClientLayer::new().layer(service))
}

/// Sends one request, once. The span ends with the last byte of the body.
pub(crate) async fn send(calls: &Calls, request: Request<Bytes>) -> Result<Response<CallBody<Body>>, Error> {
    calls.clone().oneshot(request).await
}
