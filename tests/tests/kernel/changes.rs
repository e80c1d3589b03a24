//! Functions and processes that are added and taken off while a session runs.
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;
use tests::kernel::{AttachMode, for_each_attach_mode, with_kernel};
use tests::profiler::Profiler;
use tests::program::Program;
use tests::target::Target;

fn steps() -> PathBuf {
    Program::new("steps.c").flags(&["-O2"]).build()
}

/// A pipe that a session reads changes from.
struct Pipe {
    folder: TempDir,
    said: usize,
}

impl Pipe {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = Command::new("mkfifo").arg(folder.path().join("changes")).status();
        assert!(made.expect("mkfifo is there").success());
        Self { folder, said: 0 }
    }

    fn path(&self) -> String {
        self.folder.path().join("changes").display().to_string()
    }

    fn attach(&self, target: &Target, mode: AttachMode, functions: &[&str]) -> Profiler {
        let path = self.path();
        let options = [&["--changes", &path, "--log-level", "info"], functions].concat();
        Profiler::attach(target, mode, &options)
    }

    /// Says a change, as one writer of many, and waits until it is in force.
    fn say(&mut self, profiler: &Profiler, change: &str) {
        let pipe: Result<File, _> = OpenOptions::new().write(true).open(self.path());
        writeln!(pipe.expect("the pipe is there"), "{change}").expect("the session reads");
        self.said += 1;
        profiler.wait_for_messages("ebpf-prof: info: changed after", self.said);
    }
}

/// Check that functions added between two halves of a program's work are counted in the second, those taken off in the
/// first alone, and those put back in both.
#[test]
fn functions_added_and_taken_off_count_from_then_on_and_until_then() {
    for_each_attach_mode(|mode| {
        let mut target = Target::start(&steps(), &[]);
        let mut pipe = Pipe::new();
        let profiler = pipe.attach(&target, mode, &["--function", "work"]);
        target.go();
        target.wait_for_line("first");
        pipe.say(&profiler, "add function half");
        pipe.say(&profiler, "add function optim*");
        pipe.say(&profiler, "remove function work");
        let _ = target.finish().expect_status(9);
        let report = profiler.report();
        let counted = |name| (report.row(name).calls, report.row(name).returns);
        assert_eq!(counted("work"), (1000, 1000));
        assert_eq!(counted("optimized"), (500, 500));
        assert_eq!(counted("half"), (1, 1));
        report.assert_no_loss_but(&[]);

        let mut target = Target::start(&steps(), &[]);
        let mut pipe = Pipe::new();
        let profiler = pipe.attach(&target, mode, &["--function", "work"]);
        pipe.say(&profiler, "remove function w*");
        target.go();
        target.wait_for_line("first");
        pipe.say(&profiler, "add function w*");
        let _ = target.finish().expect_status(9);
        let report = profiler.report();
        assert_eq!((report.row("work").calls, report.row("work").returns), (500, 500));
        report.assert_no_loss_but(&[]);
    });
}

/// Check that a process is followed from the change that adds it, until the one that takes it off.
#[test]
fn processes_added_and_taken_off_count_from_then_on_and_until_then() {
    with_kernel(|mode| {
        let (mut first, mut second) = (Target::start(&steps(), &[]), Target::start(&steps(), &[]));
        let mut pipe = Pipe::new();
        let profiler = pipe.attach(&first, mode, &["--function", "work", "--by", "pid,function"]);
        first.go();
        first.wait_for_line("first");
        pipe.say(&profiler, &format!("add process {}", second.pid()));
        pipe.say(&profiler, &format!("remove process {}", first.pid()));
        second.go();
        second.wait_for_line("first");
        let (one, other) = (first.pid().to_string(), second.pid().to_string());
        let _ = first.finish().expect_status(9);
        let _ = second.finish().expect_status(9);
        let report = profiler.report();
        let calls = |pid: &str| -> u64 {
            let rows = report.rows_where("work", "pid", pid);
            rows.iter().map(|row| row.calls).sum()
        };
        assert_eq!((calls(&one), calls(&other)), (1000, 1500));
        report.assert_no_loss_but(&[]);
    });
}

/// Check that no process is said to be taken off where all count, and that a session does not follow itself.
#[test]
fn with_the_whole_host_as_target_no_process_is_taken_off() {
    with_kernel(|mode| {
        if mode != AttachMode::Session {
            return;
        }
        // A file of its own: what other tests run counts as well.
        let program = Program::new("steps.c")
            .labelled("changed")
            .flags(&["-O2"])
            .build();
        let mut target = Target::start(&program, &[]);
        let mut pipe = Pipe::new();
        let function = format!("{}:work", program.display());
        let path = pipe.path();
        let options = ["--changes", &path, "--log-level", "info", "--function", &function];
        let profiler = Profiler::attach_to(&["-a"], mode, &options);
        pipe.say(&profiler, &format!("remove process {}", target.pid()));
        pipe.say(&profiler, &format!("add process {}", profiler.pid()));
        target.go();
        target.wait_for_line("first");
        assert_eq!(target.finish().expect_status(9).truth_of("work"), 1500);
        let ended = profiler.interrupt();
        assert!(ended.stderr.contains("stays a target"), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("the profiler itself is no target"),
            "{}",
            ended.stderr
        );
        assert_eq!(
            ended.report.expect("a summary is written").row("work").calls,
            1500
        );
    });
}

/// Check that a line that is no change is told, and ends nothing.
#[test]
fn a_line_that_is_no_change_is_told_and_ends_nothing() {
    with_kernel(|mode| {
        let mut target = Target::start(&steps(), &[]);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("changes");
        std::fs::write(&file, b"\nforget work\n\xff\n").expect("a file");
        let options = ["--changes", &file.display().to_string(), "--function", "work"];
        let profiler = Profiler::attach(&target, mode, &options);
        profiler.wait_for_message("ebpf-prof: warn: `forget work` is no change");
        profiler.wait_for_message("ebpf-prof: warn: no more changes are read");
        target.go();
        target.wait_for_line("first");
        let _ = target.finish().expect_status(9);
        assert_eq!(profiler.report().row("work").calls, 1500);
    });
}
