#![no_main]
#[path = "../../profiler-user/tests/hostile/drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drive::run("http", bytes));
