//! `reqwest`, through reqwest-middleware: the same call, carried by a future and a body of reqwest's types.

use std::{fmt, future::poll_fn, panic::resume_unwind, sync::Arc};

use http::{Extensions, Uri};
use opentelemetry::Context as OtelContext;
use reqwest::{Body, Request, Response, ResponseBuilderExt as _};
use reqwest_middleware::{Error, Middleware, Next, Result};

use super::{
    ClientLayer, ResendCount, UrlTemplate,
    call::{Asked, Call},
    layer::Shared,
};
use crate::quietly::contained;

/// Observes the calls of a `reqwest_middleware` client as [`ClientLayer`] does those of a tower client; made by
/// [`ClientLayer::middleware`].
///
/// It belongs innermost, after the middleware that tries again: it counts the attempts that pass through it as
/// `http.request.resend_count`. Redirects that `reqwest` follows by itself are inside of one attempt. A [`UrlTemplate`]
/// is given by `RequestBuilder::with_extension`.
///
/// ```
/// use tracewell::http::{ClientLayer, UrlTemplate};
///
/// # async fn f() -> Result<(), reqwest_middleware::Error> {
/// let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
///     .with(ClientLayer::new().middleware())
///     .build();
/// let users = client.get("https://users.example/users/7").with_extension(UrlTemplate("/users/{id}"));
/// let user = users.send().await?.text().await?;
/// # drop(user);
/// # Ok(())
/// # }
/// ```
///
/// Cancel safe as `reqwest` is: dropped, the call ends as cancelled.
#[derive(Clone)]
pub struct ClientMiddleware(Arc<Shared>);

impl fmt::Debug for ClientMiddleware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientMiddleware").finish_non_exhaustive()
    }
}

impl ClientLayer {
    /// The same for `reqwest`.
    #[must_use]
    pub fn middleware(&self) -> ClientMiddleware {
        ClientMiddleware(self.shared())
    }
}

#[async_trait::async_trait]
impl Middleware for ClientMiddleware {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        // what is no URI, reqwest will not send either
        let uri: Option<Uri> = request.url().as_str().parse().ok();
        let (Some(uri), false) = (uri, OtelContext::is_current_telemetry_suppressed()) else {
            return next.run(request, extensions).await;
        };
        let resend_count = extensions.get::<ResendCount>().map_or(0, |count| count.0);
        extensions.insert(ResendCount(resend_count.saturating_add(1)));
        let template = extensions.get::<UrlTemplate>().map(|template| template.0);
        let asked = Asked { method: request.method(), uri: &uri, template, resend_count };
        let (call, sent) = Call::begin(&self.0, &asked);
        sent.write(&self.0, request.headers_mut());
        let result = {
            let mut inner = next.run(request, extensions);
            poll_fn(|cx| {
                let polled = contained(|| call.enter(), || inner.as_mut().poll(cx));
                polled.unwrap_or_else(|panic| resume_unwind(panic))
            })
            .await
        };
        match result {
            Ok(response) => Ok(answered(call, response)),
            Err(error) => {
                let name = match &error {
                    Error::Reqwest(_) => std::any::type_name::<reqwest::Error>(),
                    Error::Middleware(_) => std::any::type_name::<Error>(),
                };
                call.failed(&error, name);
                Err(error)
            }
        }
    }
}

/// The response with its body observed, and everything else as it was.
fn answered(call: Call, response: Response) -> Response {
    let url = response.url().clone();
    let mut response = call.answered(http::Response::<Body>::from(response)).map(Body::wrap);
    // reqwest takes the URL from where only its own builder can put it
    if let Ok(with_url) = http::Response::builder().url(url).body(()) {
        response.extensions_mut().extend(with_url.into_parts().0.extensions);
    }
    response.into()
}
