//! The way out: a signal, no more traffic, the running requests, and telemetry last.
//!
//! [`Telemetry::serve`](crate::Telemetry::serve) does all of it in this order. For another server the parts are public:
//! [`signal`], [`Health::set_draining`](crate::health::Health::set_draining), [`requests::drain`](crate::requests::drain)
//! and [`Telemetry::shutdown`](crate::Telemetry::shutdown).

#[cfg(feature = "axum")]
mod connection;
pub(crate) mod end;
#[cfg(feature = "axum")]
mod serve;
mod signal;

#[cfg(feature = "axum")]
pub use self::serve::{Serve, ServeError, Served};
pub use self::{end::ShutdownReport, signal::signal};
