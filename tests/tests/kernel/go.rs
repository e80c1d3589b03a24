//! Go: calls belong to goroutines, which move between threads, and whose stacks move in memory.
use std::path::PathBuf;

use profiler_common::loss::LossReason;
use tests::kernel::{AttachMode, for_each_attach_mode, with_kernel};
use tests::profiler::Profiler;
use tests::program::Program;
use tests::report::Report;
use tests::session::{observe, plain};
use tests::target::{Outcome, Target};

/// The program's own functions but the one that runs already when the profiler comes.
const MAIN: [&str; 4] = ["--function", "main.*", "--exclude", "main.main"];

fn built(label: &'static str, flags: &[&str]) -> PathBuf {
    Program::new("goroutines.go").labelled(label).flags(flags).build()
}

/// Every call is counted, and every call returned but those that panicked.
fn assert_exact(outcome: &Outcome, report: &Report, what: &str) {
    for (name, calls) in outcome.truth() {
        // A generic function's name says what it was made for.
        let rows = report.functions.iter();
        let row = rows
            .clone()
            .find(|row| row.function == name || row.function.starts_with(&format!("{name}[")))
            .unwrap_or_else(|| panic!("{what}: no row of `{name}`: {report:#?}"));
        let left = if name == "main.fall" { calls } else { 0 };
        assert_eq!(
            (row.calls, row.returns, row.abandoned),
            (calls, calls - left, left),
            "{what}: {row:?}"
        );
    }
    report.assert_adds_up();
    report.assert_no_loss_but(&[LossReason::EntryWithoutReturn]);
}

/// Check that counts and returns are exact although goroutines move, grow their stacks, panic and recover, with symbols
/// and without.
#[test]
fn calls_of_goroutines_are_counted_once_and_paired_with_their_returns() {
    for_each_attach_mode(|mode| {
        let builds = [
            ("plain", &[][..]),
            ("stripped", &["-ldflags=-s -w"]),
            ("pie", &["-buildmode=pie", "-ldflags=-s -w"]),
        ];
        // One build is enough for the modes that differ only in how probes are attached.
        let builds = if mode == AttachMode::Session {
            &builds[..]
        } else {
            &builds[1..2]
        };
        for (label, flags) in builds {
            let program = built(label, flags);
            let (outcome, report) = observe(&program, &[], mode, &MAIN);
            assert_eq!(outcome, plain(&program, &[]), "{label}: the program's own output");
            assert_exact(&outcome, &report, label);
        }
    });
}

/// Check that a duration contains what the goroutine waited, on whichever thread it goes on, and not more.
#[test]
fn a_goroutines_durations_are_its_own() {
    with_kernel(|mode| {
        let program = built("plain", &[]);
        let (outcome, report) = observe(&program, &["time"], mode, &MAIN);
        let row = report.row("main.sleep");
        let (calls, inside) = (
            outcome.truth_of("main.sleep"),
            outcome.truth_of("main.sleep inside"),
        );
        assert_eq!((row.calls, row.returns), (calls, calls), "{row:?}");
        assert!(row.min_ns.is_some_and(|min| min >= 3_000_000), "{row:?}");
        assert!(row.total_ns >= inside, "{inside} ns inside: {row:?}");
        let whole = outcome.truth_of("program inside");
        for row in &report.functions {
            assert!(
                row.max_ns.is_none_or(|max| max <= whole),
                "{whole} ns in all: {row:?}"
            );
        }
    });
}

/// Check that every function of the program can be probed, Go's scheduler and collector among them, and disturbs nothing.
#[test]
fn probes_on_the_whole_runtime_change_nothing() {
    with_kernel(|mode| {
        let program = built("plain", &[]);
        let (outcome, report) = observe(&program, &[], mode, &[]);
        assert_eq!(outcome, plain(&program, &[]));
        for name in ["main.deep", "main.wait", "main.recoverFrom"] {
            let row = report.row(name);
            assert_eq!(
                (row.calls, row.returns),
                (row.calls, outcome.truth_of(name)),
                "{row:?}"
            );
        }
        report.assert_adds_up();
        // The scheduler never returns from many of its functions, and was in some of them when the profiler came.
        report.assert_no_loss_but(&[LossReason::EntryWithoutReturn, LossReason::ReturnWithoutEntry]);
    });
}

/// Check that a recording has a return for each call.
#[test]
fn records_of_goroutines_pair_calls_with_returns() {
    with_kernel(|mode| {
        let target = Target::start(&built("plain", &[]), &[]);
        let options = ["--function", "main.leaf", "--function", "main.wait"];
        let profiler = Profiler::attach_recording(&target, mode, &options);
        let outcome = target.finish();
        let ended = profiler.wait();
        let records = ended.records();
        let report = ended.success();
        for name in ["main.leaf", "main.wait"] {
            let of = |kind: &str| {
                let matching = records
                    .iter()
                    .filter(|record| record.function == name && record.kind == kind);
                matching.count() as u64
            };
            assert_eq!(
                (of("call"), of("return")),
                (outcome.truth_of(name), outcome.truth_of(name)),
                "{name}"
            );
        }
        report.assert_no_loss_but(&[]);
    });
}
