//! A probe at the planned site is hit as often as one at the function's entry: for whole libraries.
use std::collections::BTreeMap;

use tests::kernel::{AttachMode, for_each_attach_mode};
use tests::profiler::Profiler;
use tests::program::Program;
use tests::report::Report;
use tests::target::Target;

/// Calls of each function that was called.
fn calls(report: &Report) -> BTreeMap<(String, String), Vec<u64>> {
    let mut calls: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in report.functions.iter().filter(|row| row.calls > 0) {
        calls
            .entry((row.object.clone(), row.function.clone()))
            .or_default()
            .push(row.calls);
    }
    for same_name in calls.values_mut() {
        same_name.sort_unstable();
    }
    calls
}

/// Runs a program that calls much of `object`, with two profilers on it: one probes entries, one the planned sites.
fn assert_equal_counts(object: &str, mode: AttachMode, at_least: usize) {
    let program = Program::new("library_calls.cpp").flags(&["-O1"]).build();
    let target = Target::start(&program, &[]);
    let options = |site| ["--object", object, "--returns", "none", "--site", site];
    let entries = Profiler::attach(&target, mode, &options("entry"));
    let planned = Profiler::attach(&target, mode, &options("planned"));
    let outcome = target.finish().expect_status(0);
    assert_eq!(outcome.stdout.lines().last(), Some("done"));
    let (entries, planned) = (entries.report(), planned.report());
    assert_eq!(
        entries.functions.len(),
        planned.functions.len(),
        "both probe the same functions"
    );
    let (entries, planned) = (calls(&entries), calls(&planned));
    assert!(
        entries.len() >= at_least,
        "only {} functions of {object} were called",
        entries.len()
    );
    let names = entries.keys().chain(planned.keys());
    let different: BTreeMap<_, _> = names
        .filter(|name| entries.get(*name) != planned.get(*name))
        .map(|name| (name, (entries.get(name), planned.get(name))))
        .collect();
    assert!(
        different.is_empty(),
        "calls at the entry and at the site: {different:#?}"
    );
}

/// Check that no planned site of the C library is hit more or less often than its function is called.
#[test]
fn sites_planned_in_the_c_library_count_what_entries_count() {
    for_each_attach_mode(|mode| {
        if mode != AttachMode::PerfEvent {
            assert_equal_counts("libc.so*", mode, 300);
        }
    });
}

/// Check that no planned site of the C++ library is hit more or less often than its function is called.
#[test]
fn sites_planned_in_the_c_plus_plus_library_count_what_entries_count() {
    for_each_attach_mode(|mode| {
        if mode != AttachMode::PerfEvent {
            assert_equal_counts("libstdc++.so*", mode, 200);
        }
    });
}
