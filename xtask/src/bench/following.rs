//! Rows about processes that appear, and about many that do nothing.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    process::{Heard, Process},
    report::{Measured, Row, Side, Unit},
    statistics::Samples,
    target,
    tool::Tools,
};
use crate::{
    exec::{Failure, Outcome, answer, exec},
    workspace,
};

pub(super) const APPEAR: Row = Row {
    key: "appear",
    what: "a matching process appears → its first probed call is recorded",
    must_be: 50.0,
    unit: Unit::Milliseconds,
};
pub(super) const IDLE: Row = Row {
    key: "idle",
    what: "user-space CPU with 500 idle matching processes, percent of a core",
    must_be: 1.0,
    unit: Unit::Percent,
};

/// Processes that appear in one run.
const BRIEF: usize = 20;
/// Calls of each, 50 µs apart: longer than anything should take.
const CALLS: &str = "4000";
/// Processes that idle.
const IDLERS: usize = 500;
/// How long they are watched.
const WATCHED: Duration = Duration::from_secs(10);
/// Ticks of `/proc/PID/stat` in a second.
const TICKS: f64 = 100.0;

/// Compiles the program that appears, under a name that nothing else has.
fn compile() -> Outcome<PathBuf> {
    let program = target::folder()?.join("ebpf-brief");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-Werror", "-o"])
        .arg(&program)
        .arg(workspace::root().join("xtask/bench/brief.c"));
    exec(&mut cc, "compile what appears", "read the compiler's message")?;
    Ok(program)
}

/// Measures a row for a program that is started while the profiler waits for its name.
pub(super) fn measure_appearance(tools: &Tools, runs: usize) -> Outcome<Measured> {
    let program = compile()?;
    let records = tools.folder.join("appear.csv");
    let mut delays = Samples::new();
    let mut missed = 0;
    let mut command = String::new();
    for _ in 0..runs {
        let mut profiler = Command::new(&tools.profiler);
        profiler
            .args(["attach", "--comm", "ebpf-brief", "--wait", "--function", "tick"])
            .args(["--max-overhead", "off", "--recording", "csv", "-o"])
            .arg(&records);
        let mut profiler = Process::start(&mut profiler, Heard::Stderr, "start the profiler")?;
        profiler.wait_for("ebpf-prof: attached")?;
        let mut starts = HashMap::new();
        for _ in 0..BRIEF {
            let said = answer(Command::new(&program).arg(CALLS)).unwrap_or_default();
            let (pid, start) = said.trim().split_once(' ').unwrap_or_default();
            starts.insert(pid.to_owned(), start.parse::<f64>().unwrap_or(f64::NAN));
        }
        profiler.interrupt();
        profiler.command().clone_into(&mut command);
        profiler.rest()?;
        let first = first_calls(&records)?;
        for (pid, start) in starts {
            match first.get(&pid) {
                Some(call) => delays.push((call - start) / 1e6),
                None => missed += 1,
            }
        }
    }
    Ok(Measured {
        row: APPEAR,
        figure: delays.median(),
        lost: missed,
        notes: vec![format!(
            "{} processes, 95 of 100 within {:.0} ms, the slowest {:.0} ms",
            delays.len(),
            delays.quantile(0.95),
            delays.max()
        )],
        sides: vec![Side {
            name: "first recorded call".to_owned(),
            unit: Unit::Milliseconds,
            samples: delays,
            command,
        }],
    })
}

/// By process: the time of its first record, ns.
fn first_calls(records: &Path) -> Outcome<HashMap<String, f64>> {
    let text = fs::read_to_string(records).map_err(|error| Failure::file("read", records, &error))?;
    let mut first = HashMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        if let (Some(time), Some(pid)) = (cells.get(5), cells.get(6))
            && let Ok(time) = time.parse::<f64>()
        {
            first.entry((*pid).to_owned()).or_insert(time);
        }
    }
    Ok(first)
}

/// Measures the CPU time of a profiler whose many targets do nothing.
pub(super) fn measure_idle(tools: &Tools, runs: usize) -> Outcome<Measured> {
    let program = compile()?;
    let mut idlers = Vec::with_capacity(IDLERS);
    for _ in 0..IDLERS {
        let mut idler = Command::new(&program);
        idler.stdin(Stdio::piped());
        idlers.push(Process::start(
            &mut idler,
            Heard::Stdout,
            "start a process that idles",
        )?);
    }
    let (mut shares, mut startup) = (Samples::new(), Samples::new());
    let mut command = String::new();
    for _ in 0..runs {
        let begun = Instant::now();
        let mut profiler = Command::new(&tools.profiler);
        profiler.args(["attach", "--comm", "ebpf-brief", "--function", "tick"]);
        let mut profiler = Process::start(&mut profiler, Heard::Stderr, "start the profiler")?;
        profiler.wait_for("ebpf-prof: attached")?;
        startup.push(begun.elapsed().as_secs_f64() * 1e3);
        let before = ticks(profiler.id())?;
        thread::sleep(WATCHED);
        let spent = (ticks(profiler.id())? - before) / TICKS;
        shares.push(100.0 * spent / WATCHED.as_secs_f64());
        profiler.interrupt();
        profiler.command().clone_into(&mut command);
        profiler.rest()?;
    }
    let side = |name: &str, unit, samples| Side {
        name: name.to_owned(),
        unit,
        samples,
        command: command.clone(),
    };
    Ok(Measured {
        row: IDLE,
        figure: shares.median(),
        sides: vec![
            side("CPU", Unit::Percent, shares),
            side("from start to attached", Unit::Milliseconds, startup),
        ],
        lost: 0,
        notes: vec![format!("{IDLERS} processes, {} s each", WATCHED.as_secs())],
    })
}

/// CPU time of a process, in ticks.
fn ticks(pid: u32) -> Outcome<f64> {
    let path = PathBuf::from(format!("/proc/{pid}/stat"));
    let stat = fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    // Fields 14 and 15; the first behind the name is the third.
    let spent = fields.split_ascii_whitespace().skip(11).take(2);
    Ok(spent.filter_map(|field| field.parse::<f64>().ok()).sum())
}
