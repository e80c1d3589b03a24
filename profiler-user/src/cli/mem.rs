//! `mem`: what was typed, and what is true.
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use profiler_common::alloc::{Family, StackChoice};
use profiler_common::sampling::MAX_MEAN;

use super::args::{AttachMode, attach_mode, log_level, one_of};
use super::config::{
    Action, AttachConfig, Budget, DisplayConfig, LimitConfig, OnLoss, ProbingConfig, RunConfig,
    SelectionConfig, SessionConfig, StdoutUse, kernel_mode,
};
use super::error::ConfigError;
use super::parse;
use super::symbols::SymbolConfig;
use super::targets::{TARGETING, TargetArgs};
use crate::kernel::heap::LEAST_MEMORY;
use crate::monitor::MONITORS;
use crate::object::names::NameStyle;
use crate::probe::allocator_rows::UserRow;
use crate::probe::plan::{ReturnsChoice, SiteChoice};
use crate::ui::mem_view::{MemBy, MemShown, MemSort, MemView};
use crate::ui::{SortKey, Style};

const VIEW: &str = "View";
const OUTPUT: &str = "Output";
const LIMITS: &str = "Limits";
const ALLOCATORS: &str = "Allocators";

/// Bytes for functions' flags and events in a session that needs hardly any.
const SMALL_RING: u32 = 4096;
/// Bytes for events on their way.
const EVENT_RING: u32 = 64 << 20;

/// `mem`.
#[derive(Clone, Debug, clap::Args)]
pub struct MemArgs {
    /// Which processes.
    #[command(flatten)]
    pub targets: TargetArgs,
    /// Start though no process matches yet, and wait for the first
    #[arg(long, help_heading = TARGETING)]
    pub wait: bool,
    /// What is shown.
    #[command(flatten)]
    pub view: MemViewArgs,
    /// Which allocators.
    #[command(flatten)]
    pub allocators: AllocatorArgs,
    /// Where it goes.
    #[command(flatten)]
    pub output: MemOutputArgs,
    /// What it may cost.
    #[command(flatten)]
    pub limits: MemLimitArgs,
    /// A command to start, and its arguments: all that follows is theirs
    #[arg(last = true, value_name = "COMMAND", help_heading = TARGETING)]
    pub command: Vec<OsString>,
}

/// What is shown.
#[expect(
    clippy::struct_excessive_bools,
    reason = "options of a command line, of which one at most is given"
)]
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = VIEW)]
pub struct MemViewArgs {
    /// What is alive now, or was at the end: the default
    #[arg(long, group = "which")]
    pub live: bool,
    /// What is alive and older than --min-age
    #[arg(long, group = "which")]
    pub leaks: bool,
    /// What was alive when all targets together had most
    #[arg(long, group = "which")]
    pub peak: bool,
    /// What was freed by the same thread before its next allocation
    #[arg(long, group = "which")]
    pub temporary: bool,
    /// Who allocates most often
    #[arg(long, group = "which")]
    pub hot: bool,
    /// Which sizes are allocated
    #[arg(long, group = "which")]
    pub sizes: bool,
    /// Count apart by this
    #[arg(long, value_name = "WHAT", default_value = "site", value_parser = by())]
    pub by: MemBy,
    /// How callers are known: not at all, by the return address, or with the stack that frame pointers lead through
    #[arg(long, value_name = "HOW", default_value = "caller", value_parser = stack())]
    pub stack: StackChoice,
    /// What --leaks calls old
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse::duration)]
    pub min_age: Duration,
    /// Sort the table by this column [default: that of the view]
    #[arg(long, value_name = "COLUMN", value_parser = sort())]
    pub sort: Option<MemSort>,
    /// Show this many lines; 0 = all
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub top: usize,
    /// Refresh the table this often
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse::duration)]
    pub interval: Duration,
    /// Show functions' names as compilers write them
    #[arg(long)]
    pub raw_names: bool,
    /// Do not use colours; the environment variable `NO_COLOR` says the same
    #[arg(long)]
    pub no_color: bool,
    /// Show what has changed between two results that were written with --summary-json, and follow nothing
    #[arg(long, value_names = ["BEFORE", "AFTER"], num_args = 2, conflicts_with_all = ["command", "pids"])]
    pub diff: Vec<PathBuf>,
}

/// Which allocators are followed.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = ALLOCATORS)]
pub struct AllocatorArgs {
    /// Follow these families, separated by commas: heap, mapping, python, glib, cuda, user, or all
    #[arg(long = "family", value_name = "NAME[,NAME...]", value_delimiter = ',', default_value = "heap,mapping,glib,cuda,user", value_parser = family)]
    pub families: Vec<Families>,
    /// Follow an allocator of your own: `lib.so:my_alloc(size=1)->ptr`, `my_free(ptr=1)`; arguments count from 1; may be
    /// repeated
    #[arg(long = "allocator", value_name = "DESCRIPTION", value_parser = parse_row)]
    pub rows: Vec<UserRow>,
    /// Follow the allocators that this file describes, one in each line
    #[arg(long = "allocators", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// With --children, too, let no other process pay: the first milliseconds of a child are then missed
    #[arg(long)]
    pub isolate: bool,
    /// Print what would be probed, where and why so, and attach nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How probes are attached: the best that the kernel has, or this one
    #[arg(long, value_name = "MODE", default_value = "auto", value_parser = attach_mode())]
    pub attach_mode: AttachMode,
    /// How results are seen: by return probes where they cannot harm the target, or never by these
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = returns())]
    pub returns: ReturnsChoice,
}

/// Where it goes.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = OUTPUT)]
pub struct MemOutputArgs {
    /// Write the result at the end; the name says how: .csv, .json, or .folded for flame graphs; may be repeated
    #[arg(short, long = "output", value_name = "FILE")]
    pub outputs: Vec<PathBuf>,
    /// Write the result to FILE as JSON at the end
    #[arg(long, value_name = "FILE")]
    pub summary_json: Option<PathBuf>,
    /// Write every allocation and free to FILE, as CSV: time, address, bytes (frees are negative), kind, caller, …
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// With --events, write the numbers of kinds in place of their names: 1000 malloc, 1001 calloc, 1002 realloc, 1003
    /// free, 1004 `realloc_free`, …
    #[arg(long, requires = "events")]
    pub raw: bool,
    /// Write what each process and container has to FILE as CSV at each --interval: RSS, VMS, what is alive, and the peaks
    #[arg(long, value_name = "FILE")]
    pub timeline: Option<PathBuf>,
    /// Write every single block that is alive at the end to the JSON, up to this many
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub blocks: usize,
    /// Print messages of this importance and above, on standard error
    #[arg(long, value_name = "LEVEL", default_value = "warn", value_parser = log_level())]
    pub log_level: log::LevelFilter,
}

/// What it may cost.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = LIMITS)]
pub struct MemLimitArgs {
    /// Stop after this time: 10s, 500ms, 2m [default: at the end of the target, or Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub duration: Option<Duration>,
    /// Follow one byte in this many, and the allocation that it lies in; all numbers are then estimates
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    pub sample_bytes: Option<u64>,
    /// Kernel memory for live blocks and call sites; what finds no room is counted as loss
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = parse::size)]
    pub max_map_memory: u64,
    /// Exit with status 1 if anything was lost
    #[arg(long)]
    pub fail_on_loss: bool,
}

/// A word of `--family`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// One of them.
    One(Family),
    /// All.
    All,
}

/// What a memory session is to follow and to show.
#[derive(Clone, Debug)]
pub struct MemoryConfig {
    /// The families of allocators.
    pub families: Vec<Family>,
    /// Allocators of the user's.
    pub rows: Vec<UserRow>,
    /// How callers are known.
    pub stack: StackChoice,
    /// Mean distance of samples, bytes; none = everything counts.
    pub sample_bytes: Option<u64>,
    /// Kernel memory, bytes.
    pub map_bytes: u64,
    /// What is shown.
    pub shown: MemShown,
    /// Where the result is written at the end.
    pub outputs: Vec<MemOutput>,
    /// How many live blocks the JSON has at most.
    pub blocks: usize,
    /// Where every allocation and free is written.
    pub events: Option<EventsConfig>,
    /// Where the course of each process's memory is written.
    pub timeline: Option<PathBuf>,
}

/// Where every allocation and free is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsConfig {
    /// The file.
    pub path: PathBuf,
    /// Kinds are numbers.
    pub raw: bool,
}

/// A file for the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemOutput {
    /// The format.
    pub format: MemFormat,
    /// The file.
    pub path: PathBuf,
}

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemFormat {
    /// A line for each row of the table.
    Csv,
    /// Everything.
    Json,
    /// Stacks, and a number behind each.
    Folded,
}

/// `mem`, checked.
#[derive(Clone, Debug)]
pub enum MemConfig {
    /// Follow running processes.
    Attach(Box<AttachConfig>),
    /// Start a command and follow it.
    Run(Box<RunConfig>),
    /// Compare two results.
    Diff {
        /// The earlier one.
        before: PathBuf,
        /// The later one.
        after: PathBuf,
        /// How it is shown.
        shown: MemShown,
        /// Whether there are colours.
        style: Style,
    },
}

impl MemConfig {
    /// Which messages are printed.
    pub fn log_level(&self) -> log::LevelFilter {
        match self {
            Self::Attach(config) => config.session.display.log_level,
            Self::Run(config) => config.session.display.log_level,
            Self::Diff { .. } => log::LevelFilter::Warn,
        }
    }
}

impl TryFrom<MemArgs> for MemConfig {
    type Error = ConfigError;

    fn try_from(args: MemArgs) -> Result<Self, ConfigError> {
        let MemArgs {
            targets,
            wait,
            view,
            allocators,
            output,
            limits,
            command,
        } = args;
        let style = if view.no_color {
            Style::Plain
        } else {
            Style::Coloured
        };
        if let [before, after] = &view.diff[..] {
            return Ok(Self::Diff {
                before: before.clone(),
                after: after.clone(),
                shown: shown(&view),
                style,
            });
        }
        let children = targets.children;
        let selector = targets.selector()?;
        let session = session((&view, style), allocators, (output, limits), children)?;
        let mut words = command.into_iter();
        if let Some(program) = words.next() {
            let named = crate::target::selector::Selector {
                children: false,
                ..selector
            };
            if !named.is_empty() {
                return Err(ConfigError::CommandAndTarget);
            }
            return Ok(Self::Run(Box::new(RunConfig {
                program,
                arguments: words.collect(),
                children,
                session,
            })));
        }
        if selector.is_empty() {
            return Err(ConfigError::NoTarget);
        }
        Ok(Self::Attach(Box::new(AttachConfig {
            selector,
            wait,
            session,
        })))
    }
}

fn session(
    (view, style): (&MemViewArgs, Style),
    allocators: AllocatorArgs,
    (output, limits): (MemOutputArgs, MemLimitArgs),
    children: bool,
) -> Result<SessionConfig, ConfigError> {
    let AllocatorArgs {
        families,
        rows,
        files,
        isolate,
        dry_run,
        attach_mode,
        returns,
    } = allocators;
    if limits.max_map_memory < LEAST_MEMORY {
        return Err(ConfigError::TooLittleMemory);
    }
    if limits.sample_bytes.is_some_and(|bytes| bytes > MAX_MEAN) {
        return Err(ConfigError::SampleBytes);
    }
    Ok(SessionConfig {
        monitor: MONITORS[0],
        action: if dry_run { Action::DryRun } else { Action::Profile },
        selection: SelectionConfig::default(),
        probing: ProbingConfig {
            attach_mode: kernel_mode(attach_mode),
            returns,
            site: SiteChoice::Planned,
            // Every program allocates: all others would pay for probes in the C library that reach them.
            isolate: isolate || !children,
        },
        changes: None,
        group_by: Vec::new(),
        columns: Vec::new(),
        // The table of allocators has the names as compilers write them.
        symbols: SymbolConfig {
            names: NameStyle::Raw,
            ..SymbolConfig::default()
        },
        recording: None,
        raw: false,
        summary_json: None,
        display: DisplayConfig {
            interval: view.interval.max(Duration::from_millis(50)),
            sort: SortKey::default(),
            top: (view.top > 0).then_some(view.top),
            style,
            stdout: StdoutUse::Table,
            log_level: output.log_level,
        },
        limits: limits_of(&limits, output.events.is_some()),
        memory: Some(MemoryConfig {
            families: distinct(&families),
            rows: all_rows(rows, &files)?,
            stack: view.stack,
            sample_bytes: limits.sample_bytes,
            map_bytes: limits.max_map_memory,
            shown: shown(view),
            outputs: outputs(output.outputs, output.summary_json)?,
            blocks: output.blocks,
            events: output.events.map(|path| EventsConfig {
                path,
                raw: output.raw,
            }),
            timeline: output.timeline,
        }),
    })
}

fn limits_of(limits: &MemLimitArgs, events: bool) -> LimitConfig {
    LimitConfig {
        duration: limits.duration,
        max_overhead: Budget::Unlimited,
        ring_bytes: if events { EVENT_RING } else { SMALL_RING },
        map_bytes: limits.max_map_memory,
        on_loss: if limits.fail_on_loss {
            OnLoss::Fail
        } else {
            OnLoss::Report
        },
    }
}

fn shown(view: &MemViewArgs) -> MemShown {
    let chosen = [
        (view.leaks, MemView::Leaks),
        (view.peak, MemView::Peak),
        (view.temporary, MemView::Temporary),
        (view.hot, MemView::Hot),
        (view.sizes, MemView::Sizes),
    ];
    let which = chosen.into_iter().find(|(is_chosen, _)| *is_chosen);
    let which = which.map_or(MemView::Live, |(_, which)| which);
    MemShown {
        view: which,
        by: view.by,
        sort: view.sort.unwrap_or(MemSort::of(which)),
        top: (view.top > 0).then_some(view.top),
        min_age: view.min_age,
        names: if view.raw_names {
            NameStyle::Raw
        } else {
            NameStyle::Demangled
        },
    }
}

fn distinct(typed: &[Families]) -> Vec<Family> {
    let is_meant = |family: &Family| {
        typed
            .iter()
            .any(|it| matches!(it, Families::All) || *it == Families::One(*family))
    };
    Family::ALL.into_iter().filter(is_meant).collect()
}

fn all_rows(mut rows: Vec<UserRow>, files: &[PathBuf]) -> Result<Vec<UserRow>, ConfigError> {
    for file in files {
        let wrong = |why: String| ConfigError::Allocators {
            file: file.clone(),
            why,
        };
        let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        rows.extend(UserRow::of_lines(&text).map_err(|error| wrong(error.to_string()))?);
    }
    Ok(rows)
}

fn outputs(files: Vec<PathBuf>, json: Option<PathBuf>) -> Result<Vec<MemOutput>, ConfigError> {
    let format = |path: &PathBuf| match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => Some(MemFormat::Csv),
        Some("json") => Some(MemFormat::Json),
        Some("folded") => Some(MemFormat::Folded),
        Some(_) | None => None,
    };
    let mut outputs = Vec::new();
    for path in files {
        let format = format(&path).ok_or(ConfigError::UnknownMemFormat { output: path.clone() })?;
        outputs.push(MemOutput { format, path });
    }
    outputs.extend(json.map(|path| MemOutput {
        format: MemFormat::Json,
        path,
    }));
    Ok(outputs)
}

fn family(text: &str) -> Result<Families, String> {
    if text == "all" {
        return Ok(Families::All);
    }
    Family::by_name(text).map(Families::One).ok_or_else(|| {
        let names = Family::ALL.map(Family::name).join(", ");
        format!("`{text}` is no family of allocators: write one of {names}, all")
    })
}

fn parse_row(text: &str) -> Result<UserRow, String> {
    text.parse()
        .map_err(|error: crate::probe::allocator_rows::AllocatorError| error.to_string())
}

fn by() -> impl clap::builder::TypedValueParser<Value = MemBy> {
    one_of(MemBy::ALL.map(|by| (by.name(), "", by)))
}

fn sort() -> impl clap::builder::TypedValueParser<Value = MemSort> {
    one_of(MemSort::ALL.map(|sort| (sort.name(), "", sort)))
}

/// Without its return nobody knows what a call allocated.
fn returns() -> impl clap::builder::TypedValueParser<Value = ReturnsChoice> {
    one_of([
        ("auto", "chosen for each function", ReturnsChoice::Auto),
        (
            "sites",
            "probes on the functions' own exits: dearer",
            ReturnsChoice::Sites,
        ),
    ])
}

fn stack() -> impl clap::builder::TypedValueParser<Value = StackChoice> {
    one_of([
        ("none", "callers are not told apart", StackChoice::None),
        ("caller", "by the return address: exact", StackChoice::Caller),
        (
            "fp",
            "by the stack, as far as frame pointers lead",
            StackChoice::FramePointers,
        ),
    ])
}

#[cfg(test)]
mod tests {
    use profiler_common::alloc::Family;

    use super::{Families, MemFormat, distinct, family, outputs};

    #[test]
    fn families_are_each_taken_once() {
        let typed = ["heap", "python", "heap"].map(|word| family(word).unwrap());
        assert_eq!(distinct(&typed), [Family::Heap, Family::Python]);
        assert_eq!(distinct(&[Families::All]), Family::ALL);
        assert!(family("java").unwrap_err().contains("`java`"));
    }

    #[test]
    fn the_extension_tells_the_format() {
        let found = outputs(vec!["a.csv".into(), "b.folded".into()], Some("c".into())).unwrap();
        let formats: Vec<_> = found.iter().map(|output| output.format).collect();
        assert_eq!(formats, [MemFormat::Csv, MemFormat::Folded, MemFormat::Json]);
        assert!(outputs(vec!["a.txt".into()], None).is_err());
    }
}
