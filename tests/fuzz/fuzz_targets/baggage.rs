//! A caller's or a message's baggage.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracewell::fuzzing::baggage(data));
