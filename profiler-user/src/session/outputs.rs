//! Where a session writes, and what the kernel side must send for it.
use std::sync::mpsc::Receiver;

use profiler_common::alloc::StackChoice;

use super::SessionError;
use super::names::{NamesSender, names_channel};
use super::reader::Reading;
use super::setup::Setup;
use super::summary_json::SummaryFile;
use super::targets::Targets;
use crate::cli::config::{Budget, SessionConfig};
use crate::kernel::EventDetail;
use crate::kernel::heap::{HeapLayout, HeapSettings};
use crate::kernel::rss::RssSettings;
use crate::record::RecordForm;
use crate::recorder::{
    CSV, EventFunctions, EventPipeline, EventStyle, EventWriter, NewNames, Output, Recorder,
};
use crate::resolve::{self, LinesAhead, Processes, Threads};
use crate::ui::mem_view::MemBy;

/// Recorders.
pub(super) struct Recorders {
    of_calls: Option<Box<dyn Recorder>>,
    of_events: Option<Box<dyn Recorder>>,
}

/// What is written to.
pub(super) struct Outputs {
    pub(super) recorders: Recorders,
    pub(super) summary: Option<SummaryFile>,
}

/// Opens them.
pub(super) fn open(config: &SessionConfig) -> Result<Outputs, SessionError> {
    let recording = config.recording.as_ref();
    let recorder = recording.map(|recording| recording.kind.open(&recording.output));
    let recorder = recorder.transpose()?;
    let summary = config.summary_json.clone().map(SummaryFile::create);
    let of_memory = config.memory.as_ref().and_then(|memory| memory.events.as_ref());
    let of_memory = of_memory.map(|events| CSV.open(&Output::File(events.path.clone())));
    let (of_calls, of_events) = match config.monitor.form {
        RecordForm::Event => (None, recorder),
        RecordForm::Function | RecordForm::FunctionMemory => (recorder, of_memory.transpose()?),
    };
    Ok(Outputs {
        recorders: Recorders { of_calls, of_events },
        summary: summary.transpose()?,
    })
}

/// What becomes of what the kernel side sends, and who is told of functions that join the plan.
pub(super) struct Recorded {
    pub(super) reading: Reading,
    pub(super) names: Option<NamesSender>,
    pub(super) events: Option<EventFunctions>,
}

/// Prepares the recorders, of calls and of events.
pub(super) fn recorded(
    Recorders { of_calls, of_events }: Recorders,
    (setup, targets, config): (&Setup, &Targets, &SessionConfig),
    lines: &LinesAhead,
) -> Result<Recorded, SessionError> {
    let (names, more_names) = names_channel();
    let pipeline = of_calls.map(|recorder| pipeline(setup, config, recorder, more_names));
    let pipeline = pipeline.transpose()?;
    let names = pipeline.is_some().then_some(names);
    let mut reading = Reading::new(pipeline, lines.clone(), config.limits.ring_bytes);
    let mut events = None;
    if let Some(recorder) = of_events {
        let functions = EventFunctions::default();
        functions.extend(&setup.plan, (0, lines));
        events = Some(functions.clone());
        let functions = (functions, lines.clone());
        reading.writer = Some(writer(targets, config, recorder, functions)?);
    }
    Ok(Recorded {
        reading,
        names,
        events,
    })
}

/// What writes events.
fn writer(
    targets: &Targets,
    config: &SessionConfig,
    recorder: Box<dyn Recorder>,
    functions: (EventFunctions, LinesAhead),
) -> Result<EventWriter, SessionError> {
    let of_memory = config.memory.as_ref().and_then(|memory| memory.events.as_ref());
    let style = EventStyle {
        raw: config.raw || of_memory.is_some_and(|events| events.raw),
        paths: config.symbols.paths.clone(),
    };
    let mut writer = EventWriter::new(recorder, functions, style)?;
    for process in &targets.processes {
        writer.learn(process.pid);
    }
    Ok(writer)
}

/// What the budget does not cover.
pub(super) fn unlimited_note(config: &SessionConfig) -> Option<String> {
    let is_limited = config.limits.max_overhead != Budget::Unlimited;
    (config.monitor.form == RecordForm::Event && is_limited).then(|| {
        "allocations are recorded whatever they cost: `--max-overhead` is about calls alone".to_owned()
    })
}

/// What the memory programs are told; none = allocations are not followed.
pub(super) fn heap_settings(config: &SessionConfig) -> Option<HeapSettings> {
    if config.monitor.detail == EventDetail::CallAndCaller {
        // Nobody reads the counters of call sites: one for each process does.
        return Some(HeapSettings {
            layout: HeapLayout::fit(config.limits.map_bytes / 2, StackChoice::None),
            stack: StackChoice::None,
            by_thread: false,
            sample_bytes: None,
            events: true,
        });
    }
    config.memory.as_ref().map(|memory| HeapSettings {
        layout: HeapLayout::fit(memory.map_bytes, memory.stack),
        stack: memory.stack,
        by_thread: memory.shown.by == MemBy::Thread,
        sample_bytes: memory.sample_bytes,
        events: memory.events.is_some(),
    })
}

/// What the programs that follow resident memory are told; none = it is not followed.
pub(super) fn rss_settings(config: &SessionConfig, command: Option<u32>) -> Option<RssSettings> {
    config.growth.as_ref().map(|growth| {
        let by_thread = growth.shown.by == MemBy::Thread;
        RssSettings::fit(config.limits.map_bytes / 2, growth.stack, by_thread, command)
    })
}

/// What writes records of calls.
fn pipeline(
    setup: &Setup,
    config: &SessionConfig,
    recorder: Box<dyn Recorder>,
    more_names: Receiver<NewNames>,
) -> Result<EventPipeline, SessionError> {
    let names = resolve::function_names(&setup.plan, 0);
    let who = (
        Threads::of_this_machine(),
        Processes::of_this_machine(&config.columns),
    );
    let mut pipeline = EventPipeline::of_form(config.monitor.form, names, recorder, who)?;
    pipeline.expect_names(more_names);
    for pid in setup.mapped_by.keys() {
        pipeline.meet(*pid);
    }
    Ok(pipeline)
}
