//! `mem`: what is typed.
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use profiler_common::alloc::{Family, StackChoice};

use super::args::{AttachMode, attach_mode, log_level, one_of};
use super::parse;
use super::targets::{TARGETING, TargetArgs};
use crate::probe::allocator_rows::UserRow;
use crate::probe::plan::ReturnsChoice;
use crate::ui::mem_view::{MemBy, MemSort};

const VIEW: &str = "View";
const OUTPUT: &str = "Output";
const LIMITS: &str = "Limits";
const ALLOCATORS: &str = "Allocators";

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
    /// Follow resident memory in place of allocations: where it grows and shrinks; anonymous, file and shared pages apart
    #[arg(long, conflicts_with_all = ["which", "sort", "min_age", "families", "rows", "files", "events", "timeline", "blocks", "sample_bytes", "diff"])]
    pub rss: bool,
    /// With --rss, tell apart within which of these functions: names, globs, or `OBJECT:FUNCTION`; may be repeated
    #[arg(short, long = "function", value_name = "PATTERN", requires = "rss")]
    pub functions: Vec<String>,
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
    /// Follow the allocators that this TOML file describes: `[[allocator]]` with object, function, size, count, ptr, out,
    /// returns (`ptr` or `0`), family; or `allocators = ["…"]` as with --allocator; may be repeated
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
    /// Memory for the events of --events on their way, rounded up to a power of two
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = parse::size)]
    pub ring_size: u64,
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

    use super::{Families, family};

    #[test]
    fn families_have_names() {
        assert_eq!(family("python"), Ok(Families::One(Family::Python)));
        assert_eq!(family("all"), Ok(Families::All));
        assert!(family("java").unwrap_err().contains("`java`"));
    }
}
