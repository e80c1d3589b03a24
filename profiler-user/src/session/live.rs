//! The loop of a session: signals, timers, the target's end, and word from the reader.
use std::io::{self, IsTerminal as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Interval, MissedTickBehavior};

use super::display::{Company, Display};
use super::reader::{Notice, Reader};
use super::state::State;
use super::summary_json::SummaryFile;
use super::{Outcome, SessionError};
use crate::cli::config::{DisplayConfig, OnLoss};
use crate::record::escape::escaped;
use crate::target::command::{self, RunningCommand};
use crate::target::process;

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
    pub(super) ends: Vec<(u32, OwnedFd)>,
    pub(super) settings: Settings,
    pub(super) summary_file: Option<SummaryFile>,
}

/// What the loop needs of what was typed.
pub(super) struct Settings {
    pub(super) display: DisplayConfig,
    pub(super) duration: Option<Duration>,
    pub(super) on_loss: OnLoss,
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
            let mut events = EventLoop::new(&settings, state.observe_period(), ends, &target)?;
            // Only now: who waits for this line may send a signal at once.
            announce(&announcement);
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
    ends: Vec<(u32, AsyncFd<OwnedFd>)>,
    /// The command, if one was started.
    command: Option<u32>,
}

impl EventLoop {
    fn new(
        settings: &Settings,
        observe_every: Duration,
        ends: Vec<(u32, OwnedFd)>,
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
        Ok(Self {
            interrupt: handler(SignalKind::interrupt())?,
            terminate: handler(SignalKind::terminate())?,
            hangup: handler(SignalKind::hangup())?,
            refresh: every(settings.display.interval),
            observe: every(observe_every),
            deadline: settings
                .duration
                .map(|duration| tokio::time::Instant::now() + duration),
            ends: ends
                .into_iter()
                .map(|(pid, fd)| Ok((pid, watched(fd)?)))
                .collect::<Result<_, SessionError>>()?,
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
                    let (ended, _) = self.ends.swap_remove(index);
                    state.forget(ended);
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
                            self.ends.push((child, watched(end)?));
                        }
                    }
                },
                _ = self.observe.tick() => state.observe()?,
                _ = self.refresh.tick(), if display.is_live() => {
                    let summary = state.summary(display.view());
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
async fn first_end(ends: &[(u32, AsyncFd<OwnedFd>)]) -> usize {
    std::future::poll_fn(|context| {
        let ready = ends
            .iter()
            .position(|(_, end)| end.poll_read_ready(context).is_ready());
        ready.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    })
    .await
}

/// Says that the probes are in place.
#[expect(
    clippy::print_stderr,
    reason = "scripts wait for this line, whatever the log level"
)]
fn announce(announcement: &str) {
    eprintln!("ebpf-prof: {}", escaped(announcement));
}
