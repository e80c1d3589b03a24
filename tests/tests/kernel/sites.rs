//! A probe at the planned site is hit as often as one at the function's entry: for whole libraries.
use std::collections::BTreeMap;

use tests::kernel::{AttachMode, for_each_attach_mode};
use tests::profiler::Profiler;
use tests::program::Program;
use tests::report::Report;
use tests::target::Target;

/// Calls of each function: several where functions share a name.
fn calls(report: &Report) -> BTreeMap<String, Vec<u64>> {
    let mut calls: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in &report.functions {
        calls.entry(row.function.clone()).or_default().push(row.calls);
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
    let (entries, planned) = (calls(&entries), calls(&planned));
    let called = entries.values().flatten().filter(|calls| **calls > 0).count();
    assert!(
        called >= at_least,
        "only {called} functions of {object} were called"
    );
    // The kernel refuses some first instructions: those functions can only be probed behind their entry.
    let refused = planned.keys().filter(|name| !entries.contains_key(*name)).count();
    assert!(
        refused * 50 <= planned.len(),
        "{refused} functions of {object} cannot be probed at their entry"
    );
    let different: BTreeMap<_, _> = entries
        .iter()
        .filter(|(name, calls)| planned.get(*name) != Some(calls))
        .map(|(name, calls)| (name, (calls, planned.get(name))))
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
