#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom_s3_front::fuzzing::target(bytes));
