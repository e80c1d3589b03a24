//! What the user reads: the table, the recording, names.
use std::collections::BTreeMap;

use tests::kernel::{for_each_attach_mode, with_kernel};
use tests::profiler::Profiler;
use tests::program::Program;
use tests::session::observe;
use tests::target::Target;

/// Check that names with commas are quoted in the recording, and overloads are told apart.
#[test]
fn overloads_and_names_with_commas_are_told_apart_in_the_recording() {
    let program = Program::new("names.cpp").flags(&["-O2"]).build();
    with_kernel(|mode| {
        let target = Target::start(&program, &[]);
        let profiler = Profiler::attach_recording(
            &target,
            mode,
            &["--function", "sample::*", "--function", "*both*"],
        );
        let outcome = target.finish().expect_status(0);
        let mut calls: BTreeMap<String, u64> = BTreeMap::new();
        for record in profiler
            .wait()
            .records()
            .into_iter()
            .filter(tests::records::Record::is_call)
        {
            *calls.entry(record.function).or_default() += 1;
        }
        let of = |part: &str| -> u64 {
            calls
                .iter()
                .filter(|(name, _)| name.contains(part))
                .map(|(_, count)| *count)
                .sum()
        };
        assert_eq!(
            of("sample::overloaded(int, int)"),
            outcome.truth_of("integers"),
            "{calls:#?}"
        );
        assert_eq!(
            of("sample::overloaded(long, char const*)"),
            outcome.truth_of("text"),
            "{calls:#?}"
        );
        assert_eq!(of("sample::both<int, "), outcome.truth_of("both"), "{calls:#?}");
        assert_eq!(
            of("sample::Sum::operator()(int, int)"),
            outcome.truth_of("operator"),
            "{calls:#?}"
        );
    });
}

/// Check that each record tells its thread, and every thread has all its calls and returns, each with its name.
#[test]
fn the_recording_tells_threads_apart() {
    let program = Program::new("threads.c")
        .flags(&["-O0", "-fcf-protection=full"])
        .build();
    for_each_attach_mode(|mode| {
        let target = Target::start(&program, &["4", "1000"]);
        let pid = target.pid();
        let profiler = Profiler::attach_recording(&target, mode, &["--function", "worker"]);
        let _ = target.finish().expect_status(0);
        let mut threads: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        let file = program
            .file_name()
            .expect("the program has a name")
            .to_string_lossy()
            .into_owned();
        for record in profiler.wait().records() {
            assert_eq!((record.pid, record.object.as_str()), (pid, file.as_str()));
            assert!(
                !record.comm.is_empty() && file.starts_with(&record.comm),
                "{record:?}"
            );
            let (calls, returns) = threads.entry(record.tid).or_default();
            *calls += u64::from(record.is_call());
            *returns += u64::from(record.is_return());
        }
        assert_eq!(threads.len(), 4, "{threads:?}");
        assert!(!threads.contains_key(&pid), "main does not call it");
        assert!(
            threads.values().all(|counts| *counts == (1000, 1000)),
            "{threads:?}"
        );
    });
}

/// Check that the table is sorted as asked for, cut where asked for, and without colour in a pipe.
#[test]
fn the_table_is_sorted_and_cut_as_asked_for() {
    let program = Program::new("recursion.c").flags(&["-O2"]).build();
    with_kernel(|mode| {
        let table = |options: &[&str]| {
            let target = Target::start(&program, &[]);
            let functions = ["--function", "gcd", "--function", "even", "--function", "descend"];
            let profiler = Profiler::attach(&target, mode, &[&functions, options].concat());
            let _ = target.finish().expect_status(0);
            profiler.wait().stdout
        };
        let by_calls = table(&["--sort", "calls"]);
        let place = |name: &str| {
            by_calls
                .find(name)
                .unwrap_or_else(|| panic!("`{name}` is missing: {by_calls}"))
        };
        assert!(
            place("descend") < place("even") && place("even") < place("gcd"),
            "{by_calls}"
        );
        assert!(!by_calls.contains('\u{1b}'), "{by_calls:?}");
        let top = table(&["--sort", "calls", "--top", "1"]);
        assert!(top.contains("descend") && !top.contains("gcd"), "{top}");
    });
}

/// Check that a program that replaces itself is followed to its end and not harmed.
#[test]
fn a_program_that_executes_another_one_is_observed_until_then_and_not_harmed() {
    let program = Program::new("execs.c").flags(&["-O2"]).build();
    let without = tests::session::plain(&program, &[]);
    for_each_attach_mode(|mode| {
        let (outcome, report) = observe(&program, &[], mode, &["--function", "work"]);
        assert_eq!(outcome, without);
        let calls = report.row("work").calls;
        let (before, after) = (outcome.truth_of("before"), outcome.truth_of("after"));
        assert!((before..=before + after).contains(&calls), "{calls} calls");
    });
}

/// Check that functions that were excluded are not there, whatever else asks for them.
#[test]
fn excluded_functions_are_not_probed() {
    let program = Program::new("recursion.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        let options = [
            "--function",
            "e*",
            "--function",
            "odd",
            "--function",
            "gcd",
            "--exclude",
            "od*",
        ];
        let (_, report) = observe(&program, &[], mode, &options);
        assert!(
            !report.functions.iter().any(|row| row.is_named("odd")),
            "{report:#?}"
        );
        assert_eq!((report.row("gcd").calls, report.row("even").calls), (6, 21));
    });
}
