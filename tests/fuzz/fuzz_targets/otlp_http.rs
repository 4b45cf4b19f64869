//! Answers of an OTLP/HTTP server.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracewell::fuzzing::otlp_http(data));
