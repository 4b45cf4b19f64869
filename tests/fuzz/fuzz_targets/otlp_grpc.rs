//! Answers of an OTLP/gRPC server.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracewell::fuzzing::otlp_grpc(data));
