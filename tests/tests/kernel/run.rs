//! `ebpf-prof run`: the command from its first instruction to its end.
use tests::kernel::{for_each_attach_mode, with_kernel};
use tests::profiler::{Ended, Profiler};
use tests::program::Program;
use tests::session::plain;
use tests::target::Target;

fn run(options: &[&str], command: &[&str]) -> Ended {
    Profiler::start(&[&["run"], options, &["--"], command].concat()).wait()
}

/// Check that the command's output is its own, its status is passed on, and its calls count from the start.
#[test]
fn the_commands_output_and_status_are_passed_on_and_its_calls_count_from_the_start() {
    let program = Program::new("seccomp.c").flags(&["-O2"]).build();
    let without = plain(&program, &[]);
    let path = program.display().to_string();
    for_each_attach_mode(|mode| {
        let options = [
            "--attach-mode",
            mode.name(),
            "--function",
            "main",
            "--function",
            "inner",
            "--function",
            "outer",
        ];
        let ended = run(&options, &[&path]);
        assert_eq!(ended.status, 8, "{}", ended.stderr);
        assert_eq!(ended.stdout, format!("ready\n{}", without.stdout));
        assert!(
            ended.stderr.contains("inner"),
            "the table goes to standard error: {}",
            ended.stderr
        );
        let report = ended
            .report
            .as_ref()
            .expect("a summary is written whatever the command's status is");
        for (name, calls) in [("main", 1), ("outer", 1000), ("inner", 2000)] {
            assert_eq!(report.row(name).calls, calls, "{name}");
        }
        report.assert_no_loss_but(&[profiler_common::loss::LossReason::EntryWithoutReturn]);
    });
}

/// Check that arguments and input reach the command, and a signal's end is passed on as a shell does.
#[test]
fn the_end_by_a_signal_is_passed_on_as_a_shell_does() {
    with_kernel(|_| {
        let ended = run(
            &[],
            &[
                "/bin/sh",
                "-c",
                "echo \"$0 $1\"; kill -TERM $$",
                "zero",
                "one two",
            ],
        );
        assert_eq!(ended.stdout, "zero one two\n", "{}", ended.stderr);
        assert_eq!(ended.status, 128 + libc::SIGTERM, "{}", ended.stderr);
    });
}

/// Check that a command is found through PATH, and its recording is complete.
#[test]
fn a_command_is_found_through_path_and_recorded() {
    with_kernel(|_| {
        let ended = run(&["--recording", "csv", "-o", "out.csv"], &["true"]);
        assert_eq!(ended.status, 0, "{}", ended.stderr);
        assert!(
            ended
                .file("out.csv")
                .starts_with("index,type,function,lineNo,filename,")
        );
    });
}

/// Check that a command that does not exist is named.
#[test]
fn a_command_that_does_not_exist_is_named() {
    with_kernel(|_| {
        let ended = run(&[], &["/nonexistent/command"]);
        assert_ne!(ended.status, 0);
        assert!(ended.stderr.contains("/nonexistent/command"), "{}", ended.stderr);
    });
}

/// Check that the whole tool runs as often as wanted on one process, at the same time.
#[test]
fn two_profilers_of_one_process_count_the_same() {
    let program = Program::new("recursion.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        let target = Target::start(&program, &[]);
        let [first, second] =
            [["--function", "gcd"]; 2].map(|options| Profiler::attach(&target, mode, &options));
        let _ = target.finish().expect_status(0);
        for profiler in [first, second] {
            let report = profiler.report();
            assert_eq!((report.row("gcd").calls, report.row("gcd").returns), (6, 6));
        }
    });
}

/// Check that two processes are profiled together, and a third one of the same file is not.
#[test]
fn several_processes_count_together_and_others_do_not() {
    let program = Program::new("recursion.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        let [first, second, other] = [(); 3].map(|()| Target::start(&program, &[]));
        let pids = format!("{},{}", first.pid(), second.pid());
        let fixed = [
            "attach",
            "-p",
            &pids,
            "--attach-mode",
            mode.name(),
            "--max-overhead",
            "off",
        ];
        let profiler = Profiler::start(&[&fixed[..], &["--function", "gcd"]].concat());
        profiler.wait_until_attached();
        for target in [first, other, second] {
            let _ = target.finish().expect_status(0);
        }
        let report = profiler.report();
        assert_eq!((report.row("gcd").calls, report.row("gcd").returns), (12, 12));
    });
}
