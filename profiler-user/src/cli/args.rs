//! What was typed.
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _};
use clap::{Parser, Subcommand};

use super::grouping::GroupingArgs;
use super::list::ListArgs;
use super::mem::MemArgs;
use super::monitor::MonitorArgs;
use super::parse::{self, Budget};
use super::plot::PlotArgs;
use super::symbols::SymbolArgs;
use super::targets::{TARGETING, TargetArgs};
use crate::describe::Table;
use crate::probe::plan::{ReturnsChoice, SiteChoice};
use crate::recorder::{RECORDERS, RecorderKind};
use crate::ui::SortKey;

/// Shows which functions an unmodified process calls, how often, and for how long.
#[derive(Clone, Debug, Parser)]
#[command(name = "ebpf-prof", version, after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: CommandArgs,
}

const EXAMPLES: &str = "\
Examples:
  sudo ebpf-prof attach -p 1234                          every function of the program, live
  sudo ebpf-prof attach -p 1234 --function 'ns::*' --duration 10s
  sudo ebpf-prof attach -p 1234 --function 'libc:malloc' --recording csv -o calls.csv
  sudo ebpf-prof run --function 'parse_*' -- ./server --port 8080
  sudo ebpf-prof attach -p 1234 --dry-run                what would be probed, where, and why so
  ebpf-prof list containers                              what there is
  ebpf-prof doctor                                       what this machine can do

Exit status: 0 = done, 1 = failed, 2 = the command line was wrong.";

const ATTACH_EXAMPLES: &str = "\
Examples:
  sudo ebpf-prof attach -p 1234
  sudo ebpf-prof attach -p \"$(pidof -s nginx)\" --function 'ngx_http_*' --sort self
  sudo ebpf-prof attach -p 12,34 --object libssl.so.3 --function '*' --duration 30s
  sudo ebpf-prof attach --container web-1 --function 'libc:malloc'
  sudo ebpf-prof attach --systemd-unit postgresql --children --user postgres
  sudo ebpf-prof attach -p 1234 --focus handle_request --recording csv -o - | head
  sudo ebpf-prof attach -p 1234 --function 'load_*' --monitor function-memory -o memory.csv";

const RUN_EXAMPLES: &str = "\
Examples:
  sudo ebpf-prof run -- ./program --its-own option
  sudo ebpf-prof run --function 'Parser::*' --recording csv -o calls.csv -- ./program
  sudo ebpf-prof run --dry-run -- ./program";

const MEM_EXAMPLES: &str = "\
Examples:
  sudo ebpf-prof mem -p 1234
  sudo ebpf-prof mem -p 1234 --leaks --min-age 1m
  sudo ebpf-prof mem --container web-1 --by function --duration 30s
  sudo ebpf-prof mem --peak --stack fp -o peak.folded -- ./program --its-own option
  sudo ebpf-prof mem -p 1234 --sample-bytes 512K
  ebpf-prof mem --diff before.json after.json";

const LIST_EXAMPLES: &str = "\
Examples:
  ebpf-prof list containers
  ebpf-prof list processes 'nginx*' --user www-data
  ebpf-prof list objects -p 1234
  ebpf-prof list functions 'libc:*alloc*' -p 1234
  ebpf-prof list functions 'parse_*' --file ./server --json";

const PLOT_EXAMPLES: &str = "\
Examples:
  sudo ebpf-prof run --function 'load_*' --monitor function-memory -o memory.csv -- ./server
  ebpf-prof plot memory.csv --y RSS -o memory.svg
  ebpf-prof plot calls.csv --y duration_ns --by function -o calls.png";

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum CommandArgs {
    /// Profile processes that are running
    #[command(after_help = ATTACH_EXAMPLES)]
    Attach(AttachArgs),
    /// Start a command and profile it from its first instruction
    #[command(after_help = RUN_EXAMPLES, override_usage = "ebpf-prof run [OPTIONS] [--] COMMAND [ARGUMENT]...")]
    Run(RunArgs),
    /// Show who allocates memory, what is alive, what leaks, and what was alive at the peak
    #[command(after_help = MEM_EXAMPLES)]
    Mem(MemArgs),
    /// List processes, containers, executables and libraries, or functions
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Draw a column of a recording as SVG or PNG
    #[command(after_help = PLOT_EXAMPLES)]
    Plot(PlotArgs),
    /// Say what the kernel, the permissions and the build allow, and what is missing
    Doctor,
    /// Turn recorded events into records
    #[command(hide = true)]
    Replay(ReplayArgs),
    /// Print a table of the documentation
    #[command(hide = true)]
    Describe(DescribeArgs),
}

/// `attach`.
#[derive(Clone, Debug, clap::Args)]
pub struct AttachArgs {
    /// Which processes.
    #[command(flatten)]
    pub targets: TargetArgs,
    /// Start though no process matches yet, and wait for the first
    #[arg(long, help_heading = TARGETING)]
    pub wait: bool,
    /// What `attach` and `run` have in common.
    #[command(flatten)]
    pub session: SessionArgs,
}

/// `run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// What `attach` and `run` have in common.
    #[command(flatten)]
    pub session: SessionArgs,
    /// Profile what the command's children execute, too: every program, by the same patterns
    #[arg(long, help_heading = TARGETING)]
    pub children: bool,
    /// The command and its arguments: all that follows is theirs
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND", help_heading = TARGETING)]
    pub command: Vec<OsString>,
}

/// `replay`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// The recorded events
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What is made of them.
    #[command(flatten)]
    pub monitor: MonitorArgs,
    /// The records and where they go.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `describe`.
#[derive(Clone, Debug, clap::Args)]
pub struct DescribeArgs {
    /// Which table
    #[arg(value_parser = PossibleValuesParser::new(Table::ALL.map(Table::name)).map(|name| Table::by_name(&name)))]
    pub table: Option<Table>,
}

const FUNCTIONS: &str = "Functions";
const OUTPUT: &str = "Output";
const LIMITS: &str = "Limits";

/// What `attach` and `run` have in common.
#[derive(Clone, Debug, clap::Args)]
pub struct SessionArgs {
    /// Which functions.
    #[command(flatten)]
    pub functions: FunctionArgs,
    /// How processes are told apart.
    #[command(flatten)]
    pub grouping: GroupingArgs,
    /// Where names and lines come from.
    #[command(flatten)]
    pub symbols: SymbolArgs,
    /// What is recorded of each call.
    #[command(flatten, next_help_heading = OUTPUT)]
    pub monitor: MonitorArgs,
    /// The records and where they go.
    #[command(flatten)]
    pub output: OutputArgs,
    /// With --monitor events, write the numbers of kinds in place of their names: 1 call, 2 return, 1000 malloc, 1003 free, …
    #[arg(long, help_heading = OUTPUT)]
    pub raw: bool,
    /// What is shown.
    #[command(flatten)]
    pub display: DisplayArgs,
    /// What it may cost.
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Which functions are probed, and how.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = FUNCTIONS)]
pub struct FunctionArgs {
    /// Probe the functions of this name, glob, or `object:name`; may be repeated [default: every function of the
    /// program itself]
    #[arg(short, long = "function", value_name = "PATTERN")]
    pub functions: Vec<String>,
    /// Leave out the functions that match; may be repeated
    #[arg(short = 'x', long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Look for functions in this executable or library, by file name, glob or path; may be repeated
    #[arg(long = "object", value_name = "OBJECT")]
    pub objects: Vec<String>,
    /// Count and record only what is called, directly or not, by the functions that match; may be repeated
    #[arg(long, alias = "focused-on", value_name = "PATTERN")]
    pub focus: Vec<String>,
    /// While it runs, read changes from this file or pipe, one a line: `add` or `remove`, then `function PATTERN` or
    /// `process PID`
    #[arg(long, value_name = "FILE")]
    pub changes: Option<PathBuf>,
    /// Print what would be probed, where and why so, and attach nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How probes are attached: the best that the kernel has, or this one
    #[arg(long, value_name = "MODE", default_value = "auto", value_parser = attach_mode())]
    pub attach_mode: AttachMode,
    /// How returns are seen: return probes only where they cannot harm the target, or this way for every function
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = returns())]
    pub returns: ReturnsChoice,
    /// Where entries are probed: at the cheapest instruction that is as good (planned), or at the first one (entry), to
    /// compare
    #[arg(long, value_name = "WHERE", default_value = "planned", value_parser = site(), hide_short_help = true)]
    pub site: SiteChoice,
}

/// The records and where they go.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = OUTPUT)]
pub struct OutputArgs {
    /// Record every call and return in this format [default: count only]
    #[arg(long, value_name = "FORMAT", value_parser = recording())]
    pub recording: Option<&'static RecorderKind>,
    /// Where records go, and `-` is standard output.
    #[arg(short, long, value_name = "FILE", help = output_help())]
    pub output: Option<PathBuf>,
    /// Write the counters, losses and notes to FILE as JSON at the end
    #[arg(long, value_name = "FILE")]
    pub summary_json: Option<PathBuf>,
}

/// What is shown.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = OUTPUT)]
pub struct DisplayArgs {
    /// Refresh the table this often
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse::duration)]
    pub interval: Duration,
    /// Sort the table by this column
    #[arg(long, value_name = "COLUMN", default_value = SortKey::Total.name(), value_parser = sort_key())]
    pub sort: SortKey,
    /// Show this many functions; 0 = all
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub top: usize,
    /// Do not use colours; the environment variable `NO_COLOR` says the same
    #[arg(long)]
    pub no_color: bool,
    /// Print messages of this importance and above, on standard error
    #[arg(long, value_name = "LEVEL", default_value = "warn", value_parser = log_level())]
    pub log_level: log::LevelFilter,
}

/// What it may cost, and when it ends.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = LIMITS)]
pub struct LimitArgs {
    /// Stop after this time: 10s, 500ms, 2m [default: at the end of the target, or Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub duration: Option<Duration>,
    /// Demote or detach the hottest probes when all of them cost more than this share of one core: a percentage, or
    /// off [default: 25 for attach, off for run]
    #[arg(long, value_name = "PERCENT", value_parser = parse::budget)]
    pub max_overhead: Option<Budget>,
    /// Memory for events on their way, rounded up to a power of two
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = parse::size)]
    pub ring_size: u64,
    /// Memory for counters; histograms get coarser, then go, to stay below it
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = parse::size)]
    pub max_map_memory: u64,
    /// Exit with status 1 if anything was lost
    #[arg(long)]
    pub fail_on_loss: bool,
}

/// How probes are attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttachMode {
    /// The best that the kernel has.
    #[default]
    Auto,
    /// One session link for many functions: kernel 6.13 and later.
    Session,
    /// One link for many entries, one for many returns: kernel 6.6 and later.
    Multi,
    /// One perf event for each probe.
    PerfEvent,
}

fn output_help() -> String {
    let default =
        |kind: &&'static RecorderKind| kind.default_file.map(|file| format!("{file} for {}", kind.name));
    let defaults: Vec<_> = RECORDERS.iter().filter_map(default).collect();
    format!(
        "Where records go; - is standard output [default: {}]",
        defaults.join(", ")
    )
}

/// A parser of the values of a table: name, what help says of it, meaning.
pub(super) fn one_of<T: Clone + Send + Sync + 'static>(
    values: impl IntoIterator<Item = (&'static str, &'static str, T)>,
) -> impl clap::builder::TypedValueParser<Value = T> {
    let values: Vec<_> = values.into_iter().collect();
    let possible = values.iter().map(|(name, help, _)| match *help {
        "" => PossibleValue::new(*name),
        help => PossibleValue::new(*name).help(help),
    });
    PossibleValuesParser::new(possible.collect::<Vec<_>>()).try_map(move |typed| {
        let found = values.iter().find(|(name, ..)| *name == typed);
        found
            .map(|(_, _, value)| value.clone())
            .ok_or_else(|| format!("`{typed}` is not one of the values"))
    })
}

pub(super) fn attach_mode() -> impl clap::builder::TypedValueParser<Value = AttachMode> {
    one_of([
        ("auto", "the best that the kernel has", AttachMode::Auto),
        (
            "session",
            "entry and return in one link (kernel 6.13)",
            AttachMode::Session,
        ),
        (
            "multi",
            "many entries in one link, many returns in another (kernel 6.6)",
            AttachMode::Multi,
        ),
        (
            "perf-event",
            "one perf event per probe: slow to attach and detach",
            AttachMode::PerfEvent,
        ),
    ])
}

fn site() -> impl clap::builder::TypedValueParser<Value = SiteChoice> {
    one_of([
        (
            "planned",
            "the cheapest instruction that is as good",
            SiteChoice::Planned,
        ),
        ("entry", "the first instruction", SiteChoice::Entry),
    ])
}

fn returns() -> impl clap::builder::TypedValueParser<Value = ReturnsChoice> {
    one_of([
        (
            "auto",
            "chosen for each function; --dry-run shows it",
            ReturnsChoice::Auto,
        ),
        (
            "uretprobe",
            "return probes: they can crash a target that throws or switches stacks",
            ReturnsChoice::ReturnProbe,
        ),
        (
            "sites",
            "probes on the functions' own exits: dearer, and harmless",
            ReturnsChoice::Sites,
        ),
        (
            "none",
            "not at all: calls are counted, not timed",
            ReturnsChoice::None,
        ),
    ])
}

fn recording() -> impl clap::builder::TypedValueParser<Value = &'static RecorderKind> {
    one_of(RECORDERS.iter().map(|kind| (kind.name, kind.summary, *kind)))
}

fn sort_key() -> impl clap::builder::TypedValueParser<Value = SortKey> {
    one_of(SortKey::ALL.map(|key| (key.name(), "", key)))
}

pub(super) fn log_level() -> impl clap::builder::TypedValueParser<Value = log::LevelFilter> {
    use log::LevelFilter::{Debug, Error, Info, Off, Trace, Warn};
    one_of([Off, Error, Warn, Info, Debug, Trace].map(|level| {
        let name = match level {
            Off => "off",
            Error => "error",
            Warn => "warn",
            Info => "info",
            Debug => "debug",
            Trace => "trace",
        };
        (name, "", level)
    }))
}
