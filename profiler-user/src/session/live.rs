//! The loop of a session: signals, timers, the target's end, and word from the reader.
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};

use super::display::{Company, Display};
use super::follow::End as ProcessEnd;
use super::reader::{Notice, Reader};
use super::state::State;
use super::summary_json::SummaryFile;
use super::watch::Watch;
use super::{Outcome, SessionError};
use crate::cli::config::{DisplayConfig, OnLoss, SessionConfig};
use crate::kernel::capability;
use crate::record::escape::escaped;
use crate::target::command::{self, RunningCommand};
use crate::target::process;

/// How often all processes are looked at, in case the kernel's messages missed one: it takes a tenth of a second of 500
/// targets. And how often where there are no such messages.
const RESCAN_EVERY: Duration = Duration::from_mins(1);
const RESCAN_BLINDLY_EVERY: Duration = Duration::from_secs(2);

/// What a session is about.
pub(super) enum Target {
    /// Processes that were running.
    Processes,
    /// A command that was started, and now goes.
    Command(RunningCommand),
}

/// A session that has attached.
pub(super) struct Session {
    /// The line that says that the probes are in place.
    pub(super) announcement: String,
    pub(super) state: State,
    pub(super) notices: UnboundedReceiver<Notice>,
    pub(super) reader: Reader,
    /// The processes, and what tells of their ends.
    pub(super) ends: Vec<ProcessEnd>,
    /// Listens to what happens to the processes of the host.
    pub(super) watch: Option<Watch>,
    pub(super) settings: Settings,
    pub(super) summary_file: Option<SummaryFile>,
}

/// What the loop needs of what was typed.
pub(super) struct Settings {
    pub(super) display: DisplayConfig,
    pub(super) duration: Option<Duration>,
    pub(super) on_loss: OnLoss,
    /// Processes that start later can be targets.
    pub(super) patient: bool,
    pub(super) rescan_every: Duration,
}

impl Settings {
    pub(super) fn new(config: &SessionConfig, patient: bool, is_told: bool) -> Self {
        Self {
            display: config.display,
            duration: config.limits.duration,
            on_loss: config.limits.on_loss,
            patient,
            rescan_every: if is_told {
                RESCAN_EVERY
            } else {
                RESCAN_BLINDLY_EVERY
            },
        }
    }
}

impl Session {
    /// Runs to the end, and says how it went.
    pub(super) fn run(self, target: Target) -> Result<Outcome, SessionError> {
        let Self {
            announcement,
            mut state,
            mut notices,
            reader,
            ends,
            watch,
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
            let mut events = EventLoop::new(&settings, &mut state, ends, &target)?;
            // What happened between the first look and the first message.
            let late = state.rescan();
            events.watch_ends(&mut state, late);
            if state.has_course() {
                state.look_at_processes();
            }
            // Only now: who waits for this line may send a signal at once.
            announce(&announcement);
            events.run(&mut state, &mut display, &mut notices).await
        });
        while let Ok(notice) = notices.try_recv() {
            state.too_late(&notice);
        }
        drop(runtime);
        drop(watch);
        let concluded = if state.memory.is_some() {
            state.conclude_memory(reader, display)
        } else if state.growth.is_some() {
            state.conclude_growth(reader, display)
        } else {
            state.conclude(reader, display, summary_file)
        };
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
    /// When the course of processes' memory is looked at.
    course: Interval,
    observe: Interval,
    rescan: Interval,
    deadline: Option<tokio::time::Instant>,
    /// Each waits for the end of a process, and tells its id and when it started.
    ends: JoinSet<(u32, u64)>,
    /// Processes that start later can be targets: the session goes on without any.
    patient: bool,
    sees_host_pids: bool,
    /// The command, if one was started.
    command: Option<u32>,
}

impl EventLoop {
    fn new(
        settings: &Settings,
        state: &mut State,
        ends: Vec<ProcessEnd>,
        target: &Target,
    ) -> Result<Self, SessionError> {
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
        let mut events = Self {
            interrupt: handler(SignalKind::interrupt())?,
            terminate: handler(SignalKind::terminate())?,
            hangup: handler(SignalKind::hangup())?,
            refresh: every(settings.display.interval),
            course: every(settings.display.interval),
            observe: every(state.observe_period()),
            rescan: every(settings.rescan_every),
            deadline: settings
                .duration
                .map(|duration| tokio::time::Instant::now() + duration),
            ends: JoinSet::new(),
            patient: settings.patient,
            sees_host_pids: capability::sees_host_pids(),
            command: match target {
                Target::Command(command) => Some(command.pid()),
                Target::Processes => None,
            },
        };
        events.watch_ends(state, ends);
        Ok(events)
    }

    /// What cannot be watched is found by the next look at everything.
    fn watch_ends(&mut self, state: &mut State, ends: Vec<ProcessEnd>) {
        for ProcessEnd {
            pid,
            start_ticks,
            notice,
        } in ends
        {
            let notice = match process::watch_end(notice) {
                Ok(notice) => notice,
                Err(source) => {
                    let what = "watch for a target's end";
                    state.note_failure(&SessionError::System { what, source });
                    continue;
                }
            };
            self.ends.spawn(async move {
                // An error tells no less that there is nothing more to wait for.
                drop(notice.readable().await);
                (pid, start_ticks)
            });
        }
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
                Some(ended) = self.ends.join_next() => {
                    if self.ended(state, ended.ok()) {
                        return Ok(End::TargetEnded);
                    }
                }
                _ = self.rescan.tick() => {
                    let joined = state.rescan();
                    self.watch_ends(state, joined);
                }
                _ = self.observe.tick() => {
                    if let Err(error) = state.observe() {
                        state.note_failure(&error);
                    }
                    let joined = state.reconsider();
                    self.watch_ends(state, joined);
                    state.tell_news();
                }
                _ = self.course.tick(), if state.has_course() => state.look_at_processes(),
                _ = self.refresh.tick(), if display.is_live() => {
                    if !state.refresh_memory(display)? && !state.refresh_growth(display)? {
                        let summary = state.summary(display.view());
                        display.refresh(&summary)?;
                    }
                }
                // Last: a storm of them must not keep the governor and the screen from their turn.
                Some(notice) = notices.recv() => {
                    if let Some(end) = self.noticed(state, notice) {
                        return Ok(end);
                    }
                }
            }
        }
    }

    /// A process has ended. `true`: so has the target. A command's end is the session's; followed children may live on.
    fn ended(&mut self, state: &mut State, ended: Option<(u32, u64)>) -> bool {
        if let Some((pid, start_ticks)) = ended {
            state.ended(pid, start_ticks);
        }
        let alone = self.ends.is_empty() && !self.patient;
        alone || self.command.is_some_and(|pid| !process::is_alive(pid))
    }

    fn noticed(&mut self, state: &mut State, notice: Notice) -> Option<End> {
        let joined = match notice {
            Notice::Failed => return Some(End::RecorderFailed),
            // The kernel side's ids are not ours: perf events tell the same with ours.
            Notice::Exec { .. } | Notice::Forked { .. } if !self.sees_host_pids => Ok(Vec::new()),
            Notice::Exec { pid, hold, time_ns } => state.examined(pid, hold, time_ns),
            Notice::Forked { parent, child } => Ok(state.forked(parent, child)),
            Notice::Life(event) => state.life(&event),
            Notice::Change(change) => state.change(change),
        };
        // What one process does must not end the session of all.
        let joined = joined.unwrap_or_else(|error| {
            state.note_failure(&error);
            Vec::new()
        });
        self.watch_ends(state, joined);
        state.tell_news();
        None
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

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Says that the probes are in place.
#[expect(
    clippy::print_stderr,
    reason = "scripts wait for this line, whatever the log level"
)]
fn announce(announcement: &str) {
    eprintln!("ebpf-prof: {}", escaped(announcement));
}
