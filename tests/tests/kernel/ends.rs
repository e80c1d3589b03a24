//! The ends of a session: each flushes, reports, detaches, and has an exit status that means something.
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;
use tests::kernel::{AttachMode, for_each_attach_mode, with_kernel};
use tests::process::send_signal;
use tests::profiler::{Ended, Profiler};
use tests::program::Program;
use tests::target::Target;

const WORK: [&str; 2] = ["--function", "work"];

/// A program that has done its first half: 1000 calls of `work`.
fn half_done(attach: impl FnOnce(&Target) -> Profiler) -> (Target, Profiler) {
    let mut target = steps();
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

/// Check that a disk that is full from the start is a failure that names the file, before anything is attached.
#[test]
fn a_full_disk_is_a_failure_that_names_the_file() {
    with_kernel(|mode| {
        let target = steps();
        let pid = target.pid().to_string();
        let fixed = [
            "attach",
            "-p",
            &pid,
            "--attach-mode",
            mode.name(),
            "--recording",
            "csv",
            "-o",
            "/dev/full",
        ];
        let ended = Profiler::start(&fixed).wait();
        assert_eq!(ended.status, 1, "{}", ended.stderr);
        assert!(
            ended.stderr.lines().any(|line| line.contains("/dev/full")),
            "{}",
            ended.stderr
        );
        assert_unharmed(target);
    });
}

/// Check that a disk that fills up ends the session by itself, with what was seen, and the program goes on.
#[test]
fn a_disk_that_fills_up_ends_the_session_by_itself() {
    let program = Program::new("threads.c")
        .flags(&["-O0", "-fcf-protection=full"])
        .build();
    for_each_attach_mode(|mode| {
        let disk = SmallDisk::mount();
        let file = disk.folder.path().join("records.csv").display().to_string();
        let target = Target::start(&program, &["2", "50000"]);
        let options = ["--function", "worker", "--recording", "csv", "-o", &file];
        let profiler = Profiler::attach(&target, mode, &options);
        assert_eq!(target.finish().expect_status(0).truth_of("worker"), 100_000);
        let ended = profiler.wait();
        assert_eq!(ended.status, 1, "{}", ended.stderr);
        assert!(ended.stderr.contains(&file), "{}", ended.stderr);
        assert!(
            ended.report.is_some_and(|report| report.row("worker").calls > 0),
            "{}",
            ended.stderr
        );
    });
}

/// A file system of 64 KiB. Unmounted when dropped.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn mount() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut mount = Command::new("mount");
        let mounted = mount
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(folder.path())
            .status();
        assert!(
            mounted.expect("`mount` can be started").success(),
            "root can mount a file system"
        );
        Self { folder }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What fails here leaves an empty file system behind, and the test has its result.
        drop(
            Command::new("umount")
                .arg("--lazy")
                .arg(self.folder.path())
                .status(),
        );
    }
}

/// Check that a reader that closes the pipe ends the session as a success: it has what it wanted.
#[test]
fn a_reader_that_closes_the_pipe_ends_the_session_as_a_success() {
    for_each_attach_mode(|mode| {
        let mut target = steps();
        let arguments = attach_to_stdout(&target, mode, "work");
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
        let fixed = attach_to_stdout(&target, mode, "gcd");
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
        let target = steps();
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

/// The arguments that record `function` as CSV on standard output.
fn attach_to_stdout(target: &Target, mode: AttachMode, function: &str) -> Vec<String> {
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
    let output = ["--function", function, "--recording", "csv", "-o", "-"];
    fixed.iter().chain(&output).map(ToString::to_string).collect()
}

fn steps() -> Target {
    Target::start(&Program::new("steps.c").flags(&["-O2"]).build(), &[])
}
