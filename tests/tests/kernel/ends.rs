//! The ends of a session: each flushes, reports, detaches, and has an exit status that means something.
use std::time::Instant;

use tests::kernel::{AttachMode, for_each_attach_mode, with_kernel};
use tests::process::send_signal;
use tests::profiler::{Ended, Profiler};
use tests::program::Program;
use tests::target::Target;

const WORK: [&str; 2] = ["--function", "work"];

/// A program that has done its first half: 1000 calls of `work`.
fn half_done(attach: impl FnOnce(&Target) -> Profiler) -> (Target, Profiler) {
    let mut target = Target::start(&Program::new("steps.c").flags(&["-O2"]).build(), &[]);
    let profiler = attach(&target);
    target.go();
    let _ = target.wait_for_line("first");
    (target, profiler)
}

/// Fails unless the program goes on to its right end.
fn assert_unharmed(target: Target) {
    let outcome = target.finish().expect_status(9);
    assert_eq!(outcome.truth_of("work"), 1500);
}

fn assert_half(ended: Ended) {
    let report = ended.success();
    assert_eq!(
        (report.row("work").calls, report.row("work").returns),
        (1000, 1000)
    );
    report.assert_no_loss_but(&[]);
}

/// Check that Ctrl-C and `kill` end the session with a full report, and the program goes on.
#[test]
fn a_signal_ends_the_session_with_everything_that_was_seen() {
    for_each_attach_mode(|mode| {
        for signal in [libc::SIGINT, libc::SIGTERM] {
            let (target, profiler) = half_done(|target| Profiler::attach_recording(target, mode, &WORK));
            send_signal(profiler.pid(), signal);
            let ended = profiler.wait();
            assert_eq!(ended.records().len(), 2000, "signal {signal}: {}", ended.stderr);
            assert!(
                ended.stdout.contains("work"),
                "no table at the end: {}",
                ended.stdout
            );
            assert_half(ended);
            assert_unharmed(target);
        }
    });
}

/// Check that a session ends by itself after its duration, and not before.
#[test]
fn a_session_with_a_duration_ends_by_itself() {
    with_kernel(|mode| {
        let start = Instant::now();
        let options = [&WORK[..], &["--duration", "700ms"]].concat();
        let (target, profiler) = half_done(|target| Profiler::attach(target, mode, &options));
        assert_half(profiler.wait());
        assert!(
            start.elapsed().as_millis() >= 700,
            "it ended after {:?}",
            start.elapsed()
        );
        assert_unharmed(target);
    });
}

/// Check that a full disk ends the session with a failure that names the file, and the program goes on.
#[test]
fn a_full_disk_is_a_failure_that_names_the_file() {
    for_each_attach_mode(|mode| {
        let options = [&WORK[..], &["--recording", "csv", "-o", "/dev/full"]].concat();
        let (target, profiler) = half_done(|target| Profiler::attach(target, mode, &options));
        send_signal(profiler.pid(), libc::SIGINT);
        let ended = profiler.wait();
        assert_eq!(ended.status, 1, "{}", ended.stderr);
        assert!(
            ended.stderr.lines().any(|line| line.contains("/dev/full")),
            "{}",
            ended.stderr
        );
        assert_unharmed(target);
    });
}

/// Check that a full disk ends the session by itself: nobody has to press Ctrl-C to learn of it.
#[test]
fn a_full_disk_ends_the_session_by_itself() {
    let program = Program::new("threads.c")
        .flags(&["-O0", "-fcf-protection=full"])
        .build();
    with_kernel(|mode| {
        let target = Target::start(&program, &["2", "50000"]);
        let options = ["--function", "worker", "--recording", "csv", "-o", "/dev/full"];
        let profiler = Profiler::attach(&target, mode, &options);
        let outcome = target.finish().expect_status(0);
        assert_eq!(outcome.truth_of("worker"), 100_000);
        assert_eq!(profiler.wait().status, 1);
    });
}

/// Check that a reader that closes the pipe ends the session as a success: it has what it wanted.
#[test]
fn a_reader_that_closes_the_pipe_ends_the_session_as_a_success() {
    for_each_attach_mode(|mode| {
        let mut target = Target::start(&Program::new("steps.c").flags(&["-O2"]).build(), &[]);
        let arguments = attach_to_stdout(&target, mode);
        let (reader, writer) = std::io::pipe().expect("a pipe can be made");
        let profiler = Profiler::start_writing_to(writer.into(), &arguments);
        profiler.wait_until_attached();
        drop(reader);
        target.go();
        let ended = profiler.wait();
        assert_eq!(ended.status, 0, "{}", ended.stderr);
        assert!(!ended.stderr.contains("anic"), "{}", ended.stderr);
        let _ = target.wait_for_line("first");
        assert_unharmed(target);
    });
}

/// Check that records on standard output are those and nothing else: the table goes elsewhere.
#[test]
fn records_on_standard_output_are_alone_there() {
    for_each_attach_mode(|mode| {
        let target = Target::start(&Program::new("recursion.c").flags(&["-O2"]).build(), &[]);
        let fixed = attach_to_stdout(&target, mode);
        let profiler = Profiler::start(&fixed);
        profiler.wait_until_attached();
        let _ = target.finish().expect_status(0);
        let ended = profiler.wait();
        let lines: Vec<_> = ended.stdout.lines().collect();
        assert!(
            lines[0].starts_with("index,type,function,lineNo,filename,"),
            "{}",
            ended.stdout
        );
        assert_eq!(
            lines.len(),
            1 + 12,
            "a header and twelve records: {}",
            ended.stdout
        );
        assert!(
            ended.stderr.contains("gcd"),
            "the table is on standard error: {}",
            ended.stderr
        );
        let _ = ended.success();
    });
}

/// Check that an output that cannot be made is an error before anything is attached.
#[test]
fn an_output_that_cannot_be_made_is_an_error_that_names_it() {
    with_kernel(|mode| {
        let target = Target::start(&Program::new("steps.c").flags(&["-O2"]).build(), &[]);
        let pid = target.pid().to_string();
        let path = "/nonexistent-folder/records.csv";
        let arguments = [
            "attach",
            "-p",
            &pid,
            "--attach-mode",
            mode.name(),
            "--recording",
            "csv",
            "-o",
            path,
        ];
        let ended = Profiler::start(&arguments).wait();
        assert_eq!(ended.status, 1, "{}", ended.stderr);
        assert!(ended.stderr.contains(path), "{}", ended.stderr);
        assert!(!ended.stderr.contains("attached"), "{}", ended.stderr);
    });
}

/// The arguments that record `work` and `gcd` as CSV on standard output.
fn attach_to_stdout(target: &Target, mode: AttachMode) -> Vec<String> {
    let pid = target.pid().to_string();
    let fixed = [
        "attach",
        "-p",
        &pid,
        "--attach-mode",
        mode.name(),
        "--max-overhead",
        "off",
    ];
    let output = [
        "--object",
        "*-plain-*",
        "--function",
        "work",
        "--function",
        "gcd",
        "--recording",
        "csv",
        "-o",
        "-",
    ];
    fixed.iter().chain(&output).map(ToString::to_string).collect()
}
