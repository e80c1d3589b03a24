//! What has changed between two results.
use std::collections::BTreeMap;
use std::path::Path;

use profiler_common::alloc::Family;

use super::json;
use crate::aggregate::memory::{MemoryCounters, MemoryRow, MemorySummary};
use crate::session::SessionError;
use crate::ui::mem_table::{self, Change};
use crate::ui::mem_view::MemShown;
use crate::ui::{Style, View};

/// The table of what has changed. Rows are the same by their names, not by their addresses: those of two runs differ.
pub fn text((before, after): (&Path, &Path), shown: &MemShown, style: Style) -> Result<String, SessionError> {
    let (before, after) = (json::read(before)?, json::read(after)?);
    let view = View {
        style,
        ..View::default()
    };
    Ok(mem_table::render_changes(&changes(&before, &after), shown, &view))
}

type Key = (Family, String, String, String);

fn by_name(summary: &MemorySummary) -> BTreeMap<Key, MemoryCounters> {
    let mut rows: BTreeMap<Key, MemoryCounters> = BTreeMap::new();
    for row in &summary.rows {
        let MemoryRow {
            what,
            object,
            allocator,
            family,
            counters,
            ..
        } = row;
        let key = (*family, what.clone(), object.clone(), allocator.clone());
        rows.entry(key).or_default().add(counters);
    }
    rows
}

fn changes(before: &MemorySummary, after: &MemorySummary) -> Vec<Change> {
    let (before, after) = (by_name(before), by_name(after));
    let mut keys: Vec<&Key> = before.keys().chain(after.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let nothing = MemoryCounters::default();
    let change = |key: &Key| {
        let numbers = after
            .get(key)
            .unwrap_or(&nothing)
            .since(before.get(key).unwrap_or(&nothing));
        let (family, what, object, allocator) = key.clone();
        Change {
            family,
            what,
            object,
            allocator,
            numbers,
        }
    };
    let changed = keys.into_iter().map(change);
    changed
        .filter(|change| change.numbers.iter().any(|number| *number != 0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::changes;
    use crate::aggregate::memory::{MemoryCounters, MemoryRow, MemorySummary};

    fn summary(rows: &[(&str, u64)]) -> MemorySummary {
        let row = |(what, live): &(&str, u64)| MemoryRow {
            what: (*what).to_owned(),
            counters: MemoryCounters {
                live_bytes: *live,
                ..MemoryCounters::default()
            },
            ..MemoryRow::default()
        };
        MemorySummary {
            rows: rows.iter().map(row).collect(),
            ..MemorySummary::default()
        }
    }

    #[test]
    fn rows_are_compared_by_name_and_unchanged_ones_left_out() {
        let before = summary(&[("gone", 5), ("same", 7), ("grown", 1)]);
        let after = summary(&[("same", 7), ("grown", 2), ("grown", 3), ("new", 9)]);
        let changed: Vec<_> = changes(&before, &after)
            .into_iter()
            .map(|change| (change.what, change.numbers[5]))
            .collect();
        let expected = [("gone", -5), ("grown", 4), ("new", 9)];
        assert_eq!(changed, expected.map(|(what, change)| (what.to_owned(), change)));
    }
}
