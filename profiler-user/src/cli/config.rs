//! What is true: the command line, checked as a whole. Nothing behind this asks what an absent option means.
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::AttachMode as TypedMode;
use super::args::{
    Args, AttachArgs, CommandArgs, DisplayArgs, FunctionArgs, LimitArgs, OutputArgs, ReplayArgs, RunArgs,
    SessionArgs,
};
use super::error::ConfigError;
use super::grouping;
use super::list::ListConfig;
use super::mem_config::{GrowthConfig, MemConfig, MemoryConfig};
use super::monitor::MonitorArgs;
pub use super::parse::Budget;
use super::plot::PlotConfig;
pub use super::symbols::{Download, Inlined, SymbolConfig};
use crate::describe::Table;
use crate::kernel::AttachMode;
use crate::monitor::{Monitor, Records};
use crate::probe::pattern::Pattern;
use crate::probe::plan::{ReturnsChoice, SiteChoice};
use crate::record::RecordForm;
use crate::recorder::{Output, RECORDERS, RecorderKind};
use crate::target::identity::Attribute;
use crate::target::selector::Selector;
use crate::ui::{SortKey, Style};

/// Share of one core that the probes of `attach` may cost, percent.
const ATTACH_BUDGET: f64 = 25.0;
/// The table is not refreshed more often.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);
/// Sizes of the ring: one page at least; half the range of the kernel's number at most.
const RING_SIZES: std::ops::RangeInclusive<u64> = 4096..=1 << 30;

/// The size of a ring that is to have so many bytes.
pub(super) fn ring_bytes(size: u64) -> Result<u32, ConfigError> {
    if !RING_SIZES.contains(&size) {
        return Err(ConfigError::RingSize { bytes: size });
    }
    // In range, as has just been checked.
    Ok(size.next_power_of_two() as u32)
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Profile running processes.
    Attach(AttachConfig),
    /// Start a command and profile it.
    Run(RunConfig),
    /// Follow allocations.
    Mem(MemConfig),
    /// List what there is.
    List(ListConfig),
    /// Draw a recording.
    Plot(PlotConfig),
    /// Say what the machine can do.
    Doctor,
    /// Turn recorded events into records.
    Replay(ReplayConfig),
    /// Print a table of the documentation; none = the names of all.
    Describe(Option<Table>),
}

/// `attach`.
#[derive(Clone, Debug)]
pub struct AttachConfig {
    /// The processes: something is named.
    pub selector: Selector,
    /// There may be none yet.
    pub wait: bool,
    /// The rest.
    pub session: SessionConfig,
}

/// `run`.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// The program, as typed.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What its children execute is profiled, too.
    pub children: bool,
    /// The rest.
    pub session: SessionConfig,
}

/// `replay`.
#[derive(Clone, Debug)]
pub struct ReplayConfig {
    /// The recorded events.
    pub file: PathBuf,
    /// What is recorded of each call.
    pub monitor: &'static Monitor,
    /// What is made of them.
    pub recording: RecordingConfig,
}

/// What `attach` and `run` have in common.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Whether anything is attached.
    pub action: Action,
    /// Which functions.
    pub selection: SelectionConfig,
    /// How they are probed.
    pub probing: ProbingConfig,
    /// From where changes of what is profiled are read; none = there are none.
    pub changes: Option<PathBuf>,
    /// By what processes are counted apart.
    pub group_by: Vec<Attribute>,
    /// What records say of their process beside the usual columns.
    pub columns: Vec<Attribute>,
    /// Where names and lines come from, and how they are shown.
    pub symbols: SymbolConfig,
    /// What is recorded of each call.
    pub monitor: &'static Monitor,
    /// The records; none = calls are counted, and no event is sent.
    pub recording: Option<RecordingConfig>,
    /// What happened is recorded by its number.
    pub raw: bool,
    /// Where the counters are written at the end, as JSON.
    pub summary_json: Option<PathBuf>,
    /// What is shown.
    pub display: DisplayConfig,
    /// What it may cost.
    pub limits: LimitConfig,
    /// What of memory is followed; none = calls are.
    pub memory: Option<MemoryConfig>,
    /// What makes resident memory grow; none = it is not followed.
    pub growth: Option<GrowthConfig>,
}

/// Whether anything is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Attach and profile.
    Profile,
    /// Print the plan.
    DryRun,
}

/// Which functions are probed. No `functions` = every function of the program itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectionConfig {
    /// Patterns of functions to probe.
    pub functions: Vec<String>,
    /// Patterns of functions to leave out.
    pub exclude: Vec<String>,
    /// Files in which functions are looked for; none = as the patterns say.
    pub objects: Vec<String>,
    /// Patterns of functions that open a focus window; none = everything is in focus.
    pub focus: Vec<String>,
}

/// How functions are probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbingConfig {
    /// How probes are attached; none = the best that the kernel has.
    pub attach_mode: Option<AttachMode>,
    /// How returns are seen.
    pub returns: ReturnsChoice,
    /// Where entries are probed.
    pub site: SiteChoice,
    /// Links never reach a process that is no target.
    pub isolate: bool,
}

/// Records and where they go.
#[derive(Clone, Debug)]
pub struct RecordingConfig {
    /// The format.
    pub kind: &'static RecorderKind,
    /// Where they go.
    pub output: Output,
}

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct DisplayConfig {
    /// Time between two tables.
    pub interval: Duration,
    /// By what the table is sorted.
    pub sort: SortKey,
    /// How many functions it has; none = all.
    pub top: Option<usize>,
    /// What the user wants of colours; [`crate::ui::terminal::style`] knows whether they are possible.
    pub style: Style,
    /// Whether standard output belongs to records: the table then goes to standard error, once, at the end.
    pub stdout: StdoutUse,
    /// Which messages are printed.
    pub log_level: log::LevelFilter,
}

/// What standard output is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StdoutUse {
    /// The table.
    Table,
    /// Records.
    Records,
}

/// What a session may cost, and when it ends.
#[derive(Clone, Copy, Debug)]
pub struct LimitConfig {
    /// How long it takes; none = until the target ends, or a signal.
    pub duration: Option<Duration>,
    /// What the probes may cost.
    pub max_overhead: Budget,
    /// Bytes of the ring: a power of two, and at least a page.
    pub ring_bytes: u32,
    /// Bytes for counters and histograms.
    pub map_bytes: u64,
    /// What a loss means.
    pub on_loss: OnLoss,
}

/// What a loss means for the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLoss {
    /// It is said, and that is all.
    Report,
    /// The program fails.
    Fail,
}

impl TryFrom<Args> for Command {
    type Error = ConfigError;

    fn try_from(args: Args) -> Result<Self, ConfigError> {
        match args.command {
            CommandArgs::Attach(attach) => attach.try_into().map(Self::Attach),
            CommandArgs::Run(run) => run.try_into().map(Self::Run),
            CommandArgs::Mem(mem) => mem.try_into().map(Self::Mem),
            CommandArgs::List(list) => list.try_into().map(Self::List),
            CommandArgs::Plot(plot) => plot.try_into().map(Self::Plot),
            CommandArgs::Doctor => Ok(Self::Doctor),
            CommandArgs::Replay(replay) => replay.try_into().map(Self::Replay),
            CommandArgs::Describe(describe) => Ok(Self::Describe(describe.table)),
        }
    }
}

impl TryFrom<AttachArgs> for AttachConfig {
    type Error = ConfigError;

    fn try_from(
        AttachArgs {
            targets,
            wait,
            session,
        }: AttachArgs,
    ) -> Result<Self, ConfigError> {
        let selector = targets.selector()?;
        if selector.is_empty() {
            return Err(ConfigError::NoTarget);
        }
        let session = SessionConfig::checked(session, Budget::Percent(ATTACH_BUDGET))?;
        let everyone = Selector {
            all: true,
            ..Selector::default()
        };
        if selector == everyone && !session.selection.names_objects() {
            return Err(ConfigError::EverythingEverywhere);
        }
        Ok(Self {
            selector,
            wait,
            session,
        })
    }
}

impl TryFrom<RunArgs> for RunConfig {
    type Error = ConfigError;

    fn try_from(
        RunArgs {
            session,
            children,
            command,
        }: RunArgs,
    ) -> Result<Self, ConfigError> {
        let mut words = command.into_iter();
        let program = words
            .next()
            .filter(|program| !program.is_empty())
            .ok_or(ConfigError::NoCommand)?;
        let mut session = SessionConfig::checked(session, Budget::Unlimited)?;
        // Every program allocates: all others would pay for probes in the C library that reach them.
        session.probing.isolate |= session.monitor.form == RecordForm::Event && !children;
        Ok(Self {
            program,
            arguments: words.collect(),
            children,
            session,
        })
    }
}

impl TryFrom<ReplayArgs> for ReplayConfig {
    type Error = ConfigError;

    fn try_from(
        ReplayArgs {
            file,
            monitor,
            output,
        }: ReplayArgs,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            file,
            monitor: monitor.monitor,
            recording: RecordingConfig::checked(output)?.unwrap_or_else(RecordingConfig::screen),
        })
    }
}

impl SessionConfig {
    fn checked(args: SessionArgs, default_budget: Budget) -> Result<Self, ConfigError> {
        let SessionArgs {
            functions,
            grouping,
            symbols,
            monitor: MonitorArgs { monitor },
            output,
            raw,
            display,
            limits,
        } = args;
        let FunctionArgs {
            functions,
            exclude,
            objects,
            focus,
            changes,
            dry_run,
            attach_mode,
            returns,
            site,
        } = functions;
        let summary_json = output.summary_json.clone();
        if raw && monitor.form != RecordForm::Event {
            return Err(ConfigError::RawWithoutEvents);
        }
        let recording = RecordingConfig::of(monitor, output)?;
        let stdout = RecordingConfig::stdout_use(recording.as_ref());
        Ok(Self {
            action: if dry_run { Action::DryRun } else { Action::Profile },
            selection: SelectionConfig {
                functions,
                exclude,
                objects,
                focus,
            }
            .checked()?,
            probing: ProbingConfig {
                attach_mode: kernel_mode(attach_mode),
                returns,
                site,
                isolate: grouping.isolate,
            },
            changes,
            group_by: grouping::distinct(grouping.by),
            columns: grouping::distinct(grouping.columns),
            symbols: symbols.into(),
            summary_json,
            monitor,
            recording,
            raw,
            display: DisplayConfig::checked(display, stdout)?,
            limits: LimitConfig::checked(limits, default_budget)?,
            memory: None,
            growth: None,
        })
    }
}

pub(super) fn kernel_mode(typed: TypedMode) -> Option<AttachMode> {
    match typed {
        TypedMode::Auto => None,
        TypedMode::Session => Some(AttachMode::Session),
        TypedMode::Multi => Some(AttachMode::Multi),
        TypedMode::PerfEvent => Some(AttachMode::PerfEvent),
    }
}

impl SelectionConfig {
    /// Whether it says in which files it looks.
    fn names_objects(&self) -> bool {
        let names = |pattern: &String| {
            pattern
                .parse()
                .is_ok_and(|pattern: Pattern| pattern.names_object())
        };
        !self.objects.is_empty() || (!self.functions.is_empty() && self.functions.iter().all(names))
    }

    fn checked(self) -> Result<Self, ConfigError> {
        let Self {
            functions,
            exclude,
            objects,
            focus,
        } = &self;
        let options = [
            ("--function", functions),
            ("--exclude", exclude),
            ("--object", objects),
            ("--focus", focus),
        ];
        let is_empty = |pattern: &String| pattern.trim().is_empty();
        let empty = options
            .into_iter()
            .find(|(_, patterns)| patterns.iter().any(is_empty));
        let option = empty.map(|(option, _)| option);
        option.map_or(Ok(self), |option| Err(ConfigError::EmptyPattern { option }))
    }
}

impl RecordingConfig {
    /// What a monitor records.
    fn of(monitor: &Monitor, output: OutputArgs) -> Result<Option<Self>, ConfigError> {
        let asked = Self::checked(output)?;
        Ok(asked.or_else(|| match monitor.records {
            Records::OnDemand => None,
            Records::Always => Some(Self::screen()),
        }))
    }

    fn stdout_use(recording: Option<&Self>) -> StdoutUse {
        match recording.map(|recording| &recording.output) {
            Some(Output::Stdout) => StdoutUse::Records,
            Some(Output::File(_)) | None => StdoutUse::Table,
        }
    }

    fn screen() -> Self {
        let kind = RECORDERS[0];
        Self {
            kind,
            output: kind.default_output(),
        }
    }

    /// `--recording` alone has a default output; `-o FILE` alone tells the format by its extension.
    fn checked(
        OutputArgs {
            recording,
            output,
            summary_json: _,
        }: OutputArgs,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(path) = output else {
            return Ok(recording.map(|kind| Self {
                kind,
                output: kind.default_output(),
            }));
        };
        let kind = recording.or_else(|| RecorderKind::by_extension(path.extension()?.to_str()?));
        let stdout = path == Path::new("-");
        match kind {
            None => Err(ConfigError::UnknownFormat { output: path }),
            Some(kind) if stdout => Ok(Some(Self {
                kind,
                output: Output::Stdout,
            })),
            Some(kind) if kind.default_file.is_none() => Err(ConfigError::ScreenToFile { output: path }),
            Some(kind) => Ok(Some(Self {
                kind,
                output: Output::File(path),
            })),
        }
    }
}

impl DisplayConfig {
    fn checked(args: DisplayArgs, stdout: StdoutUse) -> Result<Self, ConfigError> {
        let DisplayArgs {
            interval,
            sort,
            top,
            no_color,
            log_level,
        } = args;
        if interval < SHORTEST_INTERVAL {
            return Err(ConfigError::Interval);
        }
        let style = if no_color { Style::Plain } else { Style::Coloured };
        Ok(Self {
            interval,
            sort,
            top: (top > 0).then_some(top),
            style,
            stdout,
            log_level,
        })
    }
}

impl LimitConfig {
    fn checked(args: LimitArgs, default_budget: Budget) -> Result<Self, ConfigError> {
        let LimitArgs {
            duration,
            max_overhead,
            ring_size,
            max_map_memory,
            fail_on_loss,
        } = args;
        Ok(Self {
            duration,
            max_overhead: max_overhead.unwrap_or(default_budget),
            ring_bytes: ring_bytes(ring_size)?,
            map_bytes: max_map_memory,
            on_loss: if fail_on_loss {
                OnLoss::Fail
            } else {
                OnLoss::Report
            },
        })
    }
}
