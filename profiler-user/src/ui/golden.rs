//! The table and the plan against the text they must be.
use std::path::PathBuf;
use std::time::Duration;

use profiler_common::cookie::FunctionId;
use profiler_common::histogram::{bucket, bucket_count};
use profiler_common::loss::LossReason;

use super::{Overhead, Row, SortKey, Style, Summary, View, plan_table, table};
use crate::aggregate::FunctionTotals;
use crate::aggregate::histogram::Histogram;
use crate::probe::plan::{
    EntryOnlyReason, ExitSite, ExitSitesReason, LeftOut, LeftOutReason, Plan, PlannedFunction, PlannedObject,
    Price, ReturnProbeReason, Returns, Site,
};
use crate::resolve::FunctionLines;

fn row(function: &str, object: &str, durations: &[u64]) -> Row {
    let mut buckets = vec![0; bucket_count(3) as usize];
    for duration in durations {
        buckets[bucket(*duration, 3) as usize] += 1;
    }
    let totals = FunctionTotals {
        calls: durations.len() as u64,
        returns: durations.len() as u64,
        total_ns: durations.iter().sum(),
        self_ns: durations.iter().sum::<u64>() / 2,
        extremes_ns: durations
            .iter()
            .min()
            .copied()
            .zip(durations.iter().max().copied()),
        histogram: Histogram {
            resolution: 3,
            buckets,
        },
        ..FunctionTotals::default()
    };
    Row {
        group: Vec::new(),
        function: function.into(),
        object: object.into(),
        totals,
        untimed: None,
    }
}

fn summary() -> Summary {
    let mut waiting = row(
        "ns::Server::handle_request(ns::Request const&, unsigned long)",
        "server",
        &[1_500_000, 2_500_000],
    );
    waiting.totals.calls += 3;
    let mut counted = row("start_coroutine", "libcoro.so", &[]);
    (counted.totals.calls, counted.totals.untimed) = (1_234_567, 1_234_567);
    counted.untimed = Some("an indirect jump may leave it unseen".into());
    Summary {
        group_by: Vec::new(),
        title: "process 1234 (server)".into(),
        elapsed: Duration::from_millis(12_500),
        rows: vec![
            row("malloc", "libc.so.6", &[80, 90, 100, 110, 12_000]),
            waiting,
            counted,
            row("evil\x1b[2J", "lib\x07.so", &[700]),
            row("never_called", "server", &[]),
        ],
        losses: LossReason::ALL.iter().map(|reason| (*reason, 0)).collect(),
        overhead: Some(Overhead {
            hits: 2_469_150,
            hit_ns: 812.4,
            core_percent: 16.05,
            in_duration_ns: 400.0,
            in_duration_stepped_ns: 9_000.0,
            basis: "measured on this machine",
        }),
        quantile_error: Some(0.0625),
        notes: vec![],
    }
}

/// Compares `shown` with the golden file `name`; with `UPDATE_GOLDEN` in the environment it writes the file instead.
#[track_caller]
fn same(shown: &str, name: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src/ui/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, shown).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert!(
        shown == expected,
        "shown:\n{shown}\nexpected ({name}):\n{expected}"
    );
}

#[test]
fn a_wide_table_shows_everything() {
    same(&table::render(&summary(), &View::default()), "wide.txt");
}

#[test]
fn a_narrow_table_shortens_names_and_drops_columns_and_says_what_was_lost() {
    let mut summary = summary();
    summary.losses = vec![
        (LossReason::RingFull, 1_234),
        (LossReason::EntryWithoutReturn, 5),
        (LossReason::BadCookie, 0),
    ];
    summary
        .notes
        .push("`malloc` is only counted since 3.2 s: its probes cost 40 % of one core".into());
    let view = View {
        width: Some(80),
        sort: SortKey::Calls,
        top: Some(2),
        ..View::default()
    };
    same(&table::render(&summary, &view), "narrow.txt");
}

#[test]
fn no_line_is_wider_than_the_terminal_and_no_table_higher() {
    for width in 10..200 {
        for height in [8, 10, 24] {
            let view = View {
                width: Some(width),
                height: Some(height),
                ..View::default()
            };
            let shown = table::render(&summary(), &view);
            assert!(
                shown.lines().all(|line| line.chars().count() <= width),
                "{width}:\n{shown}"
            );
            assert!(shown.lines().count() < height.max(10), "{height}:\n{shown}");
        }
    }
}

#[test]
fn only_our_own_escape_sequences_reach_the_terminal() {
    let plain = table::render(&summary(), &View::default());
    assert!(!plain.contains('\x1b') && plain.contains("evil\\x1b[2J"));
    let coloured = table::render(
        &summary(),
        &View {
            style: Style::Coloured,
            ..View::default()
        },
    );
    let ours = coloured
        .replace("\x1b[1m", "")
        .replace("\x1b[2m", "")
        .replace("\x1b[33m", "")
        .replace("\x1b[0m", "");
    assert_eq!(ours, plain);
}

#[test]
fn rows_are_sorted_by_every_key_the_largest_first() {
    let summary = summary();
    for (sort, first) in [
        (SortKey::Calls, "start_coroutine"),
        (SortKey::Total, "ns::Server"),
        (SortKey::SelfTime, "ns::Server"),
        (SortKey::Avg, "ns::Server"),
        (SortKey::P99, "ns::Server"),
        (SortKey::Max, "ns::Server"),
    ] {
        assert!(
            table::sorted(&summary.rows, sort)[0].function.starts_with(first),
            "{sort:?}"
        );
        assert_eq!(SortKey::by_name(sort.name()), Some(sort));
    }
    assert_eq!(SortKey::by_name("size"), None);
}

#[test]
fn an_empty_session_is_shown_too() {
    let shown = table::render(
        &Summary {
            title: "process 1".into(),
            ..Summary::default()
        },
        &View::default(),
    );
    assert!(shown.contains("function") && shown.contains("nothing"), "{shown}");
}

fn planned(number: u32, name: &str, entry: Site, returns: Returns) -> PlannedFunction {
    PlannedFunction {
        id: FunctionId(number),
        object: usize::from(number > 1),
        name: name.into(),
        aliases: vec![],
        address: entry.offset,
        entry,
        returns,
        stack: profiler_common::cookie::CallStack::Thread,
        focus: number == 0,
        named: false,
        allocator: None,
    }
}

fn plan() -> Plan {
    let site = |offset, distance, price| Site {
        offset,
        distance,
        price,
    };
    let exits = [0x2010, 0x2044].map(|offset| ExitSite {
        offset,
        condition: None,
        leave: profiler_common::cookie::Leave::Return,
        price: Price::SingleStepped,
    });
    let mut malloc = planned(
        2,
        "malloc",
        site(0x9_f0a4, 4, Price::Emulated),
        Returns::ReturnProbe(ReturnProbeReason::HarmlessLibrary),
    );
    malloc.aliases = vec!["__libc_malloc".into(), "__malloc".into()];
    let object = |name: &str| PlannedObject {
        attach_path: PathBuf::from(name),
        path: PathBuf::from(name),
        name: name.into(),
        copies: Vec::new(),
    };
    let left_out = |name: &str, reason| LeftOut {
        name: name.into(),
        object: "libc.so.6".into(),
        reason,
    };
    Plan {
        notes: Vec::new(),
        functions: vec![
            planned(
                0,
                "main",
                site(0x1139, 0, Price::Emulated),
                Returns::ReturnProbe(ReturnProbeReason::NoMachinery),
            ),
            planned(
                1,
                "ns::throwing(int)",
                site(0x2000, 0, Price::SingleStepped),
                Returns::ExitSites(exits.to_vec(), ExitSitesReason::Unwinding),
            ),
            malloc,
            planned(
                3,
                "dispatch",
                site(0xa_0000, 0, Price::SingleStepped),
                Returns::EntryOnly(EntryOnlyReason::IndirectJump),
            ),
        ],
        objects: vec![object("server"), object("libc.so.6")],
        left_out: vec![
            left_out("memcpy", LeftOutReason::Ifunc),
            left_out("strlen", LeftOutReason::Ifunc),
            left_out("abort", LeftOutReason::Excluded),
        ],
    }
}

#[test]
fn a_plan_shows_sites_prices_returns_and_what_is_left_out() {
    same(
        &plan_table::render(&plan(), &FunctionLines::default(), &View::default()),
        "plan.txt",
    );
    same(
        &plan_table::render(
            &plan(),
            &FunctionLines::default(),
            &View {
                width: Some(78),
                ..View::default()
            },
        ),
        "plan_narrow.txt",
    );
}
