//! The first rule: a program prints the same and exits the same with probes on all its functions as without.
//!
//! Perf-event probes take so long to detach that there a few dozen functions stand for all.
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::kernel::{AttachMode, for_each_attach_mode};
use tests::process::{self, poll};
use tests::profiler::Profiler;
use tests::program::Program;
use tests::session::{assert_harmless, plain};
use tests::target::Target;

use super::leaving::exceptions;

/// Every way of seeing returns that must be harmless. `uretprobe` by name is the user's own risk.
const RETURNS: [&str; 3] = ["auto", "sites", "none"];

/// Checks `program` with each set of `args`, in every mode and with every harmless way of seeing returns.
fn assert_unharmed(program: &Path, arguments: &[&[&str]], few: &[&str]) {
    for_each_attach_mode(|mode| {
        for args in arguments {
            for returns in RETURNS {
                // How returns are seen is planned before the mode is chosen: one mode shows every way.
                if mode != AttachMode::Session && returns != "auto" {
                    continue;
                }
                let few = [few, &["--returns", returns]].concat();
                assert_harmless(program, args, mode, &few, &["--returns", returns]);
            }
        }
    });
}

fn c(source: &'static str) -> PathBuf {
    Program::new(source).flags(&["-O2"]).build()
}

/// Check that exceptions pass through 1, 10 and 100 probed frames: caught, rethrown, out of clean-ups and destructors,
/// across a library, carried to another thread, and caught by nobody.
#[test]
fn exceptions_through_1_10_and_100_probed_frames_end_where_they_would() {
    let few = ["--function", "sample::*", "--exclude", "std::*"];
    assert_unharmed(&exceptions(), &[&[], &["uncaught"]], &few);
}

/// Check that exceptions pass through probed frames of the library that throws and calls back.
#[test]
fn exceptions_across_a_probed_library_end_where_they_would() {
    let program = exceptions();
    for_each_attach_mode(|mode| {
        let few = [
            "--object",
            "thrower*",
            "--object",
            "exceptions*",
            "--function",
            "library::*",
        ];
        assert_harmless(
            &program,
            &[],
            mode,
            &few,
            &["--object", "thrower*", "--object", "exceptions*"],
        );
    });
}

/// Check that the C++ runtime and the unwinder themselves can be probed while they unwind.
#[test]
fn exceptions_through_a_probed_c_plus_plus_runtime_end_where_they_would() {
    let program = exceptions();
    for_each_attach_mode(|mode| {
        let few = [
            "--object",
            "libstdc++*",
            "--object",
            "libgcc_s*",
            "--function",
            "__cxa_*",
        ];
        assert_harmless(
            &program,
            &[],
            mode,
            &few,
            &["--object", "libstdc++*", "--object", "libgcc_s*"],
        );
    });
}

/// Check that a program can throw whose frames were all compiled without optimization, with CET.
#[test]
fn exceptions_through_unoptimized_protected_frames_end_where_they_would() {
    let flags = ["-O0", "-fcf-protection=full"];
    let library = Program::new("thrower.cpp")
        .labelled("library")
        .flags(&flags)
        .flags(&["-shared", "-fPIC"])
        .build();
    let program = Program::new("exceptions.cpp")
        .labelled("unoptimized")
        .flags(&flags)
        .flags(&[library.display().to_string()])
        .build();
    assert_unharmed(
        &program,
        &[&[]],
        &[
            "--function",
            "sample::*",
            "--exclude",
            "*lambda*",
            "--exclude",
            "std::*",
        ],
    );
}

/// Check that Rust panics are caught where they would be.
#[test]
fn rust_panics_under_catch_unwind_end_where_they_would() {
    let program = Program::new("panics.rs").build();
    assert_unharmed(&program, &[&[]], &["--function", "panics*"]);
    let program = Program::new("panics.rs")
        .labelled("optimized")
        .flags(&["-C", "opt-level=3"])
        .build();
    assert_unharmed(&program, &[&[]], &["--function", "panics*"]);
}

/// Check that generators that yield from probed frames compute what they would.
#[test]
fn coroutines_on_stacks_of_their_own_compute_what_they_would() {
    let few = [
        "--function",
        "*_uc",
        "--function",
        "*_fc",
        "--function",
        "*fcontext",
    ];
    assert_unharmed(&c("coroutines.c"), &[&[], &["fcontext"]], &few);
}

/// Check that longjmp lands where it would.
#[test]
fn longjmp_over_probed_frames_lands_where_it_would() {
    assert_unharmed(&c("jumps.c"), &[&[]], &["--function", "*er"]);
}

/// Check that threads that end by `pthread_exit` and by cancellation run their destructors and clean-ups.
#[test]
fn threads_that_exit_or_are_cancelled_clean_up_as_they_would() {
    let program = Program::new("thread_ends.cpp").flags(&["-O2"]).build();
    assert_unharmed(&program, &[&[]], &["--function", "sample::*"]);
    assert_unharmed(
        &c("thread_exit.c"),
        &[&[]],
        &["--function", "deep", "--function", "leave"],
    );
}

/// Check that signal handlers on another stack return, nest, and jump out as they would.
#[test]
fn signal_handlers_on_an_alternate_stack_return_as_they_would() {
    let few = [
        "--function",
        "on_*",
        "--function",
        "in_handler",
        "--function",
        "interrupted",
        "--function",
        "faulting",
    ];
    assert_unharmed(&c("altstack.c"), &[&[]], &few);
}

/// Check that children, with and without exec, do what they would.
#[test]
fn forked_and_vforked_children_do_what_they_would() {
    let few = [
        "--function",
        "work",
        "--function",
        "repeat",
        "--function",
        "*forked",
    ];
    assert_unharmed(&c("forks.c"), &[&[]], &few);
}

/// Check that no probe makes the program issue a system call that its filter kills for, whether the filter was there
/// before the probes or came after them.
#[test]
fn a_filter_that_kills_on_unknown_system_calls_lets_the_probed_program_live() {
    let few = [
        "--function",
        "inner",
        "--function",
        "outer",
        "--function",
        "forbid",
    ];
    assert_unharmed(&c("seccomp.c"), &[&[], &["late"]], &few);
}

/// Check that a static file without symbols, the whole C library in it, runs with probes on all its functions.
#[test]
fn a_stripped_static_program_runs_as_it_would() {
    let build = |source| {
        Program::new(source)
            .labelled("stripped-static")
            .flags(&["-O2", "-static"])
            .stripped()
            .build()
    };
    assert_unharmed(&build("flags.c"), &[&[]], &["--function", "*+0x4017*"]);
    assert_unharmed(&build("altstack.c"), &[&[]], &["--function", "*+0x4017*"]);
}

/// Check that instructions that kernels take for jumps are left alone: the program would compute something else.
#[test]
fn functions_that_begin_with_vector_instructions_compute_what_they_would() {
    assert_unharmed(&c("vectors.c"), &[&[]], &["--function", "first_*"]);
}

/// Check that the C library can be probed as a whole under programs that return twice from `setjmp` and `vfork`, swap
/// stacks, cancel threads and handle signals.
#[test]
fn programs_run_as_they_would_with_the_whole_c_library_probed() {
    let all = ["--object", "libc.so*"];
    let names = [
        "*setjmp",
        "*longjmp",
        "*fork",
        "swapcontext",
        "getcontext",
        "pthread_exit",
        "raise",
        "clone*",
    ];
    let few: Vec<_> = all
        .into_iter()
        .chain(names.iter().flat_map(|name| ["--function", *name]))
        .collect();
    let thread_ends = Program::new("thread_ends.cpp").flags(&["-O2"]).build();
    let programs = [
        c("jumps.c"),
        c("forks.c"),
        c("coroutines.c"),
        thread_ends,
        c("altstack.c"),
        exceptions(),
    ];
    for_each_attach_mode(|mode| {
        for program in &programs {
            assert_harmless(program, &[], mode, &few, &all);
        }
    });
}

/// Check that a program of many entries, loops and tail calls computes what it would.
#[test]
fn functions_of_every_shape_compute_what_they_would() {
    assert_unharmed(&c("entries.c"), &[&[]], &["--function", "first_*"]);
    assert_unharmed(
        &c("tails.c"),
        &[&[]],
        &["--function", "by_*", "--function", "last"],
    );
    assert_unharmed(
        &c("recursion.c"),
        &[&[]],
        &["--function", "gcd", "--function", "descend"],
    );
}

/// Check that a program that is stopped before, while and after the probes come goes on where it was.
#[test]
fn a_program_that_is_stopped_and_continued_goes_on_where_it_was() {
    let program = c("steps.c");
    let without = two_steps(Target::start(&program, &[]));
    for_each_attach_mode(|mode| {
        let mut target = Target::start(&program, &[]);
        stop(target.pid());
        let profiler = Profiler::attach(&target, mode, &["--function", "work", "--function", "half"]);
        process::send_signal(target.pid(), libc::SIGCONT);
        target.go();
        let _ = target.wait_for_line("first");
        stop(target.pid());
        process::send_signal(target.pid(), libc::SIGCONT);
        let with = target.finish();
        assert_eq!(with, without);
        let report = profiler.report();
        assert_eq!(report.row("work").calls, with.truth_of("work"));
        report.assert_no_loss_but(&[]);
    });
}

/// Check that a debugger of the same process is not disturbed, and that the user is told of it.
#[test]
fn a_traced_program_runs_as_it_would_and_the_user_is_warned() {
    let program = c("steps.c");
    let tracer = c("tracer.c");
    let without = two_steps(Target::start(&program, &[]));
    for_each_attach_mode(|mode| {
        let target = Target::start(&program, &[]);
        let debugger = Target::spawn(Command::new(&tracer).arg(target.pid().to_string()));
        let profiler = Profiler::attach(&target, mode, &["--function", "work", "--function", "optimized"]);
        let with = two_steps(target);
        assert_eq!(with, without);
        assert_eq!(debugger.wait().stdout, "traced to its end\n");
        let ended = profiler.wait();
        assert!(ended.stderr.contains("TracerPid"), "no warning: {}", ended.stderr);
        assert_eq!(ended.success().row("work").calls, with.truth_of("work"));
    });
}

/// Check that probes from the very first instruction on harm as little as those that come later.
#[test]
fn a_program_under_run_prints_and_exits_as_it_would() {
    let cases = [
        (exceptions(), 11),
        (Program::new("panics.rs").build(), 12),
        (c("coroutines.c"), 4),
    ];
    for_each_attach_mode(|mode| {
        if mode == AttachMode::PerfEvent {
            return;
        }
        for (program, status) in &cases {
            let without = plain(program, &[]);
            let path = program.display().to_string();
            let ended = Profiler::start(&["run", "--attach-mode", mode.name(), "--", &path]).wait();
            assert_eq!(
                ended.stdout,
                format!("ready\n{}", without.stdout),
                "{}",
                ended.stderr
            );
            assert_eq!(ended.status, *status, "{}", ended.stderr);
        }
    });
}

fn two_steps(mut target: Target) -> tests::target::Outcome {
    target.go();
    let _ = target.wait_for_line("first");
    target.finish()
}

fn stop(pid: u32) {
    process::send_signal(pid, libc::SIGSTOP);
    let stopped = poll(|| (process::state(pid) == Some('T')).then_some(()));
    assert!(stopped.is_some(), "process {pid} does not stop");
}
