//! A caller's headers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracewell::fuzzing::propagation(data));
