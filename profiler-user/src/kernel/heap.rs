//! The maps of the memory programs: their sizes, and what is read of them.
use std::mem::offset_of;

use aya::maps::{HashMap as KernelHashMap, MapData};
use aya::{Ebpf, EbpfLoader};
use profiler_common::alloc::{
    FAMILIES, FamilyTotals, HeapConfig, LiveBlock, LiveKey, MAX_PROCESSES, PART, ProcessInfo, SiteStats,
    StackChoice,
};
use zerocopy::IntoBytes as _;

use super::error::KernelError;
use super::map::MappedArray;
use super::tables::{STACK_BYTES, Stacks, Table};

/// What a live block takes: an element of the kernel's hash map (48 bytes and the 40 of key and value), in a memory
/// allocator of its own that has blocks of 96.
const LIVE_BYTES: u64 = 96;
/// What a place of a hash table takes beside it.
const BUCKET_BYTES: u64 = 16;
/// What a call site takes: its counters, and its number in a hash table.
const SITE_BYTES: u64 = size_of::<SiteStats>() as u64 + 80 + 2 * BUCKET_BYTES;
/// What the processes take.
const PROCESS_BYTES: u64 = MAX_PROCESSES as u64 * (size_of::<ProcessInfo>() as u64 + 64 + BUCKET_BYTES);
/// The share of the memory that call sites may take, and stacks.
const SITE_SHARE: u64 = 16;
/// Sites at least and at most.
const SITES: std::ops::RangeInclusive<u64> = 256..=65_536;

/// The least memory that the maps can be had in, bytes.
pub const LEAST_MEMORY: u64 = 8 << 20;

/// How much there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapLayout {
    /// Live blocks.
    pub blocks: u32,
    /// Call sites.
    pub sites: u32,
    /// Stacks; 1 = none are kept.
    pub stacks: u32,
}

impl HeapLayout {
    /// What fits into `limit` bytes.
    pub fn fit(limit: u64, stack: StackChoice) -> Self {
        let limit = limit.max(LEAST_MEMORY);
        let sites = (limit / SITE_SHARE / SITE_BYTES).clamp(*SITES.start(), *SITES.end());
        let stacks = match stack {
            StackChoice::None | StackChoice::Caller => 1,
            // The kernel rounds up to a power of two.
            StackChoice::FramePointers => 1 << (limit / SITE_SHARE / STACK_BYTES).max(256).ilog2(),
        };
        let rest = limit.saturating_sub(PROCESS_BYTES + sites * SITE_BYTES + stacks * STACK_BYTES);
        // The table has as many places as the next power of two: which of them leaves most room for blocks?
        let with_places = |bits: u32| {
            let places = 1_u64 << bits;
            places.min(rest.saturating_sub(places * BUCKET_BYTES) / LIVE_BYTES)
        };
        let blocks = (10..=28).map(with_places).max().unwrap_or(0).max(1024);
        Self {
            blocks: blocks as u32,
            sites: sites as u32,
            stacks: stacks as u32,
        }
    }

    /// Kernel memory when everything is in use, bytes.
    pub fn bytes(&self) -> u64 {
        let Self {
            blocks,
            sites,
            stacks,
        } = *self;
        let places = u64::from(blocks.next_power_of_two()) * BUCKET_BYTES;
        PROCESS_BYTES
            + u64::from(sites) * SITE_BYTES
            + u64::from(stacks) * STACK_BYTES
            + places
            + u64::from(blocks) * LIVE_BYTES
    }
}

/// What the memory programs are told before they load.
#[derive(Clone, Copy, Debug)]
pub struct HeapSettings {
    /// How much there is room for.
    pub layout: HeapLayout,
    /// How callers are told apart.
    pub stack: StackChoice,
    /// Threads are told apart.
    pub by_thread: bool,
    /// Mean distance of samples, bytes; none = everything counts.
    pub sample_bytes: Option<u64>,
    /// Everything is sent through the ring.
    pub events: bool,
}

impl HeapSettings {
    pub(super) fn config(&self) -> HeapConfig {
        let Self {
            layout,
            stack,
            by_thread,
            sample_bytes,
            events,
        } = *self;
        HeapConfig {
            sample_bytes: sample_bytes.unwrap_or(0),
            site_count: layout.sites,
            stack: stack as u32,
            by_thread: by_thread.into(),
            events: events.into(),
        }
    }

    /// Gives the maps their sizes.
    pub(super) fn size_maps(&self, loader: &mut EbpfLoader<'_>) {
        let HeapLayout {
            blocks,
            sites,
            stacks,
        } = self.layout;
        loader
            .map_max_entries("LIVE", blocks)
            .map_max_entries("SITES", sites)
            .map_max_entries("SITE_NUMBERS", sites)
            .map_max_entries("STACKS", stacks)
            .map_max_entries("PROCESSES", MAX_PROCESSES)
            .map_max_entries("PROCESS_NUMBERS", MAX_PROCESSES);
    }
}

/// What the memory programs count.
pub struct HeapMaps {
    /// The counters of call sites, by number.
    pub sites: MappedArray<SiteStats>,
    /// What is known of each family.
    pub families: MappedArray<FamilyTotals>,
    /// The processes, by number.
    pub processes: MappedArray<ProcessInfo>,
    /// How much there is room for.
    pub layout: HeapLayout,
    given: MappedArray<u64>,
    live: Table,
    numbers: KernelHashMap<MapData, u32, u32>,
    /// Stacks of call sites.
    pub stacks: Stacks,
}

impl HeapMaps {
    pub(super) fn new(ebpf: &mut Ebpf, settings: &HeapSettings) -> Result<Self, KernelError> {
        let layout = settings.layout;
        let missing = |name| KernelError::Object { what: "map", name };
        let failed = |error| KernelError::from(Box::new(aya::EbpfError::MapError(error)));
        let numbers = ebpf
            .take_map("PROCESS_NUMBERS")
            .ok_or(missing("PROCESS_NUMBERS"))?;
        let stacks = Stacks::take(ebpf)?;
        let mapped = |name| super::load::array_fd(ebpf, name);
        Ok(Self {
            sites: MappedArray::new("SITES", mapped("SITES")?, layout.sites as usize)?,
            families: MappedArray::new("FAMILY_TOTALS", mapped("FAMILY_TOTALS")?, FAMILIES)?,
            processes: MappedArray::new("PROCESSES", mapped("PROCESSES")?, MAX_PROCESSES as usize)?,
            given: MappedArray::new("HEAP_GIVEN", mapped("HEAP_GIVEN")?, 2)?,
            layout,
            live: Table::new(ebpf, "LIVE")?,
            numbers: KernelHashMap::try_from(numbers).map_err(failed)?,
            stacks,
        })
    }

    /// How many site numbers are in use, that of all others (0) counted in.
    pub fn sites_in_use(&self) -> usize {
        let given = self.given.get(0).saturating_add(1);
        given.min(u64::from(self.layout.sites)) as usize
    }

    /// How many process numbers are in use, 0 counted in.
    pub fn processes_in_use(&self) -> usize {
        let given = self.given.get(1).saturating_add(1);
        given.min(u64::from(MAX_PROCESSES)) as usize
    }

    /// A process has ended: another one may get its id.
    pub fn forget_process(&mut self, pid: u32) {
        // It never allocated: as wanted.
        let _: Result<(), _> = self.numbers.remove(&pid);
    }

    /// A process has ended, and nobody wants to know what it had alive.
    pub fn leave(&mut self, pid: u32) {
        self.forget_process(pid);
        let is_its = |number: u32| self.processes.get(number as usize).tgid == pid;
        if (1..self.processes_in_use() as u32).any(is_its)
            && let Err(error) = self.drop_blocks(&is_its, &|size| (1, size))
        {
            log::warn!("blocks of a process that has ended take their room: {error}");
        }
    }

    /// Hands every live block to `see`. What is allocated or freed meanwhile may or may not be among them.
    pub fn blocks(&self, see: impl FnMut(LiveKey, LiveBlock)) -> Result<(), KernelError> {
        self.live.each(see)
    }

    /// Forgets the live blocks of some processes: they are gone without having been freed. `weight`: what a block of this size
    /// counts as, and its bytes.
    pub fn drop_blocks(
        &self,
        of: &dyn Fn(u32) -> bool,
        weight: &dyn Fn(u64) -> (u64, u64),
    ) -> Result<u64, KernelError> {
        let mut found = Vec::new();
        self.blocks(|key, block| {
            if of(key.process) {
                found.push((key, block));
            }
        })?;
        let mut dropped = 0;
        for (key, block) in found {
            if self.live.remove(key.as_bytes())? {
                dropped += 1;
                let (count, bytes) = weight(block.size);
                let count = if block.tid & PART == 0 { count } else { 0 };
                let (site, family) = (block.site as usize, key.family as usize);
                self.sites.add(site, offset_of!(SiteStats, dropped), count);
                self.sites.add(site, offset_of!(SiteStats, dropped_bytes), bytes);
                let less = bytes.wrapping_neg();
                self.sites.add(site, offset_of!(SiteStats, live_bytes), less);
                self.families
                    .add(family, offset_of!(FamilyTotals, live_bytes), less);
            }
        }
        Ok(dropped)
    }
}

#[cfg(test)]
mod tests {
    use profiler_common::alloc::StackChoice;

    use super::{HeapLayout, LEAST_MEMORY};

    #[test]
    fn five_million_blocks_fit_into_700_mib() {
        let layout = HeapLayout::fit(700 << 20, StackChoice::Caller);
        assert!(layout.blocks >= 5_000_000, "{layout:?}");
        assert!(layout.bytes() <= 700 << 20, "{}", layout.bytes());
    }

    #[test]
    fn no_more_is_taken_than_was_given() {
        for limit in [LEAST_MEMORY, 16 << 20, 100 << 20, 512 << 20, 4 << 30] {
            for stack in [StackChoice::Caller, StackChoice::FramePointers] {
                let layout = HeapLayout::fit(limit, stack);
                assert!(layout.bytes() <= limit, "{limit}: {layout:?}");
                // And not much less.
                assert!(
                    layout.bytes() * 10 > limit * 6,
                    "{limit}: {layout:?} {}",
                    layout.bytes()
                );
            }
        }
    }
}
