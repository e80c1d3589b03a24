//! The sample programs themselves, without a profiler: what the other tests take for the truth must be one.
#![expect(
    unused_crate_dependencies,
    reason = "the harness uses them, in the library of this package"
)]

use tests::program::Program;
use tests::session::plain;

/// Fails unless two runs print the same, and the program exits with `status`.
fn assert_deterministic(program: &Program, args: &[&str], status: i32) {
    let file = program.build();
    let first = plain(&file, args).expect_status(status);
    assert_eq!(plain(&file, args), first, "{program:?}");
}

/// Check that each program in C prints the same whenever it runs, optimized or not, with CET or without.
#[test]
fn sample_programs_in_c_print_the_same_every_time() {
    for (source, args, status) in [
        ("threads.c", &["4", "1000"][..], 0),
        ("recursion.c", &["500"], 0),
        ("entries.c", &[], 0),
        ("tails.c", &[], 0),
        ("jumps.c", &[], 0),
        ("thread_exit.c", &[], 0),
        ("forks.c", &[], 3),
        ("flags.c", &[], 0),
        ("aliases.c", &[], 0),
        ("coroutines.c", &[], 4),
        ("coroutines.c", &["fcontext"], 4),
        ("altstack.c", &[], 6),
        ("seccomp.c", &[], 8),
        ("seccomp.c", &["late"], 8),
        ("steps.c", &[], 9),
        ("focus.c", &[], 0),
        ("execs.c", &[], 14),
        ("vectors.c", &[], 0),
        ("shared.c", &[], 0),
    ] {
        for flags in [["-O0", "-fcf-protection=full"], ["-O2", "-fcf-protection=none"]] {
            assert_deterministic(
                &Program::new(source).labelled("sample").flags(&flags),
                args,
                status,
            );
        }
    }
}

/// Check that the programs in C++, Rust and Go print the same whenever they run.
#[test]
fn sample_programs_in_c_plus_plus_rust_and_go_print_the_same_every_time() {
    assert_deterministic(&Program::new("thread_ends.cpp").flags(&["-O2"]), &[], 0);
    assert_deterministic(&Program::new("names.cpp").flags(&["-O2"]), &[], 0);
    assert_deterministic(&Program::new("panics.rs"), &[], 12);
    assert_deterministic(&Program::new("goroutines.go"), &[], 0);
    assert_deterministic(&Program::new("library_calls.cpp").flags(&["-O1"]), &[], 0);
    let library = Program::new("thrower.cpp")
        .labelled("library")
        .flags(&["-O2", "-shared", "-fPIC"])
        .build();
    let exceptions = Program::new("exceptions.cpp").flags(&["-O2".to_owned(), library.display().to_string()]);
    assert_deterministic(&exceptions, &[], 11);
    assert_deterministic(&exceptions, &["uncaught"], 128 + 6);
}

/// Check that the truths do not depend on how a program is built.
#[test]
fn every_build_states_the_same_truth() {
    let truth = |label: &'static str, flags: &[&str]| {
        let outcome = plain(&Program::new("flags.c").labelled(label).flags(flags).build(), &[]);
        outcome.truth()
    };
    let optimized = truth("plain", &["-O2"]);
    assert_eq!(truth("static", &["-O2", "-static"]), optimized);
    assert_eq!(
        truth(
            "unoptimized",
            &["-O0", "-fcf-protection=full", "-fomit-frame-pointer"]
        ),
        optimized
    );
}

/// Check that a function that sleeps or spins says the truth about itself: the clock inside runs no longer than outside.
#[test]
fn stated_durations_are_shorter_inside_than_outside() {
    let outcome = plain(&Program::new("durations.c").flags(&["-O2"]).build(), &[]);
    for name in ["spin", "sleep_for", "parent", "nest"] {
        let of = |what: &str| outcome.truth_of(&format!("{name} {what}"));
        assert!(of("inside") <= of("outside"), "{name}: {outcome:?}");
        assert!(of("inside") >= of("calls") * 2_000_000, "{name}: {outcome:?}");
    }
}
