//! Events: calls, returns, allocations and frees in one stream, in the order of their time, with who called.
mod codes;
mod frames;
mod open;
mod order;

use profiler_common::event::{
    AllocEvent, AllocEventKind, FunctionCallerEvent, FunctionEvent, FunctionEventKind, JUMPED_TO,
};
use profiler_common::loss::LossReason;
use zerocopy::FromBytes as _;

use super::{PipelineCounts, Recorder, RecorderError};
use crate::event::{Event, Stream};
use crate::record::{EventRecord, Record};
use crate::resolve::{LinesAhead, PathStyle, Threads};
use codes::{Code, Function};
use frames::{Frame, Frames};
use open::{Open, OpenCalls};
use order::{Message, Order};

pub use codes::EventFunctions;

/// How events are shown.
#[derive(Clone, Debug, Default)]
pub struct EventStyle {
    /// What happened is told by its number.
    pub raw: bool,
    /// How paths of source files are shown.
    pub paths: PathStyle,
}

/// Writes events.
pub struct EventWriter {
    recorder: Box<dyn Recorder>,
    functions: EventFunctions,
    /// Lines of the functions of the beginning: events wait for them, as long as there is room.
    lines: LinesAhead,
    frames: Frames,
    open: OpenCalls,
    order: Order,
    threads: Threads,
    /// Numbers in place of names.
    raw: bool,
    last_ns: u64,
    counts: PipelineCounts,
}

impl EventWriter {
    /// Has `recorder` write its header.
    pub fn new(
        mut recorder: Box<dyn Recorder>,
        (functions, lines): (EventFunctions, LinesAhead),
        EventStyle { raw, paths }: EventStyle,
    ) -> Result<Self, RecorderError> {
        recorder.prepare(&EventRecord::SCHEMA)?;
        Ok(Self {
            recorder,
            functions,
            lines,
            frames: Frames::new(paths),
            open: OpenCalls::default(),
            order: Order::default(),
            threads: Threads::of_this_machine(),
            raw,
            last_ns: 0,
            counts: PipelineCounts::default(),
        })
    }

    /// Looks at what a process maps, as long as it is there.
    pub fn learn(&mut self, pid: u32) {
        self.frames.learn(pid);
    }

    /// A message of the kernel.
    pub fn message(&mut self, message: &[u8]) -> Result<(), RecorderError> {
        match decoded(message) {
            Some(message) => {
                // While it is there.
                let (pid, tid) = message.ids();
                self.threads.comm(message.time_ns(), pid, tid);
                self.frames.meet(pid);
                self.order.push(message);
            }
            None => self.counts.wrong_size += 1,
        }
        self.write_due(false)
    }

    /// Word of a thread or process.
    pub fn process(&mut self, message: &[u8]) {
        match Event::decode(Stream::Processes, message) {
            Ok(Event::ThreadSeen(event) | Event::Exec(event)) => {
                if event.comm[0] != 0 {
                    self.threads.seen(event.time_ns, event.tid, &event.comm);
                }
                self.frames.meet(event.pid);
            }
            Ok(Event::ThreadExit(event)) => self.threads.ended(event.time_ns, event.tid),
            Ok(
                Event::Fork(_)
                | Event::Call(_)
                | Event::Return(_)
                | Event::CallWithMemory(_)
                | Event::ReturnWithMemory(_),
            )
            | Err(_) => {}
        }
    }

    /// Whether the thread of a message has been told of.
    pub fn knows_thread(&self, message: &[u8]) -> bool {
        decoded(message).is_none_or(|message| self.threads.knows(message.ids().1))
    }

    fn write_due(&mut self, all: bool) -> Result<(), RecorderError> {
        if self.lines.is_pending() && !all && !self.order.is_full() {
            return Ok(());
        }
        while let Some(message) = self.order.pop(all) {
            match message {
                Message::Function(kind, event) => self.write_call(kind, &event)?,
                Message::Allocation(kind, event) => self.write_allocation(kind, &event)?,
            }
            self.counts.records += 1;
        }
        Ok(())
    }

    fn write_call(
        &mut self,
        kind: FunctionEventKind,
        FunctionCallerEvent { call, caller }: &FunctionCallerEvent,
    ) -> Result<(), RecorderError> {
        let function = self.functions.get(call.function);
        if function.is_none() {
            self.counts.unnamed += 1;
        }
        let caller = self.true_caller(call, *caller);
        if function.as_ref().is_some_and(|function| function.of_thread) {
            let open = Open {
                function: call.function,
                caller,
            };
            match kind {
                FunctionEventKind::Call => self.open.called(call.tid, call.depth, open),
                FunctionEventKind::Return => self.open.returned(call.tid, call.depth),
            }
        }
        self.last_ns = call.time_ns;
        let raw = self.raw;
        let from = self.frames.of(call.pid, caller);
        let event = function
            .as_deref()
            .map_or(codes::CALL, |function| code_of_call(kind, function, from));
        let (module, line) = function.as_deref().map_or(("", -1), declared);
        let record = EventRecord {
            time: call.time_ns,
            value1: 0,
            value2: 0,
            event: shown(event, raw),
            name: function.as_deref().map_or("", |function| &function.name),
            module,
            line,
            from_name: &from.function,
            from_module: &from.module,
            from_line: from.line,
            pid: Some(call.pid),
            tid: Some(call.tid),
            comm: self.threads.comm(call.time_ns, call.pid, call.tid),
            allocator: "",
            call_line: -1,
            depth: Some(call.depth.into()),
            duration_ns: (kind == FunctionEventKind::Return).then_some(call.duration_ns),
        };
        self.recorder.record(&Record {
            values: &record.values(),
        })
    }

    fn write_allocation(&mut self, kind: AllocEventKind, event: &AllocEvent) -> Result<(), RecorderError> {
        let function = self.functions.get(event.function);
        let own = function.as_ref().and_then(|function| function.code);
        let (code, value2) = code_of_allocation(kind, own.unwrap_or(codes::MALLOC), event.size);
        let (caller, from) = self.callers(event);
        self.last_ns = event.time_ns;
        let raw = self.raw;
        let (name, from) = self.frames.pair(event.pid, caller, from);
        let record = EventRecord {
            time: event.time_ns,
            value1: event.address,
            value2,
            event: shown(code, raw),
            name: &name.function,
            module: &name.module,
            line: name.declared,
            from_name: &from.function,
            from_module: &from.module,
            from_line: from.line,
            pid: Some(event.pid),
            tid: Some(event.tid),
            comm: self.threads.comm(event.time_ns, event.pid, event.tid),
            allocator: function.as_deref().map_or("", |function| &function.name),
            call_line: name.line,
            depth: None,
            duration_ns: None,
        };
        self.recorder.record(&Record {
            values: &record.values(),
        })
    }

    /// The return address of a call. A function that was jumped to returns to the caller of the one that jumped.
    fn true_caller(&self, call: &FunctionEvent, caller: u64) -> u64 {
        if caller != JUMPED_TO {
            return caller;
        }
        let enclosing = self.open.enclosing(call.tid, call.depth);
        enclosing.map_or(0, |enclosing| enclosing.caller)
    }

    /// Who asked for a block, and who called that function: known where it is probed, and its call the innermost of the
    /// thread.
    fn callers(&mut self, event: &AllocEvent) -> (u64, u64) {
        let innermost = self.open.innermost(event.tid);
        if event.caller == JUMPED_TO {
            return (innermost.map_or(0, |innermost| innermost.caller), 0);
        }
        let from = innermost.filter(|innermost| {
            let function = self.functions.get(innermost.function);
            let caller = self.frames.of(event.pid, event.caller);
            function.is_some_and(|function| caller.is_in(&function.name, &function.object))
        });
        (event.caller, from.map_or(0, |from| from.caller))
    }

    /// What passed so far.
    pub fn counts(&self) -> PipelineCounts {
        self.counts
    }

    /// What was written so far is there for others to read.
    pub fn flush(&mut self, now_ns: u64) -> Result<(), RecorderError> {
        self.order.now(now_ns);
        self.write_due(false)?;
        self.recorder.flush()
    }

    /// Writes all that waits, and a record for each reason that anything was lost for, and closes the recorder.
    pub fn finish(mut self, losses: &[(LossReason, u64)]) -> Result<PipelineCounts, RecorderError> {
        self.write_due(true)?;
        for (reason, count) in losses.iter().filter(|(_, count)| *count > 0) {
            let record = EventRecord {
                time: self.last_ns,
                value1: *count,
                value2: 0,
                event: shown(codes::LOST, self.raw),
                name: reason.key(),
                module: "",
                line: -1,
                from_name: "",
                from_module: "",
                from_line: -1,
                pid: None,
                tid: None,
                comm: "",
                allocator: "",
                call_line: -1,
                depth: None,
                duration_ns: None,
            };
            self.counts.records += 1;
            self.recorder.record(&Record {
                values: &record.values(),
            })?;
        }
        self.recorder.finalize()?;
        Ok(self.counts)
    }
}

/// The size tells a call from an allocation.
fn decoded(message: &[u8]) -> Option<Message> {
    if let Ok(event) = FunctionCallerEvent::read_from_bytes(message) {
        let kind = FunctionEventKind::from_bits(event.call.kind)?;
        return Some(Message::Function(kind, event));
    }
    let event = AllocEvent::read_from_bytes(message).ok()?;
    Some(Message::Allocation(AllocEventKind::from_bits(event.kind)?, event))
}

fn code_of_call(kind: FunctionEventKind, function: &Function, from: &Frame) -> Code {
    let is_far = !from.object.is_empty() && from.object != function.object;
    match (kind, is_far) {
        (FunctionEventKind::Call, false) => codes::CALL,
        (FunctionEventKind::Call, true) => codes::FAR_CALL,
        (FunctionEventKind::Return, false) => codes::RETURN,
        (FunctionEventKind::Return, true) => codes::FAR_RETURN,
    }
}

fn code_of_allocation(kind: AllocEventKind, own: Code, size: u64) -> (Code, i64) {
    let gone = (size as i64).wrapping_neg();
    match kind {
        AllocEventKind::Allocate => (own, size as i64),
        AllocEventKind::Free => (own, gone),
        AllocEventKind::ReallocateFree => (codes::REALLOC_FREE, gone),
        AllocEventKind::Reallocate => (codes::REALLOC, size as i64),
    }
}

fn declared(function: &Function) -> (&str, i64) {
    function
        .declared()
        .map_or((&*function.object, -1), |(file, line)| (file, line.into()))
}

fn shown(code: Code, raw: bool) -> &'static str {
    if raw { code.number } else { code.name }
}

#[cfg(test)]
mod tests;
