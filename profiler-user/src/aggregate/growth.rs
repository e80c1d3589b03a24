//! What made resident memory grow: what a session is shown and written as.
use std::ops::AddAssign;
use std::time::Duration;

use profiler_common::loss::LossReason;
use profiler_common::rss::{PAGE_KINDS, PlaceCounters};

/// Numbers of a line, bytes but for counts. Kinds are file, anonymous and shared pages, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrowthCounters {
    /// Bytes that became resident, by kind.
    pub grown: [u64; PAGE_KINDS],
    /// Bytes that stopped being resident, by kind.
    pub shrunk: [u64; PAGE_KINDS],
    /// Changes.
    pub changes: u64,
    /// Page faults of the program itself.
    pub faults: u64,
}

impl GrowthCounters {
    /// The names of the numbers, as files have them.
    pub const NAMES: [&str; 12] = [
        "RSS",
        "anonymous_bytes",
        "file_bytes",
        "shared_bytes",
        "anonymous_grown_bytes",
        "file_grown_bytes",
        "shared_grown_bytes",
        "anonymous_shrunk_bytes",
        "file_shrunk_bytes",
        "shared_shrunk_bytes",
        "changes",
        "page_faults",
    ];

    /// What the kernel side has counted, in pages of `page` bytes.
    pub fn of(counted: &PlaceCounters, page: u64) -> Self {
        Self {
            grown: counted.grown.map(|pages| pages * page),
            shrunk: counted.shrunk.map(|pages| pages * page),
            changes: counted.changes,
            faults: counted.faults,
        }
    }

    /// By how much a kind has grown, bytes; negative = it has shrunk.
    pub fn net(&self, kind: usize) -> i64 {
        self.grown[kind] as i64 - self.shrunk[kind] as i64
    }

    /// By how much resident memory has grown, bytes; negative = it has shrunk.
    pub fn total(&self) -> i64 {
        (0..PAGE_KINDS).map(|kind| self.net(kind)).sum()
    }

    /// The numbers, in the order of [`Self::NAMES`].
    pub fn numbers(&self) -> [i64; 12] {
        let [file, anonymous, shared] = [0, 1, 2].map(|kind| self.net(kind));
        let [file_grown, anonymous_grown, shared_grown] = self.grown.map(|bytes| bytes as i64);
        let [file_shrunk, anonymous_shrunk, shared_shrunk] = self.shrunk.map(|bytes| bytes as i64);
        [
            self.total(),
            anonymous,
            file,
            shared,
            anonymous_grown,
            file_grown,
            shared_grown,
            anonymous_shrunk,
            file_shrunk,
            shared_shrunk,
            self.changes as i64,
            self.faults as i64,
        ]
    }
}

impl AddAssign for GrowthCounters {
    fn add_assign(&mut self, other: Self) {
        for kind in 0..PAGE_KINDS {
            self.grown[kind] += other.grown[kind];
            self.shrunk[kind] += other.shrunk[kind];
        }
        self.changes += other.changes;
        self.faults += other.faults;
    }
}

/// A line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrowthRow {
    /// The place, function, file, …
    pub what: String,
    /// The probed function that was open, or nothing.
    pub function: String,
    /// The file of the place.
    pub object: String,
    /// The process, where it is told apart.
    pub pid: Option<u32>,
    /// The thread, where it is told apart.
    pub tid: Option<u32>,
    /// The instruction.
    pub ip: Option<u64>,
    /// Where it stands in the source.
    pub line: Option<(String, u32)>,
    /// The stack, innermost first.
    pub stack: Vec<String>,
    /// The numbers.
    pub counters: GrowthCounters,
}

/// What a process has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResidentProcess {
    /// The process.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// Bytes by kind.
    pub bytes: [u64; PAGE_KINDS],
}

/// A result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrowthSummary {
    /// What was followed.
    pub title: String,
    /// For how long.
    pub elapsed: Duration,
    /// All lines.
    pub rows: Vec<GrowthRow>,
    /// What processes have that are there, and whose memory has changed.
    pub processes: Vec<ResidentProcess>,
    /// Whether faults are counted on this machine.
    pub sees_faults: bool,
    /// What was lost, by reason.
    pub losses: Vec<(LossReason, u64)>,
    /// What else must be said.
    pub notes: Vec<String>,
}

impl GrowthSummary {
    /// All lines together.
    pub fn total(&self) -> GrowthCounters {
        let mut total = GrowthCounters::default();
        for row in &self.rows {
            total += row.counters;
        }
        total
    }

    /// Whether nothing was lost.
    pub fn is_complete(&self) -> bool {
        self.losses.iter().all(|(_, count)| *count == 0)
    }
}

#[cfg(test)]
mod tests {
    use profiler_common::rss::PlaceCounters;

    use super::GrowthCounters;

    #[test]
    fn kinds_stay_apart_and_what_was_given_back_is_taken_off() {
        let counted = PlaceCounters {
            grown: [1, 10, 0],
            shrunk: [2, 4, 0],
            changes: 5,
            faults: 3,
        };
        let counters = GrowthCounters::of(&counted, 4096);
        assert_eq!(counters.total(), 5 * 4096);
        let numbers = counters.numbers();
        assert_eq!(numbers[..4], [5 * 4096, 6 * 4096, -4096, 0]);
        assert_eq!(numbers[10..], [5, 3]);
        assert_eq!(numbers.len(), GrowthCounters::NAMES.len());
    }
}
