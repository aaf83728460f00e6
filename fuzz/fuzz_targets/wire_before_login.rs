#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| parsers::run("wire_before_login", data));
