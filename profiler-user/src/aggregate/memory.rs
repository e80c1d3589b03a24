//! What was allocated, by call site or by what sites are put together for.
use std::time::Duration;

use profiler_common::alloc::{Family, LIFETIME_BUCKETS, SIZE_BUCKETS};
use profiler_common::loss::LossReason;

use crate::target::usage::MemoryUsage;

/// What is known of a line of the result. Numbers of different families are never added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryCounters {
    /// Successful allocations.
    pub allocations: u64,
    /// Bytes that they asked for.
    pub bytes: u64,
    /// Of these, freed.
    pub frees: u64,
    /// Their bytes.
    pub freed_bytes: u64,
    /// Blocks that are alive.
    pub live_count: u64,
    /// Their bytes.
    pub live_bytes: u64,
    /// The most bytes that ever were alive; of several sites together the sum of these, which is no less.
    pub peak_bytes: u64,
    /// Blocks that were alive when all targets together had most bytes.
    pub at_peak_count: u64,
    /// Their bytes.
    pub at_peak_bytes: u64,
    /// Calls that returned no memory.
    pub failed: u64,
    /// Blocks that their thread freed before its next allocation.
    pub temporary: u64,
    /// Allocations whose end cannot be seen.
    pub untracked: u64,
    /// Their bytes.
    pub untracked_bytes: u64,
    /// Blocks that were alive when their process ended or executed another program, and were then forgotten.
    pub dropped: u64,
    /// Their bytes.
    pub dropped_bytes: u64,
    /// Allocations that were looked at, where they are sampled.
    pub samples: u64,
    /// Blocks that are alive and old.
    pub old_count: u64,
    /// Their bytes.
    pub old_bytes: u64,
    /// Allocations by size: 0; 1; 2…3; 4…7; …
    pub sizes: [u64; SIZE_BUCKETS],
    /// Freed ones by how long they lived: below 1024 ns; below 2048 ns; …
    pub lifetimes: [u64; LIFETIME_BUCKETS],
}

impl Default for MemoryCounters {
    fn default() -> Self {
        Self {
            allocations: 0,
            bytes: 0,
            frees: 0,
            freed_bytes: 0,
            live_count: 0,
            live_bytes: 0,
            peak_bytes: 0,
            at_peak_count: 0,
            at_peak_bytes: 0,
            failed: 0,
            temporary: 0,
            untracked: 0,
            untracked_bytes: 0,
            dropped: 0,
            dropped_bytes: 0,
            samples: 0,
            old_count: 0,
            old_bytes: 0,
            sizes: [0; SIZE_BUCKETS],
            lifetimes: [0; LIFETIME_BUCKETS],
        }
    }
}

impl MemoryCounters {
    /// Names of the plain numbers, as files have them, in their order.
    pub const NAMES: [&'static str; 18] = [
        "allocations",
        "bytes",
        "frees",
        "freed_bytes",
        "live_count",
        "live_bytes",
        "peak_bytes",
        "at_peak_count",
        "at_peak_bytes",
        "failed",
        "temporary",
        "untracked",
        "untracked_bytes",
        "dropped",
        "dropped_bytes",
        "samples",
        "old_count",
        "old_bytes",
    ];

    /// The plain numbers, in the order of [`Self::NAMES`].
    pub fn numbers(&self) -> [u64; 18] {
        let mut copy = self.clone();
        copy.numbers_mut().map(|number| *number)
    }

    /// The same, to be changed.
    pub fn numbers_mut(&mut self) -> [&mut u64; 18] {
        let Self {
            allocations,
            bytes,
            frees,
            freed_bytes,
            live_count,
            live_bytes,
            peak_bytes,
            at_peak_count,
            at_peak_bytes,
            failed,
            temporary,
            untracked,
            untracked_bytes,
            dropped,
            dropped_bytes,
            samples,
            old_count,
            old_bytes,
            sizes: _,
            lifetimes: _,
        } = self;
        [
            allocations,
            bytes,
            frees,
            freed_bytes,
            live_count,
            live_bytes,
            peak_bytes,
            at_peak_count,
            at_peak_bytes,
            failed,
            temporary,
            untracked,
            untracked_bytes,
            dropped,
            dropped_bytes,
            samples,
            old_count,
            old_bytes,
        ]
    }

    /// Adds those of another site.
    pub fn add(&mut self, other: &Self) {
        for (number, more) in self.numbers_mut().into_iter().zip(other.numbers()) {
            *number += more;
        }
        let buckets = self.sizes.iter_mut().chain(&mut self.lifetimes);
        for (bucket, more) in buckets.zip(other.sizes.iter().chain(&other.lifetimes)) {
            *bucket += more;
        }
    }

    /// How many bytes live blocks have grown or shrunk by since `before`, and the same of everything else, as signed
    /// numbers in the order of [`Self::NAMES`].
    pub fn since(&self, before: &Self) -> [i64; 18] {
        let mut changes = [0; 18];
        for (change, (now, then)) in changes
            .iter_mut()
            .zip(self.numbers().into_iter().zip(before.numbers()))
        {
            *change = now as i64 - then as i64;
        }
        changes
    }
}

/// A line of the result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryRow {
    /// The site, function, file, thread, process or container.
    pub what: String,
    /// The file that it lies in; empty where files are not told apart.
    pub object: String,
    /// The functions that it calls for memory.
    pub allocator: String,
    /// The family of these.
    pub family: Family,
    /// The process, where processes are told apart.
    pub pid: Option<u32>,
    /// The thread, where threads are told apart.
    pub tid: Option<u32>,
    /// The source file and line, where sites are told apart and these are known.
    pub line: Option<(String, u32)>,
    /// The return address, where sites are told apart.
    pub caller: Option<u64>,
    /// The stack, the caller first, where it is known.
    pub stack: Vec<String>,
    /// Its numbers.
    pub counters: MemoryCounters,
}

/// A family as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FamilySummary {
    /// Which.
    pub family: Family,
    /// Bytes that are alive.
    pub live_bytes: u64,
    /// The most that all targets together ever had.
    pub peak_bytes: u64,
    /// When they had, after the attach.
    pub peak_after: Option<Duration>,
    /// Frees of addresses that are not known.
    pub unknown_frees: u64,
    /// Frees of addresses that had been freed before.
    pub double_frees: u64,
    /// Frees in a forked process of what its parent had allocated.
    pub inherited_frees: u64,
    /// Allocations at addresses that were alive.
    pub missed_frees: u64,
    /// Ranges that were unmapped and are not known, or in part.
    pub partial_unmaps: u64,
    /// Frees by the allocator itself, of what lay in its caches.
    pub internal_frees: u64,
}

/// A block that is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveBlockRow {
    /// Its address.
    pub address: u64,
    /// Its bytes.
    pub size: u64,
    /// How long it has lived, ns.
    pub age_ns: u64,
    /// Its process.
    pub pid: u32,
    /// The thread that allocated it.
    pub tid: u32,
    /// Its family.
    pub family: Family,
    /// The return address of the call.
    pub caller: u64,
}

/// The memory of a process when it was last looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// Its container; empty = it is in none.
    pub container: String,
    /// It has ended since.
    pub has_ended: bool,
    /// How much it had.
    pub usage: MemoryUsage,
}

/// The state of a memory session, now or at its end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemorySummary {
    /// What is followed: `process 1234 (nginx)`.
    pub title: String,
    /// How long it has been.
    pub elapsed: Duration,
    /// Families of which anything was seen.
    pub families: Vec<FamilySummary>,
    /// The lines, in any order.
    pub rows: Vec<MemoryRow>,
    /// Some live blocks, if they were asked for.
    pub blocks: Vec<LiveBlockRow>,
    /// What the processes have, also those that ended meanwhile.
    pub processes: Vec<ProcessMemory>,
    /// Mean distance of samples, bytes; none = everything was counted.
    pub sample_bytes: Option<u64>,
    /// What could not be kept.
    pub losses: Vec<(LossReason, u64)>,
    /// What else must be said.
    pub notes: Vec<String>,
}

impl MemorySummary {
    /// Whether nothing was lost.
    pub fn is_complete(&self) -> bool {
        self.losses.iter().all(|(_, count)| *count == 0)
    }

    /// The numbers of a family's lines together.
    pub fn total(&self, family: Family) -> MemoryCounters {
        let mut total = MemoryCounters::default();
        for row in self.rows.iter().filter(|row| row.family == family) {
            total.add(&row.counters);
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryCounters;

    #[test]
    fn counters_add_up_field_by_field() {
        let mut one = MemoryCounters::default();
        for (index, number) in one.numbers_mut().into_iter().enumerate() {
            *number = index as u64 + 1;
        }
        one.sizes[3] = 7;
        one.lifetimes[2] = 9;
        let mut two = one.clone();
        two.add(&one);
        let doubled = one.numbers().map(|number| 2 * number);
        assert_eq!(two.numbers(), doubled);
        assert_eq!((two.sizes[3], two.lifetimes[2]), (14, 18));
        assert_eq!(two.since(&one), one.numbers().map(|number| number as i64));
        assert_eq!(one.since(&two)[0], -1);
    }

    #[test]
    fn names_and_numbers_have_the_same_order() {
        let counters = MemoryCounters {
            live_bytes: 5,
            old_bytes: 6,
            ..MemoryCounters::default()
        };
        let named: Vec<_> = MemoryCounters::NAMES
            .into_iter()
            .zip(counters.numbers())
            .collect();
        assert!(named.contains(&("live_bytes", 5)) && named.contains(&("old_bytes", 6)));
    }
}
