//! What one record costs: decoded, resolved and written to a file. Prints nanoseconds per record and format.
//!
//! `cargo run --release --example record_speed`
#![expect(
    unused_crate_dependencies,
    reason = "an example sees the dependencies of the whole package"
)]
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::time::Instant;

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
            let begin = Instant::now();
            for number in 0..RECORDS {
                let event = event(number);
                pipeline.message(Stream::Functions, event.as_bytes())?;
            }
            pipeline.finish()?;
            let nanoseconds = begin.elapsed().as_nanos() / u128::from(RECORDS);
            println!("{:<8}{nanoseconds:>6} ns/record   {target}", kind.name);
        }
    }
    std::fs::remove_file(path)?;
    Ok(())
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
