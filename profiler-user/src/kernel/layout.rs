//! How the counters' memory is laid out.
use profiler_common::config::Grouping;
use profiler_common::histogram::{MAX_RESOLUTION, bucket_count};
use profiler_common::stats::FunctionStats;
use thiserror::Error;

/// Rows for processes or threads at most.
const MOST_ROWS: u64 = 4096;
/// Functions that may come later for which room is kept at least, where rows could take it all.
const KEPT_SPARE: u32 = 64;
/// Histograms get coarser before there are fewer rows for processes or threads.
const ENOUGH_ROWS: u64 = 256;

/// The counters do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the counters of {functions} functions on {cpus} CPUs need {needed} bytes, more than `--max-map-memory` \
     allows ({limit}): choose fewer functions or raise it"
)]
pub struct TooManyFunctions {
    /// Functions asked for.
    pub functions: u64,
    /// Possible CPUs.
    pub cpus: u64,
    /// What they need at least, bytes.
    pub needed: u64,
    /// What is allowed, bytes.
    pub limit: u64,
}

/// What the counters must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Functions that are planned.
    pub functions: u32,
    /// Functions that may be planned later, if there is room.
    pub spare: u32,
    /// Possible CPUs.
    pub cpus: u32,
    /// What has a row of its own.
    pub grouping: Grouping,
}

/// How the counters' memory is laid out: `functions × rows × (64 + 4 × buckets) + functions × 8` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterLayout {
    /// Functions that there is room for.
    pub functions: u32,
    /// Possible CPUs.
    pub cpus: u32,
    /// Rows: one for each CPU, or for each process or thread, the first of which is of all whom none was left for.
    pub rows: u32,
    /// What has a row of its own.
    pub grouping: Grouping,
    /// Resolution of the histograms; `None` = there was no room for any.
    pub resolution: Option<u32>,
}

impl CounterLayout {
    /// The finest layout that fits into `limit` bytes, with as much of the spare room as it leaves.
    pub fn fit(demand: Demand, limit: u64) -> Result<Self, TooManyFunctions> {
        let functions = demand.functions.max(1);
        let resolutions = (0..=MAX_RESOLUTION).rev().map(Some).chain([None]);
        let mut layouts = resolutions.map(|resolution| Self::with(demand, functions, resolution, limit));
        let coarsest = Self::with(demand, functions, None, limit);
        let enough = |layout: &Self| {
            layout.bytes() <= limit
                && (layout.grouping == Grouping::None
                    || u64::from(layout.rows) >= ENOUGH_ROWS
                    || layout.resolution.is_none())
        };
        let found = layouts.find(enough).ok_or(TooManyFunctions {
            functions: functions.into(),
            cpus: demand.cpus.into(),
            needed: coarsest.bytes(),
            limit,
        })?;
        Ok(found.with_spare(demand.spare, limit))
    }

    /// Room for the functions' flags alone.
    pub fn without_counters(functions: u32, cpus: u32) -> Self {
        Self {
            functions: functions.max(1),
            cpus,
            rows: 1,
            grouping: Grouping::None,
            resolution: None,
        }
    }

    fn with(demand: Demand, functions: u32, resolution: Option<u32>, limit: u64) -> Self {
        let mut layout = Self {
            functions,
            cpus: demand.cpus,
            rows: demand.cpus,
            grouping: demand.grouping,
            resolution,
        };
        if demand.grouping != Grouping::None {
            // Functions that come later need room in each row: some is kept before the rows take all of it.
            let kept = u64::from(functions) + u64::from(demand.spare.min(functions.max(KEPT_SPARE)));
            let row = kept * layout.slot_bytes();
            // One for the others, and one that is not.
            layout.rows = (limit / row).clamp(2, MOST_ROWS) as u32;
            if layout.bytes() > limit && layout.rows > 2 {
                layout.rows -= 1;
            }
        }
        layout
    }

    fn with_spare(self, spare: u32, limit: u64) -> Self {
        let function = u64::from(self.rows) * self.slot_bytes() + 8;
        let room = limit.saturating_sub(self.bytes()) / function;
        Self {
            functions: self.functions + room.min(u64::from(spare)) as u32,
            ..self
        }
    }

    fn slot_bytes(&self) -> u64 {
        size_of::<FunctionStats>() as u64 + 4 * u64::from(self.buckets())
    }

    /// Kernel memory, bytes.
    pub fn bytes(&self) -> u64 {
        let slots = u64::from(self.functions) * u64::from(self.rows);
        slots * self.slot_bytes() + u64::from(self.functions) * 8
    }

    /// Buckets of one histogram.
    pub fn buckets(&self) -> u32 {
        self.resolution.map_or(0, bucket_count)
    }

    /// Slots of counters.
    pub fn slots(&self) -> usize {
        self.functions as usize * self.rows as usize
    }
}

#[cfg(test)]
mod tests {
    use profiler_common::config::Grouping;

    use super::{CounterLayout, Demand};

    fn demand(functions: u32) -> Demand {
        Demand {
            functions,
            spare: 0,
            cpus: 64,
            grouping: Grouping::None,
        }
    }

    #[test]
    fn histograms_get_coarser_before_functions_are_refused() {
        let fine = CounterLayout::fit(demand(100), 256 << 20).unwrap();
        assert_eq!((fine.resolution, fine.rows), (Some(3), 64));
        let coarse = CounterLayout::fit(demand(20_000), 512 << 20).unwrap();
        assert!(coarse.resolution < Some(3), "{coarse:?}");
        assert!(coarse.bytes() <= 512 << 20);
        let none = CounterLayout::fit(demand(20_000), 100 << 20).unwrap();
        assert_eq!(none.resolution, None);
        let error = CounterLayout::fit(demand(20_000), 1 << 20).unwrap_err();
        assert_eq!(error.needed, 20_000 * 64 * 64 + 20_000 * 8);
    }

    #[test]
    fn room_for_later_functions_takes_only_what_is_left() {
        let spare = Demand {
            spare: 1000,
            ..demand(100)
        };
        let roomy = CounterLayout::fit(spare, 256 << 20).unwrap();
        assert_eq!((roomy.functions, roomy.resolution), (1100, Some(3)));
        let tight = CounterLayout::fit(spare, 10 << 20).unwrap();
        assert!((100..1100).contains(&tight.functions), "{tight:?}");
        assert!(tight.bytes() <= 10 << 20);
    }

    #[test]
    fn rows_for_processes_fill_the_memory_and_no_more() {
        let grouped = Demand {
            grouping: Grouping::Process,
            ..demand(1000)
        };
        let layout = CounterLayout::fit(grouped, 256 << 20).unwrap();
        assert!(layout.bytes() <= 256 << 20);
        assert!(layout.rows >= 256, "{layout:?}");
        let few = CounterLayout::fit(grouped, 1 << 20).unwrap();
        assert!(few.rows >= 2 && few.bytes() <= 1 << 20, "{few:?}");
    }
}
