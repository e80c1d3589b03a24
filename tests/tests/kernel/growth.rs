//! Who makes resident memory grow, against a program that knows how many pages it touches.
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use profiler_common::loss::LossReason;
use serde_json::Value;
use tests::kernel::{for_each_attach_mode, with_kernel};
use tests::memory::{follow, follow_to_end};
use tests::profiler::Profiler;
use tests::program::Program;
use tests::report::Report;
use tests::session::plain;
use tests::target::Target;

const PAGE: i64 = 4096;
const ANONYMOUS: i64 = 300 * PAGE;
const RETURNED: i64 = 120 * PAGE;
const SHARED: i64 = 80 * PAGE;
const FILED: i64 = 64 * PAGE;
const RECEIVED: i64 = 40 * PAGE;

fn growth() -> PathBuf {
    // Every function has a frame, also those that call nothing.
    Program::new("growth.c").flags(&["-O0"]).build()
}

/// By name: bytes of anonymous, file and shared pages.
type ByName = BTreeMap<String, [i64; 3]>;

/// The lines added up by one of their words.
fn by(report: &Report, word: &str) -> ByName {
    let mut found = ByName::new();
    for row in report.json["rows"].as_array().expect("the result has lines") {
        let name = row[word].as_str().expect("a line has names").to_owned();
        let kinds = ["anonymous_bytes", "file_bytes", "shared_bytes"];
        let bytes = kinds.map(|kind| row[kind].as_i64().expect("a number"));
        let total = found.entry(name).or_default();
        for (total, bytes) in total.iter_mut().zip(bytes) {
            *total += bytes;
        }
    }
    found
}

/// Only the first change of one process that ran already may be without a size.
fn assert_loss(report: &Report, first_changes: u64) {
    for reason in LossReason::ALL {
        let expected = if *reason == LossReason::FirstChange {
            first_changes
        } else {
            0
        };
        assert_eq!(
            report.loss(*reason),
            expected,
            "{}: {:#}",
            reason.text(),
            report.json
        );
    }
}

fn functions<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let options = names.iter().flat_map(|name| ["--function", *name]);
    std::iter::once("--rss").chain(options).collect()
}

/// Each function's pages, but for those of the files of its code.
fn assert_work(found: &ByName, report: &Report) {
    let without_files = |name: &str| {
        found
            .get(name)
            .map(|[anonymous, _, shared]| [*anonymous, *shared])
    };
    for (name, expected) in [
        ("fill", [ANONYMOUS, SHARED]),
        ("receive", [RECEIVED, 0]),
        ("give_back", [-RETURNED, 0]),
        ("look", [0, 0]),
    ] {
        assert_eq!(without_files(name), Some(expected), "{name}: {:#}", report.json);
    }
    assert!(found["look"][1] >= FILED, "{:#}", report.json);
}

/// Check that each page goes to the innermost probed function that was running, as what it is, and back again.
#[test]
fn pages_of_each_kind_go_to_the_function_that_was_running() {
    let program = growth();
    let without = plain(&program, &[]);
    for_each_attach_mode(|mode| {
        let options = functions(&["fill", "load", "look", "receive", "give_back"]);
        let (outcome, report) = follow(&program, &[], mode, &options);
        assert_eq!(outcome, without);
        assert_loss(&report, 1);
        let found = by(&report, "function");
        assert_work(&found, &report);
        // A page that the kernel needs for probes goes to whoever is the first to need it.
        let functions = found.iter().filter(|(name, _)| !name.is_empty());
        let filed: i64 = functions.map(|(_, [_, filed, _])| filed).sum();
        assert!(filed == FILED || filed == FILED + PAGE, "{:#}", report.json);
        // The kernel touched these pages, not the program.
        let faults = |name: &str| {
            let rows = report.json["rows"].as_array().expect("the result has lines");
            let own = rows.iter().filter(|row| row["function"] == name);
            own.map(|row| row["page_faults"].as_u64().expect("a number"))
                .sum::<u64>()
        };
        assert_eq!(faults("fill"), 380, "{:#}", report.json);
        assert_eq!(faults("receive"), 0, "{:#}", report.json);
    });
}

/// Check that, without any probe, places and stacks tell who it was.
#[test]
fn without_functions_places_and_stacks_tell_who_it_was() {
    let program = growth();
    with_kernel(|mode| {
        let (_, report) = follow(&program, &[], mode, &["--rss", "--stack", "fp"]);
        assert_loss(&report, 1);
        let rows = report.json["rows"].as_array().expect("the result has lines");
        let is_within = |row: &Value, function: &str| {
            let stack = row["stack"].as_array().expect("a line has a stack");
            let starts = |frame: &Value| {
                let frame = frame.as_str().unwrap_or_default();
                frame.split('+').next() == Some(function)
            };
            stack.iter().any(starts)
        };
        let sum = |function: &str, kind: &str| -> i64 {
            let own = rows.iter().filter(|row| is_within(row, function));
            own.map(|row| row[kind].as_i64().expect("a number")).sum()
        };
        assert_eq!(sum("fill", "anonymous_bytes"), ANONYMOUS, "{:#}", report.json);
        assert_eq!(sum("load", "anonymous_bytes"), ANONYMOUS, "{:#}", report.json);
        assert_eq!(sum("share", "shared_bytes"), SHARED, "{:#}", report.json);
        assert_eq!(sum("look", "file_bytes"), FILED, "{:#}", report.json);
        // Within the C library nobody keeps frame pointers: the place is right all the same.
        let of_place = |function: &str| {
            let own = rows.iter().filter(|row| {
                let what = row["what"].as_str().expect("a place is named");
                what.split('+').next() == Some(function)
            });
            own.map(|row| row["anonymous_bytes"].as_i64().expect("a number"))
                .sum::<i64>()
        };
        assert_eq!(of_place("madvise"), -RETURNED, "{:#}", report.json);
    });
}

/// Check that a command counts from its own first page, a child from what it inherited, and a program that is executed later
/// from nothing.
#[test]
fn children_and_programs_that_are_executed_are_known_from_their_beginning() {
    let program = growth();
    let path = program.display().to_string();
    with_kernel(|mode| {
        let names = ["fill", "look", "receive", "give_back"];
        for argument in ["fork", "exec"] {
            let options = [&functions(&names)[..], &["--children"]].concat();
            let (_, ended) = follow_to_end(&program, &[argument], mode, &options);
            let report = ended.success();
            assert_loss(&report, 1);
            assert_work(&by(&report, "function"), &report);
        }
        let options = functions(&names);
        let command = [&["mem"], &options[..], &["--", &path, "now"]].concat();
        let report = Profiler::start(&command).wait().success();
        assert_loss(&report, 0);
        assert_work(&by(&report, "function"), &report);
        // From its first page on: what the loader, the C library and main touched is among it.
        let had = by(&report, "what");
        let had = had.get("(when it was first seen)").copied().unwrap_or_default();
        assert!(had[0] > 0 && had[1] > 0, "{:#}", report.json);
    });
}

/// Resident bytes by the kernel's word.
fn resident(pid: u32) -> i64 {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).expect("the process is there");
    let pages = text
        .split(' ')
        .nth(1)
        .and_then(|number| number.parse::<i64>().ok());
    pages.expect("the second number is of resident pages") * PAGE
}

/// What `statm` may be off by before 6.17, bytes: each CPU may hold back `max(32, 2 × CPUs)` pages of each of three counters.
fn doubt() -> i64 {
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as i64);
    3 * cpus * (2 * cpus).max(32) * PAGE
}

/// Check that what a process has by our count is what the kernel says of it.
#[test]
fn what_is_resident_by_our_count_is_what_the_kernel_says() {
    let program = growth();
    for_each_attach_mode(|mode| {
        let mut target = Target::start(&program, &[]);
        let pid = target.pid();
        let text = pid.to_string();
        let profiler = Profiler::start(&["mem", "-p", &text, "--rss", "--attach-mode", mode.name()]);
        profiler.wait_until_attached();
        target.go();
        target.wait_for_line("truth");
        let says = resident(pid);
        let report = profiler.interrupt().success();
        let processes = report.json["processes"]
            .as_array()
            .expect("the result has processes");
        let [process] = &processes[..] else {
            panic!("one process was followed: {processes:?}");
        };
        let found = process["RSS"].as_i64().expect("a number");
        assert!(
            (found - says).abs() <= doubt(),
            "{found} and {says}: {:#}",
            report.json
        );
        target.finish();
    });
}
