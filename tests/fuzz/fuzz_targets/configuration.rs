//! Any value of any variable.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracewell::fuzzing::configuration(data));
