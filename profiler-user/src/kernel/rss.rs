//! The maps of the programs that follow resident memory: their sizes, and what is read of them.
use aya::{Ebpf, EbpfLoader};
use profiler_common::alloc::StackChoice;
use profiler_common::config::{MAX_TARGETS, RssForm};
use profiler_common::rss::{PlaceCounters, PlaceKey, ProcessSize, RssConfig};

use super::btf::KernelOffsets;
use super::capability;
use super::error::KernelError;
use super::map::MappedArray;
use super::tables::{STACK_BYTES, Stacks, Table};

/// What a place takes: an element of the kernel's hash map, its key and value, and its place in the table.
const PLACE_BYTES: u64 = (size_of::<PlaceKey>() + size_of::<PlaceCounters>()) as u64 + 48 + 32;
/// Places at least and at most.
const PLACES: std::ops::RangeInclusive<u64> = 256..=65_536;

/// What these programs are told before they load.
#[derive(Clone, Copy, Debug)]
pub struct RssSettings {
    /// Places that there is room for.
    places: u32,
    /// Stacks that there is room for.
    stacks: u32,
    /// How places are told apart.
    stack: StackChoice,
    /// Threads are told apart.
    by_thread: bool,
    /// A command that has been started and not executed yet; until then nothing counts.
    command: Option<u32>,
}

impl RssSettings {
    /// What fits into `limit` bytes.
    pub fn fit(limit: u64, stack: StackChoice, by_thread: bool, command: Option<u32>) -> Self {
        let stacks = match stack {
            StackChoice::None | StackChoice::Caller => 1,
            // The kernel rounds up to a power of two.
            StackChoice::FramePointers => {
                1 << (limit / 2 / STACK_BYTES)
                    .clamp(*PLACES.start(), *PLACES.end())
                    .ilog2()
            }
        };
        let left = limit.saturating_sub(stacks * STACK_BYTES);
        Self {
            places: (left / PLACE_BYTES).clamp(*PLACES.start(), *PLACES.end()) as u32,
            stacks: stacks as u32,
            stack,
            by_thread,
            command,
        }
    }

    pub(super) fn config(&self) -> RssConfig {
        RssConfig {
            stack: self.stack as u32,
            by_thread: self.by_thread.into(),
            command: self.command.unwrap_or(0),
        }
    }

    /// Gives the maps their sizes.
    pub(super) fn size_maps(&self, loader: &mut EbpfLoader<'_>) {
        loader
            .map_max_entries("RSS_PLACES", self.places)
            .map_max_entries("STACKS", self.stacks)
            .map_max_entries("RSS_SIZES", MAX_TARGETS)
            .map_max_entries("RSS_OWNERS", MAX_TARGETS);
    }
}

/// Whether this kernel tells of changes of resident memory so that they can be followed, to the page.
pub(super) fn check(offsets: &KernelOffsets) -> Result<(), KernelError> {
    let form = offsets.memory.map(|memory| memory.form);
    if form != Some(RssForm::PerCpu as u32) || offsets.task_mm == 0 {
        return Err(KernelError::NoGrowth {
            why: "this kernel is older than 6.2, or says nothing of its memory counters",
        });
    }
    if !capability::sees_host_pids() {
        return Err(KernelError::NoGrowth {
            why: "this is a pid namespace of its own, and the kernel side knows processes by the host's ids",
        });
    }
    Ok(())
}

/// What the programs count.
pub struct RssMaps {
    places: Table,
    sizes: Table,
    others: MappedArray<PlaceCounters>,
    /// Stacks of places.
    pub stacks: Stacks,
    /// Whether page faults are told: not on every architecture.
    pub sees_faults: bool,
}

impl RssMaps {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        let stacks = Stacks::take(ebpf)?;
        Ok(Self {
            places: Table::new(ebpf, "RSS_PLACES")?,
            sizes: Table::new(ebpf, "RSS_SIZES")?,
            others: MappedArray::new("RSS_OTHERS", super::load::array_fd(ebpf, "RSS_OTHERS")?, 1)?,
            stacks,
            sees_faults: false,
        })
    }

    /// What happened at each place. A place that comes meanwhile may or may not be among them.
    pub fn places(&self) -> Result<Vec<(PlaceKey, PlaceCounters)>, KernelError> {
        let mut places = Vec::new();
        self.places.each(|key, counters| places.push((key, counters)))?;
        Ok(places)
    }

    /// What happened at places that found no room.
    pub fn others(&self) -> PlaceCounters {
        self.others.get(0)
    }

    /// What is known of the memory of each process, by its id.
    pub fn sizes(&self) -> Result<Vec<(u32, ProcessSize)>, KernelError> {
        let mut sizes = Vec::new();
        self.sizes.each(|pid, size| sizes.push((pid, size)))?;
        Ok(sizes)
    }
}

#[cfg(test)]
mod tests {
    use profiler_common::alloc::StackChoice;

    use super::{PLACE_BYTES, RssSettings, STACK_BYTES};

    #[test]
    fn no_more_is_taken_than_was_given() {
        for limit in [8_u64 << 20, 64 << 20, 4 << 30] {
            for stack in [StackChoice::Caller, StackChoice::FramePointers] {
                let fitted = RssSettings::fit(limit, stack, false, None);
                let bytes = u64::from(fitted.places) * PLACE_BYTES + u64::from(fitted.stacks) * STACK_BYTES;
                assert!(bytes <= limit, "{limit}: {fitted:?}");
            }
        }
    }
}
