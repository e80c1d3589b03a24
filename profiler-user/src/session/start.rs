//! The beginning of a session: outputs, plan, kernel side, links, reader.
use std::io;
use std::sync::Arc;
use std::time::Instant;

use profiler_common::cookie::CallStack;
use tokio::sync::mpsc::unbounded_channel;

use super::SessionError;
use super::census::Census;
use super::changes;
use super::follow::End;
use super::governor::CostModel;
use super::groups::Groups;
use super::growth::Growth;
use super::live::{Session, Settings};
use super::memory::Memory;
use super::outputs::{self, heap_settings};
use super::reader::Reader;
use super::roster::Origin;
use super::setup::{self, Setup};
use super::state::State;
use super::targets::Targets;
use super::watch::{Shared, Watch};
use crate::cli::config::SessionConfig;
use crate::kernel::calibrate::{self, ProbeCost};
use crate::kernel::layout::{CounterLayout, Demand};
use crate::kernel::load::{Kernel, KernelSettings, possible_cpus};
use crate::kernel::{AttachMode, Reach, capability};
use crate::probe::inlined::NotSeen;
use crate::resolve::{Lines, LinesAhead};
use crate::target::TargetError;
use crate::target::process::{Process, start_ticks};

/// Perf-event probes from which on their detaching takes seconds.
const MANY_PERF_EVENTS: usize = 64;
/// Room for functions of programs and libraries that appear later, at least, where `--max-map-memory` has it.
const LEAST_SPARE: u32 = 2048;
/// And where there are many functions, a part of them: all of it is memory that is taken at once.
const SPARE_SHARE: u32 = 8;

/// Plans, loads and attaches. Outputs are opened first: one that cannot be written costs the target nothing.
pub(super) fn start(
    mut targets: Targets,
    config: &SessionConfig,
    started: Instant,
) -> Result<Session, SessionError> {
    setup::check_permissions()?;
    capability::raise_descriptor_limit();
    let outputs = outputs::open(config)?;
    let changes = config.changes.as_deref().map(changes::open).transpose()?;
    let memory = config.memory.as_ref().map(Memory::new).transpose()?;
    let growth = config.growth.as_ref().map(Growth::new).transpose()?;
    // Before the first look at the processes, so that nothing falls between the two.
    let (sender, notices) = unbounded_channel();
    let shared = Arc::new(Shared::new(
        targets.selector.is_closed(),
        memory.is_some() || growth.is_some(),
    ));
    for process in &targets.processes {
        shared.insert(process.pid);
    }
    let watch = Watch::start(sender.clone(), &shared)?;
    let (mode, mut setup, cost) = plan(&targets, config)?;
    setup.check()?;
    let lines = read_lines(&setup, config)?;
    let reach = targets.reach(mode, config.probing.isolate);
    let command = targets.command();
    let mut kernel = load(&setup, (config, command), mode, reach)?;
    setup.catalog.limit(kernel.layout.functions as usize);
    let rings = (kernel.take_events()?, kernel.take_process_events()?);
    let ends = ends(&targets.processes)?;
    warn_of(&setup, mode);
    let recorded = outputs::recorded(outputs.recorders, (&setup, &targets, config), &lines)?;
    let reader = Reader::start(rings, recorded.reading, sender.clone())?;
    let patient = !targets.selector.is_closed();
    let processes = std::mem::take(&mut targets.processes);
    let mut state = State::new(kernel, setup, targets, config, CostModel::new(cost));
    state.recorded_names = recorded.names;
    state.events = recorded.events;
    state.notes.extend(outputs::unlimited_note(config));
    shared.set_suspension(state.suspension.clone());
    shared.examined(state.setup.catalog.files());
    state.shared = shared;
    state.memory = memory;
    state.growth = growth;
    state.lines = Lines::new(lines, shows_lines(config).then(|| config.symbols.paths.clone()));
    attach(&mut state, &processes)?;
    if let Some(file) = changes {
        changes::read(file, sender)?;
    }
    state.startup = started.elapsed();
    let announcement = announcement(&state, mode);
    Ok(Session {
        announcement,
        state,
        notices,
        reader,
        ends,
        settings: Settings::new(config, patient, watch.is_some()),
        watch,
        summary_file: outputs.summary,
    })
}

/// Begins to read what debug information has to say: the lines of the plan's functions, if anything shows them, and
/// where functions that were named were inlined. The probes are attached meanwhile.
fn read_lines(setup: &Setup, config: &SessionConfig) -> Result<LinesAhead, SessionError> {
    let inlined = if config.memory.is_some() {
        NotSeen::Allocators(setup.allocators_not_seen(config))
    } else {
        NotSeen::Functions(setup.not_seen_where_inlined(config), config.symbols.names)
    };
    LinesAhead::start(setup.lines_wanted(&config.symbols), shows_lines(config), inlined).map_err(|source| {
        SessionError::System {
            what: "start the thread that reads lines",
            source,
        }
    })
}

fn shows_lines(config: &SessionConfig) -> bool {
    config.recording.is_some() || config.summary_json.is_some()
}

/// Chooses the mode and measures the machine while the targets' files are read.
fn plan(targets: &Targets, config: &SessionConfig) -> Result<(AttachMode, Setup, ProbeCost), SessionError> {
    let mode = capability::choose_mode(config.probing.attach_mode)?;
    let reach = targets.reach(mode, config.probing.isolate);
    let measuring = std::thread::spawn(move || calibrate::measure(mode));
    let setup = setup::plan(&targets.processes, config, mode, reach)?;
    let cost = measuring.join().map_err(|_panic| SessionError::System {
        what: "measure the cost of a probe",
        source: io::Error::other("the measuring thread failed"),
    })??;
    Ok((mode, setup, cost))
}

/// Attaches what the plan has in the processes of now.
fn attach(state: &mut State, processes: &[Process]) -> Result<(), SessionError> {
    let attaching = Instant::now();
    state.announce_functions(0);
    state.attachments.grow(&state.setup.plan);
    let mapped_by = std::mem::take(&mut state.setup.mapped_by);
    for process in processes {
        let started = start_ticks(process.pid).unwrap_or_default();
        state.roster.insert(process.pid, Origin::Matched, started);
        state.groups.meet(process.pid, None, &mut state.tracker);
        state.meet_for_memory(process.pid);
        state.kernel.add_target(process.pid, true)?;
        let objects = mapped_by.get(&process.pid).cloned().unwrap_or_default();
        let reached = (state.kernel.reach == Reach::Process).then_some(process.pid);
        for object in &objects {
            let attached =
                state
                    .attachments
                    .attach_object(&state.kernel, &state.setup.plan, *object, reached);
            match attached {
                // Among many some end meanwhile.
                Err(SessionError::Target(TargetError::Ended { .. })) if processes.len() > 1 => break,
                attached => attached?,
            }
        }
        if let Some(member) = state.roster.get_mut(process.pid) {
            member.objects = objects;
        }
    }
    state.attachments.check()?;
    (state.attached, state.observed) = (Instant::now(), Instant::now());
    if let Some(memory) = &mut state.memory {
        memory.begin();
    }
    state.attach_time = attaching.elapsed();
    let pids: Vec<u32> = processes.iter().map(|process| process.pid).collect();
    state.census = Some(Census::begin(&state.setup.plan, state.kernel.reach, &pids));
    Ok(())
}

fn ends(processes: &[Process]) -> Result<Vec<End>, SessionError> {
    let end = |process: &Process| {
        Ok::<_, SessionError>(End {
            pid: process.pid,
            notice: process.end_notice()?,
            start_ticks: start_ticks(process.pid).unwrap_or_default(),
        })
    };
    match processes {
        [only] => Ok(vec![end(only)?]),
        // One of many that has ended since has nothing to tell.
        many => Ok(many.iter().filter_map(|process| end(process).ok()).collect()),
    }
}

fn load(
    setup: &Setup,
    (config, command): (&SessionConfig, Option<u32>),
    mode: AttachMode,
    reach: Reach,
) -> Result<Kernel, SessionError> {
    let functions = setup.plan.functions.len() as u32;
    let goroutines = setup
        .plan
        .functions
        .iter()
        .any(|function| function.stack == CallStack::Goroutine);
    let may_come = reach != Reach::Process || setup.plan.functions.is_empty();
    let demand = Demand {
        functions,
        spare: LEAST_SPARE.max(functions / SPARE_SHARE),
        cpus: possible_cpus(),
        grouping: Groups::grouping(&config.group_by),
    };
    let heap = heap_settings(config);
    let layout = if config.memory.is_some() {
        // Calls are not counted.
        CounterLayout::without_counters(functions + LEAST_SPARE, possible_cpus())
    } else {
        let others = u64::from(heap.is_some());
        CounterLayout::fit(demand, config.limits.map_bytes >> others)?
    };
    Ok(Kernel::load(&KernelSettings {
        mode,
        layout,
        reach,
        focus: !config.selection.focus.is_empty(),
        goroutines: goroutines || may_come,
        ring_bytes: (config.recording.is_some() || heap.is_some_and(|heap| heap.events))
            .then_some(config.limits.ring_bytes),
        detail: config.monitor.detail,
        heap,
        rss: outputs::rss_settings(config, command),
    })?)
}

fn warn_of(setup: &Setup, mode: AttachMode) {
    setup.warn();
    let functions = setup.plan.functions.len();
    if mode == AttachMode::PerfEvent && functions > MANY_PERF_EVENTS {
        log::warn!(
            "{functions} functions through perf events: attaching and detaching takes minutes, choose fewer with `--function`"
        );
    }
}

fn announcement(state: &State, mode: AttachMode) -> String {
    let files = state.setup.catalog.file_count();
    format!(
        "attached {} in {} of {} ({mode}) in {:.0?}",
        match state.setup.plan.functions.len() {
            1 => "1 function".to_owned(),
            functions => format!("{functions} functions"),
        },
        match files {
            1 => "1 file".to_owned(),
            files => format!("{files} files"),
        },
        state.title,
        state.startup,
    )
}
