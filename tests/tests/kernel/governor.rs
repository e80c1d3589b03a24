//! The governor: a profiler must not take its target down, and says what it did about it.
use tests::kernel::{AttachMode, with_kernel};
use tests::profiler::{Ended, Profiler};
use tests::program::Program;
use tests::target::Target;

/// Lets a busy program run to its end under `budget`, and gives the calls it made and what the profiler said.
fn busy_under(mode: AttachMode, budget: &str, function: &str) -> (u64, Ended) {
    let program = Program::new("threads.c")
        .flags(&["-O0", "-fcf-protection=full"])
        .build();
    let target = Target::start(&program, &["4", "2000000"]);
    let pid = target.pid().to_string();
    let fixed = ["attach", "-p", &pid, "--attach-mode", mode.name()];
    let profiler =
        Profiler::start(&[&fixed[..], &["--max-overhead", budget, "--function", function]].concat());
    profiler.wait_until_attached();
    let calls = target.finish().expect_status(0).truth_of("worker");
    (calls, profiler.wait())
}

/// Check that a function that is called too often is detached, and that this is said.
#[test]
fn a_function_that_costs_more_than_the_budget_is_detached_and_named() {
    with_kernel(|mode| {
        let (calls, ended) = busy_under(mode, "1", "work*");
        let stderr = ended.stderr.clone();
        let report = ended.success();
        let counted = report.row("worker").calls;
        assert!(
            counted < calls,
            "nothing was detached: {counted} of {calls} calls; {stderr}"
        );
        assert!(
            report.notes.iter().any(|note| note.contains("worker")),
            "nothing was said: {report:#?} {stderr}"
        );
    });
}

/// Check that without a budget every call is counted, however busy the program is.
#[test]
fn without_a_budget_every_call_is_counted() {
    with_kernel(|mode| {
        let (calls, ended) = busy_under(mode, "off", "worker");
        assert_eq!(ended.success().row("worker").calls, calls);
    });
}
