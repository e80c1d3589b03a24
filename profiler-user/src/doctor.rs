//! What this machine can do, what replaces what it cannot, and what a probe costs on it: a printable report.
use std::io::{self, Write};

use profiler_common::config::Grouping;

use crate::kernel::btf::kernel_offsets;
use crate::kernel::capability::{self, Capabilities};
use crate::kernel::error::KernelError;
use crate::kernel::layout::CounterLayout;
use crate::kernel::lifecycle::Lifecycle;
use crate::kernel::load::{Kernel, KernelSettings, possible_cpus};
use crate::kernel::memory::RssExactness;
use crate::kernel::{AttachMode, EventDetail, Reach, calibrate};

/// Functions for which the memory of counters is told.
const EXAMPLE_FUNCTIONS: u32 = 1000;

/// One line of the report.
struct Finding {
    what: String,
    state: State,
    detail: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    /// Something else takes its place.
    Replaced,
    Bad,
}

impl State {
    const fn mark(self) -> &'static str {
        match self {
            Self::Good => "ok     ",
            Self::Replaced => "without",
            Self::Bad => "MISSING",
        }
    }
}

/// Prints the report. Returns the exit status: 1 where nothing can be profiled.
pub fn report(out: &mut impl Write) -> io::Result<u8> {
    let mut findings = vec![kernel_version()];
    findings.extend(permissions());
    findings.push(type_information());
    let open = capability::check_lockdown().map(|()| "does not stand in the way".to_owned());
    findings.push(finding("lockdown", open, State::Bad));
    let permitted = findings.iter().all(|finding| finding.state != State::Bad);
    let mode = permitted.then(|| modes(&mut findings)).flatten();
    if let Some(mode) = mode {
        findings.push(programs(mode));
        findings.push(memory_counters(mode));
        findings.push(loop_helper());
        findings.push(lifecycle());
        findings.push(pid_namespace());
        findings.push(return_probes());
    }
    for Finding { what, state, detail } in &findings {
        writeln!(out, "{}  {what:<22} {detail}", state.mark())?;
    }
    if let Some(mode) = mode {
        writeln!(out, "\nattach mode: {mode}")?;
        costs(out, mode)?;
    }
    memory(out)?;
    let usable = mode.is_some() && findings.iter().all(|finding| finding.state != State::Bad);
    writeln!(
        out,
        "\n{}",
        if usable {
            "ready"
        } else {
            "not ready: see the lines marked MISSING"
        }
    )?;
    Ok(u8::from(!usable))
}

fn good(what: impl Into<String>, detail: impl Into<String>) -> Finding {
    Finding {
        what: what.into(),
        state: State::Good,
        detail: detail.into(),
    }
}

fn finding(what: impl Into<String>, result: Result<String, KernelError>, otherwise: State) -> Finding {
    match result {
        Ok(detail) => good(what, detail),
        Err(error) => Finding {
            what: what.into(),
            state: otherwise,
            detail: described(&error),
        },
    }
}

fn described(error: &KernelError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn kernel_version() -> Finding {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    good("kernel", release.trim())
}

fn permissions() -> Vec<Finding> {
    let capabilities = match Capabilities::current() {
        Ok(capabilities) => capabilities,
        Err(error) => return vec![finding("permissions", Err(error), State::Bad)],
    };
    capabilities
        .needed()
        .map(|(name, has)| Finding {
            what: name.to_owned(),
            state: if has { State::Good } else { State::Bad },
            detail: if has {
                String::new()
            } else {
                "run as root, e.g. `sudo ebpf-prof doctor`".to_owned()
            },
        })
        .collect()
}

fn type_information() -> Finding {
    let known = kernel_offsets().map(|offsets| {
        if offsets.xol_area_vaddr == 0 || offsets.mm_xol_area == 0 {
            "there; without the trampoline's address: a tail call and a longjmp to the same depth look alike"
                .to_owned()
        } else {
            "/sys/kernel/btf/vmlinux".to_owned()
        }
    });
    finding("BTF", known, State::Bad)
}

/// Tries the modes; returns the best.
fn modes(findings: &mut Vec<Finding>) -> Option<AttachMode> {
    let mut best = None;
    for mode in AttachMode::ALL {
        let tried = capability::try_mode(mode);
        let is_last = mode == AttachMode::PerfEvent;
        if tried.is_ok() {
            best = best.or(Some(mode));
        }
        let otherwise = if is_last && best.is_none() {
            State::Bad
        } else {
            State::Replaced
        };
        let since = format!("since {}", mode.since());
        let what = format!("{mode} probes");
        findings.push(match tried {
            Err(KernelError::ModeUnsupported { source, .. }) => Finding {
                what,
                state: otherwise,
                detail: format!("{since}: {source}"),
            },
            tried => finding(what, tried.map(|()| since), otherwise),
        });
    }
    best
}

fn layout_of(functions: u32, resolution: u32) -> CounterLayout {
    let cpus = possible_cpus();
    CounterLayout {
        functions,
        cpus,
        rows: cpus,
        grouping: Grouping::None,
        resolution: Some(resolution),
    }
}

/// Loads the programs for events of that kind.
fn load(mode: AttachMode, detail: EventDetail) -> Result<Kernel, KernelError> {
    Kernel::load(&KernelSettings {
        mode,
        layout: layout_of(1, 0),
        reach: Reach::Process,
        focus: false,
        goroutines: false,
        ring_bytes: None,
        detail,
        heap: None,
        rss: None,
    })
}

fn memory_counters(mode: AttachMode) -> Finding {
    let found = load(mode, EventDetail::CallAndMemory).map(|kernel| match kernel.rss {
        Some(RssExactness::WithinPerThread { bytes }) => {
            format!(
                "RSS is exact but for up to {} KiB a thread and kind of page",
                bytes / 1024
            )
        }
        Some(RssExactness::Exact) | None => "RSS is the sum over all CPUs".to_owned(),
    });
    finding("RSS and VMS at calls", found, State::Replaced)
}

fn programs(mode: AttachMode) -> Finding {
    let loaded = load(mode, EventDetail::Call)
        .map(|_kernel| "the verifier takes them, raw tracepoints are there".to_owned());
    finding("kernel programs", loaded, State::Bad)
}

fn loop_helper() -> Finding {
    if capability::has_loop() {
        return good("bpf_loop", "since 5.17");
    }
    Finding {
        what: "bpf_loop".to_owned(),
        state: State::Replaced,
        detail: "since 5.17; calls left by longjmp are taken off a few at a time".to_owned(),
    }
}

fn pid_namespace() -> Finding {
    if capability::sees_host_pids() {
        return good("process ids", "the host's");
    }
    Finding {
        what: "process ids".to_owned(),
        state: State::Replaced,
        detail: "this is a pid namespace of its own: no `-a`, children are followed late".to_owned(),
    }
}

fn lifecycle() -> Finding {
    match Lifecycle::listen() {
        Ok(_listening) => good(
            "word of processes",
            "new processes and libraries are told of by perf events",
        ),
        Err(error) => Finding {
            what: "word of processes".to_owned(),
            state: State::Replaced,
            detail: format!("no perf events ({error}): new processes and libraries are looked for every 2 s"),
        },
    }
}

fn return_probes() -> Finding {
    if capability::has_return_probe_defect() {
        return Finding {
            what: "return probes".to_owned(),
            state: State::Replaced,
            detail: "CVE-2025-21834 in this kernel: returns are seen at the functions' exits".to_owned(),
        };
    }
    good(
        "return probes",
        "only where they are harmless (--dry-run shows where)",
    )
}

fn costs(out: &mut impl Write, mode: AttachMode) -> io::Result<()> {
    match calibrate::measure(mode) {
        Err(error) => writeln!(out, "probe cost: not measured: {}", described(&error)),
        Ok(cost) => {
            writeln!(
                out,
                "probe cost on this machine, an empty program, per call of the probed function:"
            )?;
            writeln!(
                out,
                "  entry, emulated instruction        {:>9.0} ns",
                cost.emulated_ns
            )?;
            writeln!(
                out,
                "  entry, single-stepped instruction  {:>9.0} ns",
                cost.single_stepped_ns
            )?;
            match cost.entry_and_return_ns {
                Some(ns) => writeln!(out, "  entry and return, emulated         {ns:>9.0} ns"),
                None => Ok(()),
            }
        }
    }
}

fn memory(out: &mut impl Write) -> io::Result<()> {
    let cpus = possible_cpus();
    let layout = layout_of(EXAMPLE_FUNCTIONS, 3);
    writeln!(
        out,
        "counters: functions × CPUs × (64 + 4 × {}) bytes: {EXAMPLE_FUNCTIONS} functions on {cpus} CPUs need {:.1} MiB",
        layout.buckets(),
        layout.bytes() as f64 / f64::from(1 << 20)
    )
}
