//! What one record costs: decoded, resolved and written to a file. Prints nanoseconds of processor time (which other
//! processes do not change much) and of wall clock, per record and format.
//!
//! `cargo run --release --example record_speed`
#![expect(
    unused_crate_dependencies,
    reason = "an example sees the dependencies of the whole package"
)]
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::time::{Duration, Instant};

use ebpf_prof::event::{FunctionNames, Stream};
use ebpf_prof::recorder::{EventPipeline, Output, RECORDERS};
use ebpf_prof::resolve::Threads;
use profiler_common::event::FunctionEvent;
use zerocopy::IntoBytes as _;

const RECORDS: u32 = 2_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut names = FunctionNames::new();
    for number in 0..1000 {
        names.push(
            format!("ns::Widget<int, {number}>::update(unsigned long)"),
            "libwidget.so.1",
        );
    }
    let path = std::env::temp_dir().join(format!("record_speed.{}", std::process::id()));
    for target in [Output::File("/dev/null".into()), Output::File(path.clone())] {
        for kind in RECORDERS {
            let mut pipeline = EventPipeline::new(names.clone(), kind.open(&target)?, Threads::recorded())?;
            let (begin, cpu) = (Instant::now(), processor_time());
            for number in 0..RECORDS {
                let event = event(number);
                pipeline.message(Stream::Functions, event.as_bytes())?;
            }
            pipeline.finish()?;
            let per_record = |time: Duration| time.as_nanos() / u128::from(RECORDS);
            let (wall, cpu) = (
                per_record(begin.elapsed()),
                per_record(processor_time().saturating_sub(cpu)),
            );
            println!(
                "{:<8}{cpu:>6} ns/record on the processor, {wall:>6} by the clock   {target}",
                kind.name
            );
        }
    }
    std::fs::remove_file(path)?;
    Ok(())
}

/// What this thread has used so far.
fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes one `timespec`.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn event(number: u32) -> FunctionEvent {
    FunctionEvent {
        time_ns: 1_700_000_000_000 + u64::from(number) * 731,
        duration_ns: u64::from(number % 2) * 12_345,
        pid: 41_234,
        tid: 41_234 + number % 8,
        function: number % 1000,
        depth: (number % 20) as u16,
        kind: 1 + (number % 2) as u8,
        reserved: 0,
    }
}
