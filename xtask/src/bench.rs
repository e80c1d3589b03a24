//! `cargo xtask bench`: what the profiler costs, beside what else there is, on this machine.
//!
//! The sides of a row are measured in turn, in one process of the target; what a call takes without any probe is
//! subtracted; a side that counts wrongly fails the benchmark, and one that loses something does not keep its promise.

mod calls;
mod following;
mod growth;
mod large;
mod library;
mod lines;
mod machine;
mod memleak;
mod memory;
mod process;
mod programs;
mod recording;
mod report;
mod rss;
mod statistics;
mod symbols;
mod target;
mod tool;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use self::{
    machine::Machine,
    report::{Measured, Row},
    target::Target,
    tool::Tools,
};
use crate::{
    build::{self, Profile},
    exec::{Failure, Outcome, exit_status, step},
    setup::{self, Group},
    workspace,
};

/// What to measure, and how often.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the figures go as JSON [default: target/bench.json]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure only the rows whose key contains this: count-push, count-malloc-free, latency-push,
    /// latency-landing-pad, accounting, event-path, record, record-rss, mem-pair, mem-sampled, mem-rss,
    /// mem-live, mem-sqlite-heaptrack, mem-sqlite-memleak, mem-python-heaptrack, mem-python-memleak, attach, memory,
    /// first-symbol, symbol-memory, appear, idle, symbolize
    #[arg(long, value_name = "PATTERN")]
    rows: Option<String>,
    /// Medians of so many runs
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(5..))]
    runs: u16,
    /// What was built: how the command starts itself through sudo
    #[arg(long, hide = true, num_args = 5)]
    built: Vec<PathBuf>,
}

impl Args {
    pub(crate) fn run(self) -> Outcome<ExitCode> {
        let Self {
            json,
            rows,
            runs,
            built,
        } = self;
        let [profiler, empty_session, first_symbol, symbolize, target] = match <[PathBuf; 5]>::try_from(built)
        {
            Ok(built) => built,
            Err(_nothing) => build()?,
        };
        if !workspace::is_root() {
            return as_root(&[profiler, empty_session, first_symbol, symbolize, target]);
        }
        let tools = Tools {
            profiler,
            empty_session,
            first_symbol,
            symbolize,
            folder: target::folder()?,
        };
        let machine = Machine::here();
        let runs = usize::from(runs);
        let measured = measure(&tools, &target, &Choice(rows), runs)?;
        let json = json.unwrap_or_else(|| workspace::target().join("bench.json"));
        report::write_json(&json, &measured, &machine, runs)?;
        print!("{}", report::table(&measured, &machine, runs));
        Ok(ExitCode::SUCCESS)
    }
}

/// The profiler, and the programs beside it: an empty probe, a first symbol, names of addresses, the target.
fn build() -> Outcome<[PathBuf; 5]> {
    setup::ensure_group(Group::Bench)?;
    Ok([
        build::profiler(Profile::Release)?,
        build::example("empty_session")?,
        build::example("first_symbol")?,
        build::example("symbolize")?,
        target::compile()?,
    ])
}

/// Which rows are wanted.
struct Choice(Option<String>);

impl Choice {
    fn admits(&self, row: &Row) -> bool {
        self.0.as_ref().is_none_or(|pattern| row.key.contains(pattern))
    }

    fn admits_any(&self, rows: &[Row]) -> bool {
        rows.iter().any(|row| self.admits(row))
    }
}

fn measure(tools: &Tools, program: &Path, choice: &Choice, runs: usize) -> Outcome<Vec<Measured>> {
    let mut measured = Vec::new();
    let mut target = Target::start(program)?;
    for comparison in calls::COMPARISONS {
        if choice.admits(&comparison.row) {
            step(comparison.row.what, "half a minute");
            measured.push(comparison.measure(tools, &mut target, runs)?);
        }
    }
    if choice.admits_any(&[recording::EVENT_PATH, recording::RECORD]) {
        step(recording::EVENT_PATH.what, "half a minute");
        measured.append(&mut recording::measure(tools, &mut target, runs)?);
    }
    if choice.admits(&rss::RECORD_MEMORY) {
        step(rss::RECORD_MEMORY.what, "half a minute");
        measured.push(rss::measure(tools, &mut target, runs)?);
    }
    if choice.admits_any(&[memory::PAIR, memory::SAMPLED]) {
        step(memory::PAIR.what, "two minutes");
        measured.append(&mut memory::measure_pairs(tools, &mut target, runs)?);
    }
    if choice.admits(&growth::PAGES) {
        step(growth::PAGES.what, "half a minute");
        measured.push(growth::measure(tools, &mut target, runs)?);
    }
    drop(target);
    measured.append(&mut measure_others(tools, program, choice, runs)?);
    measured.retain(|measured| choice.admits(&measured.row));
    if measured.is_empty() {
        return Err(Failure::new(
            "no row was chosen",
            "`cargo xtask bench --help` names them",
        ));
    }
    Ok(measured)
}

/// The rows that have targets of their own.
fn measure_others(tools: &Tools, program: &Path, choice: &Choice, runs: usize) -> Outcome<Vec<Measured>> {
    let mut measured = Vec::new();
    if choice.admits(&memory::LIVE) {
        step(memory::LIVE.what, "two minutes");
        measured.push(memory::measure_live(tools, program, runs)?);
    }
    for program in programs::PROGRAMS {
        if choice.admits_any(program.rows()) {
            step(program.rows()[0].what, "a minute");
            measured.append(&mut program.measure(tools, runs)?);
        }
    }
    if choice.admits_any(&[large::ATTACH, large::MEMORY]) {
        step(large::ATTACH.what, "two minutes");
        measured.append(&mut large::measure(tools, runs)?);
    }
    if choice.admits_any(&[symbols::FIRST_SYMBOL, symbols::SYMBOL_MEMORY]) {
        step(symbols::FIRST_SYMBOL.what, "ten seconds");
        measured.append(&mut symbols::measure(tools, &tools.first_symbol, runs)?);
    }
    if choice.admits(&following::APPEAR) {
        step(following::APPEAR.what, "half a minute");
        measured.push(following::measure_appearance(tools, runs)?);
    }
    if choice.admits(&following::IDLE) {
        step(following::IDLE.what, "a minute");
        measured.push(following::measure_idle(tools, runs)?);
    }
    if choice.admits(&lines::SYMBOLIZE) {
        step(lines::SYMBOLIZE.what, "half a minute");
        measured.push(lines::measure(tools, runs)?);
    }
    Ok(measured)
}

/// Only measuring needs root: everything was built as the user.
fn as_root(built: &[PathBuf]) -> Outcome<ExitCode> {
    const NEXT: &str = "repeat the command as root";
    let me = env::current_exe()
        .map_err(|error| Failure::new(format!("failed to find this program's own file: {error}"), NEXT))?;
    let mut sudo = Command::new("sudo");
    sudo.arg("-E")
        .arg(me)
        .args(env::args_os().skip(1))
        .arg("--built")
        .args(built);
    let status = exit_status(&mut sudo, "measure as root", NEXT)?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
