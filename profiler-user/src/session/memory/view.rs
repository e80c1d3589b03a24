//! From call sites to the lines of a result.
use std::collections::{BTreeSet, HashMap};

use profiler_common::alloc::{LiveBlock, PART, SAMPLED_UNIT, SiteStats};
use profiler_common::sampling;

use super::known::Who;
use super::sites::{Resolved, SiteNames};
use crate::aggregate::memory::{MemoryCounters, MemoryRow};
use crate::kernel::heap::HeapMaps;
use crate::object::names::{self, NameStyle};
use crate::probe::plan::Plan;
use crate::ui::mem_view::{MemBy, MemShown};
use profiler_common::alloc::Family;

/// What stands for sites that found no room.
const OTHERS: &str = "(others)";

/// By site: old blocks that are alive, and their bytes, in the kernel's units.
#[derive(Clone, Debug, Default)]
pub(super) struct Aged(HashMap<u32, (u64, u64)>);

impl Aged {
    pub(super) fn add(&mut self, block: &LiveBlock, sample_bytes: Option<u64>) {
        let (count, bytes) = sample_bytes.map_or((1, block.size), |mean| sampling::weight(block.size, mean));
        let entry = self.0.entry(block.site).or_insert((0, 0));
        entry.0 += if block.tid & PART == 0 { count } else { 0 };
        entry.1 += bytes;
    }

    fn of(&self, site: u32) -> (u64, u64) {
        self.0.get(&site).copied().unwrap_or((0, 0))
    }
}

/// What lines are made of.
pub(super) struct Source<'a> {
    pub(super) heap: &'a HeapMaps,
    pub(super) plan: &'a Plan,
    pub(super) names: &'a SiteNames,
    pub(super) who: &'a HashMap<u32, Who>,
    pub(super) aged: &'a Aged,
    pub(super) shown: &'a MemShown,
    /// The unit of counts.
    pub(super) unit: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    what: String,
    object: String,
    family: Family,
    pid: Option<u32>,
    tid: Option<u32>,
    line: Option<(String, u32)>,
    caller: Option<u64>,
    stack: Vec<String>,
    allocator: Option<String>,
}

/// The lines.
pub(super) fn rows(source: &Source<'_>) -> Vec<MemoryRow> {
    let mut found: HashMap<Key, (MemoryCounters, BTreeSet<String>)> = HashMap::new();
    for number in 0..source.heap.sites_in_use() {
        let site = source.heap.sites.get(number);
        if site.allocations == 0 && site.failed == 0 {
            continue;
        }
        let counters = source.counters(number, &site);
        let allocator = source.allocator(&site);
        let (total, allocators) = found.entry(source.key(number, &site, &allocator)).or_default();
        total.add(&counters);
        allocators.insert(allocator);
    }
    let row = |(key, (mut counters, allocators)): (Key, (MemoryCounters, BTreeSet<String>))| {
        in_whole_numbers(&mut counters, source.unit);
        MemoryRow {
            what: key.what,
            object: key.object,
            allocator: allocators.into_iter().collect::<Vec<_>>().join(", "),
            family: key.family,
            pid: key.pid,
            tid: key.tid,
            line: key.line,
            caller: key.caller,
            stack: key.stack,
            counters,
        }
    };
    let mut rows: Vec<MemoryRow> = found.into_iter().map(row).collect();
    rows.sort_by(|one, other| (&one.what, one.pid, one.caller).cmp(&(&other.what, other.pid, other.caller)));
    rows
}

/// The family of what a site calls for memory.
pub(super) fn family_of(plan: &Plan, site: &SiteStats) -> Family {
    let function = plan.functions.get(site.key.function as usize);
    let allocator = function.and_then(|function| function.allocator);
    allocator.map_or(Family::Heap, |allocator| allocator.shape.family)
}

/// Counts become numbers of allocations.
fn in_whole_numbers(counters: &mut MemoryCounters, unit: u64) {
    if unit == 1 {
        return;
    }
    let whole = |count: &mut u64| *count = (*count + unit / 2) / unit;
    let MemoryCounters {
        allocations,
        frees,
        live_count,
        at_peak_count,
        temporary,
        untracked,
        dropped,
        old_count,
        sizes,
        lifetimes,
        ..
    } = counters;
    for count in [
        allocations,
        frees,
        live_count,
        at_peak_count,
        temporary,
        untracked,
        dropped,
        old_count,
    ] {
        whole(count);
    }
    sizes.iter_mut().chain(lifetimes).for_each(whole);
    debug_assert_eq!(unit, SAMPLED_UNIT);
}

impl Source<'_> {
    fn counters(&self, number: usize, site: &SiteStats) -> MemoryCounters {
        let family = self.family(site);
        let epoch = self.heap.families.get(family as usize).epoch;
        let live_count = site.live_count();
        let (at_peak_count, at_peak_bytes) = if site.epoch == epoch {
            (site.at_peak_count, site.at_peak_bytes)
        } else {
            // Unchanged since.
            (live_count, site.live_bytes)
        };
        let (old_count, old_bytes) = self.aged.of(number as u32);
        let gone = site.live_bytes + site.untracked_bytes + site.dropped_bytes;
        MemoryCounters {
            allocations: site.allocations,
            bytes: site.bytes,
            frees: site.frees,
            freed_bytes: site.bytes.saturating_sub(gone),
            live_count,
            live_bytes: site.live_bytes,
            peak_bytes: site.peak_bytes,
            at_peak_count,
            at_peak_bytes,
            failed: site.failed,
            temporary: site.temporary,
            untracked: site.untracked,
            untracked_bytes: site.untracked_bytes,
            dropped: site.dropped,
            dropped_bytes: site.dropped_bytes,
            samples: site.samples,
            old_count,
            old_bytes,
            sizes: site.sizes,
            lifetimes: site.lifetimes,
        }
    }

    fn family(&self, site: &SiteStats) -> Family {
        family_of(self.plan, site)
    }

    fn allocator(&self, site: &SiteStats) -> String {
        let function = self.plan.functions.get(site.key.function as usize);
        let raw = function.map_or("", |function| function.name.as_str());
        match self.shown.names {
            NameStyle::Raw => raw.to_owned(),
            NameStyle::Demangled => names::demangle(raw).into_owned(),
        }
    }

    fn key(&self, number: usize, site: &SiteStats, allocator: &str) -> Key {
        let nothing = Key {
            what: OTHERS.to_owned(),
            object: String::new(),
            family: self.family(site),
            pid: None,
            tid: None,
            line: None,
            caller: None,
            stack: Vec::new(),
            allocator: None,
        };
        if number == 0 {
            return nothing;
        }
        let pid = self.heap.processes.get(site.key.process as usize).tgid;
        let resolved = self.names.get(number);
        match self.shown.by {
            MemBy::Site => Key {
                pid: Some(pid),
                line: resolved.and_then(|resolved| {
                    let line = resolved.line.as_ref()?;
                    Some((line.file.to_string(), line.line))
                }),
                caller: Some(site.key.caller),
                allocator: Some(allocator.to_owned()),
                ..place(nothing, resolved)
            },
            MemBy::Function => {
                let function = resolved.and_then(|resolved| resolved.caller.function.as_deref());
                let place = place(nothing, resolved);
                Key {
                    what: function.map_or(place.what.clone(), str::to_owned),
                    stack: Vec::new(),
                    ..place
                }
            }
            MemBy::Object => Key {
                what: resolved.map_or(String::new(), |resolved| resolved.caller.object.to_string()),
                ..nothing
            },
            MemBy::Thread => Key {
                what: format!("{} {}", self.comm(pid), site.key.tid),
                pid: Some(pid),
                tid: Some(site.key.tid),
                ..nothing
            },
            MemBy::Process => Key {
                what: format!("{} {pid}", self.comm(pid)),
                pid: Some(pid),
                ..nothing
            },
            MemBy::Container => Key {
                what: self
                    .who
                    .get(&pid)
                    .map_or(String::new(), |who| who.container.clone()),
                ..nothing
            },
        }
    }

    fn comm(&self, pid: u32) -> &str {
        self.who.get(&pid).map_or("", |who| who.comm.as_str())
    }
}

fn place(key: Key, resolved: Option<&Resolved>) -> Key {
    let Some(resolved) = resolved else {
        return Key {
            what: "(unknown)".to_owned(),
            ..key
        };
    };
    Key {
        what: resolved.caller.text.to_string(),
        object: resolved.caller.object.to_string(),
        stack: resolved
            .stack
            .iter()
            .map(|frame| frame.text.to_string())
            .collect(),
        ..key
    }
}
