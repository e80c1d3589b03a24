//! What a session has in its hands while it runs: the kernel side, its links, and what was counted.
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use profiler_common::cookie::FunctionId;
use profiler_common::histogram::relative_error;
use profiler_common::loss::LossReason;
use profiler_common::stats::function_flags;

use super::SessionError;
use super::attachment::Attachments;
use super::counters::Counters;
use super::display::Display;
use super::governor::{CostModel, Decision, Governor};
use super::reader::{Reader, ReaderResult};
use super::setup::Setup;
use super::summary_json::{SummaryData, SummaryFile, Times};
use crate::aggregate::FunctionTotals;
use crate::kernel::link;
use crate::kernel::load::Kernel;
use crate::probe::plan::{LeftOut, LeftOutReason, Price, Returns};
use crate::resolve::LinesAhead;
use crate::target::process::Process;
use crate::ui::{Overhead, Row, SortKey, Summary, View, plan_text, table};

/// How often the governor looks at the cost.
const OBSERVE_EVERY: Duration = Duration::from_millis(250);
/// How long the end waits for lines that are still being read.
const LINES_WAIT: Duration = Duration::from_secs(10);
/// Functions named in a note.
const NAMED: usize = 5;

/// A running session.
pub(super) struct State {
    pub(super) kernel: Kernel,
    pub(super) attachments: Attachments,
    pub(super) setup: Setup,
    pub(super) lines: LinesAhead,
    pub(super) counters: Counters,
    pub(super) governor: Governor,
    pub(super) model: CostModel,
    pub(super) notes: Vec<String>,
    pub(super) title: String,
    /// From the start to the last link, and the links' part of it.
    pub(super) startup: Duration,
    pub(super) attach_time: Duration,
    pub(super) attached: Instant,
    /// How long it was attached, at its end.
    pub(super) ended_after: Option<Duration>,
    pub(super) observed: Instant,
    pub(super) forks: Forks,
}

/// What became of the target's children.
#[derive(Debug, Default)]
pub(super) struct Forks {
    followed: u64,
    missed: u64,
    replaced: BTreeSet<u32>,
}

impl State {
    /// How long it has been attached, or was.
    fn elapsed(&self) -> Duration {
        self.ended_after.unwrap_or_else(|| self.attached.elapsed())
    }

    fn function_ids(&self) -> impl Iterator<Item = FunctionId> + use<> {
        (0..self.setup.plan.functions.len() as u32).map(FunctionId)
    }

    /// Looks at what was counted: the governor decides, and what it decides is done.
    pub(super) fn observe(&mut self) -> Result<(), SessionError> {
        let elapsed_ns = self.observed.elapsed().as_nanos() as f64;
        self.observed = Instant::now();
        self.kernel.flush_log();
        let calls = self.counters.calls(&self.kernel);
        let decision = self
            .governor
            .observe(&self.setup.plan, &self.model, &calls, elapsed_ns);
        if decision.is_empty() {
            Ok(())
        } else {
            self.apply(&decision)
        }
    }

    fn apply(&mut self, decision: &Decision) -> Result<(), SessionError> {
        let at = self.attached.elapsed().as_secs_f64();
        for function in &decision.demote {
            let index = function.0 as usize;
            self.kernel
                .functions
                .set(index, self.kernel.functions.get(index) & !function_flags::EVENTS);
        }
        self.attachments
            .detach(&self.kernel, &self.setup.plan, &decision.detach)?;
        for (functions, what) in [
            (&decision.demote, "counted and no longer recorded"),
            (&decision.detach, "detached"),
        ] {
            if !functions.is_empty() {
                let note = format!(
                    "governor, after {at:.1} s: {what}, over the budget: {}",
                    self.names(functions)
                );
                log::info!("{note}");
                self.notes.push(note);
            }
        }
        Ok(())
    }

    fn names(&self, functions: &[FunctionId]) -> String {
        let name = |function: &FunctionId| self.setup.plan.functions[function.0 as usize].name.as_str();
        let named: Vec<&str> = functions.iter().take(NAMED).map(name).collect();
        match functions.len().saturating_sub(NAMED) {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }

    /// How often [`Self::observe`] is worth its time: it reads a slot for each function and CPU.
    pub(super) fn observe_period(&self) -> Duration {
        const SLOTS_A_LOOK: usize = 200_000;
        let slots = self.kernel.stats.len();
        OBSERVE_EVERY * (slots / SLOTS_A_LOOK + 1).min(8) as u32
    }

    /// A process has ended: its links are taken away. Beside the loop, since the kernel takes its time.
    pub(super) fn forget(&mut self, pid: u32) {
        let links = self.attachments.forget(pid);
        std::thread::spawn(move || link::detach(links));
    }

    /// Attaches a forked child. Returns what tells of its end.
    pub(super) fn follow(&mut self, child: u32) -> Option<OwnedFd> {
        let end = Process::open(child).and_then(|process| process.end_notice()).ok();
        let followed = end.is_some()
            && self
                .attachments
                .follow(&self.kernel, &self.setup.plan, child)
                .is_ok();
        if followed {
            self.forks.followed += 1;
            return end;
        }
        self.forks.missed += 1;
        None
    }

    /// A process runs another program now.
    pub(super) fn note_exec(&mut self, pid: u32) {
        self.forks.replaced.insert(pid);
    }

    /// What was lost so far, by reason.
    fn losses(&self, totals: &[FunctionTotals]) -> Vec<(LossReason, u64)> {
        LossReason::ALL
            .iter()
            .map(|reason| match reason {
                // Counted by function, and nowhere else.
                LossReason::EntryWithoutReturn => {
                    (*reason, totals.iter().map(|totals| totals.abandoned).sum())
                }
                LossReason::RingFull
                | LossReason::StackTooDeep
                | LossReason::NoThreadState
                | LossReason::ReturnWithoutEntry
                | LossReason::ProcessRingFull
                | LossReason::BadCookie => (*reason, self.kernel.lost(*reason)),
            })
            .collect()
    }

    /// By function: its counters, without histograms, which are read only where they are shown: they are large.
    fn totals(&self) -> Vec<FunctionTotals> {
        self.function_ids()
            .map(|function| Counters::totals(&self.kernel, function))
            .collect()
    }

    /// The state of now, for a table of this view.
    pub(super) fn summary(&mut self, view: &View) -> Summary {
        let totals = self.totals();
        self.summary_of(&totals, view)
    }

    fn summary_of(&mut self, totals: &[FunctionTotals], view: &View) -> Summary {
        Summary {
            title: self.title.clone(),
            elapsed: self.elapsed(),
            losses: self.losses(totals),
            overhead: self.overhead(totals),
            quantile_error: self.kernel.layout.resolution.map(relative_error),
            notes: self.all_notes(),
            rows: self.rows(totals, view),
        }
    }

    /// The called functions; those that the view shows have their histograms.
    fn rows(&mut self, totals: &[FunctionTotals], view: &View) -> Vec<Row> {
        let called = self
            .function_ids()
            .zip(totals)
            .filter(|(_, totals)| totals.calls > 0);
        let (ids, mut rows): (Vec<FunctionId>, Vec<Row>) = called
            .map(|(function, totals)| (function, self.row(function, totals.clone())))
            .unzip();
        let shown = match (view.sort, view.top) {
            // Sorting needs them all.
            (SortKey::P99, _) | (_, None) => rows.len(),
            (
                SortKey::Calls | SortKey::Total | SortKey::SelfTime | SortKey::Avg | SortKey::Max,
                Some(top),
            ) => top,
        };
        for position in table::order(&rows, view.sort).into_iter().take(shown) {
            rows[position].totals.histogram = self.counters.histogram(&self.kernel, ids[position]);
        }
        rows
    }

    fn row(&self, function: FunctionId, totals: FunctionTotals) -> Row {
        let plan = &self.setup.plan;
        let planned = &plan.functions[function.0 as usize];
        Row {
            function: planned.name.clone(),
            object: plan.objects[planned.object].name.clone(),
            totals,
            untimed: match &planned.returns {
                Returns::EntryOnly(reason) => Some(plan_text::entry_only_reason(*reason).to_owned()),
                Returns::ReturnProbe(_) | Returns::ExitSites(..) => None,
            },
        }
    }

    fn overhead(&self, totals: &[FunctionTotals]) -> Option<Overhead> {
        let (mut hits, mut spent) = (0, 0.0);
        for (function, totals) in self.setup.plan.functions.iter().zip(totals) {
            let (call_ns, call_hits) = self.model.call(function);
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

    fn all_notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.kernel.layout.resolution.is_none() {
            notes.push("no percentiles: their histograms would not fit into `--max-map-memory`".to_owned());
        }
        notes.extend(left_out_note(&self.setup.plan.left_out));
        notes.extend(self.lines.notes().iter().cloned());
        if !self.attachments.refused().is_empty() {
            notes.push(format!(
                "the kernel refused: {}",
                self.names(self.attachments.refused())
            ));
        }
        let Forks {
            followed,
            missed,
            replaced,
        } = &self.forks;
        if followed + missed > 0 {
            notes.push(format!(
                "{} forked processes: {followed} followed (from some milliseconds after the fork), {missed} ended before",
                followed + missed
            ));
        }
        if !replaced.is_empty() {
            let pids: Vec<String> = replaced.iter().map(u32::to_string).collect();
            notes.push(format!(
                "another program since (exec), whose calls are not seen: process {}",
                pids.join(", ")
            ));
        }
        notes.extend(self.notes.iter().cloned());
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
        if !self.lines.wait(LINES_WAIT) {
            self.notes
                .push("the debug information was not read in time: source lines are missing".to_owned());
        }
        let totals = self.totals();
        let losses = self.losses(&totals);
        let ReaderResult { counts, failure, cpu } = reader.finish(&losses);
        log::debug!(
            "the reader used {cpu:?} of CPU time for {} records",
            counts.records
        );
        if counts.undecodable() > 0 {
            self.notes.push(format!(
                "{} messages of the kernel could not be read",
                counts.undecodable()
            ));
        }
        let summary = self.summary_of(&totals, display.view());
        let lost = !summary.is_complete();
        if let Some(file) = summary_file {
            let Self {
                kernel,
                counters,
                setup,
                lines,
                ..
            } = &mut self;
            file.write(&mut SummaryData {
                times,
                mode: kernel.mode,
                histogram: &mut |function| counters.histogram(kernel, function),
                plan: &setup.plan,
                lines: lines.get(),
                totals: &totals,
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
