//! From messages to records: decode, resolve, record. The same for the rings and for a recorded file.
use std::io::Read;
use std::sync::mpsc::Receiver;

use profiler_common::event::{FunctionEvent, FunctionMemoryEvent, ProcessEvent};
use profiler_common::loss::LossReason;
use zerocopy::FromBytes as _;

use super::{Recorder, RecorderError};
use crate::event::{DecodeError, Event, EventFileError, EventFileReader, FunctionNames, Stream};
use crate::record::{
    CallKind, EventRecord, FunctionMemoryRecord, FunctionRecord, ProcessMemory, Record, RecordForm, Value,
};
use crate::resolve::{LinesAhead, Processes, Threads};

/// What passed through a pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipelineCounts {
    /// Records written.
    pub records: u64,
    /// Messages shorter than their kind.
    pub truncated: u64,
    /// Messages longer than their kind.
    pub wrong_size: u64,
    /// Messages of an unknown kind.
    pub unknown_kind: u64,
    /// Records whose function has no name.
    pub unnamed: u64,
}

impl PipelineCounts {
    /// Messages that meant nothing.
    pub fn undecodable(&self) -> u64 {
        self.truncated + self.wrong_size + self.unknown_kind
    }
}

/// The names of functions that join while events come.
#[derive(Debug)]
pub struct NewNames {
    /// The number of the first.
    pub first: usize,
    /// Their names.
    pub names: FunctionNames,
    /// Their source lines, now or later.
    pub lines: LinesAhead,
}

/// Turns messages into records.
pub struct EventPipeline {
    names: FunctionNames,
    /// The names of functions that join while events come.
    more_names: Option<Receiver<NewNames>>,
    /// Lines of such functions that are being read, and the number of the first.
    more_lines: Vec<(usize, LinesAhead)>,
    threads: Threads,
    processes: Processes,
    form: RecordForm,
    recorder: Box<dyn Recorder>,
    counts: PipelineCounts,
}

impl EventPipeline {
    /// Has `recorder` write its header.
    pub fn new(
        names: FunctionNames,
        recorder: Box<dyn Recorder>,
        threads: Threads,
    ) -> Result<Self, RecorderError> {
        let form = RecordForm::default();
        Self::of_form(form, names, recorder, (threads, Processes::nothing()))
    }

    /// The same for records of any form, with columns that say more of the process.
    pub fn of_form(
        form: RecordForm,
        names: FunctionNames,
        mut recorder: Box<dyn Recorder>,
        (threads, processes): (Threads, Processes),
    ) -> Result<Self, RecorderError> {
        let mut schema = form.schema();
        schema.columns.to_mut().extend_from_slice(processes.columns());
        recorder.prepare(&schema)?;
        Ok(Self {
            names,
            more_names: None,
            more_lines: Vec::new(),
            threads,
            processes,
            form,
            recorder,
            counts: PipelineCounts::default(),
        })
    }

    /// What the messages of calls and returns are.
    pub fn stream(&self) -> Stream {
        match self.form {
            RecordForm::Function | RecordForm::Event => Stream::Functions,
            RecordForm::FunctionMemory => Stream::FunctionMemory,
        }
    }

    /// Functions may join: their names come this way before their first event does.
    pub fn expect_names(&mut self, more: Receiver<NewNames>) {
        self.more_names = Some(more);
    }

    #[cold]
    fn take_names(&mut self) {
        while let Some(Ok(more)) = self.more_names.as_ref().map(Receiver::try_recv) {
            let NewNames { first, names, lines } = more;
            // What is known already was there from the beginning.
            if first >= self.names.len() {
                self.names.append(names);
            }
            self.more_lines.push((first, lines));
        }
        let names = &mut self.names;
        self.more_lines.retain(|(first, lines)| {
            if let Some(lines) = lines.get() {
                lines.complete(names, *first);
            }
            lines.is_pending()
        });
    }

    /// Completes the names of functions, for the records to come.
    pub fn names_mut(&mut self) -> &mut FunctionNames {
        &mut self.names
    }

    /// Takes one message as it came. Process messages are best given before the function messages of the same moment.
    #[inline]
    pub fn message(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), RecorderError> {
        let event = Event::decode(stream, bytes);
        self.decoded(event)
    }

    /// Whether the thread of a call's or return's message has been told of. A message that cannot be read has none.
    #[inline]
    pub fn knows_thread(&self, bytes: &[u8]) -> bool {
        // What else a message says comes behind that.
        FunctionEvent::ref_from_prefix(bytes).map_or(true, |(event, _)| self.threads.knows(event.tid))
    }

    /// Takes a call or return.
    pub fn function_event(&mut self, event: FunctionEvent) -> Result<(), RecorderError> {
        self.decoded(Event::try_from(event))
    }

    /// Takes what happened to a thread or process.
    pub fn process_event(&mut self, event: ProcessEvent) -> Result<(), RecorderError> {
        self.decoded(Event::try_from(event))
    }

    /// Takes a decoded message.
    #[inline]
    pub fn event(&mut self, event: Event) -> Result<(), RecorderError> {
        match event {
            Event::Call(call) => self.record(CallKind::Call, &call, None),
            Event::Return(call) => self.record(CallKind::Return, &call, None),
            Event::CallWithMemory(event) => self.record(CallKind::Call, &event.call, Some(memory(&event))),
            Event::ReturnWithMemory(event) => {
                self.record(CallKind::Return, &event.call, Some(memory(&event)))
            }
            Event::ThreadSeen(event) => {
                self.seen(&event);
                self.meet(event.pid);
                Ok(())
            }
            Event::Exec(event) => {
                self.seen(&event);
                self.processes.executed(event.time_ns, event.pid);
                Ok(())
            }
            Event::ThreadExit(event) => {
                self.threads.ended(event.time_ns, event.tid);
                Ok(())
            }
            Event::Fork(event) => {
                self.processes.forked(event.pid, event.child);
                Ok(())
            }
        }
    }

    /// Finds out who a process is, while it is there.
    pub fn meet(&mut self, pid: u32) {
        let _values: &[Box<str>] = self.processes.values(0, pid);
    }

    fn seen(&mut self, event: &ProcessEvent) {
        if event.comm[0] != 0 {
            self.threads.seen(event.time_ns, event.tid, &event.comm);
        }
    }

    /// What passed so far.
    pub fn counts(&self) -> PipelineCounts {
        self.counts
    }

    /// Hands everything recorded so far to the operating system.
    pub fn flush(&mut self) -> Result<(), RecorderError> {
        self.take_names();
        self.recorder.flush()
    }

    /// Writes a record for each reason that anything was lost for: a file that has none is complete.
    pub fn losses(&mut self, losses: &[(LossReason, u64)]) -> Result<(), RecorderError> {
        for (reason, count) in losses.iter().filter(|(_, count)| *count > 0) {
            let record = FunctionRecord {
                index: self.counts.records,
                kind: CallKind::Lost,
                function: &format!("{}={count}", reason.key()),
                line: None,
                filename: None,
                time_ns: None,
                pid: None,
                tid: None,
                comm: "",
                object: "",
                depth: None,
                duration_ns: None,
            };
            self.counts.records += 1;
            let nothing = vec![Value::Empty; self.processes.columns().len()];
            write(
                &mut *self.recorder,
                self.form,
                (record, None),
                nothing.into_iter(),
            )?;
        }
        Ok(())
    }

    /// Closes the recorder.
    pub fn finish(self) -> Result<PipelineCounts, RecorderError> {
        self.recorder.finalize()?;
        Ok(self.counts)
    }

    fn decoded(&mut self, event: Result<Event, DecodeError>) -> Result<(), RecorderError> {
        match event {
            Ok(event) => return self.event(event),
            Err(DecodeError::Truncated { .. }) => self.counts.truncated += 1,
            Err(DecodeError::WrongSize { .. }) => self.counts.wrong_size += 1,
            Err(DecodeError::UnknownKind(_)) => self.counts.unknown_kind += 1,
        }
        Ok(())
    }

    fn record(
        &mut self,
        kind: CallKind,
        event: &FunctionEvent,
        memory: Option<ProcessMemory>,
    ) -> Result<(), RecorderError> {
        if event.function as usize >= self.names.len() {
            self.take_names();
        }
        let Self {
            names,
            more_names: _,
            more_lines: _,
            threads,
            processes,
            form,
            recorder,
            counts,
        } = self;
        let (function, object, source) = if let Some(name) = names.get(event.function) {
            (&*name.function, &*name.object, name.source.as_ref())
        } else {
            counts.unnamed += 1;
            ("", "", None)
        };
        let record = FunctionRecord {
            index: counts.records,
            kind,
            function,
            line: source.map(|(_, line)| *line),
            filename: source.map(|(file, _)| &**file),
            time_ns: Some(event.time_ns),
            pid: Some(event.pid),
            tid: Some(event.tid),
            comm: threads.comm(event.time_ns, event.pid, event.tid),
            object,
            depth: Some(u32::from(event.depth)),
            duration_ns: (kind == CallKind::Return).then_some(event.duration_ns),
        };
        counts.records += 1;
        let more = processes.values(event.time_ns, event.pid).iter();
        let more = more.map(|text| Value::Text(text));
        write(&mut **recorder, *form, (record, memory), more)
    }
}

fn memory(event: &FunctionMemoryEvent) -> ProcessMemory {
    ProcessMemory {
        rss: event.rss,
        vms: event.vms,
    }
}

/// Writes a record in its form.
#[inline]
fn write<'a>(
    recorder: &mut dyn Recorder,
    form: RecordForm,
    (call, memory): (FunctionRecord<'a>, Option<ProcessMemory>),
    more: impl ExactSizeIterator<Item = Value<'a>>,
) -> Result<(), RecorderError> {
    match form {
        RecordForm::Function => write_values(recorder, &call.values(), more),
        RecordForm::Event => write_values(recorder, &EventRecord::of_call(call).values(), more),
        RecordForm::FunctionMemory => {
            write_values(recorder, &FunctionMemoryRecord::new(call, memory).values(), more)
        }
    }
}

#[inline]
fn write_values<'a>(
    recorder: &mut dyn Recorder,
    values: &[Value<'a>],
    more: impl ExactSizeIterator<Item = Value<'a>>,
) -> Result<(), RecorderError> {
    if more.len() == 0 {
        return recorder.record(&Record { values });
    }
    let values: Vec<Value<'a>> = values.iter().copied().chain(more).collect();
    recorder.record(&Record { values: &values })
}

/// Why recorded events could not be turned into records.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The events could not be read.
    #[error(transparent)]
    Events(#[from] EventFileError),
    /// The records could not be written.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
}

/// Turns the recorded events of `reader` into records of a form. What precedes a damaged place is recorded.
pub fn replay<R: Read>(
    mut reader: EventFileReader<R>,
    form: RecordForm,
    recorder: Box<dyn Recorder>,
) -> Result<PipelineCounts, ReplayError> {
    let who = (Threads::recorded(), Processes::nothing());
    let mut pipeline = EventPipeline::of_form(form, reader.names().clone(), recorder, who)?;
    loop {
        match reader.next_message() {
            Ok(Some((stream, bytes))) => pipeline.message(stream, bytes)?,
            Ok(None) => return Ok(pipeline.finish()?),
            Err(error) => {
                pipeline.finish()?;
                return Err(error.into());
            }
        }
    }
}
