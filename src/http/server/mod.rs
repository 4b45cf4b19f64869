//! The server side: layer, service, future and body, and the one exchange that moves along them.

mod body;
mod call;
mod connection;
mod exchange;
mod extras;
mod future;
mod layer;
mod service;
mod start;
mod state;

pub use self::{
    body::ResponseBody,
    connection::ConnectionScope,
    future::ResponseFuture,
    layer::{Peer, ServerLayer},
    service::ServerService,
};
pub(crate) use self::{
    call::begin_call,
    layer::{Settings, Shared, configure},
};
