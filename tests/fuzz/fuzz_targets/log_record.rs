//! Log records with anything in them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracewell::fuzzing::log_record(data));
