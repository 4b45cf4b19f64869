//! The pipeline's entry points for fuzzing.

pub use super::{
    logs::fuzzing::log_record,
    propagation::fuzzing::{baggage, propagation},
    transport::fuzzing::{otlp_grpc, otlp_http},
};
