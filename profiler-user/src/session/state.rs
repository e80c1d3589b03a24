//! What a session has in its hands while it runs: the kernel side, its links, and what was counted.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use profiler_common::alloc::SHAPE_SHIFT;
use profiler_common::cookie::FunctionId;
use profiler_common::stats::function_flags;

use super::SessionError;
use super::attachment::Attachments;
use super::census::Census;
use super::counters::Counters;
use super::governor::{CostModel, Decision, Governor};
use super::groups::{Groups, Tracker};
use super::growth::Growth;
use super::memory::Memory;
use super::names::NamesSender;
use super::roster::Roster;
use super::setup::Setup;
use super::targets::Targets;
use super::twins::Twins;
use super::watch::Shared;
use crate::cli::config::SessionConfig;
use crate::kernel::link::Detacher;
use crate::kernel::load::{Kernel, Suspension};
use crate::probe::plan::{PlannedFunction, ReturnProbeReason, Returns};
use crate::recorder::EventFunctions;
use crate::resolve::Lines;

/// How often the governor looks at the cost.
const OBSERVE_EVERY: Duration = Duration::from_millis(250);
/// Functions named in a note.
pub(super) const NAMED: usize = 5;

/// A running session.
pub(super) struct State {
    pub(super) kernel: Kernel,
    pub(super) attachments: Attachments,
    pub(super) setup: Setup,
    pub(super) lines: Lines,
    pub(super) counters: Counters,
    pub(super) governor: Governor,
    pub(super) model: CostModel,
    pub(super) notes: Vec<String>,
    /// What was done since it was last told.
    pub(super) news: Vec<String>,
    /// What the listening thread knows, too.
    pub(super) shared: Arc<Shared>,
    pub(super) suspension: Suspension,
    /// Suspensions for what could not be looked at.
    pub(super) unexamined: u32,
    /// Functions whose links could not be made anew yet.
    pub(super) to_renew: Vec<FunctionId>,
    pub(super) detacher: Detacher,
    /// Processes that may be meant when more is known of them, and how long that is waited for.
    pub(super) doubtful: Vec<(u32, Instant)>,
    /// Processes that the user wants no more.
    pub(super) barred: BTreeSet<u32>,
    pub(super) title: String,
    /// From the start to the last link, and the links' part of it.
    pub(super) startup: Duration,
    pub(super) attach_time: Duration,
    pub(super) attached: Instant,
    /// How long it was attached, at its end.
    pub(super) ended_after: Option<Duration>,
    pub(super) observed: Instant,
    pub(super) tracker: Tracker,
    pub(super) roster: Roster,
    pub(super) roster_notes: RosterNotes,
    pub(super) groups: Groups,
    pub(super) twins: Twins,
    pub(super) census: Option<Census>,
    /// Flags of functions when they begin: whether calls are recorded.
    pub(super) first_flags: u32,
    /// Tells whoever writes events of functions that join the plan.
    pub(super) events: Option<EventFunctions>,
    /// Allocations are followed, and no calls.
    pub(super) memory: Option<Memory>,
    /// Resident memory is followed.
    pub(super) growth: Option<Growth>,
    /// Tells the recording thread the names of functions that join the plan.
    pub(super) recorded_names: Option<NamesSender>,
}

/// What must be said of the targets' course.
#[derive(Debug, Default)]
pub(super) struct RosterNotes {
    /// Targets that run another program since, and are no targets any more.
    pub(super) replaced: BTreeSet<u32>,
    /// Functions whose returns were planned anew, as something was loaded that could break return probes.
    pub(super) replanned: u64,
    /// Files that were mapped while it ran, and whose first calls may be missing.
    pub(super) late: BTreeSet<String>,
    /// How often something that appeared could not be followed, and why the first time.
    pub(super) failures: u64,
    pub(super) first_failure: String,
}

impl State {
    /// Nothing is attached yet.
    pub(super) fn new(
        kernel: Kernel,
        setup: Setup,
        targets: Targets,
        config: &SessionConfig,
        model: CostModel,
    ) -> Self {
        let records = config.recording.is_some();
        let functions = setup.plan.functions.len();
        let suspension = kernel.suspension();
        Self {
            kernel,
            attachments: Attachments::default(),
            setup,
            lines: Lines::default(),
            counters: Counters::default(),
            governor: Governor::new(config.limits.max_overhead, functions, records),
            model,
            notes: Vec::new(),
            news: Vec::new(),
            shared: Arc::default(),
            suspension,
            unexamined: 0,
            to_renew: Vec::new(),
            detacher: Detacher::default(),
            doubtful: Vec::new(),
            barred: BTreeSet::new(),
            title: targets.title,
            startup: Duration::ZERO,
            attach_time: Duration::ZERO,
            attached: Instant::now(),
            ended_after: None,
            observed: Instant::now(),
            tracker: Tracker::new(targets.selector, targets.directory),
            roster: Roster::default(),
            roster_notes: RosterNotes::default(),
            groups: Groups::new(&config.group_by),
            twins: Twins::default(),
            census: None,
            first_flags: if records { function_flags::EVENTS } else { 0 },
            events: None,
            memory: None,
            growth: None,
            recorded_names: None,
        }
    }

    /// How long it has been attached, or was.
    pub(super) fn elapsed(&self) -> Duration {
        self.ended_after.unwrap_or_else(|| self.attached.elapsed())
    }

    /// Looks at what was counted: the governor decides, and what it decides is done.
    pub(super) fn observe(&mut self) -> Result<(), SessionError> {
        let elapsed_ns = self.observed.elapsed().as_nanos() as f64;
        self.observed = Instant::now();
        self.kernel.flush_log();
        self.make_room();
        self.groups.refresh(&self.kernel, &mut self.tracker);
        let calls = self.counters.calls(&self.kernel, self.setup.plan.functions.len());
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

    pub(super) fn names(&self, functions: &[FunctionId]) -> String {
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

    /// Functions joined the plan from number `first` on: the kernel side and the recording thread are told before they
    /// are attached.
    pub(super) fn announce_functions(&mut self, first: usize) {
        if first == self.setup.plan.functions.len() && first > 0 {
            return;
        }
        for function in &self.setup.plan.functions[first..] {
            let focus = if function.focus { function_flags::FOCUS } else { 0 };
            let allocator = allocator_flags(function);
            self.kernel
                .functions
                .set(function.id.0 as usize, self.first_flags | focus | allocator);
        }
        self.governor.grow(self.setup.plan.functions.len());
        self.twins.grow(&self.setup.plan);
        if first > 0 {
            self.lines
                .extend(&self.setup.plan, self.setup.catalog.debug(), first);
        }
        if let Some(events) = &self.events {
            events.extend(&self.setup.plan, (first, &self.lines.latest()));
        }
        if let Some(names) = &self.recorded_names {
            names.send(&self.setup.plan, (first, self.lines.latest()));
        }
    }
}

/// What the kernel side must know of a function that allocates or frees.
fn allocator_flags(function: &PlannedFunction) -> u32 {
    let Some(allocator) = function.allocator else {
        return 0;
    };
    let harmless = match function.returns {
        Returns::ReturnProbe(ReturnProbeReason::NoMachinery)
        | Returns::ExitSites(..)
        | Returns::EntryOnly(_) => 0,
        Returns::ReturnProbe(
            ReturnProbeReason::Leaf
            | ReturnProbeReason::HarmlessCallees
            | ReturnProbeReason::HarmlessLibrary
            | ReturnProbeReason::Forced,
        ) => function_flags::HARMLESS,
    };
    u32::from(allocator.shape.to_bits()) << SHAPE_SHIFT | harmless
}
