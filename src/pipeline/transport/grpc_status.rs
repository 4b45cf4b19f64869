//! Answers over gRPC as tonic can read them: it panics on status details that are not base64 (`Status::from_header_map`).

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, combinators::MapFrame};
use tonic::metadata::MetadataMap;
use tower_service::Service;

const DETAILS: &str = "grpc-status-details-bin";

/// A service whose answers lose status details that cannot be decoded.
#[derive(Debug, Clone)]
pub(super) struct Checked<S>(pub(super) S);

type CheckedBody<B> =
    MapFrame<B, fn(Frame<<B as http_body::Body>::Data>) -> Frame<<B as http_body::Body>::Data>>;

impl<S, ReqBody, B> Service<Request<ReqBody>> for Checked<S>
where
    S: Service<Request<ReqBody>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: http_body::Body,
{
    type Response = Response<CheckedBody<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let answer = self.0.call(request);
        Box::pin(async move {
            let mut answer = answer.await?;
            check(answer.headers_mut());
            Ok(answer.map(|body| body.map_frame(checked as fn(_) -> _)))
        })
    }
}

fn checked<D>(frame: Frame<D>) -> Frame<D> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            check(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

fn check(headers: &mut HeaderMap) {
    if headers.get(DETAILS).is_some_and(|details| !is_decodable(details)) {
        headers.remove(DETAILS);
    }
}

/// By tonic's own decoder.
fn is_decodable(details: &HeaderValue) -> bool {
    let mut alone = HeaderMap::with_capacity(1);
    alone.insert(DETAILS, details.clone());
    MetadataMap::from_headers(alone).get_bin(DETAILS).is_some_and(|details| details.to_bytes().is_ok())
}
