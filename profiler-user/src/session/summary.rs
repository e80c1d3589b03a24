//! What a session shows: its counters, losses, notes, now and at its end.
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use profiler_common::cookie::FunctionId;
use profiler_common::histogram::relative_error;
use profiler_common::loss::LossReason;

use super::SessionError;
use super::census::Census;
use super::counters::Counters;
use super::display::Display;
use super::groups::Groups;
use super::reader::{Reader, ReaderResult};
use super::roster::Roster;
use super::state::{NAMED, RosterNotes, State};
use super::summary_json::{SummaryData, SummaryFile, Times};
use crate::aggregate::FunctionTotals;
use crate::aggregate::histogram::Histogram;
use crate::kernel::Reach;
use crate::kernel::memory::RssExactness;
use crate::probe::plan::{LeftOut, LeftOutReason, Price, Returns};
use crate::recorder::PipelineCounts;
use crate::ui::{Overhead, Row, SortKey, Summary, View, plan_text, table};

/// How long the end waits for lines that are still being read.
const LINES_WAIT: Duration = Duration::from_secs(10);

/// The counters of one function in one group.
pub(super) struct Counted {
    pub(super) function: FunctionId,
    pub(super) group: usize,
    pub(super) totals: FunctionTotals,
}

impl State {
    /// What was lost so far, by reason.
    fn losses(&self, counted: &[Counted]) -> Vec<(LossReason, u64)> {
        LossReason::ALL
            .iter()
            .map(|reason| match reason {
                // Counted by function, and nowhere else.
                LossReason::EntryWithoutReturn => {
                    let of_calls: u64 = counted.iter().map(|it| it.totals.abandoned).sum();
                    // What allocates has no counters.
                    (*reason, of_calls + self.kernel.lost(*reason))
                }
                LossReason::RingFull
                | LossReason::StackTooDeep
                | LossReason::NoThreadState
                | LossReason::ReturnWithoutEntry
                | LossReason::ProcessRingFull
                | LossReason::BadCookie
                | LossReason::UnknownGoroutine
                | LossReason::TargetsFull
                | LossReason::Held
                | LossReason::LiveFull
                | LossReason::SitesFull
                | LossReason::PointerUnreadable
                | LossReason::StackLost
                | LossReason::FirstChange
                | LossReason::PlacesFull
                | LossReason::ProcessesFull => (*reason, self.kernel.lost(*reason)),
            })
            .collect()
    }

    /// Waits for what is still being read of debug information, for a while; says what is `missing` without it.
    pub(super) fn await_lines(&mut self, missing: &str) {
        if !self.lines.wait(LINES_WAIT) {
            self.notes
                .push(format!("the debug information was not read in time: {missing}"));
        }
    }

    /// The same where calls are counted beside something else.
    pub(super) fn all_losses(&mut self) -> Vec<(LossReason, u64)> {
        let counted = self.counted();
        self.losses(&counted)
    }

    /// By function and group: its counters, without histograms, which are read only where they are shown: they are large.
    fn counted(&mut self) -> Vec<Counted> {
        self.groups.refresh(&self.kernel, &mut self.tracker);
        let (of_rows, groups) = (self.groups.of_rows(), self.groups.len());
        let of_kind = |(first, all): (FunctionId, &[FunctionId])| {
            let mut by_group = vec![FunctionTotals::default(); groups];
            for function in all {
                let totals = Counters::totals(&self.kernel, *function, of_rows, groups);
                for (sum, totals) in by_group.iter_mut().zip(&totals) {
                    sum.merge(totals);
                }
            }
            by_group
                .into_iter()
                .enumerate()
                .map(move |(group, totals)| Counted {
                    function: first,
                    group,
                    totals,
                })
        };
        self.twins.kinds().flat_map(of_kind).collect()
    }

    /// The state of now, for a table of this view.
    pub(super) fn summary(&mut self, view: &View) -> Summary {
        let counted = self.counted();
        self.summary_of(&counted, view)
    }

    fn summary_of(&mut self, counted: &[Counted], view: &View) -> Summary {
        let attributes = self.groups.attributes().iter();
        Summary {
            title: self.title.clone(),
            elapsed: self.elapsed(),
            group_by: attributes.map(|attribute| attribute.name()).collect(),
            losses: self.losses(counted),
            overhead: self.overhead(counted),
            quantile_error: self.kernel.layout.resolution.map(relative_error),
            notes: self.all_notes(),
            rows: self.rows(counted, view),
        }
    }

    /// The called functions; those that the view shows have their histograms.
    fn rows(&mut self, counted: &[Counted], view: &View) -> Vec<Row> {
        let called: Vec<&Counted> = counted.iter().filter(|it| it.totals.calls > 0).collect();
        let mut rows: Vec<Row> = called.iter().map(|it| self.row(it)).collect();
        let shown = match (view.sort, view.top) {
            // Sorting needs them all.
            (SortKey::P99, _) | (_, None) => rows.len(),
            (
                SortKey::Calls | SortKey::Total | SortKey::SelfTime | SortKey::Avg | SortKey::Max,
                Some(top),
            ) => top,
        };
        for position in table::order(&rows, view.sort).into_iter().take(shown) {
            rows[position].totals.histogram = self.histogram(called[position]);
        }
        rows
    }

    fn histogram(&mut self, counted: &Counted) -> Histogram {
        let all = self.twins.of_kind(counted.function);
        self.counters
            .histogram(&self.kernel, all, self.groups.of_rows(), counted.group)
    }

    fn row(&self, counted: &Counted) -> Row {
        let plan = &self.setup.plan;
        let planned = &plan.functions[counted.function.0 as usize];
        Row {
            group: self.groups.values(counted.group).to_vec(),
            function: planned.name.clone(),
            object: plan.objects[planned.object].name.clone(),
            totals: counted.totals.clone(),
            untimed: match &planned.returns {
                Returns::EntryOnly(reason) => Some(plan_text::entry_only_reason(*reason).to_owned()),
                Returns::ReturnProbe(_) | Returns::ExitSites(..) => None,
            },
        }
    }

    fn overhead(&self, counted: &[Counted]) -> Option<Overhead> {
        let (mut hits, mut spent) = (0, 0.0);
        for Counted {
            function,
            group: _,
            totals,
        } in counted
        {
            let (call_ns, call_hits) = self.model.call(&self.setup.plan.functions[function.0 as usize]);
            hits += totals.calls * call_hits;
            spent += totals.calls as f64 * call_ns;
        }
        let elapsed = self.elapsed().as_nanos() as f64;
        (hits > 0).then(|| Overhead {
            hits,
            hit_ns: spent / hits as f64,
            core_percent: 100.0 * spent / elapsed,
            in_duration_ns: self.model.within_duration(Price::Emulated),
            in_duration_stepped_ns: self.model.within_duration(Price::SingleStepped),
            basis: "estimated from probes measured on this machine",
        })
    }

    fn all_notes(&mut self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.kernel.layout.resolution.is_none() {
            notes.push("no percentiles: their histograms would not fit into `--max-map-memory`".to_owned());
        }
        notes.extend(self.lines.notes().iter().cloned());
        notes.extend(self.course_notes());
        notes.extend(Groups::note(&self.kernel));
        notes.extend(self.census.as_mut().and_then(Census::note).map(str::to_owned));
        notes.extend(self.notes.iter().cloned());
        notes
    }

    /// What must be said of the plan and of the targets' course, whatever is followed.
    pub(super) fn course_notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = left_out_note(&self.setup.plan.left_out).into_iter().collect();
        if !self.attachments.refused().is_empty() {
            notes.push(format!(
                "the kernel refused: {}",
                self.names(self.attachments.refused())
            ));
        }
        notes.extend(self.kernel.rss.and_then(memory_note));
        notes.extend(self.roster_note());
        notes
    }

    fn roster_note(&self) -> Vec<String> {
        let Roster {
            joined,
            children,
            missed,
            ..
        } = &self.roster;
        let RosterNotes {
            replaced,
            replanned,
            late,
            failures,
            first_failure,
        } = &self.roster_notes;
        let mut notes = Vec::new();
        if *failures > 0 {
            notes.push(format!("not followed, {failures} times: {first_failure}"));
        }
        if *children > 0 {
            notes.push(match self.kernel.reach {
                Reach::Process => format!(
                    "{children} forked processes: {} followed (from some milliseconds after the fork), {missed} ended before",
                    children - missed.min(children)
                ),
                Reach::Targets { .. } | Reach::Everyone => format!(
                    "{children} forked processes: followed from their first instruction in files that were known; of \
                     programs that were new the first milliseconds are missed"
                ),
            });
        }
        let foreign = self.kernel.foreign_hits();
        if foreign > 0 {
            notes.push(format!(
                "processes that are no targets hit probes {foreign} times, and paid about {:.0} ns each time (--isolate spares \
                 them)",
                self.model.hit(Price::Emulated)
            ));
        }
        notes.extend(late_note(late));
        if *joined > 0 {
            notes.push(format!("{joined} processes joined while it ran"));
        }
        if !replaced.is_empty() {
            let pids: Vec<String> = replaced.iter().take(NAMED).map(u32::to_string).collect();
            let more = and_more(replaced.len());
            notes.push(format!(
                "another program since (exec), whose calls are not seen: process {}{more} (--children follows them)",
                pids.join(", ")
            ));
        }
        if *replanned > 0 {
            notes.push(format!(
                "the returns of {replanned} functions are seen differently since a target loaded what return probes could break"
            ));
        }
        notes
    }

    /// Detaches, drains, and prints the last table. Returns whether anything was lost.
    pub(super) fn conclude(
        mut self,
        reader: Reader,
        display: Display,
        summary_file: Option<SummaryFile>,
    ) -> Result<bool, SessionError> {
        let elapsed = *self.ended_after.insert(self.attached.elapsed());
        let detaching = Instant::now();
        std::mem::take(&mut self.attachments).close();
        let times = Times {
            elapsed,
            startup: self.startup,
            attach: self.attach_time,
            detach: detaching.elapsed(),
        };
        self.await_lines("source lines are missing");
        let counted = self.counted();
        let losses = self.losses(&counted);
        let ReaderResult { counts, failure, cpu } = reader.finish(&losses);
        log::debug!(
            "the reader used {cpu:?} of CPU time for {} records",
            counts.records
        );
        self.note_undecodable(counts);
        let summary = self.summary_of(&counted, display.view());
        let lost = !summary.is_complete();
        if let Some(file) = summary_file {
            let Self {
                kernel,
                counters,
                setup,
                groups,
                lines,
                twins,
                ..
            } = &mut self;
            file.write(&mut SummaryData {
                times,
                mode: kernel.mode,
                histogram: &mut |it: &Counted| {
                    counters.histogram(kernel, twins.of_kind(it.function), groups.of_rows(), it.group)
                },
                plan: &setup.plan,
                lines,
                groups,
                counted: &counted,
                losses: &losses,
                recorded: counts,
                reader_cpu: cpu,
                notes: &summary.notes,
            })?;
        }
        display.conclude(&summary)?;
        match failure {
            Some(error) if !error.is_broken_pipe() => Err(error.into()),
            Some(_) | None => Ok(lost),
        }
    }

    fn note_undecodable(&mut self, counts: PipelineCounts) {
        let undecodable = counts.undecodable();
        if undecodable > 0 {
            self.notes
                .push(format!("{undecodable} messages of the kernel could not be read"));
        }
    }
}

/// How far the resident memory in records can be off.
fn memory_note(exactness: RssExactness) -> Option<String> {
    match exactness {
        RssExactness::Exact => None,
        RssExactness::WithinPerThread { bytes } => Some(format!(
            "RSS: this kernel lets each thread hold back up to {} KiB of each kind of page; what the calling thread \
             holds back is added",
            bytes / 1024
        )),
    }
}

/// Files whose first calls may be missing.
fn late_note(late: &BTreeSet<String>) -> Option<String> {
    let names: Vec<&str> = late.iter().take(NAMED).map(String::as_str).collect();
    let more = and_more(late.len());
    (!late.is_empty()).then(|| {
        format!(
            "loaded while it ran, and probed some milliseconds later: {}{more}",
            names.join(", ")
        )
    })
}

/// What follows the names of the first of so many.
fn and_more(count: usize) -> String {
    match count.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

/// What was asked for and is not probed. What the user excluded is no news.
fn left_out_note(left_out: &[LeftOut]) -> Option<String> {
    let told = left_out
        .iter()
        .filter(|left_out| left_out.reason != LeftOutReason::Excluded);
    let named: Vec<String> = told
        .clone()
        .take(NAMED)
        .map(|left_out| {
            format!(
                "{} ({})",
                left_out.name,
                plan_text::left_out_reason(left_out.reason)
            )
        })
        .collect();
    match told.count().saturating_sub(NAMED) {
        _ if named.is_empty() => None,
        0 => Some(format!("not probed: {}", named.join(", "))),
        more => Some(format!(
            "not probed: {} and {more} more, which --dry-run names",
            named.join(", ")
        )),
    }
}
