//! What is wrong with a command line as a whole: one line that names the thing and the next step.
use std::path::{Path, PathBuf};

use crate::recorder::RECORDERS;

/// What is wrong with a command line whose words are right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The profiler cannot profile itself.
    #[error("process {pid} is ebpf-prof itself: give the id of another process to `--pid`")]
    OwnPid {
        /// The process.
        pid: u32,
    },
    /// No process is named.
    #[error(
        "no process is named: give `-p PID`, or choose by `--container`, `--pod`, `--systemd-unit`, `--cgroup`, `--user`, \
         `--exe` or `--comm`, or all with `-a`; `ebpf-prof list processes` and `list containers` show what there is"
    )]
    NoTarget,
    /// All processes, and all their functions.
    #[error(
        "`-a` probes all processes of this machine: say in which file, such as `--function 'libc.so.6:malloc'` or \
         `--object /usr/sbin/nginx`"
    )]
    EverythingEverywhere,
    /// `list objects` without anything to look into.
    #[error(
        "`list {what}` needs something to look into: add `-p PID`, another option that chooses processes, or `--file PATH`"
    )]
    NothingToListFrom {
        /// What is to be listed.
        what: &'static str,
    },
    /// `list processes --file`.
    #[error("`--file` has no {what}: it goes with `list objects` and `list functions`")]
    FileHasNone {
        /// What is to be listed.
        what: &'static str,
    },
    /// `-o` with a name that does not tell the format.
    #[error("the name `{}` does not tell the format of the records: add `--recording {}`", output.display(), formats(output))]
    UnknownFormat {
        /// The file.
        output: PathBuf,
    },
    /// `--recording screen -o FILE`.
    #[error("`--recording screen` writes to standard output, not to `{}`: use `--recording text`", output.display())]
    ScreenToFile {
        /// The file.
        output: PathBuf,
    },
    /// `plot -o` with a name that does not tell the format.
    #[error("the name `{}` does not tell the format of the picture: end it in .svg or .png", output.display())]
    UnknownPicture {
        /// The file.
        output: PathBuf,
    },
    /// A pattern of no characters.
    #[error("`{option}` is empty: write a name or a glob, such as 'parse_*'")]
    EmptyPattern {
        /// The option.
        option: &'static str,
    },
    /// The ring cannot have this size.
    #[error("`--ring-size {bytes}` is out of range: write 4K to 1G")]
    RingSize {
        /// The size, bytes.
        bytes: u64,
    },
    /// The table cannot be refreshed that often.
    #[error("`--interval` is too short: write 50ms or more")]
    Interval,
    /// `mem -p PID -- COMMAND`.
    #[error("`mem` follows either processes or a command: leave one of them out")]
    CommandAndTarget,
    /// `--raw` without what it is about.
    #[error("`--raw` is about events: add `--monitor events`")]
    RawWithoutEvents,
    /// The maps do not fit.
    #[error("`--max-map-memory` is too small: write 8M or more")]
    TooLittleMemory,
    /// Samples would be too rare.
    #[error("`--sample-bytes` is too large: write 16G or less")]
    SampleBytes,
    /// A file of allocators cannot be used.
    #[error("the allocators in `{}` cannot be used: {why}", file.display())]
    Allocators {
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// `mem -o` with a name that does not tell the format.
    #[error("the name `{}` does not tell the format: end it with .csv, .json or .folded", output.display())]
    UnknownMemFormat {
        /// The file.
        output: PathBuf,
    },
    /// No command behind `--`.
    #[error("no command to run: write it behind `--`")]
    NoCommand,
}

fn formats(output: &Path) -> String {
    let stdout = output == Path::new("-");
    let possible = RECORDERS
        .iter()
        .filter(|kind| stdout || kind.default_file.is_some());
    possible.map(|kind| kind.name).collect::<Vec<_>>().join("|")
}
