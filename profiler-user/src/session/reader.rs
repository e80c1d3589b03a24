//! Drains the rings, on a thread of its own: events become records there.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use profiler_common::loss::LossReason;
use tokio::sync::mpsc::UnboundedSender;

use super::SessionError;
use super::changes::Change;
use crate::event::{Event, Stream};
use crate::kernel::lifecycle::LifeEvent;
use crate::kernel::ring::{self, Ring, Waker};
use crate::recorder::{EventPipeline, EventWriter, PipelineCounts, RecorderError};
use crate::resolve::LinesAhead;

/// Waits while events flow, and while nothing happens. Nobody wakes the reader for a single event.
const BUSY_WAIT: Duration = Duration::from_millis(4);
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// How often records are flushed, so that a reader of the output sees them.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// Events of one turn, between two looks at the other ring.
const TURN: usize = 65_536;

/// What the reader tells the session.
#[derive(Debug)]
pub enum Notice {
    /// A process of the target made another.
    Forked {
        /// The process.
        parent: u32,
        /// The new process.
        child: u32,
    },
    /// A process of the target runs another program now: its probes are gone.
    Exec {
        /// The process.
        pid: u32,
        /// The number of the hold on return probes that was set for it; 0 = none.
        hold: u32,
        /// When, `CLOCK_MONOTONIC`, ns.
        time_ns: u64,
    },
    /// Something happened to a process of the host.
    Life(LifeEvent),
    /// The user wants something else to be profiled.
    Change(Change),
    /// The records cannot be written any more; [`ReaderResult`] says why. The reader goes on without them.
    Failed,
}

/// How the reading went.
#[derive(Debug, Default)]
pub struct ReaderResult {
    /// What was recorded.
    pub counts: PipelineCounts,
    /// Why the records end too early.
    pub failure: Option<RecorderError>,
    /// CPU time of the reader's thread.
    pub cpu: Duration,
}

/// What becomes of events.
pub struct Reading {
    /// What the ring of events holds.
    stream: Stream,
    pipeline: Option<EventPipeline>,
    /// Takes the place of the pipeline where events are recorded.
    pub(super) writer: Option<EventWriter>,
    lines: LinesAhead,
    patience: Duration,
}

impl Reading {
    /// `pipeline` makes records of them; none = only word of processes is wanted. They wait for the `lines` of their
    /// functions, but not so long that the busiest target fills the ring.
    pub fn new(pipeline: Option<EventPipeline>, lines: LinesAhead, ring_bytes: u32) -> Self {
        const BYTES_PER_SECOND: f64 = (64 << 20) as f64;
        let patience = (f64::from(ring_bytes) / BYTES_PER_SECOND).min(2.0);
        Self {
            stream: pipeline.as_ref().map_or(Stream::Functions, EventPipeline::stream),
            pipeline,
            writer: None,
            lines,
            patience: Duration::from_secs_f64(patience),
        }
    }
}

/// How the reader is told to end.
struct Stop {
    asked: AtomicBool,
    waker: Waker,
}

/// The reader's thread.
pub struct Reader {
    stop: Arc<Stop>,
    thread: JoinHandle<Loop>,
}

impl Reader {
    /// Starts reading the rings of events and of processes.
    pub fn start(
        (events, processes): (Ring, Ring),
        Reading {
            stream,
            pipeline,
            writer,
            lines,
            patience,
        }: Reading,
        notices: UnboundedSender<Notice>,
    ) -> Result<Self, SessionError> {
        let waker = Waker::new().map_err(|source| SessionError::System {
            what: "make an event descriptor",
            source,
        })?;
        let stop = Arc::new(Stop {
            asked: AtomicBool::new(false),
            waker,
        });
        let mut reading = Loop {
            events,
            stream,
            processes,
            pipeline,
            writer,
            lines: Some(lines),
            waits_until: Instant::now() + patience,
            notices,
            failure: None,
            ended: PipelineCounts::default(),
            cpu: Duration::ZERO,
        };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || {
                reading.run(&stopped);
                reading
            })
            .map_err(|source| SessionError::System {
                what: "start the thread that reads events",
                source,
            })?;
        Ok(Self { stop, thread })
    }

    /// Reads what is left, writes what was lost, and ends. To be called when nothing is attached any more.
    pub fn finish(self, losses: &[(LossReason, u64)]) -> ReaderResult {
        self.stop.asked.store(true, Ordering::Release);
        self.stop.waker.wake();
        // A panic there is a bug of ours: nothing was recorded that could be trusted.
        self.thread
            .join()
            .map(|reading| reading.finish(losses))
            .unwrap_or_default()
    }
}

struct Loop {
    events: Ring,
    stream: Stream,
    processes: Ring,
    pipeline: Option<EventPipeline>,
    writer: Option<EventWriter>,
    /// Lines that the pipeline does not have yet.
    lines: Option<LinesAhead>,
    waits_until: Instant,
    notices: UnboundedSender<Notice>,
    failure: Option<RecorderError>,
    ended: PipelineCounts,
    cpu: Duration,
}

impl Loop {
    fn run(&mut self, stop: &Stop) {
        let mut flushed = Instant::now();
        loop {
            // Read before draining: what was sent before the stop is drained after it was seen.
            let last = stop.asked.load(Ordering::Acquire);
            let awaited = self.awaits_lines() && !last;
            let read = self.turn(awaited);
            if last && read == 0 {
                break;
            }
            if read >= TURN || last {
                continue;
            }
            if flushed.elapsed() >= FLUSH_EVERY {
                self.attempt(EventPipeline::flush);
                let now_ns = ring::monotonic_time().as_nanos() as u64;
                self.attempt_events(|writer| writer.flush(now_ns));
                flushed = Instant::now();
            }
            ring::wait(
                [&self.events, &self.processes],
                &stop.waker,
                if read > 0 { BUSY_WAIT } else { IDLE_WAIT },
            );
        }
        self.cpu = ring::thread_cpu_time();
    }

    /// Whether events wait for the lines of their functions. Gives the pipeline those lines, once they are there.
    fn awaits_lines(&mut self) -> bool {
        let Some(pipeline) = &mut self.pipeline else {
            return false;
        };
        match self.lines.take() {
            Some(lines) if lines.is_pending() => {
                self.lines = Some(lines);
                Instant::now() < self.waits_until
            }
            Some(lines) => {
                if let Some(lines) = lines.get() {
                    lines.complete(pipeline.names_mut(), 0);
                }
                false
            }
            None => false,
        }
    }

    /// Drains the ring of processes, then at most a turn's events.
    fn turn(&mut self, only_processes: bool) -> usize {
        let Self {
            events,
            stream,
            processes,
            pipeline,
            writer,
            lines: _,
            waits_until: _,
            notices,
            failure,
            ended,
            cpu: _,
        } = self;
        let mut outlet = Outlet {
            pipeline,
            writer,
            notices,
            failure,
            ended,
        };
        let mut read = outlet.take_processes(processes);
        while !only_processes && read < TURN {
            let taken = events.next(|message| {
                if outlet.writer.is_some() {
                    if outlet
                        .writer
                        .as_ref()
                        .is_some_and(|writer| !writer.knows_thread(message))
                    {
                        outlet.take_processes(processes);
                    }
                    outlet.write_event(message);
                    return;
                }
                // Word of a thread is sent before its first event, and may have come since it was looked for.
                if outlet.is_news(message) {
                    outlet.take_processes(processes);
                }
                outlet.take(*stream, message);
            });
            if taken.is_none() {
                break;
            }
            read += 1;
        }
        read
    }

    fn attempt(&mut self, action: impl FnOnce(&mut EventPipeline) -> Result<(), RecorderError>) {
        let Self {
            events: _,
            stream: _,
            processes: _,
            pipeline,
            writer: _,
            lines: _,
            waits_until: _,
            notices,
            failure,
            ended,
            cpu: _,
        } = self;
        if let Some(Err(error)) = pipeline.as_mut().map(action) {
            give_up(pipeline, failure, ended, notices, error);
        }
    }

    fn attempt_events(&mut self, action: impl FnOnce(&mut EventWriter) -> Result<(), RecorderError>) {
        if let Some(Err(error)) = self.writer.as_mut().map(action) {
            give_up_events(&mut self.writer, &mut self.failure, &mut self.ended, error);
            let _: Result<(), _> = self.notices.send(Notice::Failed);
        }
    }

    fn finish(mut self, losses: &[(LossReason, u64)]) -> ReaderResult {
        self.attempt(|pipeline| pipeline.losses(losses));
        let Self {
            events: _,
            stream: _,
            processes: _,
            pipeline,
            writer,
            lines: _,
            waits_until: _,
            notices: _,
            mut failure,
            ended,
            cpu,
        } = self;
        let counts = match (pipeline, writer) {
            (None, None) => ended,
            (None, Some(writer)) => {
                let counts = writer.counts();
                writer.finish(losses).unwrap_or_else(|error| {
                    failure = failure.take().or(Some(error));
                    counts
                })
            }
            (Some(pipeline), _) => {
                let counts = pipeline.counts();
                if let Err(error) = pipeline.finish() {
                    failure = failure.or(Some(error));
                }
                counts
            }
        };
        ReaderResult { counts, failure, cpu }
    }
}

/// Where messages go.
struct Outlet<'a> {
    pipeline: &'a mut Option<EventPipeline>,
    writer: &'a mut Option<EventWriter>,
    notices: &'a UnboundedSender<Notice>,
    failure: &'a mut Option<RecorderError>,
    ended: &'a mut PipelineCounts,
}

impl Outlet<'_> {
    fn take(&mut self, stream: Stream, message: &[u8]) {
        if stream == Stream::Processes
            && let Some(notice) = notice(message)
        {
            // The session may be gone already.
            let _: Result<(), _> = self.notices.send(notice);
        }
        if let Some(writer) = self.writer {
            writer.process(message);
            return;
        }
        let pipeline = self.pipeline.as_mut();
        let result = pipeline.map_or(Ok(()), |pipeline| pipeline.message(stream, message));
        if let Err(error) = result {
            give_up(self.pipeline, self.failure, self.ended, self.notices, error);
        }
    }

    fn write_event(&mut self, message: &[u8]) {
        if let Some(Err(error)) = self.writer.as_mut().map(|writer| writer.message(message)) {
            give_up_events(self.writer, self.failure, self.ended, error);
            let _: Result<(), _> = self.notices.send(Notice::Failed);
        }
    }

    /// Takes all that waits in the ring of processes, and says how much that was.
    fn take_processes(&mut self, processes: &mut Ring) -> usize {
        let mut read = 0;
        while processes
            .next(|message| self.take(Stream::Processes, message))
            .is_some()
        {
            read += 1;
        }
        read
    }

    /// Whether an event is of a thread that nobody has told of.
    fn is_news(&self, message: &[u8]) -> bool {
        self.pipeline
            .as_ref()
            .is_some_and(|pipeline| !pipeline.knows_thread(message))
    }
}

/// Ends the recording: the counters go on, and the session decides.
fn give_up(
    pipeline: &mut Option<EventPipeline>,
    failure: &mut Option<RecorderError>,
    ended: &mut PipelineCounts,
    notices: &UnboundedSender<Notice>,
    error: RecorderError,
) {
    if let Some(pipeline) = pipeline.take() {
        *ended = pipeline.counts();
        // Its output is known not to take anything any more.
        let _: Result<PipelineCounts, RecorderError> = pipeline.finish();
    }
    *failure = Some(error);
    let _: Result<(), _> = notices.send(Notice::Failed);
}

/// The same of events.
fn give_up_events(
    writer: &mut Option<EventWriter>,
    failure: &mut Option<RecorderError>,
    ended: &mut PipelineCounts,
    error: RecorderError,
) {
    if let Some(writer) = writer.take() {
        *ended = writer.counts();
    }
    *failure = Some(error);
}

fn notice(message: &[u8]) -> Option<Notice> {
    match Event::decode(Stream::Processes, message).ok()? {
        Event::Fork(event) => Some(Notice::Forked {
            parent: event.pid,
            child: event.child,
        }),
        Event::Exec(event) => Some(Notice::Exec {
            pid: event.pid,
            hold: event.child,
            time_ns: event.time_ns,
        }),
        Event::Call(_)
        | Event::Return(_)
        | Event::CallWithMemory(_)
        | Event::ReturnWithMemory(_)
        | Event::ThreadSeen(_)
        | Event::ThreadExit(_) => None,
    }
}
