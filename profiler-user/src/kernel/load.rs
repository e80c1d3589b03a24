//! Loading the programs and sizing their maps.
use std::os::fd::BorrowedFd;

use aya::maps::{Map, RingBuf};
use aya::programs::RawTracePoint;
use aya::{Ebpf, EbpfLoader};
use profiler_common::config::{KernelConfig, MAX_GOROUTINES};
use profiler_common::cookie::FunctionId;
use profiler_common::histogram::{MAX_RESOLUTION, bucket_count};
use profiler_common::loss::{LOSS_REASONS, LossReason};
use profiler_common::stats::FunctionStats;
use thiserror::Error;

use super::AttachMode;
use super::btf::{KernelOffsets, kernel_offsets};
use super::capability::has_loop;
use super::error::KernelError;
use super::link::{Link, LinkTarget, Linker, Probe, Refused, Side};
use super::map::MappedArray;
use super::program::{ProgramSource, Programs, map_fd};
use super::ring::Ring;

/// The kernel side, compiled by the build script.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/profiler-ebpf"));

/// The share of the ring that may fill before the reader is woken.
const WAKE_SHARE: u64 = 4;
/// The smallest ring: a page.
const MIN_RING: u32 = 4096;

/// The counters do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the counters of {functions} functions on {cpus} CPUs need {needed} bytes, more than `--max-map-memory` \
     allows ({limit}): choose fewer functions or raise it"
)]
pub struct TooManyFunctions {
    /// Functions asked for.
    pub functions: u64,
    /// Possible CPUs.
    pub cpus: u64,
    /// What they need at least, bytes.
    pub needed: u64,
    /// What is allowed, bytes.
    pub limit: u64,
}

/// How the counters' memory is laid out: `functions × cpus × (64 + 4 × buckets) + functions × 8` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterLayout {
    /// Functions of the session.
    pub functions: u32,
    /// Possible CPUs.
    pub cpus: u32,
    /// Resolution of the histograms; `None` = there was no room for any.
    pub resolution: Option<u32>,
}

impl CounterLayout {
    /// The finest layout that fits into `limit` bytes.
    pub fn fit(functions: u32, cpus: u32, limit: u64) -> Result<Self, TooManyFunctions> {
        let resolutions = (0..=MAX_RESOLUTION).rev().map(Some).chain([None]);
        let layouts = resolutions.map(|resolution| Self {
            functions,
            cpus,
            resolution,
        });
        let coarsest = Self {
            functions,
            cpus,
            resolution: None,
        };
        layouts
            .into_iter()
            .find(|layout| layout.bytes() <= limit)
            .ok_or(TooManyFunctions {
                functions: functions.into(),
                cpus: cpus.into(),
                needed: coarsest.bytes(),
                limit,
            })
    }

    /// Kernel memory, bytes.
    pub fn bytes(&self) -> u64 {
        let slots = u64::from(self.functions) * u64::from(self.cpus);
        slots * (size_of::<FunctionStats>() as u64 + 4 * u64::from(self.buckets()))
            + u64::from(self.functions) * 8
    }

    /// Buckets of one histogram.
    pub fn buckets(&self) -> u32 {
        self.resolution.map_or(0, bucket_count)
    }
}

/// What the kernel side is told before it loads.
#[derive(Clone, Copy, Debug)]
pub struct KernelSettings {
    /// How probes will be attached.
    pub mode: AttachMode,
    /// The counters' layout.
    pub layout: CounterLayout,
    /// Only threads in focus are recorded.
    pub focus: bool,
    /// Calls of goroutines are timed.
    pub goroutines: bool,
    /// Size of the event ring, bytes, a power of two; `None` = no events are wanted.
    pub ring_bytes: Option<u32>,
}

/// The kernel side, loaded.
pub struct Kernel {
    ebpf: Ebpf,
    programs: Programs,
    /// How probes are attached.
    pub mode: AttachMode,
    /// The counters' layout.
    pub layout: CounterLayout,
    /// Flags per function.
    pub functions: MappedArray<u32>,
    /// `cpus × functions` counters.
    pub stats: MappedArray<FunctionStats>,
    /// `cpus × functions × buckets` counters of 32 bits, two to an element.
    pub histograms: MappedArray<u64>,
    loss: MappedArray<u64>,
    #[cfg(feature = "kernel-log")]
    log: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
}

/// Possible CPUs of this machine: the highest number plus one.
pub fn possible_cpus() -> u32 {
    aya::util::nr_cpus().map_or(1, |cpus| cpus as u32)
}

impl Kernel {
    /// Loads the programs and makes their maps. Nothing is attached but the tracepoints of threads and processes.
    pub fn load(settings: &KernelSettings) -> Result<Self, KernelError> {
        let offsets = kernel_offsets()?;
        let ebpf = load_object(settings, offsets)?;
        let source = ProgramSource::new(OBJECT, |name| ebpf.map(name).and_then(map_fd))?;
        let only_counted = settings.ring_bytes.is_none() && !settings.focus;
        let programs = Programs::load(&source, settings.mode, only_counted)?;
        let layout = settings.layout;
        let slots = layout.functions as usize * layout.cpus as usize;
        let mut kernel = Self {
            programs,
            mode: settings.mode,
            layout,
            functions: MappedArray::new(
                "FUNCTIONS",
                array_fd(&ebpf, "FUNCTIONS")?,
                layout.functions as usize,
            )?,
            stats: MappedArray::new("STATS", array_fd(&ebpf, "STATS")?, slots)?,
            histograms: MappedArray::new(
                "HISTOGRAMS",
                array_fd(&ebpf, "HISTOGRAMS")?,
                histogram_elements(layout),
            )?,
            loss: MappedArray::new(
                "LOSS",
                array_fd(&ebpf, "LOSS")?,
                (layout.cpus * LOSS_REASONS) as usize,
            )?,
            ebpf,
            #[cfg(feature = "kernel-log")]
            log: None,
        };
        for (program, tracepoint) in [
            ("thread_exit", "sched_process_exit"),
            ("process_exec", "sched_process_exec"),
            ("process_fork", "sched_process_fork"),
        ] {
            kernel.attach_tracepoint(program, tracepoint)?;
        }
        #[cfg(feature = "kernel-log")]
        kernel.start_log();
        Ok(kernel)
    }

    #[cfg(feature = "kernel-log")]
    fn start_log(&mut self) {
        match aya_log::EbpfLogger::init(&mut self.ebpf) {
            Ok(log) => self.log = Some(log),
            Err(error) => log::warn!("the programs' messages cannot be read: {error}"),
        }
    }

    /// Prints the programs' messages, where they were compiled in.
    pub fn flush_log(&mut self) {
        #[cfg(feature = "kernel-log")]
        if let Some(log) = &mut self.log {
            log.flush();
        }
    }

    fn attach_tracepoint(&mut self, program: &'static str, tracepoint: &str) -> Result<(), KernelError> {
        let failed = |source| KernelError::Tracepoint {
            program,
            source: Box::new(source),
        };
        let found = self.ebpf.program_mut(program);
        let found = found.ok_or(KernelError::Object {
            what: "program",
            name: program,
        })?;
        let raw: &mut RawTracePoint = found.try_into().map_err(failed)?;
        raw.load().map_err(failed)?;
        raw.attach(tracepoint).map_err(failed)?;
        Ok(())
    }

    /// Attaches probes. Those that the kernel refuses are left out and named.
    pub fn attach(
        &self,
        side: Side,
        target: LinkTarget<'_>,
        probes: &[Probe],
    ) -> Result<(Link, Vec<Refused>), KernelError> {
        Linker {
            programs: &self.programs,
            mode: self.mode,
        }
        .attach(side, target, probes)
    }

    /// The ring of calls and returns. It can be taken once.
    pub fn take_events(&mut self) -> Result<Ring, KernelError> {
        self.take_ring("EVENTS")
    }

    /// The ring of threads and processes. It can be taken once.
    pub fn take_process_events(&mut self) -> Result<Ring, KernelError> {
        self.take_ring("PROCESS_EVENTS")
    }

    fn take_ring(&mut self, name: &'static str) -> Result<Ring, KernelError> {
        let map = self
            .ebpf
            .take_map(name)
            .ok_or(KernelError::Object { what: "map", name })?;
        RingBuf::try_from(map)
            .map(Ring)
            .map_err(|error| Box::new(aya::EbpfError::MapError(error)).into())
    }

    /// The slot of a function's counters on a CPU.
    pub fn slot(&self, cpu: u32, function: FunctionId) -> usize {
        cpu as usize * self.layout.functions as usize + function.0 as usize
    }

    /// What was lost so far, by reason, over all CPUs.
    pub fn lost(&self, reason: LossReason) -> u64 {
        let slots = (0..self.layout.cpus).map(|cpu| (cpu * LOSS_REASONS + reason as u32) as usize);
        slots.map(|slot| self.loss.get(slot)).sum()
    }
}

fn histogram_elements(layout: CounterLayout) -> usize {
    let counters = layout.functions as usize * layout.cpus as usize * layout.buckets() as usize;
    counters.div_ceil(2).max(1)
}

fn array_fd<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<BorrowedFd<'a>, KernelError> {
    use std::os::fd::AsFd as _;
    match ebpf.map(name) {
        Some(Map::Array(data)) => Ok(data.fd().as_fd()),
        _ => Err(KernelError::Object { what: "map", name }),
    }
}

fn load_object(settings: &KernelSettings, offsets: KernelOffsets) -> Result<Ebpf, KernelError> {
    let KernelSettings {
        mode: _,
        layout,
        focus,
        goroutines,
        ring_bytes,
    } = *settings;
    let ring = ring_bytes.unwrap_or(MIN_RING);
    let config = KernelConfig {
        function_count: layout.functions,
        bucket_count: layout.buckets(),
        resolution: layout.resolution.unwrap_or(0),
        focus: focus.into(),
        wake_bytes: u64::from(ring) / WAKE_SHARE,
        task_mm: offsets.task_mm,
        mm_xol_area: offsets.mm_xol_area,
        xol_area_vaddr: offsets.xol_area_vaddr,
        task_tgid: offsets.task_tgid,
        task_pid: offsets.task_pid,
        has_loop: has_loop().into(),
    };
    let bytes = zerocopy::IntoBytes::as_bytes(&config);
    EbpfLoader::new()
        .btf(None)
        .allow_unsupported_maps()
        .override_global("CONFIG", bytes, true)
        .map_max_entries("FUNCTIONS", layout.functions)
        .map_max_entries("STATS", layout.functions * layout.cpus)
        .map_max_entries("HISTOGRAMS", histogram_elements(layout) as u32)
        .map_max_entries("LOSS", layout.cpus * LOSS_REASONS)
        .map_max_entries("GOROUTINES", if goroutines { MAX_GOROUTINES } else { 1 })
        .map_max_entries("EVENTS", ring)
        .load(OBJECT)
        .map_err(|error| Box::new(error).into())
}

#[cfg(test)]
mod tests {
    use super::CounterLayout;

    #[test]
    fn histograms_get_coarser_before_functions_are_refused() {
        let cpus = 64;
        let fine = CounterLayout::fit(100, cpus, 256 << 20).unwrap();
        assert_eq!(fine.resolution, Some(3));
        let coarse = CounterLayout::fit(20_000, cpus, 512 << 20).unwrap();
        assert!(coarse.resolution < Some(3), "{coarse:?}");
        assert!(coarse.bytes() <= 512 << 20);
        let none = CounterLayout::fit(20_000, cpus, 100 << 20).unwrap();
        assert_eq!(none.resolution, None);
        let error = CounterLayout::fit(20_000, cpus, 1 << 20).unwrap_err();
        assert_eq!(error.needed, 20_000 * 64 * 64 + 20_000 * 8);
    }
}
