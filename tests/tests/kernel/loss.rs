//! What cannot be kept is counted.
use profiler_common::loss::LossReason;
use tests::kernel::{for_each_attach_mode, with_kernel};
use tests::process::{poll, send_signal, state};
use tests::profiler::{Ended, Profiler};
use tests::program::Program;
use tests::target::Target;

/// Lets a busy program run to its end while the profiler is stopped, so that a small ring must overflow.
fn overflow(profiler: Profiler, target: Target) -> (u64, Ended) {
    send_signal(profiler.pid(), libc::SIGSTOP);
    let stopped = poll(|| (state(profiler.pid()) == Some('T')).then_some(()));
    assert!(stopped.is_some(), "the profiler does not stop");
    let calls = target.finish().truth_of("worker");
    send_signal(profiler.pid(), libc::SIGCONT);
    (calls, profiler.wait())
}

fn busy() -> Target {
    Target::start(
        &Program::new("threads.c")
            .flags(&["-O0", "-fcf-protection=full"])
            .build(),
        &["4", "10000"],
    )
}

/// Check that with a ring that is too small records and loss are all calls and returns, and the counters are exact.
#[test]
fn with_a_ring_too_small_records_and_loss_are_all_calls_and_returns() {
    for_each_attach_mode(|mode| {
        let target = busy();
        let profiler =
            Profiler::attach_recording(&target, mode, &["--function", "worker", "--ring-size", "64K"]);
        let (calls, ended) = overflow(profiler, target);
        let recording = ended.recording();
        let said = format!("{}{}", ended.stdout, ended.stderr);
        let report = ended.success();
        let row = report.row("worker");
        assert_eq!(
            (row.calls, row.returns),
            (calls, calls),
            "the counters do not depend on the ring"
        );
        let lost = report.loss(LossReason::RingFull);
        assert!(lost > 0, "the ring did not overflow: {report:#?}");
        assert_eq!(
            recording.records.len() as u64 + lost,
            2 * calls,
            "records and loss are all there is"
        );
        assert_eq!(
            recording.lost,
            [format!("ring_full={lost}")],
            "the recording says what it lacks"
        );
        assert!(
            said.contains(LossReason::RingFull.text()),
            "the loss is not stated: {said}"
        );
        report.assert_no_loss_but(&[LossReason::RingFull]);
    });
}

/// Check that loss is a failure where the user says so.
#[test]
fn loss_is_a_failure_under_fail_on_loss() {
    with_kernel(|mode| {
        let target = busy();
        let options = ["--function", "worker", "--ring-size", "64K", "--fail-on-loss"];
        let (_, ended) = overflow(Profiler::attach_recording(&target, mode, &options), target);
        assert_eq!(ended.status, 1, "{}", ended.stderr);
    });
}

/// Check that a ring of the usual size loses nothing of a busy program, and every row is there once.
#[test]
fn a_ring_of_the_usual_size_keeps_every_call_of_a_busy_program() {
    for_each_attach_mode(|mode| {
        let target = busy();
        let profiler = Profiler::attach_recording(&target, mode, &["--function", "worker"]);
        let calls = target.finish().truth_of("worker");
        let ended = profiler.wait();
        let records = ended.records();
        let (call_rows, return_rows) = (
            records.iter().filter(|record| record.is_call()).count() as u64,
            records.iter().filter(|record| record.is_return()).count() as u64,
        );
        let report = ended.success();
        report.assert_no_loss_but(&[]);
        assert_eq!((call_rows, return_rows), (calls, calls));
    });
}
