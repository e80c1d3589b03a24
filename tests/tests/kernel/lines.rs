//! Source lines: in what is recorded, and to select functions by. Functions that were inlined.
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tests::kernel::{for_each_attach_mode, with_kernel};
use tests::profiler::Profiler;
use tests::program::{Program, sources};
use tests::session::observe;
use tests::target::Target;

fn program() -> PathBuf {
    Program::new("lines.c").flags(&["-O2", "-g"]).build()
}

/// The line of the sample program that starts so.
fn line_of(start: &str) -> u64 {
    let text = fs::read_to_string(sources().join("lines.c")).expect("the source is there");
    let mut lines = text.lines();
    lines
        .position(|line| line.trim().starts_with(start))
        .expect(start) as u64
        + 1
}

/// Check that each record has the file and line of its function's declaration, and so has the summary.
#[test]
fn records_have_the_file_and_line_of_their_function() {
    let program = program();
    for_each_attach_mode(|mode| {
        let target = Target::start(&program, &[]);
        let prefix = sources();
        let prefix = prefix.to_str().expect("a folder of letters");
        let options = [
            "--function",
            "sum_up",
            "--function",
            "pair",
            "--strip-prefix",
            prefix,
        ];
        let profiler = Profiler::attach_recording(&target, mode, &options);
        let _ = target.finish().expect_status(0);
        let ended = profiler.wait();
        let records = ended.records();
        assert_eq!(records.len(), 400);
        for record in &records {
            let line = line_of(&format!("PROBED long {}(", record.function));
            assert_eq!(
                (&*record.filename, record.line),
                ("lines.c", Some(line)),
                "{record:?}"
            );
        }
        let report = ended.success();
        for name in ["sum_up", "pair"] {
            let row = report.row(name);
            let line = line_of(&format!("PROBED long {name}("));
            assert_eq!((row.file.as_deref(), row.line), (Some("lines.c"), Some(line)));
        }
    });
}

#[test]
fn without_debug_information_the_cells_are_empty() {
    let program = Program::new("lines.c").flags(&["-O2"]).build();
    with_kernel(|mode| {
        let target = Target::start(&program, &[]);
        let profiler = Profiler::attach_recording(&target, mode, &["--function", "pair"]);
        let _ = target.finish().expect_status(0);
        let records = profiler.wait().records();
        assert_eq!(records.len(), 200);
        assert!(
            records
                .iter()
                .all(|record| record.filename.is_empty() && record.line.is_none())
        );
    });
}

/// Check that a file's functions are those that have code of their own, and that a line names all that hold it.
#[test]
fn functions_are_selected_by_source_file_and_line() {
    let program = program();
    let of_line = |start: &str| format!("lines.c:{}", line_of(start));
    with_kernel(|mode| {
        for (pattern, expected) in [
            ("lines.c:*".to_owned(), &["main", "pair", "sum_up"][..]),
            ("targets/lines.c:s*".to_owned(), &["sum_up"]),
            ("*.c:pair".to_owned(), &["pair"]),
            (of_line("if (value % 2)"), &["pair"]),
            (of_line("return value * *factor;"), &["pair", "sum_up"]),
        ] {
            let (outcome, report) = observe(&program, &[], mode, &["--function", &pattern]);
            let mut names: Vec<_> = report.functions.iter().map(|row| row.function.as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, expected, "{pattern}");
            for name in expected.iter().filter(|name| **name != "main") {
                assert_eq!(report.row(name).calls, outcome.truth_of(name), "{pattern}");
            }
        }
        let options = ["--function", "lines.c:*", "--exclude", "lines.c:s*"];
        let (_, report) = observe(&program, &[], mode, &options);
        let names: Vec<_> = report.functions.iter().map(|row| row.function.as_str()).collect();
        assert_eq!(names, ["main", "pair"]);
    });
}

/// Check that each place where a function was inlined is counted exactly, also within another one that was.
#[test]
fn inlined_functions_are_counted_where_they_were_inlined() {
    let program = program();
    for_each_attach_mode(|mode| {
        let (outcome, report) = observe(&program, &[], mode, &["--inlined", "--function", "scaled"]);
        let calls = |caller: &str| -> u64 {
            let place = format!("scaled [inlined in {caller} at lines.c:");
            let rows = report.functions.iter();
            let rows: Vec<_> = rows.filter(|row| row.function.starts_with(&place)).collect();
            assert!(!rows.is_empty(), "{caller}: {report:#?}");
            rows.iter().map(|row| row.calls).sum()
        };
        for caller in ["sum_up", "pair"] {
            assert_eq!(
                calls(caller),
                outcome.truth_of(&format!("scaled in {caller}")),
                "{caller}"
            );
        }
        report.assert_no_loss_but(&[]);
    });
}

#[test]
fn a_name_that_was_only_inlined_says_where() {
    let program = program();
    let refused = |options: &[&str]| {
        let words = [&["run"], options, &["--", program.to_str().expect("letters")]].concat();
        let ended = Profiler::start(&words).wait();
        assert_ne!(ended.status, 0);
        ended.stderr
    };
    with_kernel(|_| {
        let text = refused(&["--function", "scaled_twice"]);
        let place = format!("pair at lines.c:{}", line_of("return scaled_twice("));
        for part in [
            "`scaled_twice` was inlined at 1 place",
            place.as_str(),
            "--inlined",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let text = refused(&["--function", "absent.c:*"]);
        assert!(text.contains("no function matches `absent.c:*`"), "{text}");
    });
}

/// Check that a stripped program's functions are found by the names that its debug file has, with their lines.
#[test]
fn a_stripped_program_is_named_by_its_debug_file() {
    let built = program();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("lines");
    fs::copy(&built, &program).expect("a program can be copied");
    let debug_dir = folder.path().join("debug");
    fs::create_dir(&debug_dir).expect("a folder can be made");
    let run = |tool: &str, arguments: &[&str]| {
        let status = Command::new(tool)
            .args(arguments)
            .current_dir(folder.path())
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "{tool} {arguments:?}"
        );
    };
    run("objcopy", &["--only-keep-debug", "lines", "debug/lines.debug"]);
    run("strip", &["--strip-all", "lines"]);
    run("objcopy", &["--add-gnu-debuglink=debug/lines.debug", "lines"]);
    with_kernel(|mode| {
        let debug_dir = debug_dir.to_str().expect("letters");
        let options = [
            "--debug-dir",
            debug_dir,
            "--function",
            "pair",
            "--path-depth",
            "1",
        ];
        let (outcome, report) = observe(&program, &[], mode, &options);
        let row = report.row("pair");
        assert_eq!(row.calls, outcome.truth_of("pair"));
        assert_eq!(
            (row.file.as_deref(), row.line),
            (Some("lines.c"), Some(line_of("PROBED long pair(")))
        );
    });
}

/// Check that Go's own table gives lines, and selects by source, where debug information was stripped.
#[test]
fn a_stripped_program_in_go_has_lines_of_its_own() {
    let program = Program::new("goroutines.go")
        .labelled("lines")
        .flags(&["-ldflags=-s -w"])
        .build();
    with_kernel(|mode| {
        let options = [
            "--function",
            "goroutines.go:main.*",
            "--exclude",
            "main.main",
            "--path-depth",
            "1",
        ];
        let (_, report) = observe(&program, &[], mode, &options);
        let called: Vec<_> = report.functions.iter().filter(|row| row.calls > 0).collect();
        assert!(called.len() > 2, "{report:#?}");
        for row in called {
            assert_eq!(row.file.as_deref(), Some("goroutines.go"), "{row:?}");
            assert!(row.line.is_some_and(|line| line > 0), "{row:?}");
        }
    });
}
