//! What cannot be done is one line that names the thing and the next step, and nothing is left behind.
use std::process::{Command, Stdio};

use tests::kernel::with_kernel;
use tests::process::{self, poll};
use tests::profiler::{Ended, Profiler};
use tests::program::Program;
use tests::target::Target;

fn assert_failure(ended: &Ended, names: &[&str]) {
    assert_eq!(ended.status, 1, "{}", ended.stderr);
    let errors: Vec<_> = ended.stderr.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(errors.len(), 1, "one line: {}", ended.stderr);
    for name in names {
        assert!(
            ended.stderr.contains(name),
            "`{name}` is not named: {}",
            ended.stderr
        );
    }
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
}

fn attach(pid: u32, options: &[&str]) -> Ended {
    let pid = pid.to_string();
    Profiler::start(&[&["attach", "-p", &pid], options].concat()).wait()
}

/// Check that a process that does not exist is named.
#[test]
fn a_process_that_does_not_exist_is_named() {
    with_kernel(|_| assert_failure(&attach(4_194_300, &[]), &["4194300"]));
}

/// Check that a process that has ended and was not waited for is no target.
#[test]
fn a_process_that_has_ended_is_named() {
    with_kernel(|_| {
        let mut child = Command::new("true")
            .stdin(Stdio::null())
            .spawn()
            .expect("`true` can be started");
        let ended = poll(|| (process::state(child.id()) == Some('Z')).then_some(()));
        assert!(ended.is_some(), "`true` does not end");
        assert_failure(&attach(child.id(), &[]), &[&child.id().to_string()]);
        process::kill(&mut child);
    });
}

/// Check that a kernel thread, which has no file, is refused with a reason.
#[test]
fn a_process_without_an_executable_is_refused() {
    with_kernel(|_| assert_failure(&attach(2, &[]), &["2"]));
}

/// Check that a pattern that matches nothing names what is near.
#[test]
fn a_pattern_that_matches_nothing_names_the_nearest_function() {
    with_kernel(|_| {
        let target = Target::start(
            &Program::new("threads.c")
                .labelled("errors")
                .flags(&["-O2"])
                .build(),
            &[],
        );
        assert_failure(
            &attach(target.pid(), &["--function", "wrker"]),
            &["wrker", "worker"],
        );
        assert_failure(&attach(target.pid(), &["--focus", "worke"]), &["worke", "worker"]);
        let pid = target.pid().to_string();
        let profiler = Profiler::start(&["attach", "-p", &pid, "--object", "libnothing*"]);
        profiler
            .wait_for_message("ebpf-prof: warn: not mapped yet, and probed as soon as it is: libnothing*");
        let _ = target.finish().expect_status(0);
        assert_eq!(profiler.wait().status, 0, "a library may be loaded later");
    });
}

/// Check that functions of which none can be probed are named, with the reason.
#[test]
fn functions_of_which_none_can_be_probed_are_told_with_the_reason() {
    with_kernel(|_| {
        let target = Target::start(&Program::new("vectors.c").flags(&["-O2"]).build(), &[]);
        assert_failure(
            &attach(target.pid(), &["--site", "entry", "--function", "first_vpor"]),
            &["first_vpor", "no breakpoint"],
        );
    });
}

/// Check that counters that need more memory than allowed say so and how to allow it.
#[test]
fn a_budget_of_memory_that_is_too_small_is_named_with_its_option() {
    with_kernel(|_| {
        let target = Target::start(
            &Program::new("threads.c")
                .labelled("errors")
                .flags(&["-O2"])
                .build(),
            &[],
        );
        assert_failure(
            &attach(target.pid(), &["--max-map-memory", "1"]),
            &["--max-map-memory"],
        );
    });
}

/// Check that a dry run attaches nothing and lists what would be probed.
#[test]
fn a_dry_run_lists_every_function_with_its_site_and_returns() {
    with_kernel(|_| {
        let target = Target::start(&Program::new("entries.c").flags(&["-O2"]).build(), &[]);
        let ended = attach(target.pid(), &["--dry-run", "--function", "first_*"]);
        assert_eq!(ended.status, 0, "{}", ended.stderr);
        let line = |name: &str| {
            let found = ended
                .stdout
                .lines()
                .find(|line| line.split_whitespace().any(|word| word == name));
            found.unwrap_or_else(|| panic!("`{name}` is not listed: {}", ended.stdout))
        };
        for name in [
            "first_push",
            "first_endbr64_push",
            "first_nop5_push",
            "first_test_je",
        ] {
            assert!(line(name).contains("cheap"), "{}", line(name));
        }
        assert!(
            line("first_sub_rsp").contains("single-stepped"),
            "{}",
            line("first_sub_rsp")
        );
        assert!(!ended.stderr.contains("attached"), "{}", ended.stderr);
    });
}

/// Check that the doctor tells which modes there are.
#[test]
fn the_doctor_names_the_kernel_and_its_attach_modes() {
    with_kernel(|mode| {
        let output = Command::new(tests::profiler::binary())
            .arg("doctor")
            .output()
            .expect("it can be started");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(text.contains(mode.name()) && text.contains("BTF"), "{text}");
    });
}

/// Check that warnings of `--returns uretprobe` are given where the user takes the risk.
#[test]
fn return_probes_by_name_are_the_users_own_risk_and_say_so() {
    with_kernel(|mode| {
        let target = Target::start(&Program::new("recursion.c").flags(&["-O2"]).build(), &[]);
        let options = ["--function", "gcd", "--returns", "uretprobe"];
        let profiler = Profiler::attach(&target, mode, &options);
        let _ = target.finish();
        let ended = profiler.wait();
        assert!(ended.stderr.contains("warn: return probes"), "{}", ended.stderr);
    });
}
