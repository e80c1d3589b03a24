//! The table of allocations.
use profiler_common::alloc::Family;

use super::View;
use super::grid::{self, GridColumn, Shape};
use super::number::{self, thousands};
use super::page::Page;
use super::process_memory;
use crate::aggregate::memory::{FamilySummary, MemoryCounters, MemoryRow, MemorySummary};
use crate::record::escape::escaped;
use crate::ui::mem_view::{MemShown, MemSort, MemView};

/// Lines of the header that a table leaves room for.
const OTHER_LINES: usize = 7;

/// A line of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The family of its allocators.
    pub family: Family,
    /// The site, function, …
    pub what: String,
    /// Its file.
    pub object: String,
    /// What it calls for memory.
    pub allocator: String,
    /// The changes, in the order of [`MemoryCounters::NAMES`].
    pub numbers: [i64; 18],
}

/// Bytes with three significant digits: `999 B`, `1.23 KiB`, `45.6 MiB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let mut value = number as f64 / 1024.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = match value {
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// The whole text: totals, lines, what was lost, notes.
pub fn render(summary: &MemorySummary, shown: &MemShown, view: &View) -> String {
    let elapsed = number::duration(summary.elapsed.as_nanos() as u64);
    let title = format!("{} · {} · {elapsed}", escaped(&summary.title), title(shown.view));
    let mut page = Page::new(&title, view);
    for family in &summary.families {
        page.line(&family_line(family, &summary.total(family.family)));
    }
    if let Some(processes) = process_memory::line(&summary.processes) {
        page.line(&processes);
    }
    let rows = sorted(&summary.rows, shown);
    let room = view
        .height
        .map(|height| height.saturating_sub(OTHER_LINES + summary.families.len()));
    let most = shown.top.unwrap_or(usize::MAX).min(room.unwrap_or(usize::MAX));
    let cells: Vec<Vec<String>> = rows.iter().take(most).map(|row| cells(row, shown.view)).collect();
    page.table(&columns(shown), &cells, (rows.len(), nothing(shown.view)));
    if let Some(mean) = summary.sample_bytes {
        page.dim(&sampling_note(summary, mean));
    }
    page.losses(&summary.losses);
    if let Some(note) = dropped_note(summary) {
        page.dim(&note);
    }
    page.notes(family_notes(summary).iter().chain(&summary.notes));
    page.finish()
}

/// Blocks that went with the program that had them.
fn dropped_note(summary: &MemorySummary) -> Option<String> {
    let dropped: u64 = summary.rows.iter().map(|row| row.counters.dropped).sum();
    (dropped > 0).then(|| {
        format!(
            "note: {} blocks went with their programs (exec), or with processes that ended when the room was needed: they \
             are not among what is alive",
            thousands(dropped)
        )
    })
}

/// The table of what has changed, what has grown most first.
pub fn render_changes(changes: &[Change], shown: &MemShown, view: &View) -> String {
    if changes.is_empty() {
        return "nothing has changed\n".to_owned();
    }
    let index = MemoryCounters::NAMES
        .iter()
        .position(|name| *name == field(shown.sort));
    let index = index.unwrap_or(0);
    let mut changes: Vec<&Change> = changes.iter().collect();
    changes.sort_by_key(|change| std::cmp::Reverse(change.numbers[index].unsigned_abs()));
    let shown_ones = changes.iter().take(shown.top.unwrap_or(usize::MAX));
    let cells: Vec<Vec<String>> = shown_ones
        .map(|change| {
            let [allocations, _, _, _, live_count, live_bytes, ..] = change.numbers;
            vec![
                escaped(&change.what).into_owned(),
                escaped(&change.object).into_owned(),
                signed(live_bytes, &bytes),
                signed(live_count, &thousands),
                signed(allocations, &thousands),
                escaped(&change.allocator).into_owned(),
            ]
        })
        .collect();
    let column = |header: &str, shape, drop| GridColumn {
        header: header.to_owned(),
        shape,
        drop,
    };
    let columns = [
        column(shown.by.name(), Shape::Name(16), 0),
        column("object", Shape::Name(8), 1),
        column("live", Shape::Number, 0),
        column("blocks", Shape::Number, 0),
        column("allocations", Shape::Number, 2),
        column("allocator", Shape::Name(8), 3),
    ];
    let mut text = grid::lines(&columns, &cells, view.width).join("\n");
    text.push('\n');
    text
}

pub(super) fn signed(number: i64, shown: &dyn Fn(u64) -> String) -> String {
    match number {
        0 => "0".to_owned(),
        1.. => format!("+{}", shown(number.unsigned_abs())),
        _ => format!("-{}", shown(number.unsigned_abs())),
    }
}

const fn title(view: MemView) -> &'static str {
    match view {
        MemView::Live => "alive",
        MemView::Leaks => "alive and old",
        MemView::Peak => "alive at the peak",
        MemView::Temporary => "short-lived",
        MemView::Hot => "most allocations",
        MemView::Sizes => "sizes",
    }
}

const fn nothing(view: MemView) -> &'static str {
    match view {
        MemView::Live => "nothing that was allocated since the attach is alive",
        MemView::Leaks => "nothing that is alive is as old as --min-age",
        MemView::Peak | MemView::Hot | MemView::Sizes => "nothing was allocated since the attach",
        MemView::Temporary => "nothing was freed before the next allocation of its thread",
    }
}

fn family_line(family: &FamilySummary, total: &MemoryCounters) -> String {
    let peak = family.peak_after.map_or(String::new(), |after| {
        format!(
            ", peak {} after {}",
            bytes(family.peak_bytes),
            number::duration(after.as_nanos() as u64)
        )
    });
    let failed = if total.failed > 0 {
        format!(", {} failed", thousands(total.failed))
    } else {
        String::new()
    };
    format!(
        "{}: {} in {} blocks alive{peak}; {} allocations of {}, {} frees{failed}",
        family.family.name(),
        bytes(total.live_bytes),
        thousands(total.live_count),
        thousands(total.allocations),
        bytes(total.bytes),
        thousands(total.frees),
    )
}

/// What must be said of a result beside its lines and its losses.
pub fn notes(summary: &MemorySummary) -> Vec<String> {
    let mut notes = family_notes(summary);
    if let Some(mean) = summary.sample_bytes {
        notes.push(sampling_note(summary, mean));
    }
    notes.extend(summary.notes.iter().cloned());
    notes
}

fn family_notes(summary: &MemorySummary) -> Vec<String> {
    let mut notes = Vec::new();
    for family in &summary.families {
        let name = family.family.name();
        for (count, what) in [
            (
                family.unknown_frees,
                "frees of addresses that are not known: allocated before the attach or where there was no room",
            ),
            (
                family.double_frees,
                "frees of addresses that were freed before and not allocated since, as far as was seen: freed twice, or allocated unseen",
            ),
            (
                family.inherited_frees,
                "frees in forked processes of what their parents had allocated before the fork",
            ),
            (
                family.partial_unmaps,
                "ranges were unmapped that are not known, or in part: mapped before the attach, or more than 64 mappings ago",
            ),
            (
                family.missed_frees,
                "allocations at addresses that were alive: their frees were not seen",
            ),
        ] {
            if count > 0 {
                notes.push(format!("{name}: {} {what}", thousands(count)));
            }
        }
    }
    notes
}

fn sampling_note(summary: &MemorySummary, mean: u64) -> String {
    let samples: u64 = summary.rows.iter().map(|row| row.counters.samples).sum();
    format!(
        "estimated from {} samples, one in {} bytes: each stands for 1/(1−exp(−size/{})) of its size; frees of unknown \
         addresses are not counted",
        thousands(samples),
        number::bytes(mean),
        number::bytes(mean),
    )
}

const fn field(sort: MemSort) -> &'static str {
    match sort {
        MemSort::Live => "live_bytes",
        MemSort::Blocks => "live_count",
        MemSort::Peak => "at_peak_bytes",
        MemSort::Allocations => "allocations",
        MemSort::Bytes => "bytes",
        MemSort::Temporary => "temporary",
        MemSort::Old => "old_bytes",
    }
}

const fn sorted_by(counters: &MemoryCounters, sort: MemSort) -> u64 {
    match sort {
        MemSort::Live => counters.live_bytes,
        MemSort::Blocks => counters.live_count,
        MemSort::Peak => counters.at_peak_bytes,
        MemSort::Allocations => counters.allocations,
        MemSort::Bytes => counters.bytes,
        MemSort::Temporary => counters.temporary,
        MemSort::Old => counters.old_bytes,
    }
}

/// The lines that the view has something to say of, the largest first.
fn sorted<'a>(rows: &'a [MemoryRow], shown: &MemShown) -> Vec<&'a MemoryRow> {
    let matters = |row: &&MemoryRow| {
        let counters = &row.counters;
        match shown.view {
            MemView::Live => counters.live_count > 0 || counters.live_bytes > 0,
            MemView::Leaks => counters.old_count > 0,
            MemView::Peak => counters.at_peak_count > 0 || counters.at_peak_bytes > 0,
            MemView::Temporary => counters.temporary > 0,
            MemView::Hot | MemView::Sizes => counters.allocations > 0 || counters.failed > 0,
        }
    };
    let mut rows: Vec<&MemoryRow> = rows.iter().filter(matters).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(sorted_by(&row.counters, shown.sort)));
    rows
}

fn columns(shown: &MemShown) -> Vec<GridColumn> {
    let column = |header: &str, shape, drop| GridColumn {
        header: header.to_owned(),
        shape,
        drop,
    };
    let number = |header: &str| column(header, Shape::Number, 0);
    let numbers: Vec<GridColumn> = match shown.view {
        MemView::Live => vec![
            number("live"),
            number("blocks"),
            number("peak"),
            number("allocations"),
        ],
        MemView::Leaks => vec![
            number("old"),
            number("old blocks"),
            number("live"),
            number("blocks"),
        ],
        MemView::Peak => vec![number("at peak"), number("blocks"), number("live now")],
        MemView::Temporary => vec![number("temporary"), number("allocations"), number("share")],
        MemView::Hot => vec![
            number("allocations"),
            number("bytes"),
            number("frees"),
            number("failed"),
        ],
        MemView::Sizes => vec![
            number("allocations"),
            number("mean"),
            column("sizes", Shape::Word, 0),
        ],
    };
    let mut columns = numbers;
    columns.push(column(shown.by.name(), Shape::Name(16), 0));
    columns.push(column("object", Shape::Name(8), 1));
    columns.push(column("allocator", Shape::Name(8), 2));
    columns.push(column("pid", Shape::Number, 3));
    columns
}

fn cells(row: &MemoryRow, view: MemView) -> Vec<String> {
    let counters = &row.counters;
    let mut cells = match view {
        MemView::Live => vec![
            bytes(counters.live_bytes),
            thousands(counters.live_count),
            bytes(counters.peak_bytes),
            thousands(counters.allocations),
        ],
        MemView::Leaks => vec![
            bytes(counters.old_bytes),
            thousands(counters.old_count),
            bytes(counters.live_bytes),
            thousands(counters.live_count),
        ],
        MemView::Peak => vec![
            bytes(counters.at_peak_bytes),
            thousands(counters.at_peak_count),
            bytes(counters.live_bytes),
        ],
        MemView::Temporary => vec![
            thousands(counters.temporary),
            thousands(counters.allocations),
            number::percent(counters.temporary as f64 / counters.allocations.max(1) as f64),
        ],
        MemView::Hot => vec![
            thousands(counters.allocations),
            bytes(counters.bytes),
            thousands(counters.frees),
            thousands(counters.failed),
        ],
        MemView::Sizes => vec![
            thousands(counters.allocations),
            bytes(counters.bytes / counters.allocations.max(1)),
            sizes(counters),
        ],
    };
    cells.push(escaped(&row.what).into_owned());
    cells.push(escaped(&row.object).into_owned());
    cells.push(escaped(&row.allocator).into_owned());
    cells.push(row.pid.map_or(String::new(), |pid| pid.to_string()));
    cells
}

/// The most frequent sizes: `16…31 B: 90 %, 1…2 KiB: 10 %`.
fn sizes(counters: &MemoryCounters) -> String {
    let mut buckets: Vec<(usize, u64)> = counters.sizes.iter().copied().enumerate().collect();
    buckets.retain(|(_, count)| *count > 0);
    buckets.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let total: u64 = counters.sizes.iter().sum();
    let text = buckets.iter().take(3).map(|(bucket, count)| {
        let share = number::percent(*count as f64 / total.max(1) as f64);
        match bucket {
            0 => format!("0 B: {share}"),
            1 => format!("1 B: {share}"),
            bucket => format!(
                "{}…{}: {share}",
                bytes(1 << (bucket - 1)),
                bytes((1 << bucket) - 1)
            ),
        }
    });
    text.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use profiler_common::alloc::Family;
    use profiler_common::loss::LossReason;

    use super::{bytes, render};
    use crate::aggregate::memory::{FamilySummary, MemoryCounters, MemoryRow, MemorySummary};
    use crate::object::names::NameStyle;
    use crate::ui::View;
    use crate::ui::mem_view::{MemBy, MemShown, MemSort, MemView};

    fn shown(view: MemView, sort: MemSort) -> MemShown {
        MemShown {
            view,
            by: MemBy::Site,
            sort,
            top: Some(2),
            min_age: Duration::from_secs(10),
            names: NameStyle::Demangled,
        }
    }

    fn summary() -> MemorySummary {
        let row = |what: &str, live: u64, temporary: u64| MemoryRow {
            what: what.to_owned(),
            object: "app".to_owned(),
            allocator: "malloc".to_owned(),
            pid: Some(7),
            counters: MemoryCounters {
                allocations: 10,
                bytes: 1000,
                frees: 8,
                live_count: u64::from(live > 0),
                live_bytes: live,
                temporary,
                ..MemoryCounters::default()
            },
            ..MemoryRow::default()
        };
        MemorySummary {
            title: "process 7 (app)".to_owned(),
            elapsed: Duration::from_secs(2),
            families: vec![FamilySummary {
                family: Family::Heap,
                live_bytes: 3000,
                peak_bytes: 4096,
                peak_after: Some(Duration::from_secs(1)),
                unknown_frees: 4,
                ..FamilySummary::default()
            }],
            rows: vec![
                row("small+0x1", 24, 0),
                row("large+0x2", 2048, 5),
                row("gone+0x3", 0, 0),
                row("mid+0x4", 100, 0),
            ],
            losses: vec![(LossReason::LiveFull, 3), (LossReason::SitesFull, 0)],
            ..MemorySummary::default()
        }
    }

    #[test]
    fn what_is_alive_comes_first_and_losses_and_unknown_frees_are_said() {
        let text = render(&summary(), &shown(MemView::Live, MemSort::Live), &View::default());
        let position = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
        assert!(position("large+0x2") < position("mid+0x4"));
        assert!(
            !text.contains("gone+0x3") && !text.contains("small+0x1"),
            "{text}"
        );
        assert!(text.contains("and 1 more"), "{text}");
        assert!(
            text.contains("lost: 3 allocations whose end cannot be seen"),
            "{text}"
        );
        assert!(text.contains("note: heap: 4 frees of addresses"), "{text}");
        assert!(text.contains("peak 4.00 KiB after 1.000 s"), "{text}");
    }

    #[test]
    fn a_view_without_lines_says_why() {
        let text = render(&summary(), &shown(MemView::Leaks, MemSort::Old), &View::default());
        assert!(
            text.contains("nothing that is alive is as old as --min-age"),
            "{text}"
        );
        let text = render(
            &summary(),
            &shown(MemView::Temporary, MemSort::Temporary),
            &View::default(),
        );
        assert!(text.contains("large+0x2") && text.contains("50.0 %"), "{text}");
    }

    #[test]
    fn samples_are_said_to_be_estimates() {
        let sampled = MemorySummary {
            sample_bytes: Some(512 << 10),
            ..summary()
        };
        let text = render(
            &sampled,
            &shown(MemView::Hot, MemSort::Allocations),
            &View::default(),
        );
        assert!(text.contains("one in 512K bytes"), "{text}");
    }

    #[test]
    fn bytes_have_three_digits() {
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (10 * 1024, "10.0 KiB"),
            (1000 * 1024, "0.98 MiB"),
            (1 << 30, "1.00 GiB"),
            (u64::MAX, "16384 PiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }
}
