//! RSS and VMS at calls and returns, against what the sample program reads of itself.
use std::fs;

use tests::kernel::{for_each_attach_mode, with_kernel};
use tests::profiler::Profiler;
use tests::program::Program;
use tests::records::Record;
use tests::target::Target;

/// What `grow` maps and touches.
const BLOCK: u64 = 8 << 20;
const PAGE: u64 = 4096;
const MONITOR: [&str; 2] = ["--monitor", "function-memory"];

/// How far `/proc/PID/statm` itself can be off, bytes. From 6.17 on it is the sum over all CPUs, as ours is. Before that
/// each CPU may hold back `max(32, 2 × CPUs)` pages of each of three counters (`percpu_counter_batch`); before 6.2 it was
/// each thread, 64 pages.
fn doubt_of_statm() -> u64 {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel has a release");
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|n| n.parse().ok());
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64);
    match version {
        (major, minor) if (major, minor) >= (6, 17) => 0,
        (major, minor) if (major, minor) >= (6, 2) => 3 * cpus * (2 * cpus).max(32) * PAGE,
        _ => 3 * 64 * PAGE,
    }
}

fn memory(record: &Record) -> (u64, u64) {
    record.rss.zip(record.vms).expect("each record says the memory")
}

/// Pairs of call and return of a function that calls no other probed function.
fn changes(records: &[Record], function: &str) -> Vec<(i64, i64)> {
    let of: Vec<&Record> = records
        .iter()
        .filter(|record| record.function == function)
        .collect();
    of.chunks_exact(2)
        .map(|pair| {
            assert!(pair[0].is_call() && pair[1].is_return(), "{pair:?}");
            let ((rss, vms), (rss_after, vms_after)) = (memory(pair[0]), memory(pair[1]));
            (rss_after as i64 - rss as i64, vms_after as i64 - vms as i64)
        })
        .collect()
}

/// Check that 8 MiB that a function touches, and another one gives back, are in the difference between call and return,
/// to the byte: nothing else happens in the process meanwhile.
#[test]
fn eight_mebibytes_come_and_go_in_the_records_of_the_functions_that_did_it() {
    let program = Program::new("memory.c").flags(&["-O2"]).build();
    let size = BLOCK as i64;
    for_each_attach_mode(|mode| {
        let target = Target::start(&program, &[]);
        let options = [
            "--function",
            "grow",
            "--function",
            "shrink",
            "--function",
            "reserve",
        ];
        let profiler = Profiler::attach_recording(&target, mode, &[&MONITOR[..], &options].concat());
        let _ = target.finish().expect_status(0);
        let records = profiler.wait().records();
        // The first round brings pages of the program and of the probes with it.
        assert_eq!(changes(&records, "grow")[1..], [(size, size); 5]);
        let shrunk = changes(&records, "shrink");
        assert_eq!(shrunk.len(), 8);
        assert_eq!(shrunk[2..7], [(-size, -size); 5]);
        // Page tables are not resident memory: what is only mapped changes nothing.
        assert_eq!(changes(&records, "reserve")[1..], [(0, size)]);
        assert_eq!(shrunk[7], (0, -size));
    });
}

/// Check that the records say what `/proc/self/statm` says at the same moment, also of memory that other threads
/// touched, and of shared memory.
#[test]
fn the_records_agree_with_what_the_kernel_tells_the_program_itself() {
    let program = Program::new("memory.c").flags(&["-O2"]).build();
    let doubt = doubt_of_statm();
    for_each_attach_mode(|mode| {
        let target = Target::start(&program, &[]);
        let options = [&MONITOR[..], &["--function", "checkpoint"]].concat();
        let profiler = Profiler::attach_recording(&target, mode, &options);
        let outcome = target.finish().expect_status(0);
        let records = profiler.wait().records();
        let calls: Vec<&Record> = records.iter().filter(|record| record.is_call()).collect();
        let told: Vec<(&str, u64)> = outcome
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("truth ")?.rsplit_once(' '))
            .map(|(what, number)| (what, number.parse().expect("a truth is a number")))
            .collect();
        assert_eq!((told.len(), calls.len()), (14 * 3, 14));
        let mut compared = 0;
        for (truths, call) in told.chunks_exact(3).zip(&calls) {
            let &[(_, steady), (_, vms), (what, rss)] = truths else {
                panic!("three numbers a checkpoint: {truths:?}")
            };
            let (ours, mapped) = memory(call);
            // Text that the program writes into a buffer can be what changed between its two looks.
            if steady == 1 {
                assert_eq!(mapped, vms, "{what}");
                assert!(
                    ours.abs_diff(rss) <= doubt,
                    "{what}: {ours} and {rss}, {doubt} allowed"
                );
                compared += 1;
            }
        }
        assert!(compared >= 10, "{compared} of 14 checkpoints were steady");
    });
}

/// Check that the header begins as published, and that the usual columns follow, with those of `--with`.
#[test]
fn the_header_begins_as_published_and_the_usual_columns_follow() {
    let program = Program::new("memory.c").flags(&["-O2"]).build();
    with_kernel(|mode| {
        let target = Target::start(&program, &[]);
        let pid = target.pid();
        let options = ["--function", "grow", "--with", "user", "-o", "memory.csv"];
        let profiler = Profiler::attach(&target, mode, &[&MONITOR[..], &options].concat());
        let _ = target.finish().expect_status(0);
        let ended = profiler.wait();
        let text = ended.file("memory.csv");
        let header = text.lines().next().unwrap_or_default();
        assert!(
            header.starts_with(
                "index,type,function,RSS,VMS,lineNo,filename,time_ns,pid,tid,comm,object,depth,duration_ns,"
            ),
            "{header}"
        );
        assert_eq!(text.lines().count(), 1 + 2 * 6);
        let columns = header.split(',').count();
        assert!(
            text.lines().all(|line| line.split(',').count() == columns),
            "{text}"
        );
        assert_eq!(header.split(',').next_back(), Some("user"));
        let of_root = |line: &str| line.contains(&format!(",{pid},{pid},")) && line.ends_with(",root");
        assert!(text.lines().skip(1).all(of_root), "{text}");
    });
}

/// Check that the monitor records on the screen where nothing else is asked for, by its other name, too.
#[test]
fn without_a_format_the_records_go_to_the_screen() {
    let program = Program::new("memory.c").flags(&["-O2"]).build();
    with_kernel(|mode| {
        let target = Target::start(&program, &[]);
        let options = ["--monitor", "function_memory", "--function", "grow"];
        let profiler = Profiler::attach(&target, mode, &options);
        let _ = target.finish().expect_status(0);
        let ended = profiler.wait();
        let words: Vec<&str> = ended
            .stdout
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        assert_eq!(
            words[..7],
            ["index", "type", "function", "RSS", "VMS", "lineNo", "filename"]
        );
        assert_eq!(ended.stdout.lines().count(), 2 + 2 * 6, "{}", ended.stdout);
    });
}

/// Check that memory that other threads add meanwhile is never missing for a moment: CPUs hand over what they have
/// counted, and what is on its way must be in the sum once.
#[test]
fn memory_that_other_threads_add_is_never_missing_for_a_moment() {
    let program = Program::new("growing.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        let target = Target::start(&program, &[]);
        let options = [&MONITOR[..], &["--function", "checkpoint"]].concat();
        let profiler = Profiler::attach_recording(&target, mode, &options);
        let outcome = target.finish().expect_status(0);
        let records = profiler.wait().records();
        assert_eq!(records.len() as u64, 2 * outcome.truth_of("checkpoint"));
        let less = records
            .windows(2)
            .filter(|pair| memory(&pair[1]).0 < memory(&pair[0]).0);
        let less: Vec<_> = less
            .map(|pair| (memory(&pair[0]).0, memory(&pair[1]).0))
            .collect();
        assert_eq!(less, [], "of {} records", records.len());
        let (first, last) = (memory(&records[0]).0, memory(&records[records.len() - 1]).0);
        // The first call comes when the threads have begun.
        assert!(last - first > outcome.truth_of("grown") / 2, "{first} to {last}");
    });
}
