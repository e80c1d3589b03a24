//! Rows about following allocations.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use super::{
    calls::ORDER,
    memleak,
    process::{Heard, Process},
    report::{Measured, Row, Side, Unit},
    statistics::Samples,
    target::{Batches, Target, Work},
    tool::Tools,
};
use crate::exec::{Failure, Outcome};

pub(super) const PAIR: Row = Row {
    key: "mem-pair",
    what: "follow malloc and free by call site: ours / bcc's memleak",
    must_be: 0.25,
    unit: Unit::Ratio,
};
pub(super) const SAMPLED: Row = Row {
    key: "mem-sampled",
    what: "follow malloc and free: one byte in 512K / all",
    must_be: 0.9,
    unit: Unit::Ratio,
};
pub(super) const LIVE: Row = Row {
    key: "mem-live",
    what: "kernel memory for 5,000,000 live blocks, every one counted right",
    must_be: 700.0,
    unit: Unit::Mebibytes,
};

const BATCHES: Batches = Batches {
    calls: 500,
    batches: 40,
};
const UNPROBED: Batches = Batches {
    calls: 20_000,
    batches: 50,
};
/// Blocks that stay.
const BLOCKS: u64 = 5_000_000;
/// Bytes of each, as the target asks for them.
const BLOCK_BYTES: u64 = 16;

const ALL: &[&str] = &[];
const ONE_IN: &[&str] = &["--sample-bytes", "512K"];

/// What keeps an eye on the allocations.
enum Watcher {
    /// `ebpf-prof mem`, with these options.
    Ours(&'static [&'static str]),
    /// bcc's `memleak`.
    Memleak,
    /// The same done by bpftrace: sizes by thread, blocks by address, counts and bytes by stack.
    Bpftrace,
}

impl Watcher {
    fn name(&self) -> &'static str {
        match self {
            Self::Ours([]) => "ours",
            Self::Ours(_) => "ours, sampled",
            Self::Memleak => "memleak",
            Self::Bpftrace => "bpftrace doing memleak's work",
        }
    }

    /// Attaches it.
    fn start(&self, tools: &Tools, target: &Target) -> Outcome<Process> {
        let pid = target.pid().to_string();
        match self {
            Self::Ours(options) => {
                let mut command = Command::new(&tools.profiler);
                command
                    .args(["mem", "-p", &pid, "--max-map-memory", "700M"])
                    .args(*options)
                    .arg("--summary-json")
                    .arg(tools.folder.join("memory.json"));
                let mut process = Process::start(&mut command, Heard::Stderr, "start the profiler")?;
                process.wait_for("ebpf-prof: attached")?;
                Ok(process)
            }
            Self::Memleak => memleak::start(target.pid()),
            Self::Bpftrace => {
                let libc = target.file(Work::MallocFree).display().to_string();
                let script = format!(
                    "BEGIN {{ printf(\"ready\\n\"); }} \
                     uprobe:{libc}:malloc {{ @size[tid] = arg0; }} \
                     uretprobe:{libc}:malloc /@size[tid]/ {{ $size = @size[tid]; delete(@size[tid]); \
                     @sizes[retval] = $size; @stack[retval] = ustack(1); @n[@stack[retval]] = count(); \
                     @bytes[@stack[retval]] = sum($size); }} \
                     uprobe:{libc}:free /@sizes[arg0]/ {{ @freed[@stack[arg0]] = count(); \
                     @freed_bytes[@stack[arg0]] = sum(@sizes[arg0]); delete(@sizes[arg0]); delete(@stack[arg0]); }}"
                );
                let mut command = Command::new("bpftrace");
                command.args(["-B", "line", "-p", &pid, "-e", &script]);
                let mut process = Process::start(&mut command, Heard::Stdout, "start bpftrace")?;
                process.wait_for("ready")?;
                Ok(process)
            }
        }
    }
}

/// Measures the rows about a pair of an allocation and its free.
pub(super) fn measure_pairs(tools: &Tools, target: &mut Target, runs: usize) -> Outcome<Vec<Measured>> {
    let mut notes = Vec::new();
    let theirs = match Watcher::Memleak.start(tools, target) {
        Ok(process) => {
            process.interrupt();
            Watcher::Memleak
        }
        Err(failure) => {
            notes.push(format!(
                "memleak does not run here ({}): bpftrace does its work",
                failure.to_string().lines().next().unwrap_or_default()
            ));
            Watcher::Bpftrace
        }
    };
    let compared = compare(tools, target, (&Watcher::Ours(ALL), &theirs), runs)?;
    let pair = compared.measured(PAIR, notes);
    let compared = compare(tools, target, (&Watcher::Ours(ONE_IN), &Watcher::Ours(ALL)), runs)?;
    let longer = 1.0 + compared.samples[0].ratios(&compared.bare).median();
    let notes = vec![format!(
        "a pair alone takes {:.0} ns; sampled it takes {longer:.1} times as long",
        compared.bare.median(),
    )];
    let sampled = compared.measured(SAMPLED, notes);
    Ok(vec![pair, sampled])
}

/// What was measured of two, run by run.
struct Compared {
    /// Beyond [`Self::bare`].
    samples: [Samples; 2],
    /// With nobody attached.
    bare: Samples,
    names: [&'static str; 2],
    commands: [String; 2],
    lost: u64,
}

impl Compared {
    fn measured(self, row: Row, notes: Vec<String>) -> Measured {
        let Self {
            samples: [ours, theirs],
            bare: _,
            names,
            commands: [our_command, their_command],
            lost,
        } = self;
        let side = |name: &str, samples, command| Side {
            name: name.to_owned(),
            unit: Unit::Nanoseconds,
            samples,
            command,
        };
        Measured {
            row,
            figure: ours.ratios(&theirs).median(),
            lost,
            notes,
            sides: vec![
                side(names[0], ours, our_command),
                side(names[1], theirs, their_command),
            ],
        }
    }
}

fn compare(
    tools: &Tools,
    target: &mut Target,
    (one, other): (&Watcher, &Watcher),
    runs: usize,
) -> Outcome<Compared> {
    let watchers = [one, other];
    let mut compared = Compared {
        samples: [const { Samples::new() }; 2],
        bare: Samples::new(),
        names: watchers.map(Watcher::name),
        commands: [const { String::new() }; 2],
        lost: 0,
    };
    for _ in 0..runs {
        let bare = target.run(Work::MallocFree, UNPROBED)?.wall_ns;
        let mut best = [f64::INFINITY; 2];
        for side in ORDER {
            let process = watchers[side].start(tools, target)?;
            let timing = target.run(Work::MallocFree, BATCHES)?;
            process.command().clone_into(&mut compared.commands[side]);
            process.interrupt();
            let _: Vec<String> = process.rest()?;
            best[side] = best[side].min(timing.wall_ns - bare);
            if let Watcher::Ours(options) = watchers[side] {
                compared.lost += check(tools, options.is_empty())?;
            }
        }
        compared.bare.push(bare);
        for (samples, best) in compared.samples.iter_mut().zip(best) {
            samples.push(best);
        }
    }
    Ok(compared)
}

/// Fails unless all pairs were seen, where all are; says what was lost.
fn check(tools: &Tools, exact: bool) -> Outcome<u64> {
    let summary = read(&tools.folder.join("memory.json"))?;
    let heap = &summary["families"]["heap"];
    let counted = [&heap["allocations"], &heap["frees"]].map(|number| number.as_u64().unwrap_or(0));
    if exact && counted != [BATCHES.turns(); 2] {
        let what = format!("{} pairs were made, and counted as {counted:?}", BATCHES.turns());
        return Err(Failure::new(what, "that is a bug: nothing was lost"));
    }
    Ok(losses(&summary))
}

/// Measures the row about many live blocks.
pub(super) fn measure_live(tools: &Tools, target: &Path, runs: usize) -> Outcome<Measured> {
    let mut memory = Samples::new();
    let mut lost = 0;
    let mut command = String::new();
    for _ in 0..runs {
        let mut target = Target::start(target)?;
        let process = Watcher::Ours(ALL).start(tools, &target)?;
        let keep = Batches {
            calls: BLOCKS,
            batches: 1,
        };
        target.run(Work::Keep, keep)?;
        memory.push(map_bytes(process.id())? as f64 / f64::from(1 << 20));
        process.command().clone_into(&mut command);
        process.interrupt();
        let _: Vec<String> = process.rest()?;
        let summary = read(&tools.folder.join("memory.json"))?;
        let heap = &summary["families"]["heap"];
        let counted = [&heap["live_count"], &heap["live_bytes"]].map(|number| number.as_u64().unwrap_or(0));
        if counted != [BLOCKS, BLOCKS * BLOCK_BYTES] {
            let what = format!("{BLOCKS} blocks are alive, and counted as {counted:?}");
            return Err(Failure::new(what, "that is a bug"));
        }
        lost += losses(&summary);
    }
    Ok(Measured {
        row: LIVE,
        figure: memory.median(),
        sides: vec![Side {
            name: "maps, as the kernel accounts them".to_owned(),
            unit: Unit::Mebibytes,
            samples: memory,
            command,
        }],
        lost,
        notes: Vec::new(),
    })
}

/// What the maps take that a process holds.
fn map_bytes(pid: u32) -> Outcome<u64> {
    let folder = format!("/proc/{pid}/fdinfo");
    let folder = Path::new(&folder);
    let entries = fs::read_dir(folder).map_err(|error| Failure::file("read", folder, &error))?;
    let mut maps = std::collections::HashMap::new();
    for entry in entries.filter_map(Result::ok) {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse::<u64>().ok())
        };
        // Several descriptors may be of one map.
        if let (Some(id), Some(bytes)) = (field("map_id:"), field("memlock:")) {
            maps.insert(id, bytes);
        }
    }
    Ok(maps.values().sum())
}

fn read(path: &Path) -> Outcome<Value> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    serde_json::from_str(&text).map_err(|error| {
        let what = format!("`{}` is not what it should be: {error}", path.display());
        Failure::new(what, "see `session/memory/json.rs`")
    })
}

fn losses(summary: &Value) -> u64 {
    let losses = summary["loss"].as_object().into_iter().flatten();
    losses.filter_map(|(_reason, count)| count.as_u64()).sum()
}
