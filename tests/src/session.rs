//! The usual course of a test: start a program, attach, let it run to its end, take the report.
use std::path::Path;

use crate::kernel::AttachMode;
use crate::profiler::Profiler;
use crate::report::Report;
use crate::target::{Outcome, Target};

/// Runs `program` to its end with the profiler attached in between `ready` and its work.
pub fn observe(program: &Path, args: &[&str], mode: AttachMode, options: &[&str]) -> (Outcome, Report) {
    let target = Target::start(program, args);
    let profiler = Profiler::attach(&target, mode, options);
    let outcome = target.finish();
    let report = profiler.report();
    assert_eq!(
        report.attach_mode,
        mode.name(),
        "the mode that was asked for is the one in use"
    );
    (outcome, report)
}

/// Runs `program` to its end without a profiler.
pub fn plain(program: &Path, args: &[&str]) -> Outcome {
    Target::start(program, args).finish()
}

/// Fails unless `program` prints the same and exits the same with probes as without, in the mode `mode`, and the
/// probes were hit. `few` are the options that keep the number of perf-event probes to some dozens; the other modes
/// probe what `all` says (nothing: every function of the executable).
pub fn assert_harmless(
    program: &Path,
    args: &[&str],
    mode: AttachMode,
    few: &[&str],
    all: &[&str],
) -> Report {
    let without = plain(program, args);
    let options = if mode == AttachMode::PerfEvent { few } else { all };
    let (with, report) = observe(program, args, mode, options);
    assert_eq!(with, without, "with probes ({options:?}) and without");
    assert!(
        report.functions.iter().any(|row| row.calls > 0),
        "no probe was hit: {report:#?}"
    );
    report
}
