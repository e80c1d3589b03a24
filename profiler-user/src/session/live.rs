//! The loop of a session: signals, timers, the target's end, and word from the reader.
use std::io::{self, IsTerminal as _};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use profiler_common::stats::function_flags;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Interval, MissedTickBehavior};

use super::attachment::Attachments;
use super::counters::Counters;
use super::display::{Company, Display};
use super::governor::{CostModel, Governor};
use super::reader::{Notice, Reader};
use super::setup::{self, Setup};
use super::state::{Forks, State};
use super::summary_json::SummaryFile;
use super::{Outcome, SessionError};
use crate::cli::config::{DisplayConfig, OnLoss, SessionConfig};
use crate::event::FunctionNames;
use crate::kernel::load::{CounterLayout, Kernel, KernelSettings, possible_cpus};
use crate::kernel::{AttachMode, calibrate, capability};
use crate::recorder::EventPipeline;
use crate::resolve::Threads;
use crate::target::command::{self, RunningCommand};
use crate::target::process::{self, Process};

/// How often the governor looks at the cost.
const OBSERVE_EVERY: Duration = Duration::from_millis(250);
/// Perf-event probes from which on their detaching takes seconds.
const MANY_PERF_EVENTS: usize = 64;

/// What a session is about.
pub(super) enum Target {
    /// Processes that were running.
    Processes,
    /// A command that was started, and now goes.
    Command(RunningCommand),
}

/// A session that has attached.
pub(super) struct Session {
    state: State,
    notices: UnboundedReceiver<Notice>,
    reader: Reader,
    ends: Vec<OwnedFd>,
    settings: Settings,
    summary_file: Option<SummaryFile>,
}

struct Settings {
    display: DisplayConfig,
    duration: Option<Duration>,
    on_loss: OnLoss,
}

impl Session {
    /// Plans, loads and attaches. Outputs are opened first: one that cannot be written costs the target nothing.
    pub(super) fn start(
        processes: &[Process],
        config: &SessionConfig,
        started: Instant,
    ) -> Result<Self, SessionError> {
        setup::check_permissions()?;
        let recorder = config
            .recording
            .as_ref()
            .map(|recording| recording.kind.open(&recording.output))
            .transpose()?;
        let summary_file = config.summary_json.clone().map(SummaryFile::create).transpose()?;
        // The machine is measured while the files are read.
        let wanted_mode = config.probing.attach_mode;
        let measuring = std::thread::spawn(move || {
            let mode = capability::choose_mode(wanted_mode)?;
            calibrate::measure(mode).map(|cost| (mode, cost))
        });
        let setup = setup::plan(processes, config)?;
        let measured = measuring.join().map_err(|_panic| SessionError::System {
            what: "measure the cost of a probe",
            source: io::Error::other("the measuring thread failed"),
        })?;
        let (mode, cost) = measured?;
        let mut kernel = load(&setup, config, mode)?;
        let (events, process_events) = (kernel.take_events()?, kernel.take_process_events()?);
        let ends = processes
            .iter()
            .map(Process::end_notice)
            .collect::<Result<_, _>>()?;
        warn_of(&setup, mode);
        let attachments = Attachments::new(&kernel, &setup.plan, &setup.mapped_by)?;
        let names = FunctionNames::from(&setup.plan);
        let pipeline = recorder
            .map(|recorder| EventPipeline::new(names, recorder, Threads::of_this_machine()))
            .transpose()?;
        let records = pipeline.is_some();
        let (sender, notices) = unbounded_channel();
        let reader = Reader::start(events, process_events, pipeline, sender)?;
        let governor = Governor::new(config.limits.max_overhead, setup.plan.functions.len(), records);
        let title = title(processes);
        announce(&title, &setup, mode, started);
        let state = State {
            kernel,
            attachments,
            setup,
            counters: Counters::default(),
            governor,
            model: CostModel::new(cost),
            notes: Vec::new(),
            title,
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
        Ok(Self {
            state,
            notices,
            reader,
            ends,
            settings,
            summary_file,
        })
    }

    /// Runs to the end, and says how it went.
    pub(super) fn run(self, target: Target) -> Result<Outcome, SessionError> {
        let Self {
            mut state,
            mut notices,
            reader,
            ends,
            settings,
            summary_file,
        } = self;
        let company = match target {
            Target::Processes => Company::Alone,
            Target::Command(_) => Company::Command,
        };
        let mut display = Display::new(&settings.display, company);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| SessionError::System {
            what: "start the event loop",
            source,
        })?;
        let ended = runtime.block_on(async {
            let mut events = EventLoop::new(&settings, ends, &target)?;
            events.run(&mut state, &mut display, &mut notices).await
        });
        drop(runtime);
        let concluded = state.conclude(reader, display, summary_file);
        // A command goes on to its own end, whatever became of the profile.
        let command = match target {
            Target::Processes => None,
            Target::Command(mut command) => Some(command.wait().map_err(|source| SessionError::System {
                what: "wait for the command",
                source,
            })?),
        };
        ended?;
        let lost = concluded?;
        Ok(Outcome {
            command,
            failed_on_loss: lost && settings.on_loss == OnLoss::Fail,
        })
    }
}

/// Why a loop ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    TargetEnded,
    TimeOver,
    Signal,
    RecorderFailed,
}

/// What the loop waits for.
struct EventLoop {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    refresh: Interval,
    observe: Interval,
    deadline: Option<tokio::time::Instant>,
    ends: Vec<AsyncFd<OwnedFd>>,
    /// The command, if one was started.
    command: Option<u32>,
}

impl EventLoop {
    fn new(settings: &Settings, ends: Vec<OwnedFd>, target: &Target) -> Result<Self, SessionError> {
        let handler = |kind| {
            signal(kind).map_err(|source| SessionError::System {
                what: "handle a signal",
                source,
            })
        };
        let every = |period| {
            let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        Ok(Self {
            interrupt: handler(SignalKind::interrupt())?,
            terminate: handler(SignalKind::terminate())?,
            hangup: handler(SignalKind::hangup())?,
            refresh: every(settings.display.interval),
            observe: every(OBSERVE_EVERY),
            deadline: settings
                .duration
                .map(|duration| tokio::time::Instant::now() + duration),
            ends: ends.into_iter().map(watched).collect::<Result<_, _>>()?,
            command: match target {
                Target::Command(command) => Some(command.pid()),
                Target::Processes => None,
            },
        })
    }

    async fn run(
        &mut self,
        state: &mut State,
        display: &mut Display,
        notices: &mut UnboundedReceiver<Notice>,
    ) -> Result<End, SessionError> {
        loop {
            tokio::select! {
                biased;
                _ = self.interrupt.recv() => {
                    if let Some(end) = self.interrupted(libc::SIGINT) {
                        return Ok(end);
                    }
                }
                _ = self.terminate.recv() => {
                    if let Some(end) = self.interrupted(libc::SIGTERM) {
                        return Ok(end);
                    }
                }
                _ = self.hangup.recv() => return Ok(End::Signal),
                () = until(self.deadline) => return Ok(End::TimeOver),
                index = first_end(&self.ends) => {
                    drop(self.ends.swap_remove(index));
                    // A command's end is the session's; followed children may live on.
                    if self.ends.is_empty() || self.command.is_some_and(|pid| !process::is_alive(pid)) {
                        return Ok(End::TargetEnded);
                    }
                }
                Some(notice) = notices.recv() => match notice {
                    Notice::Failed => return Ok(End::RecorderFailed),
                    Notice::Exec { pid } => state.note_exec(pid),
                    Notice::Forked { child } => {
                        if let Some(end) = state.follow(child) {
                            self.ends.push(watched(end)?);
                        }
                    }
                },
                _ = self.observe.tick() => state.observe()?,
                _ = self.refresh.tick(), if display.is_live() => {
                    let summary = state.summary();
                    display.refresh(&summary)?;
                }
            }
        }
    }

    /// A command is told, where its terminal has not told it already, and the session waits for its end. A second signal
    /// does not wait.
    fn interrupted(&mut self, number: libc::c_int) -> Option<End> {
        let Some(pid) = self.command.take() else {
            return Some(End::Signal);
        };
        if number != libc::SIGINT || !io::stdin().is_terminal() {
            command::pass_signal(pid, number);
        }
        None
    }
}

fn watched(fd: OwnedFd) -> Result<AsyncFd<OwnedFd>, SessionError> {
    process::watch_end(fd).map_err(|source| SessionError::System {
        what: "watch for the target's end",
        source,
    })
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The index of a descriptor that tells of an end.
async fn first_end(ends: &[AsyncFd<OwnedFd>]) -> usize {
    std::future::poll_fn(|context| {
        let ready = ends
            .iter()
            .position(|end| end.poll_read_ready(context).is_ready());
        ready.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    })
    .await
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

/// One line that says that the probes are in place.
#[expect(
    clippy::print_stderr,
    reason = "scripts wait for this line, whatever the log level"
)]
fn announce(title: &str, setup: &Setup, mode: AttachMode, started: Instant) {
    eprintln!(
        "ebpf-prof: attached {} functions in {} files of {} ({mode}) in {:.0?}",
        setup.plan.functions.len(),
        setup.file_count(),
        crate::record::escape::escaped(title),
        started.elapsed(),
    );
}
