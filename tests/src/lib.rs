//! What the end-to-end tests stand on: sample programs that know their own truth, processes that are killed when a
//! test fails, the profiler's report, and the rule that a test which needs the kernel never passes by skipping.
//!
//! A test is written so: start the sample program ([`target::Target`]), which prints `ready` and waits; attach the
//! profiler ([`profiler::Profiler`]), which prints `attached`; let the program go; compare what it printed with what
//! the profiler reports ([`report::Report`]). Nothing sleeps: every wait is for a line, an end or a deadline.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a panic is how a helper of tests says that the test failed"
)]

pub mod code;
pub mod containers;
pub mod kernel;
pub mod memory;
pub mod process;
pub mod profiler;
pub mod program;
pub mod records;
pub mod report;
pub mod session;
pub mod target;
