#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skep::fuzz::engine_list(data));
