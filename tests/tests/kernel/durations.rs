//! Durations, against what the functions measure themselves.
//!
//! The program reads the profiler's clock inside of each function and around each call: the true duration as a
//! profiler can see it lies between the two, whatever else the machine does.
use tests::kernel::{AttachMode, for_each_attach_mode_alone};
use tests::program::Program;
use tests::report::{FunctionRow, Report};
use tests::session::observe;
use tests::target::Outcome;

/// What a call may be off by, in addition to one per cent: two traps and the clock's reading.
const CONSTANT_NS: u64 = 20_000;

const OPTIONS: [&str; 8] = [
    "--function",
    "spin",
    "--function",
    "sleep_for",
    "--function",
    "parent",
    "--function",
    "nest",
];

fn run(mode: AttachMode, returns: &str) -> (Outcome, Report) {
    let program = Program::new("durations.c").flags(&["-O2"]).build();
    let (outcome, report) = observe(
        &program,
        &[],
        mode,
        &[&OPTIONS[..], &["--returns", returns]].concat(),
    );
    report.assert_adds_up();
    report.assert_no_loss_but(&[]);
    (outcome, report)
}

/// Fails unless `measured` lies between `least` and `most`, give or take one per cent and the constant for each call.
fn assert_between(measured: u64, (least, most): (u64, u64), calls: u64, row: &FunctionRow) {
    let slack = least / 100 + calls * CONSTANT_NS;
    assert!(
        (least.saturating_sub(slack)..=most + slack).contains(&measured),
        "{measured} ns is not within {least} … {most} ± {slack} ns: {row:?}"
    );
}

fn truth(outcome: &Outcome, name: &str, what: &str) -> u64 {
    outcome.truth_of(&format!("{name} {what}"))
}

/// Check that functions that spin, sleep and call others are measured within one per cent plus 20 µs for each call.
#[test]
fn known_durations_are_measured_within_one_per_cent_and_20_microseconds() {
    for_each_attach_mode_alone(|mode| {
        for returns in ["uretprobe", "sites"] {
            let (outcome, report) = run(mode, returns);
            for name in ["spin", "sleep_for", "parent"] {
                let (row, calls) = (report.row(name), truth(&outcome, name, "calls"));
                assert_eq!((row.calls, row.returns), (calls, calls));
                let known = (truth(&outcome, name, "inside"), truth(&outcome, name, "outside"));
                assert_between(row.total_ns, known, calls, row);
            }
        }
    });
}

/// Check that self time is the time that was not spent in probed callees.
#[test]
fn self_time_excludes_the_children() {
    for_each_attach_mode_alone(|mode| {
        let (outcome, report) = run(mode, "auto");
        for name in ["spin", "sleep_for"] {
            assert_eq!(
                report.row(name).self_ns,
                report.row(name).total_ns,
                "{name} calls nothing"
            );
        }
        // `parent` calls `spin` twice and `sleep_for` once each time; the others are called by main.
        let (row, calls) = (report.row("parent"), truth(&outcome, "parent", "calls"));
        // Children are at least 3 + 5 + 2 ms of each call; its own work is at least 4 ms.
        let own = row.self_ns / calls;
        assert!(own >= 4_000_000 - CONSTANT_NS, "own work is 4 ms: {row:?}");
        assert!(
            row.total_ns - row.self_ns >= calls * (10_000_000 - 3 * CONSTANT_NS),
            "children take 10 ms: {row:?}"
        );
        let all: u64 = report
            .functions
            .iter()
            .filter(|row| !row.is_named("nest"))
            .map(|row| row.self_ns)
            .sum();
        let from_main = report.row("parent").total_ns
            + (report.row("spin").total_ns + report.row("sleep_for").total_ns)
            - (row.total_ns - row.self_ns);
        assert_eq!(
            all, from_main,
            "self times add up to what main waited for: {report:#?}"
        );
    });
}

/// Check that a recursive function's times are right: each level's inclusive time counts (an ancestor gave every level
/// the time of the innermost one), and self times add up to the outermost call.
#[test]
fn recursive_times_are_inclusive_at_every_level() {
    for_each_attach_mode_alone(|mode| {
        for returns in ["auto", "sites"] {
            let (outcome, report) = run(mode, returns);
            let row = report.row("nest");
            let known = (
                truth(&outcome, "nest", "inside"),
                truth(&outcome, "nest", "outside"),
            );
            assert_between(row.total_ns, known, 4, row);
            assert!(
                row.total_ns / 4 >= 25_000_000 - CONSTANT_NS,
                "25 ms on average: {row:?}"
            );
            assert_eq!(
                Some(row.self_ns),
                row.max_ns,
                "self times add up to the outermost call: {row:?}"
            );
            assert!(
                row.min_ns >= Some(10_000_000 - CONSTANT_NS) && row.max_ns >= Some(40_000_000 - CONSTANT_NS)
            );
        }
    });
}

/// Check that extremes and percentiles frame the known durations.
#[test]
fn extremes_and_percentiles_frame_the_known_durations() {
    for_each_attach_mode_alone(|mode| {
        let (_, report) = run(mode, "auto");
        let row = report.row("spin");
        let [min, p50, p99, max] =
            [row.min_ns, row.p50_ns, row.p99_ns, row.max_ns].map(|time| time.expect("a time is known"));
        assert!(min <= p50 && p50 <= p99 && p99 <= max, "{row:?}");
        assert!(min >= 2_000_000 - CONSTANT_NS, "the shortest is 2 ms: {row:?}");
        // 10 calls of 2 ms, 10 of 3 ms, 10 of 5 ms.
        assert!(p50 >= 2_000_000 - 2_000_000 / 16, "{row:?}");
        assert!(max >= 5_000_000 - CONSTANT_NS, "{row:?}");
    });
}
