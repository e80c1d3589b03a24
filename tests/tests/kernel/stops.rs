//! `kill -9`, of the profiler and of what it profiles.
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use tests::kernel::for_each_attach_mode;
use tests::process::poll;
use tests::profiler::Profiler;
use tests::program::Program;
use tests::session::plain;
use tests::target::Target;

fn steps() -> PathBuf {
    Program::new("steps.c").flags(&["-O2"]).build()
}

/// The first bytes of a function as the process sees them.
fn bytes_at(pid: u32, address: u64) -> [u8; 16] {
    let memory = File::open(format!("/proc/{pid}/mem")).expect("root can read a process's memory");
    let mut bytes = [0; 16];
    memory
        .read_exact_at(&mut bytes, address)
        .expect("the function is mapped");
    bytes
}

/// Check that a profiler that is killed leaves no breakpoint, and that the program comes to the right result.
#[test]
fn a_killed_profiler_leaves_no_probe_and_an_unharmed_program() {
    for_each_attach_mode(|mode| {
        let mut target = Target::start(&steps(), &["addresses"]);
        let addresses: Vec<_> = ["work", "optimized"]
            .iter()
            .map(|name| target.address_of(name))
            .collect();
        let code = |pid| {
            addresses
                .iter()
                .map(|address| bytes_at(pid, *address))
                .collect::<Vec<_>>()
        };
        let untouched = code(target.pid());
        let profiler = Profiler::attach(&target, mode, &["--function", "work", "--function", "optimized"]);
        let probed = code(target.pid());
        assert!(
            probed.iter().zip(&untouched).all(|(now, before)| now != before),
            "no probe is in place"
        );
        target.go();
        let _ = target.wait_for_line("first");
        profiler.kill();
        let restored = poll(|| (code(target.pid()) == untouched).then_some(()));
        assert!(
            restored.is_some(),
            "probes are left: {:x?}, and were {untouched:x?}",
            code(target.pid())
        );
        assert_eq!(target.finish().stdout, two_steps_without());
    });
}

/// Check that a profiler that is killed while the program is inside probed functions does not harm it.
#[test]
fn a_profiler_that_is_killed_in_the_midst_of_calls_does_no_harm() {
    let program = Program::new("threads.c")
        .flags(&["-O0", "-fcf-protection=full"])
        .build();
    let without = plain(&program, &["4", "300000"]);
    for_each_attach_mode(|mode| {
        let mut target = Target::start(&program, &["4", "300000"]);
        let profiler = Profiler::attach(&target, mode, &["--function", "worker", "--function", "thread"]);
        target.go();
        profiler.kill();
        assert_eq!(target.wait(), without);
    });
}

/// Check that the profiler of a program that is killed ends by itself and reports what it saw.
#[test]
fn the_profiler_of_a_killed_program_ends_and_reports_what_it_saw() {
    for_each_attach_mode(|mode| {
        let mut target = Target::start(&steps(), &[]);
        let profiler = Profiler::attach_recording(&target, mode, &["--function", "work"]);
        target.go();
        let _ = target.wait_for_line("first");
        target.kill();
        let ended = profiler.wait();
        let calls = ended.records().iter().filter(|record| record.is_call()).count();
        assert_eq!(calls, 1000);
        assert_eq!(ended.success().row("work").calls, 1000);
    });
}

fn two_steps_without() -> String {
    let mut target = Target::start(&steps(), &[]);
    target.go();
    target.finish().stdout
}
