//! The events monitor: calls, returns, allocations and frees in one stream.
use std::collections::BTreeMap;
use std::path::Path;

use profiler_common::loss::LossReason;
use tests::kernel::{for_each_attach_mode, with_kernel};
use tests::process::{poll, send_signal, state};
use tests::profiler::{Ended, Profiler};
use tests::program::Program;
use tests::target::Target;

const EVENTS: [&str; 4] = ["--monitor", "events", "-o", "events.csv"];
const OWN: [&str; 4] = ["--function", "f[1-4]", "--function", "tail"];

type Row = BTreeMap<String, String>;

fn rows(text: &str) -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows = reader.deserialize::<Row>();
    rows.map(|row| row.expect("each line is one of CSV")).collect()
}

fn size(row: &Row) -> i64 {
    row["value2"].parse().expect("bytes are a number")
}

fn program() -> std::path::PathBuf {
    Program::new("calls.c")
        .flags(&["-O2", "-g", "-fno-builtin", "-lpthread"])
        .build()
}

/// Runs the program to its end, and gives its events.
fn recorded(target: Target, mode: tests::kernel::AttachMode, functions: &[&str]) -> (Vec<Row>, Ended) {
    let profiler = Profiler::attach(&target, mode, &[&EVENTS[..], functions].concat());
    assert_eq!(target.finish().status, 0);
    let ended = profiler.wait();
    (rows(&ended.file("events.csv")), ended)
}

/// The line on which a function of the program begins.
fn line_of(function: &str) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/calls.c"));
    let text = text.expect("the source is there");
    let begins = |line: &str| line.contains(&format!("{function}(")) && !line.starts_with(' ');
    let found = text.lines().position(begins).expect("the function is there");
    (found + 1).to_string()
}

/// What a thread of the program did, as `event bytes name from`.
fn story<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<String> {
    let is_own =
        |row: &&Row| ["f1", "f2", "f3", "f4", "tail", "main", "work"].contains(&row["name"].as_str());
    rows.filter(is_own)
        .map(|row| {
            let from = &row["from_name"];
            let event = &row["event"];
            format!("{event} {} {} {from}", size(row), row["name"])
                .trim_end()
                .to_owned()
        })
        .collect()
}

/// What f4 and f3 do, called by `by`.
fn story_of_work(by: &str, first: i64, second: i64) -> Vec<String> {
    let (zeroed, grown) = (8 * first, first + 1);
    vec![
        format!("call 0 f4 {by}"),
        format!("calloc {zeroed} f4 {by}"),
        "call 0 f2 f4".to_owned(),
        format!("realloc_free -{zeroed} f2 f4"),
        format!("realloc {grown} f2 f4"),
        "return 0 f2 f4".to_owned(),
        format!("free -{grown} f4 {by}"),
        format!("return 0 f4 {by}"),
        format!("call 0 f3 {by}"),
        "call 0 f1 f3".to_owned(),
        format!("malloc {second} f1 f3"),
        "return 0 f1 f3".to_owned(),
        format!("free -{second} f3 {by}"),
        format!("return 0 f3 {by}"),
    ]
}

/// Check that functions and allocations are one story, with the real callers, lines and sizes of every thread, in the order
/// of its time.
#[test]
fn calls_and_allocations_of_all_threads_are_one_story() {
    let program = program();
    for_each_attach_mode(|mode| {
        let target = Target::start(&program, &[]);
        let pid = target.pid().to_string();
        let (rows, ended) = recorded(target, mode, &OWN);
        let report = ended.success();
        let of = |thread: &str| story(rows.iter().filter(|row| row["tid"] == thread));
        let mut expected = story_of_work("main", 90_000, 100_001);
        expected.extend(
            [
                "call 0 tail main",
                "malloc 333 main",
                "return 0 tail main",
                "free -333 main",
                "call 0 f1 main",
                "malloc 77 f1 main",
                "return 0 f1 main",
            ]
            .map(str::to_owned),
        );
        assert_eq!(of(&pid), expected);
        let mut threads: Vec<&String> = rows
            .iter()
            .map(|row| &row["tid"])
            .filter(|tid| **tid != pid)
            .collect();
        threads.sort_by_key(|tid| tid.parse::<u32>().unwrap_or(0));
        threads.dedup();
        let others: Vec<_> = threads.iter().map(|tid| of(tid)).collect();
        let expected = [1000, 2000].map(|size| story_of_work("work", size, size + 2));
        assert_eq!(others, expected);
        let times: Vec<u64> = rows.iter().map(|row| row["time"].parse().expect("ns")).collect();
        assert!(times.is_sorted(), "{times:?}");
        for row in rows.iter().filter(|row| row["name"].starts_with('f')) {
            let is_line = row["mod"].ends_with("calls.c") && row["lineno"] == line_of(&row["name"]);
            assert!(is_line, "{row:?}");
        }
        report.assert_no_loss_but(&[]);
        assert_eq!((report.row("f1").calls, report.row("f4").returns), (4, 3));
    });
}

/// Check that what is alive is the sum of the sizes, that a function that allocates can be followed as a call, too, and that a
/// call into another file is one from there.
#[test]
fn the_sum_of_sizes_is_what_is_alive_also_where_allocators_are_called_functions() {
    let program = program();
    with_kernel(|mode| {
        let functions = [&OWN[..], &["--function", "libc.so.6:malloc"]].concat();
        let (rows, ended) = recorded(Target::start(&program, &[]), mode, &functions);
        let own = rows
            .iter()
            .filter(|row| ["f1", "f2", "f3", "f4", "main"].contains(&row["name"].as_str()));
        assert_eq!(own.map(size).sum::<i64>(), 77);
        let calls: Vec<&Row> = rows
            .iter()
            .filter(|row| row["name"] == "malloc" && row["from_mod"].ends_with("calls.c"))
            .collect();
        let of = |event: &str| calls.iter().filter(|row| row["event"] == event).count();
        // f1 four times; where it is jumped to, the caller of the jump.
        assert_eq!(
            (of("c_call"), of("c_return"), calls.len()),
            (5, 5, 10),
            "{calls:#?}"
        );
        let report = ended.success();
        report.assert_no_loss_but(&[]);
    });
}

/// Check that the numbers of kinds stand in place of their names.
#[test]
fn raw_events_have_the_numbers_of_the_format() {
    let program = program();
    with_kernel(|mode| {
        let (rows, ended) = recorded(
            Target::start(&program, &[]),
            mode,
            &[&OWN[..], &["--raw"]].concat(),
        );
        let of_f4: Vec<&str> = rows
            .iter()
            .filter(|row| row["name"] == "f4")
            .take(4)
            .map(|row| row["event"].as_str())
            .collect();
        assert_eq!(of_f4, ["1", "1001", "1003", "2"]);
        let _ = ended.success();
    });
}

/// Check that with a ring that is too small events and loss are all there was, in the file itself, too.
#[test]
fn with_a_ring_too_small_events_and_loss_are_all_there_was() {
    let program = program();
    for_each_attach_mode(|mode| {
        let target = Target::start(&program, &["3000"]);
        let options = [&EVENTS[..], &OWN, &["--ring-size", "64K"]].concat();
        let profiler = Profiler::attach(&target, mode, &options);
        send_signal(profiler.pid(), libc::SIGSTOP);
        let stopped = poll(|| (state(profiler.pid()) == Some('T')).then_some(()));
        assert!(stopped.is_some(), "the profiler does not stop");
        let happened = target.finish().truth_of("events");
        send_signal(profiler.pid(), libc::SIGCONT);
        let ended = profiler.wait();
        let rows = rows(&ended.file("events.csv"));
        let (lost, seen): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row["event"] == "lost");
        let said: u64 = lost
            .iter()
            .map(|row| row["value1"].parse::<u64>().expect("a number"))
            .sum();
        assert_eq!((lost.len(), lost[0]["name"].as_str()), (1, "ring_full"));
        assert_eq!(seen.len() as u64 + said, happened);
        let report = ended.success();
        assert!(said > 0 && report.loss(LossReason::RingFull) == said);
        assert_eq!(report.row("f3").calls * 6, happened);
        report.assert_no_loss_but(&[LossReason::RingFull]);
    });
}
