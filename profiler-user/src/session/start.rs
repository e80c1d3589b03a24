//! The beginning of a session: outputs, plan, kernel side, links, reader.
use std::io;
use std::thread::JoinHandle;
use std::time::Instant;

use profiler_common::stats::function_flags;
use tokio::sync::mpsc::unbounded_channel;

use super::SessionError;
use super::attachment::Attachments;
use super::counters::Counters;
use super::governor::{CostModel, Governor};
use super::live::{Session, Settings};
use super::reader::{Reader, Reading};
use super::setup::{self, Setup};
use super::state::{Forks, State};
use super::summary_json::SummaryFile;
use crate::cli::config::SessionConfig;
use crate::event::FunctionNames;
use crate::kernel::calibrate::{self, ProbeCost};
use crate::kernel::error::KernelError;
use crate::kernel::load::{CounterLayout, Kernel, KernelSettings, possible_cpus};
use crate::kernel::{AttachMode, capability};
use crate::recorder::{EventPipeline, Recorder};
use crate::resolve::{LinesAhead, Threads};
use crate::target::process::Process;

/// Perf-event probes from which on their detaching takes seconds.
const MANY_PERF_EVENTS: usize = 64;

/// What is written to.
struct Outputs {
    recorder: Option<Box<dyn Recorder>>,
    summary: Option<SummaryFile>,
}

/// Plans, loads and attaches. Outputs are opened first: one that cannot be written costs the target nothing.
pub(super) fn start(
    processes: &[Process],
    config: &SessionConfig,
    started: Instant,
) -> Result<Session, SessionError> {
    setup::check_permissions()?;
    let outputs = open_outputs(config)?;
    let measuring = measure_probes(config.probing.attach_mode);
    let setup = setup::plan(processes, config)?;
    setup.check()?;
    let lines = read_lines(&setup, config)?;
    let (mode, cost) = measured(measuring)?;
    let mut kernel = load(&setup, config, mode)?;
    let rings = (kernel.take_events()?, kernel.take_process_events()?);
    let notices = processes
        .iter()
        .map(|process| Ok((process.pid, process.end_notice()?)));
    let ends = notices.collect::<Result<_, SessionError>>()?;
    warn_of(&setup, mode);
    let attaching = Instant::now();
    let attachments = Attachments::new(&kernel, &setup.plan, &setup.mapped_by)?;
    let attach_time = attaching.elapsed();
    let pipeline = outputs.recorder.map(|recorder| start_pipeline(&setup, recorder));
    let pipeline = pipeline.transpose()?;
    let governor = Governor::new(
        config.limits.max_overhead,
        setup.plan.functions.len(),
        pipeline.is_some(),
    );
    let (sender, notices) = unbounded_channel();
    let reading = Reading::new(pipeline, lines.clone(), config.limits.ring_bytes);
    let reader = Reader::start(rings, reading, sender)?;
    let title = title(processes);
    let announcement = announcement(&title, &setup, mode, started);
    let state = State {
        kernel,
        attachments,
        setup,
        lines,
        counters: Counters::default(),
        governor,
        model: CostModel::new(cost),
        notes: Vec::new(),
        title,
        startup: started.elapsed(),
        attach_time,
        attached: Instant::now(),
        ended_after: None,
        observed: Instant::now(),
        forks: Forks::default(),
    };
    let settings = Settings {
        display: config.display,
        duration: config.limits.duration,
        on_loss: config.limits.on_loss,
    };
    Ok(Session {
        announcement,
        state,
        notices,
        reader,
        ends,
        settings,
        summary_file: outputs.summary,
    })
}

fn start_pipeline(setup: &Setup, recorder: Box<dyn Recorder>) -> Result<EventPipeline, SessionError> {
    let names = FunctionNames::from(&setup.plan);
    Ok(EventPipeline::new(names, recorder, Threads::of_this_machine())?)
}

/// Begins to read what debug information has to say: the lines of the plan's functions, if anything shows them, and
/// where functions that were named were inlined. The probes are attached meanwhile.
fn read_lines(setup: &Setup, config: &SessionConfig) -> Result<LinesAhead, SessionError> {
    let shown = config.recording.is_some() || config.summary_json.is_some();
    let inlined = setup.not_seen_where_inlined(config);
    LinesAhead::start(
        setup.lines_wanted(&config.symbols),
        shown,
        (inlined, config.symbols.names),
    )
    .map_err(|source| SessionError::System {
        what: "start the thread that reads lines",
        source,
    })
}

fn open_outputs(config: &SessionConfig) -> Result<Outputs, SessionError> {
    let recording = config.recording.as_ref();
    let recorder = recording.map(|recording| recording.kind.open(&recording.output));
    let summary = config.summary_json.clone().map(SummaryFile::create);
    Ok(Outputs {
        recorder: recorder.transpose()?,
        summary: summary.transpose()?,
    })
}

type Measured = Result<(AttachMode, ProbeCost), KernelError>;

/// Chooses the mode and measures the machine, while the target's files are read.
fn measure_probes(wanted: Option<AttachMode>) -> JoinHandle<Measured> {
    std::thread::spawn(move || {
        let mode = capability::choose_mode(wanted)?;
        calibrate::measure(mode).map(|cost| (mode, cost))
    })
}

fn measured(measuring: JoinHandle<Measured>) -> Result<(AttachMode, ProbeCost), SessionError> {
    let joined = measuring.join().map_err(|_panic| SessionError::System {
        what: "measure the cost of a probe",
        source: io::Error::other("the measuring thread failed"),
    });
    Ok(joined??)
}

fn load(setup: &Setup, config: &SessionConfig, mode: AttachMode) -> Result<Kernel, SessionError> {
    let plan = &setup.plan;
    let layout = CounterLayout::fit(
        plan.functions.len() as u32,
        possible_cpus(),
        config.limits.map_bytes,
    )?;
    let records = config.recording.is_some();
    let kernel = Kernel::load(&KernelSettings {
        mode,
        layout,
        focus: !config.selection.focus.is_empty(),
        ring_bytes: records.then_some(config.limits.ring_bytes),
    })?;
    for function in &plan.functions {
        let events = if records { function_flags::EVENTS } else { 0 };
        let focus = if function.focus { function_flags::FOCUS } else { 0 };
        kernel.functions.set(function.id.0 as usize, events | focus);
    }
    Ok(kernel)
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

fn title(processes: &[Process]) -> String {
    let names: Vec<String> = processes
        .iter()
        .map(|process| format!("{} ({})", process.pid, process.comm))
        .collect();
    let noun = if names.len() == 1 { "process" } else { "processes" };
    format!("{noun} {}", names.join(", "))
}

fn announcement(title: &str, setup: &Setup, mode: AttachMode, started: Instant) -> String {
    format!(
        "attached {} in {} of {title} ({mode}) in {:.0?}",
        match setup.plan.functions.len() {
            1 => "1 function".to_owned(),
            functions => format!("{functions} functions"),
        },
        match setup.file_count() {
            1 => "1 file".to_owned(),
            files => format!("{files} files"),
        },
        started.elapsed(),
    )
}
