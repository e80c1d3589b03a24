//! Focus: only what happens while a chosen function is on the thread's stack.
use tests::kernel::{AttachMode, for_each_attach_mode};
use tests::profiler::Profiler;
use tests::program::Program;
use tests::session::observe;
use tests::target::Target;

const FOCUS: [&str; 2] = ["--focus", "focused*"];

const NAMES: [&str; 7] = [
    "focused",
    "focused_recursive",
    "focused_left",
    "inner",
    "deep",
    "compare",
    "unfocused",
];

fn options() -> Vec<&'static str> {
    let functions = NAMES.iter().flat_map(|name| ["--function", *name]);
    functions.chain(FOCUS).collect()
}

/// Check that callees at every depth are counted, also after library calls and out of callbacks; that the same
/// functions count for nothing outside, on other threads, and after the focus was left by longjmp.
#[test]
fn callees_of_the_focus_count_at_every_depth_and_nothing_else_does() {
    let program = Program::new("focus.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        for returns in ["auto", "sites"] {
            let (outcome, report) = observe(
                &program,
                &[],
                mode,
                &[&options()[..], &["--returns", returns]].concat(),
            );
            for (name, calls) in outcome.truth() {
                let found: u64 = report
                    .functions
                    .iter()
                    .filter(|row| row.is_named(&name))
                    .map(|row| row.calls)
                    .sum();
                assert_eq!(found, calls, "{returns}: {name}: {report:#?}");
            }
            report.assert_adds_up();
        }
    });
}

/// Check that the recording has the focus's own thread only, and each record lies inside a call of the focus.
#[test]
fn the_recording_has_nothing_outside_of_the_focus() {
    let program = Program::new("focus.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        let target = Target::start(&program, &[]);
        let main_thread = target.pid();
        let profiler = Profiler::attach_recording(&target, mode, &options());
        let outcome = target.finish().expect_status(0);
        let records = profiler.wait().records();
        assert!(
            records.iter().all(|record| record.tid == main_thread),
            "{records:#?}"
        );
        let outermost = records.iter().filter(|record| record.depth == 0);
        for record in outermost {
            assert!(record.function.starts_with("focused"), "{record:?}");
        }
        let inner = records
            .iter()
            .filter(|record| record.is_call() && record.function == "inner")
            .count();
        assert_eq!(inner as u64, outcome.truth_of("inner"));
    });
}

/// Check that functions of a library are recorded under the focus as those of the program are.
#[test]
fn library_functions_count_while_the_focus_is_on_the_stack() {
    let program = Program::new("focus.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        if mode == AttachMode::PerfEvent {
            return;
        }
        let objects = ["--object", "focus-*", "--object", "libc.so*"];
        let (outcome, report) = observe(&program, &[], mode, &[&objects[..], &FOCUS].concat());
        let calls = |name: &str| -> u64 {
            report
                .functions
                .iter()
                .filter(|row| row.function == name)
                .map(|row| row.calls)
                .sum()
        };
        assert_eq!(calls("inner"), outcome.truth_of("inner"));
        for name in ["qsort", "snprintf"] {
            assert_eq!(
                calls(name),
                100,
                "{name} is called once by each call of the focus"
            );
        }
        for name in ["pthread_create", "start_thread", "exit"] {
            assert_eq!(calls(name), 0, "{name} is called outside of the focus");
        }
    });
}
