//! A session that follows allocations: what the kernel side has counted, by call site, with names.
mod course;
pub mod diff;
pub(super) mod files;
mod json;
pub(super) mod known;
pub(super) mod sites;
mod view;

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use profiler_common::alloc::{Family, PART, SAMPLED_UNIT};
use profiler_common::loss::LossReason;
use profiler_common::sampling;

use super::SessionError;
use super::display::Display;
use super::reader::{Reader, ReaderResult};
use super::state::State;
use crate::aggregate::memory::{FamilySummary, LiveBlockRow, MemorySummary};
use crate::cli::mem_config::{MemFormat, MemoryConfig};
use crate::kernel::heap::HeapMaps;
use crate::probe::plan::{EntryOnlyReason, Plan, Returns};
use crate::ui::mem_table;
use crate::ui::mem_view::MemView;

use course::Course;
pub(super) use files::OutputFile;
use known::Known;
use view::Aged;

/// Functions named in a note.
const NAMED: usize = 5;

/// What a memory session has in its hands.
pub(super) struct Memory {
    config: MemoryConfig,
    pub(super) known: Known,
    outputs: Vec<OutputFile>,
    /// `CLOCK_MONOTONIC` when everything was attached, ns.
    attached_ns: u64,
    /// How long the last look at all live blocks took, and when it was.
    looked: Option<(Instant, Duration)>,
    aged: Aged,
    course: Course,
    /// The numbers of processes that ended, or execute another program now.
    gone: HashSet<u32>,
}

/// What is alive, at a moment.
struct Snapshot {
    summary: MemorySummary,
}

impl Memory {
    /// Opens the outputs: one that cannot be written costs the target nothing.
    pub(super) fn new(config: &MemoryConfig) -> Result<Self, SessionError> {
        let outputs = config.outputs.iter().map(OutputFile::create);
        let course = config.timeline.as_ref().map(|path| {
            let course = Course::create(path, &config.families);
            course.map_err(failed(path))
        });
        Ok(Self {
            config: config.clone(),
            known: Known::new(),
            outputs: outputs.collect::<Result<_, _>>()?,
            attached_ns: 0,
            looked: None,
            aged: Aged::default(),
            course: course.transpose()?.unwrap_or_default(),
            gone: HashSet::new(),
        })
    }

    /// Everything is attached.
    pub(super) fn begin(&mut self) {
        self.attached_ns = monotonic_ns();
    }

    /// A process runs another program: what it did until now is named by what it ran.
    pub(super) fn replaced(&mut self, pid: u32, heap: &HeapMaps) {
        self.known.names.resolve_all(heap, Some(pid));
        self.known.names.forget(pid);
    }

    /// A process has ended.
    pub(super) fn left(&mut self, pid: u32, heap: &mut HeapMaps) {
        self.known.names.resolve_all(heap, Some(pid));
        heap.forget_process(pid);
        let numbers = 1..heap.processes_in_use();
        let own = numbers.filter(|number| heap.processes.get(*number).tgid == pid);
        self.gone.extend(own.map(|number| number as u32));
        self.course.left(pid);
    }

    /// What programs had alive that were replaced by others is gone.
    fn drop_replaced(&mut self, heap: &HeapMaps) {
        let is_replaced = |number: u32| heap.processes.get(number as usize).executed_ns != 0;
        let has_live = |number: usize| {
            let site = heap.sites.get(number);
            site.live_count() > 0 && is_replaced(site.key.process)
        };
        if (1..heap.sites_in_use()).any(has_live) {
            self.forget_blocks(heap, &is_replaced);
        }
    }

    /// Forgets the blocks of processes that are gone once half of the room is taken: until then they are shown.
    pub(super) fn make_room(&mut self, heap: &HeapMaps) {
        let unit = self.unit();
        let live = (0..heap.sites_in_use()).map(|site| heap.sites.get(site).live_count() / unit);
        if self.gone.is_empty() || live.sum::<u64>() <= u64::from(heap.layout.blocks) / 2 {
            return;
        }
        self.forget_blocks(heap, &|process| self.gone.contains(&process));
        self.gone.clear();
    }

    fn forget_blocks(&self, heap: &HeapMaps, of: &dyn Fn(u32) -> bool) {
        let sample_bytes = self.config.sample_bytes;
        let weight = |size| sample_bytes.map_or((1, size), |mean| sampling::weight(size, mean));
        if let Err(error) = heap.drop_blocks(of, &weight) {
            log::warn!("blocks that are gone are counted as alive: {error}");
        }
    }

    fn unit(&self) -> u64 {
        if self.config.sample_bytes.is_some() {
            SAMPLED_UNIT
        } else {
            1
        }
    }

    fn snapshot(
        &mut self,
        heap: &HeapMaps,
        (plan, is_last): (&Plan, bool),
    ) -> Result<Snapshot, SessionError> {
        self.known.names.resolve_all(heap, None);
        self.drop_replaced(heap);
        if is_last && !self.outputs.is_empty() {
            self.known.names.find_lines(heap);
        }
        let wants_blocks = is_last && self.config.blocks > 0;
        let wants_ages = self.config.shown.view == MemView::Leaks || is_last;
        let mut blocks = Vec::new();
        if (wants_ages && (is_last || self.may_look())) || wants_blocks {
            blocks = self.look(heap, if wants_blocks { self.config.blocks } else { 0 })?;
        }
        let rows = view::rows(&view::Source {
            heap,
            plan,
            names: &self.known.names,
            who: &self.known.who,
            aged: &self.aged,
            shown: &self.config.shown,
            unit: self.unit(),
        });
        Ok(Snapshot {
            summary: MemorySummary {
                families: self.families(heap),
                rows,
                blocks,
                sample_bytes: self.config.sample_bytes,
                ..MemorySummary::default()
            },
        })
    }

    /// Whether looking at all live blocks again costs no more than a tenth of the time.
    fn may_look(&self) -> bool {
        self.looked.is_none_or(|(at, took)| at.elapsed() > took * 10)
    }

    /// Looks at all live blocks: which are old, and some of them for themselves.
    fn look(&mut self, heap: &HeapMaps, most: usize) -> Result<Vec<LiveBlockRow>, SessionError> {
        let started = Instant::now();
        let now_ns = monotonic_ns();
        let old_before = now_ns.saturating_sub(self.config.shown.min_age.as_nanos() as u64);
        let sample_bytes = self.config.sample_bytes;
        let mut aged = Aged::default();
        let mut blocks = Vec::new();
        heap.blocks(|key, block| {
            if block.time_ns <= old_before {
                aged.add(&block, sample_bytes);
            }
            if blocks.len() < most {
                let site = heap.sites.get(block.site as usize).key;
                blocks.push(LiveBlockRow {
                    address: key.address,
                    size: block.size,
                    age_ns: now_ns.saturating_sub(block.time_ns),
                    pid: heap.processes.get(key.process as usize).tgid,
                    tid: block.tid & !PART,
                    family: Family::from_bits(key.family),
                    caller: site.caller,
                });
            }
        })?;
        self.aged = aged;
        self.looked = Some((Instant::now(), started.elapsed()));
        Ok(blocks)
    }

    fn families(&self, heap: &HeapMaps) -> Vec<FamilySummary> {
        let of = |family: &Family| {
            let totals = heap.families.get(*family as usize);
            FamilySummary {
                family: *family,
                live_bytes: totals.live_bytes,
                peak_bytes: totals.peak_bytes,
                peak_after: (totals.peak_ns > 0)
                    .then(|| Duration::from_nanos(totals.peak_ns.saturating_sub(self.attached_ns))),
                unknown_frees: totals.unknown_frees,
                double_frees: totals.double_frees,
                inherited_frees: totals.inherited_frees,
                missed_frees: totals.missed_frees,
                partial_unmaps: totals.partial_unmaps,
                internal_frees: totals.internal_frees,
            }
        };
        let all = Family::ALL.iter().map(of);
        all.filter(|family| {
            let empty = FamilySummary {
                family: family.family,
                ..FamilySummary::default()
            };
            *family != empty
        })
        .collect()
    }
}

impl State {
    /// What was followed so far. `None`: calls are followed, not allocations.
    fn memory_summary(&mut self, is_last: bool) -> Result<Option<MemorySummary>, SessionError> {
        let (Some(memory), Some(heap)) = (&mut self.memory, &self.kernel.heap) else {
            return Ok(None);
        };
        let Snapshot { mut summary } = memory.snapshot(heap, (&self.setup.plan, is_last))?;
        summary.processes = memory.course.processes();
        summary.title.clone_from(&self.title);
        summary.elapsed = self.elapsed();
        summary.losses = LossReason::ALL
            .iter()
            .map(|reason| (*reason, self.kernel.lost(*reason)))
            .collect();
        summary.notes = self.memory_notes();
        Ok(Some(summary))
    }

    fn memory_notes(&self) -> Vec<String> {
        let mut notes = self.course_notes();
        notes.extend(unseen_note(&self.setup.plan));
        notes.extend(self.notes.iter().cloned());
        notes.extend(self.lines.notes().iter().cloned());
        notes
    }

    /// Shows the table of now. `false`: allocations are not what is followed.
    pub(super) fn refresh_memory(&mut self, display: &mut Display) -> Result<bool, SessionError> {
        if !self.has_course() {
            self.look_at_processes();
        }
        let Some(summary) = self.memory_summary(false)? else {
            return Ok(false);
        };
        if let Some(memory) = &self.memory {
            let shown = memory.config.shown;
            display.refresh_text(&|view| mem_table::render(&summary, &shown, view))?;
        }
        Ok(true)
    }

    /// Detaches, writes the outputs, and prints the last table. Returns whether anything was lost.
    pub(super) fn conclude_memory(mut self, reader: Reader, display: Display) -> Result<bool, SessionError> {
        self.ended_after = Some(self.attached.elapsed());
        std::mem::take(&mut self.attachments).close();
        self.look_at_processes();
        self.await_lines("where allocators were inlined is not known");
        let mut summary = self.memory_summary(true)?.unwrap_or_default();
        let ReaderResult { counts, failure, .. } = reader.finish(&summary.losses);
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        if counts.undecodable() > 0 {
            let undecodable = counts.undecodable();
            summary
                .notes
                .push(format!("{undecodable} messages of the kernel could not be read"));
        }
        let Some(mut memory) = self.memory.take() else {
            return Ok(false);
        };
        if let Err((path, error)) = memory.course.finish() {
            return Err(failed(&path)(error));
        }
        for output in std::mem::take(&mut memory.outputs) {
            let format = output.format;
            output.write(&match format {
                MemFormat::Csv => files::csv(&summary, memory.config.shown.by)?,
                MemFormat::Json => json::text(&summary, &memory.config, self.kernel.mode)?,
                MemFormat::Folded => files::folded(&summary, &memory.config.shown),
            })?;
        }
        let shown = memory.config.shown;
        display.conclude_text(&|view| mem_table::render(&summary, &shown, view))?;
        Ok(!summary.is_complete())
    }
}

/// Allocators whose results cannot be seen.
fn unseen_note(plan: &Plan) -> Option<String> {
    let unseen = |returns: &Returns| match returns {
        Returns::EntryOnly(reason) => *reason != EntryOnlyReason::NotNeeded,
        Returns::ReturnProbe(_) | Returns::ExitSites(..) => false,
    };
    let functions = plan.functions.iter().filter(|function| unseen(&function.returns));
    let all: Vec<&str> = functions.map(|function| function.name.as_str()).collect();
    if all.is_empty() {
        return None;
    }
    let first = all[..all.len().min(NAMED)].join(", ");
    let more = match all.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "what these return cannot be seen: what they allocate counts where they leave it to an allocator that is seen, and is \
         missing otherwise: {first}{more}"
    ))
}

fn monotonic_ns() -> u64 {
    crate::kernel::ring::monotonic_time().as_nanos() as u64
}

/// A file could not be written.
fn failed(path: &std::path::Path) -> impl Fn(io::Error) -> SessionError + '_ {
    move |source| SessionError::Summary {
        path: path.to_owned(),
        source,
    }
}
