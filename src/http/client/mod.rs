//! The client side: layer, service, future and body, and the one call that moves along them.

mod body;
mod call;
mod future;
mod instruments;
mod layer;
#[cfg(feature = "reqwest")]
mod reqwest;
mod service;

#[cfg(feature = "reqwest")]
pub use self::reqwest::ClientMiddleware;
pub use self::{
    body::CallBody,
    future::CallFuture,
    layer::{ClientLayer, ResendCount, UrlTemplate},
    service::ClientService,
};
pub(crate) use self::{
    call::{Call, given_up, giving_up_on},
    layer::{BoxError, Shared},
};
