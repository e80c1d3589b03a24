//! `mem`: what is true of what was typed.
use std::path::PathBuf;
use std::time::Duration;

use profiler_common::alloc::{Family, StackChoice};
use profiler_common::sampling::MAX_MEAN;

use super::config::{
    Action, AttachConfig, Budget, DisplayConfig, LimitConfig, OnLoss, ProbingConfig, RunConfig,
    SelectionConfig, SessionConfig, StdoutUse, kernel_mode, ring_bytes,
};
use super::error::ConfigError;
use super::mem::{AllocatorArgs, Families, MemArgs, MemLimitArgs, MemOutputArgs, MemViewArgs};
use super::symbols::SymbolConfig;
use crate::kernel::heap::LEAST_MEMORY;
use crate::monitor::MONITORS;
use crate::object::names::NameStyle;
use crate::probe::allocator_file;
use crate::probe::allocator_rows::UserRow;
use crate::probe::plan::SiteChoice;
use crate::ui::mem_view::{GrowthShown, MemShown, MemSort, MemView};
use crate::ui::{SortKey, Style};

/// Bytes for functions' flags and events in a session that needs hardly any.
const SMALL_RING: u32 = 4096;

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

/// What a session that follows resident memory is to show.
#[derive(Clone, Debug)]
pub struct GrowthConfig {
    /// How places are known.
    pub stack: StackChoice,
    /// What is shown.
    pub shown: GrowthShown,
    /// Where the result is written at the end.
    pub outputs: Vec<MemOutput>,
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
    let names = name_style(view);
    let outputs = outputs(output.outputs.clone(), output.summary_json.clone())?;
    let growth = view.rss.then(|| growth(view, outputs.clone()));
    let memory = MemoryConfig {
        families: distinct(&families),
        rows: all_rows(rows, &files)?,
        outputs,
        ..memory(view, &output, &limits)
    };
    let memory = growth.is_none().then_some(memory);
    let has_events = memory.as_ref().is_some_and(|memory| memory.events.is_some());
    Ok(SessionConfig {
        monitor: MONITORS[0],
        action: if dry_run { Action::DryRun } else { Action::Profile },
        selection: SelectionConfig {
            functions: view.functions.clone(),
            ..SelectionConfig::default()
        },
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
        symbols: SymbolConfig {
            // The table of allocators has the names as compilers write them.
            names: if view.rss { names } else { NameStyle::Raw },
            ..SymbolConfig::default()
        },
        recording: None,
        raw: false,
        summary_json: None,
        display: display(view, style, output.log_level),
        limits: limits_of(&limits, has_events)?,
        memory,
        growth,
    })
}

/// Without families, allocators and outputs.
fn memory(view: &MemViewArgs, output: &MemOutputArgs, limits: &MemLimitArgs) -> MemoryConfig {
    MemoryConfig {
        families: Vec::new(),
        rows: Vec::new(),
        stack: view.stack,
        sample_bytes: limits.sample_bytes,
        map_bytes: limits.max_map_memory,
        shown: shown(view),
        outputs: Vec::new(),
        blocks: output.blocks,
        events: output.events.clone().map(|path| EventsConfig {
            path,
            raw: output.raw,
        }),
        timeline: output.timeline.clone(),
    }
}

fn growth(view: &MemViewArgs, outputs: Vec<MemOutput>) -> GrowthConfig {
    GrowthConfig {
        stack: view.stack,
        shown: GrowthShown {
            by: view.by,
            top: (view.top > 0).then_some(view.top),
            names: name_style(view),
        },
        outputs,
    }
}

fn display(view: &MemViewArgs, style: Style, log_level: log::LevelFilter) -> DisplayConfig {
    DisplayConfig {
        interval: view.interval.max(Duration::from_millis(50)),
        sort: SortKey::default(),
        top: (view.top > 0).then_some(view.top),
        style,
        stdout: StdoutUse::Table,
        log_level,
    }
}

fn name_style(view: &MemViewArgs) -> NameStyle {
    if view.raw_names {
        NameStyle::Raw
    } else {
        NameStyle::Demangled
    }
}

fn limits_of(limits: &MemLimitArgs, events: bool) -> Result<LimitConfig, ConfigError> {
    Ok(LimitConfig {
        duration: limits.duration,
        max_overhead: Budget::Unlimited,
        ring_bytes: if events {
            ring_bytes(limits.ring_size)?
        } else {
            SMALL_RING
        },
        map_bytes: limits.max_map_memory,
        on_loss: if limits.fail_on_loss {
            OnLoss::Fail
        } else {
            OnLoss::Report
        },
    })
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
        names: name_style(view),
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
        rows.extend(allocator_file::read(&text).map_err(|error| wrong(error.to_string()))?);
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

#[cfg(test)]
mod tests {
    use profiler_common::alloc::Family;

    use super::{Families, MemFormat, distinct, outputs};

    #[test]
    fn families_are_each_taken_once() {
        let typed = [Family::Heap, Family::Python, Family::Heap].map(Families::One);
        assert_eq!(distinct(&typed), [Family::Heap, Family::Python]);
        assert_eq!(distinct(&[Families::All]), Family::ALL);
    }

    #[test]
    fn the_extension_tells_the_format() {
        let found = outputs(vec!["a.csv".into(), "b.folded".into()], Some("c".into())).unwrap();
        let formats: Vec<_> = found.iter().map(|output| output.format).collect();
        assert_eq!(formats, [MemFormat::Csv, MemFormat::Folded, MemFormat::Json]);
        assert!(outputs(vec!["a.txt".into()], None).is_err());
    }
}
