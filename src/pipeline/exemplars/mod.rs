//! Exemplars for every synchronous counter and histogram of the process, whichever crate made it.
//!
//! The SDK collects none (opentelemetry-rust issue 3369). The API, however, is made of traits: a meter provider of
//! ours hands out instruments that measure into the SDK and then offer the measurement to a [`reservoir`]. The export
//! puts what was kept into the matching points ([`store`]). When the SDK learns exemplars, only this folder changes.
//!
//! Specification: metrics/sdk.md "Exemplar". A measurement is offered after the SDK has counted it, so no exemplar ever
//! stands in a point that does not contain its measurement.

mod attribute_patterns;
mod provider;
mod reservoir;
mod store;

pub(crate) use self::{
    provider::ExemplarMeterProvider,
    store::{ExemplarStore, Take},
};
