//! Functions that are left in another way than by returning: the calls count, and what never returned is stated.
use profiler_common::loss::LossReason;
use tests::kernel::for_each_attach_mode;
use tests::profiler::Profiler;
use tests::program::Program;
use tests::report::Report;
use tests::session::observe;
use tests::target::Target;

fn assert_left(report: &Report, name: &str, calls: u64, left: u64) {
    let row = report.row(name);
    assert_eq!(
        (row.calls, row.returns, row.abandoned),
        (calls, calls - left, left),
        "{row:?}"
    );
}

/// Check that frames that longjmp left are abandoned, those beneath it are not, and the stack heals.
#[test]
fn longjmp_over_probed_frames_leaves_half_of_the_calls_abandoned() {
    let program = Program::new("jumps.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        for returns in ["auto", "uretprobe", "sites"] {
            let options = [
                "--function",
                "outer",
                "--function",
                "inner",
                "--function",
                "after",
                "--returns",
                returns,
            ];
            let (outcome, report) = observe(&program, &[], mode, &options);
            let left = outcome.truth_of("left");
            assert_left(&report, "outer", outcome.truth_of("outer"), left);
            assert_left(&report, "inner", outcome.truth_of("inner"), left);
            assert_left(&report, "after", 1, 0);
            report.assert_adds_up();
            report.assert_no_loss_but(&[LossReason::EntryWithoutReturn]);
        }
    });
}

/// Check that calls that ended by an exception count as calls, as abandoned, and not as returns.
#[test]
fn exceptions_through_probed_frames_are_counted_and_not_harmed() {
    let program = exceptions();
    for_each_attach_mode(|mode| {
        let options = ["--function", "sample::descend*", "--function", "sample::leaf*"];
        let (outcome, report) = observe(&program, &[], mode, &options);
        assert_eq!(outcome.status, 11, "{outcome:?}");
        let row = report.row("sample::descend");
        assert_eq!(
            (row.calls, row.returns),
            (outcome.truth_of("sample::descend"), 0),
            "{row:?}"
        );
        let leaf = report.row("sample::leaf");
        assert_eq!(
            (leaf.calls, leaf.returns),
            (outcome.truth_of("sample::leaf"), leaf.calls),
            "{leaf:?}"
        );
        report.assert_adds_up();
        report.assert_no_loss_but(&[LossReason::EntryWithoutReturn]);
    });
}

/// Check that what a thread was in when it ended is abandoned, and does not trouble the next thread.
#[test]
fn threads_that_end_inside_probed_functions_leave_them_abandoned() {
    let program = Program::new("thread_exit.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        let (outcome, report) = observe(
            &program,
            &[],
            mode,
            &["--function", "leave", "--function", "deep"],
        );
        for name in ["leave", "deep"] {
            assert_left(&report, name, outcome.truth_of(name), outcome.truth_of(name));
        }
        report.assert_adds_up();
        report.assert_no_loss_but(&[LossReason::EntryWithoutReturn]);
    });
}

/// Check that a fork without exec neither loses a call of the parent nor counts one twice. How many of the child's
/// first calls are seen depends on how soon it is followed; each that is has the child's process id.
#[test]
fn a_fork_without_exec_counts_every_call_of_the_parent_once() {
    let program = Program::new("forks.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        let target = Target::start(&program, &[]);
        let parent = target.pid();
        let profiler = Profiler::attach_recording(&target, mode, &["--function", "work"]);
        let outcome = target.finish().expect_status(3);
        let ended = profiler.wait();
        let records = ended.records();
        let (own, childs): (Vec<_>, Vec<_>) = records
            .iter()
            .filter(|record| record.is_call())
            .partition(|record| record.pid == parent);
        assert_eq!(own.len() as u64, outcome.truth_of("parent"));
        assert!(
            childs.len() as u64 <= outcome.truth_of("child"),
            "{} calls of the child",
            childs.len()
        );
        let report = ended.success();
        assert_eq!(report.row("work").calls, (own.len() + childs.len()) as u64);
        assert_eq!(report.loss(LossReason::RingFull), 0);
    });
}

/// The program that throws, with its library.
pub(super) fn exceptions() -> std::path::PathBuf {
    let library = Program::new("thrower.cpp")
        .labelled("library")
        .flags(&["-O2", "-shared", "-fPIC"])
        .build();
    Program::new("exceptions.cpp")
        .flags(&["-O2".to_owned(), library.display().to_string()])
        .build()
}
