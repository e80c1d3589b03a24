//! Processes that start, fork, execute and load libraries while a session runs.
use std::path::PathBuf;

use profiler_common::loss::LossReason;
use tests::kernel::{AttachMode, for_each_attach_mode, with_kernel};
use tests::profiler::Profiler;
use tests::program::Program;
use tests::target::Target;

fn brood() -> PathBuf {
    Program::new("brood.c").flags(&["-O2"]).build()
}

fn plugin() -> String {
    let program = Program::new("plugin.c")
        .labelled("lib.so")
        .flags(&["-O2", "-shared", "-fPIC"]);
    program.build().display().to_string()
}

fn plugins() -> PathBuf {
    Program::new("plugins.c").flags(&["-O2", "-ldl"]).build()
}

/// Check that of 1,000 children that end at once not one call is missed, neither by `run` nor by `--children`.
#[test]
fn not_one_call_of_a_thousand_short_children_is_missed() {
    with_kernel(|mode| {
        if mode != AttachMode::Session {
            return;
        }
        let path = brood().display().to_string();
        let options = ["--function", "work", "--", &path, "1000"];
        let ended = Profiler::start(&[&["run"], &options[..]].concat()).wait();
        assert_eq!(ended.status, 5, "{}", ended.stderr);
        let report = ended.report.expect("a summary is written");
        assert_eq!(
            (report.row("work").calls, report.row("work").returns),
            (3000, 3000)
        );
        report.assert_no_loss_but(&[]);

        let target = Target::start(&brood(), &["1000"]);
        let profiler = Profiler::attach(&target, mode, &["--function", "work", "--children"]);
        assert_eq!(target.finish().expect_status(5).truth_of("good"), 1000);
        let report = profiler.report();
        assert_eq!(
            (report.row("work").calls, report.row("work").returns),
            (3000, 3000)
        );
        report.assert_no_loss_but(&[]);
    });
}

/// Check that children that execute are followed with `--children`, from the first call where their file is known.
#[test]
fn children_that_execute_a_known_file_are_followed_without_a_miss() {
    with_kernel(|mode| {
        if mode != AttachMode::Session {
            return;
        }
        let target = Target::start(&brood(), &["200", "exec"]);
        let profiler = Profiler::attach(&target, mode, &["--function", "work", "--children"]);
        assert_eq!(target.finish().expect_status(5).truth_of("good"), 200);
        let report = profiler.report();
        assert_eq!((report.row("work").calls, report.row("work").returns), (600, 600));
        report.assert_no_loss_but(&[]);
    });
}

/// Check that without `--children` a child that executes another program is no target any more.
#[test]
fn a_child_that_executes_is_left_alone_unless_it_is_asked_for() {
    with_kernel(|mode| {
        if mode != AttachMode::Session {
            return;
        }
        let path = brood().display().to_string();
        let options = ["--function", "work", "--", &path, "50", "exec"];
        let ended = Profiler::start(&[&["run"], &options[..]].concat()).wait();
        assert_eq!(ended.status, 5, "{}", ended.stderr);
        let report = ended.report.expect("a summary is written");
        assert_eq!(report.row("work").calls, 0);
    });
}

/// Check that a library that is named by its path is probed before its first call, each time it is loaded.
#[test]
fn a_library_that_is_loaded_again_and_again_is_probed_before_its_first_call() {
    for_each_attach_mode(|mode| {
        let library = plugin();
        let target = Target::start(&plugins(), &[&library, "3"]);
        let pattern = format!("{library}:plug");
        let profiler = Profiler::attach(&target, mode, &["--function", &pattern]);
        assert_eq!(target.finish().expect_status(6).truth_of("plug"), 300);
        let report = profiler.report();
        assert_eq!((report.row("plug").calls, report.row("plug").returns), (300, 300));
        report.assert_no_loss_but(&[]);
    });
}

/// Check that a library that only a glob names is probed as soon as it is mapped.
#[test]
fn a_library_that_a_glob_names_is_probed_when_it_is_mapped() {
    for_each_attach_mode(|mode| {
        let library = plugin();
        let mut target = Target::start(&plugins(), &[&library, "3", "wait"]);
        let options = [
            "--object",
            "plugin-lib.so-*",
            "--function",
            "pl*g",
            "--log-level",
            "info",
        ];
        let profiler = Profiler::attach(&target, mode, &options);
        target.go();
        let _ = target.wait_for_line("loaded");
        profiler.wait_for_message("ebpf-prof: info: process");
        assert_eq!(target.finish().expect_status(6).truth_of("plug"), 300);
        let report = profiler.report();
        assert_eq!((report.row("plug").calls, report.row("plug").returns), (300, 300));
        report.assert_no_loss_but(&[]);
    });
}

/// Check that a process that starts later is found by its name, and one of another name is not probed.
#[test]
fn a_process_that_starts_later_is_found_by_its_name() {
    let program = Program::new("steps.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let [wanted, other] = ["ebpflater", "ebpfother"].map(|name| {
            let path = folder.path().join(name);
            std::fs::copy(&program, &path).expect("a program can be copied");
            path
        });
        let fixed = ["attach", "--comm", "ebpflat*", "--wait", "--max-overhead", "off"];
        let options = [
            "--function",
            "work",
            "--log-level",
            "info",
            "--attach-mode",
            mode.name(),
        ];
        let profiler = Profiler::start(&[&fixed[..], &options].concat());
        profiler.wait_until_attached();
        let unwanted = Target::start(&other, &[]);
        let target = Target::start(&wanted, &[]);
        profiler.wait_for_message("ebpf-prof: info: process");
        let _ = unwanted.finish().expect_status(9);
        assert_eq!(target.finish().expect_status(9).truth_of("work"), 1500);
        tests::process::send_signal(profiler.pid(), libc::SIGINT);
        let report = profiler.wait().success();
        assert_eq!(
            (report.row("work").calls, report.row("work").returns),
            (1500, 1500)
        );
        report.assert_no_loss_but(&[]);
    });
}

/// Check that a target that executes another program stays one, and that program's functions are probed.
#[test]
fn a_target_that_executes_another_program_is_followed_under_its_id() {
    let program = Program::new("steps.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        let script = "echo ready; head -c 1 >/dev/null; exec \"$0\"";
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", script]).arg(&program);
        let mut target = Target::spawn(&mut shell);
        let pattern = format!(
            "{}:work",
            program.file_name().unwrap_or_default().to_string_lossy()
        );
        let options = ["--function", &pattern, "--log-level", "info"];
        let profiler = Profiler::attach(&target, mode, &options);
        target.go();
        profiler.wait_for_message("ebpf-prof: info: process");
        assert_eq!(target.finish().expect_status(9).truth_of("work"), 1500);
        let report = profiler.report();
        assert_eq!(
            (report.row("work").calls, report.row("work").returns),
            (1500, 1500)
        );
        report.assert_no_loss_but(&[]);
    });
}

/// Check that a process id that is used again is another process: both are counted, each as what it is.
#[test]
fn a_process_id_that_is_used_again_is_another_process() {
    let program = Program::new("recursion.c").flags(&["-O2"]).build();
    with_kernel(|mode| {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("ebpfagain");
        std::fs::copy(&program, &path).expect("a program can be copied");
        let fixed = ["attach", "--exe", "ebpfagain", "--wait", "--max-overhead", "off"];
        let options = [
            "--function",
            "gcd",
            "--log-level",
            "info",
            "--attach-mode",
            mode.name(),
        ];
        let profiler = Profiler::start(&[&fixed[..], &options].concat());
        profiler.wait_until_attached();
        let first = Target::start(&path, &[]);
        let pid = first.pid();
        profiler.wait_for_message(&format!("ebpf-prof: info: process {pid}: probed as well"));
        let _ = first.finish().expect_status(0);
        let again = tests::process::with_next_pid(pid, || Target::start(&path, &[]), Target::pid);
        profiler.wait_for_messages(&format!("ebpf-prof: info: process {pid}: probed as well"), 2);
        let _ = again.finish().expect_status(0);
        tests::process::send_signal(profiler.pid(), libc::SIGINT);
        let report = profiler.wait().success();
        assert_eq!((report.row("gcd").calls, report.row("gcd").returns), (12, 12));
        report.assert_no_loss_but(&[]);
    });
}

/// Check that a process of the same file that is no target neither counts nor is harmed by a link that reaches it: its
/// return addresses stay its own, so that its exceptions find their way.
#[test]
fn a_process_that_is_no_target_throws_as_it_would() {
    with_kernel(|mode| {
        if mode != AttachMode::Session {
            return;
        }
        let thrower = Program::new("thrower.cpp")
            .labelled("lib.so")
            .flags(&["-O2", "-shared", "-fPIC"])
            .build();
        let thrower = thrower.display().to_string();
        let program = Program::new("exceptions.cpp")
            .labelled("following")
            .flags(&["-O2", "-std=c++17", &thrower])
            .build();
        let without = tests::session::plain(&program, &[]);
        let target = Target::start(&program, &[]);
        // The target itself is not let go: these return probes would end it.
        let options = ["--children", "--returns", "uretprobe"];
        let profiler = Profiler::attach(&target, mode, &options);
        assert_eq!(tests::session::plain(&program, &[]), without);
        target.kill();
        let report = profiler.report();
        assert_eq!(report.calls_of("sample::leaf"), 0, "only the target counts");
    });
}

/// Check that gathering evidence late is not too late: a C program that loads a library that throws is profiled as before,
/// and throws as it would.
#[test]
fn a_library_that_throws_changes_how_returns_are_seen() {
    for_each_attach_mode(|mode| {
        let library = Program::new("late_thrower.cpp")
            .labelled("lib.so")
            .flags(&["-O2", "-shared", "-fPIC"])
            .build();
        let library = library.display().to_string();
        let program = Program::new("late.c")
            .flags(&["-O2", "-fexceptions", "-ldl"])
            .build();
        let without = tests::session::plain(&program, &[&library]);
        let mut target = Target::start(&program, &[&library]);
        let profiler = Profiler::attach(&target, mode, &["--function", "*", "--log-level", "info"]);
        target.go();
        let _ = target.wait_for_line("loaded");
        // Elsewhere it was taken for one that unwinds from the start: it can load libraries.
        if mode == AttachMode::Session {
            profiler.wait_for_message("ebpf-prof: info: the returns of");
        }
        let outcome = target.finish();
        let printed = |outcome: &tests::target::Outcome| outcome.stdout.replace("loaded\n", "");
        assert_eq!(
            (outcome.status, printed(&outcome)),
            (without.status, printed(&without))
        );
        let report = profiler.report();
        assert_eq!(
            report.row("passed_through").calls,
            outcome.truth_of("passed_through")
        );
        assert_eq!(report.loss(LossReason::BadCookie), 0);
    });
}
