//! A row about debug information: naming addresses, beside `llvm-symbolizer`.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    time::Instant,
};

use super::{
    report::{Measured, Row, Side, Unit},
    statistics::Samples,
    tool::Tools,
};
use crate::exec::{Failure, Outcome, answer, shown};

pub(super) const SYMBOLIZE: Row = Row {
    key: "symbolize",
    what: "name 100,000 addresses with lines and inlined functions / llvm-symbolizer",
    must_be: 0.5,
    unit: Unit::Ratio,
};

const ADDRESSES: usize = 100_000;

/// Times both programs, as whole commands, on the same addresses of a large program: the profiler.
pub(super) fn measure(tools: &Tools, runs: usize) -> Outcome<Measured> {
    let addresses = tools.folder.join("addresses");
    let sample = ADDRESSES.to_string();
    let text = answer(
        Command::new(&tools.symbolize)
            .arg(&tools.profiler)
            .args(["--sample", &sample]),
    );
    let text =
        text.ok_or_else(|| Failure::new("failed to choose addresses", "run the example `symbolize`"))?;
    fs::write(&addresses, text + "\n").map_err(|error| Failure::file("write", &addresses, &error))?;
    let commands = [ours(tools), theirs(tools)];
    let mut samples = [const { Samples::new() }; 2];
    for run in 0..runs {
        // In turn, and each side first as often as the other.
        for side in [run % 2, 1 - run % 2] {
            let output = tools.folder.join(["ours", "theirs"][side]);
            samples[side].push(timed(&commands[side], &addresses, &output)?);
        }
    }
    let [ours, theirs] = samples;
    let side = |name: &str, samples, command: &Command| Side {
        name: name.to_owned(),
        unit: Unit::Milliseconds,
        samples,
        command: shown(command),
    };
    Ok(Measured {
        row: SYMBOLIZE,
        figure: ours.ratios(&theirs).median(),
        sides: vec![
            side("ours", ours, &commands[0]),
            side("llvm-symbolizer", theirs, &commands[1]),
        ],
        lost: 0,
        notes: Vec::new(),
    })
}

fn ours(tools: &Tools) -> Command {
    let mut command = Command::new(&tools.symbolize);
    command.arg(&tools.profiler);
    command
}

fn theirs(tools: &Tools) -> Command {
    let mut command = Command::new("llvm-symbolizer");
    command.arg(format!("--obj={}", tools.profiler.display())).args([
        "--output-style=GNU",
        "-a",
        "--no-demangle",
    ]);
    command
}

/// Runs a command on the addresses, which it must all answer; how long it took, ms.
fn timed(command: &Command, addresses: &Path, output: &Path) -> Outcome<f64> {
    let input = File::open(addresses).map_err(|error| Failure::file("open", addresses, &error))?;
    let written = File::create(output).map_err(|error| Failure::file("create", output, &error))?;
    let mut again = Command::new(command.get_program());
    again.args(command.get_args()).stdin(input).stdout(written);
    let started = Instant::now();
    let status = again.status();
    let took = started.elapsed().as_secs_f64() * 1e3;
    let text = fs::read_to_string(output).map_err(|error| Failure::file("read", output, &error))?;
    let answered = text.lines().filter(|line| line.starts_with("0x")).count();
    if !status.is_ok_and(|status| status.success()) || answered != ADDRESSES {
        let what = format!("`{}` named {answered} of {ADDRESSES} addresses", shown(command));
        return Err(Failure::new(what, "run it by hand"));
    }
    Ok(took)
}
