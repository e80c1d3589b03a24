//! The program that is measured: `xtask/bench/target.c`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::process::{Heard, Process};
use crate::{
    exec::{Failure, Outcome, exec},
    workspace,
};

/// The processor that the target keeps to; whatever else runs may use the others.
const CPU: &str = "0";

/// The C library's name, on which its users rely.
pub(super) const LIBC: &str = "libc.so.6";

/// What the target calls in its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// A function that starts with `push`.
    Push,
    /// One that starts with `endbr64; push`.
    LandingPad,
    /// malloc and free, in turn.
    MallocFree,
    /// malloc of 16 bytes, and no free.
    Keep,
    /// The first write to a page.
    Touch,
}

impl Work {
    /// As the target is told.
    fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::LandingPad => "landing_pad",
            Self::MallocFree => "malloc_free",
            Self::Keep => "keep",
            Self::Touch => "touch",
        }
    }

    /// The functions that one turn of the loop calls once each.
    pub(super) fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Push => &["push_first"],
            Self::LandingPad => &["landing_pad_first"],
            Self::MallocFree => &["malloc", "free"],
            Self::Keep => &["malloc"],
            Self::Touch => &[],
        }
    }
}

/// How often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batches {
    /// Turns of the loop in a batch.
    pub(super) calls: u64,
    pub(super) batches: u64,
}

impl Batches {
    pub(super) fn turns(self) -> u64 {
        self.calls * self.batches
    }
}

/// What one turn of the loop took in the best batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// By the clock on the wall.
    pub(super) wall_ns: f64,
    /// In processor time of the target's thread.
    pub(super) cpu_ns: f64,
}

/// Compiles the target, and returns its path.
pub(super) fn compile() -> Outcome<PathBuf> {
    let folder = folder()?;
    let (source, program) = (
        workspace::root().join("xtask/bench/target.c"),
        folder.join("target"),
    );
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-g", "-Wall", "-Werror", "-o"])
        .arg(&program)
        .arg(source);
    exec(&mut cc, "compile what is measured", "read the compiler's message")?;
    Ok(program)
}

/// Where the benchmark keeps its files.
pub(super) fn folder() -> Outcome<PathBuf> {
    let folder = workspace::target().join("bench");
    fs::create_dir_all(&folder).map_err(|error| Failure::file("create", &folder, &error))?;
    Ok(folder)
}

/// The target, running.
pub(super) struct Target {
    process: Process,
    program: PathBuf,
    libc: PathBuf,
}

impl Target {
    pub(super) fn start(program: &Path) -> Outcome<Self> {
        let libc = own_libc(program)?;
        let mut command = Command::new(program);
        command.arg(CPU).env("LD_LIBRARY_PATH", libc.with_file_name(""));
        let process = start(&mut command)?;
        Ok(Self {
            process,
            program: program.to_owned(),
            libc,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The file that the functions of some work are in.
    pub(super) fn file(&self, work: Work) -> &Path {
        match work {
            Work::Push | Work::LandingPad | Work::Touch => &self.program,
            Work::MallocFree | Work::Keep => &self.libc,
        }
    }

    pub(super) fn run(&mut self, work: Work, batches: Batches) -> Outcome<Timing> {
        let Batches {
            calls,
            batches: count,
        } = batches;
        self.process.tell(&format!("{} {calls} {count}", work.name()))?;
        let line = self.process.hear()?;
        let numbers: Vec<f64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
        let &[wall_ns, cpu_ns] = numbers.as_slice() else {
            let what = format!("the target says `{line}` instead of two numbers");
            return Err(Failure::new(what, "mend xtask/bench/target.c"));
        };
        Ok(Timing {
            wall_ns: wall_ns / calls as f64,
            cpu_ns: cpu_ns / calls as f64,
        })
    }
}

fn start(command: &mut Command) -> Outcome<Process> {
    let mut process = Process::start(command, Heard::Stdout, "start the target")?;
    process.wait_for("ready")?;
    Ok(process)
}

/// A copy of the C library for the target alone. bpftrace 0.17 probes a library in every process that maps it, whatever
/// `-p` says: that would slow the whole machine down, and count calls that are not the target's.
fn own_libc(program: &Path) -> Outcome<PathBuf> {
    let library = mapped_libc(start(&mut Command::new(program))?.id())?;
    let folder = folder()?.join("lib");
    fs::create_dir_all(&folder).map_err(|error| Failure::file("create", &folder, &error))?;
    let copy = folder.join(LIBC);
    fs::copy(&library, &copy).map_err(|error| Failure::file("copy", &library, &error))?;
    Ok(copy)
}

/// The C library that a process maps.
fn mapped_libc(pid: u32) -> Outcome<PathBuf> {
    let maps = PathBuf::from(format!("/proc/{pid}/maps"));
    let text = fs::read_to_string(&maps).map_err(|error| Failure::file("read", &maps, &error))?;
    let paths = text
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(5));
    let mut libraries = paths.map(PathBuf::from).filter(|path| path.ends_with(LIBC));
    libraries.next().ok_or_else(|| {
        let what = format!("the target maps no C library by the name {LIBC}");
        Failure::new(what, "leave the rows with malloc out: `--rows`")
    })
}
