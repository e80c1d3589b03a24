//! Loading the programs and sizing their maps.
use std::os::fd::BorrowedFd;

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData, RingBuf};
use aya::programs::RawTracePoint;
use profiler_common::config::{Grouping, MemoryCounters, NO_ROW, RowOwner, hold, target_flags};
use profiler_common::cookie::FunctionId;
use profiler_common::loss::{LOSS_REASONS, LossReason};
use profiler_common::stats::FunctionStats;

use super::btf::{KernelOffsets, kernel_offsets};
use super::error::KernelError;
use super::heap::{HeapMaps, HeapSettings};
use super::layout::CounterLayout;
use super::link::{Link, LinkTarget, Linker, Probe, Refused, Side, Subject};
use super::map::{MappedArray, SharedWord};
use super::memory::{self, RssExactness};
use super::prepare::{can_hold, histogram_elements, load_object};
use super::program::{ProgramSet, ProgramSource, Programs, map_fd};
use super::ring::Ring;
use super::rss::{self, RssMaps, RssSettings};
use super::{AttachMode, EventDetail, Reach};

/// The kernel side, compiled by the build script.
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/profiler-ebpf"));

/// The share of the ring that may fill before the reader is woken.
pub(super) const WAKE_SHARE: u64 = 4;
/// The smallest ring: a page.
pub(super) const MIN_RING: u32 = 4096;

/// What the kernel side is told before it loads.
#[derive(Clone, Copy, Debug)]
pub struct KernelSettings {
    /// How probes will be attached.
    pub mode: AttachMode,
    /// The counters' layout.
    pub layout: CounterLayout,
    /// Whom links reach.
    pub reach: Reach,
    /// Only threads in focus are recorded.
    pub focus: bool,
    /// Calls of goroutines are timed.
    pub goroutines: bool,
    /// Size of the event ring, bytes, a power of two; `None` = no events are wanted.
    pub ring_bytes: Option<u32>,
    /// What events say beside the call or return.
    pub detail: EventDetail,
    /// Allocations are followed; `None` = they are not. Calls are not, then, unless [`EventDetail::CallAndCaller`] asks for both.
    pub heap: Option<HeapSettings>,
    /// Resident memory is followed; `None` = it is not.
    pub rss: Option<RssSettings>,
}

impl KernelSettings {
    /// The programs that calls need; none = they are not followed.
    fn calls(&self) -> Option<ProgramSet> {
        match self.detail {
            EventDetail::CallAndCaller => Some(ProgramSet::Calls),
            EventDetail::Call | EventDetail::CallAndMemory if self.heap.is_some() => None,
            EventDetail::Call | EventDetail::CallAndMemory => {
                let counted = self.ring_bytes.is_none() && !self.focus;
                Some(if counted {
                    ProgramSet::CountedCalls
                } else {
                    ProgramSet::Calls
                })
            }
        }
    }
}

/// The kernel side, loaded.
pub struct Kernel {
    ebpf: Ebpf,
    /// The programs of calls and of allocations.
    calls: Option<Programs>,
    allocations: Option<Programs>,
    /// How probes are attached.
    pub mode: AttachMode,
    /// Whom links reach.
    pub reach: Reach,
    /// The counters' layout.
    pub layout: CounterLayout,
    /// How exact the resident memory in events is; none = it is not in them.
    pub rss: Option<RssExactness>,
    /// Flags per function.
    pub functions: MappedArray<u32>,
    /// `rows × functions` counters.
    pub stats: MappedArray<FunctionStats>,
    /// `rows × functions × buckets` counters of 32 bits, two to an element.
    pub histograms: MappedArray<u64>,
    loss: MappedArray<u64>,
    rows: MappedArray<RowOwner>,
    rows_given: MappedArray<u64>,
    holds: MappedArray<u64>,
    foreign: MappedArray<u64>,
    targets: HashMap<MapData, u32, [u32; 2]>,
    /// What the memory programs count, where these are loaded.
    pub heap: Option<HeapMaps>,
    /// What is counted of resident memory, where that is followed.
    pub growth: Option<RssMaps>,
    #[cfg(feature = "kernel-log")]
    log: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
}

/// Suspends return probes: as long as it was begun more often than ended.
#[derive(Clone, Debug)]
pub struct Suspension(SharedWord, bool);

impl Suspension {
    /// Something new is about to be examined.
    pub fn begin(&self) {
        if self.1 {
            self.0.add(1);
        }
    }

    /// It was examined.
    pub fn end(&self) {
        if self.1 {
            self.0.add(-1);
        }
    }
}

/// Possible CPUs of this machine: the highest number plus one.
pub fn possible_cpus() -> u32 {
    aya::util::nr_cpus().map_or(1, |cpus| cpus as u32)
}

impl Kernel {
    /// Loads the programs and makes their maps. Nothing is attached but the tracepoints of threads and processes.
    pub fn load(settings: &KernelSettings) -> Result<Self, KernelError> {
        let offsets = kernel_offsets()?;
        let memory = counters_to_read(settings, &offsets)?;
        let mut ebpf = load_object(settings, offsets, memory)?;
        let source = ProgramSource::new(OBJECT, |name| ebpf.map(name).and_then(map_fd))?;
        let load = |set| Programs::load(&source, settings.mode, set);
        let allocations = settings.heap.map(|_| load(ProgramSet::Allocations)).transpose()?;
        let calls = settings.calls().map(load).transpose()?;
        let heap = settings
            .heap
            .as_ref()
            .map(|heap| HeapMaps::new(&mut ebpf, heap))
            .transpose()?;
        let growth = settings.rss.map(|_| RssMaps::new(&mut ebpf)).transpose()?;
        let layout = settings.layout;
        let slots = layout.slots();
        let mut kernel = Self {
            calls,
            allocations,
            mode: settings.mode,
            reach: settings.reach,
            layout,
            rss: memory::exactness(&memory),
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
            rows: MappedArray::new("ROWS", array_fd(&ebpf, "ROWS")?, layout.rows as usize)?,
            rows_given: MappedArray::new("ROWS_GIVEN", array_fd(&ebpf, "ROWS_GIVEN")?, 1)?,
            holds: MappedArray::new("HOLDS", array_fd(&ebpf, "HOLDS")?, hold::LEN as usize)?,
            foreign: MappedArray::new("FOREIGN", array_fd(&ebpf, "FOREIGN")?, layout.cpus as usize)?,
            targets: take_targets(&mut ebpf)?,
            heap,
            growth,
            ebpf,
            #[cfg(feature = "kernel-log")]
            log: None,
        };
        kernel.attach_tracepoints()?;
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

    /// What the programs need to hear of threads and processes.
    fn attach_tracepoints(&mut self) -> Result<(), KernelError> {
        let tracepoints = [
            ("heap_exit", "sched_process_exit"),
            ("heap_exec", "sched_process_exec"),
            ("heap_fork", "sched_process_fork"),
            ("thread_exit", "sched_process_exit"),
            ("process_exec", "sched_process_exec"),
            ("process_fork", "sched_process_fork"),
        ];
        let of_memory = if self.heap.is_some() { 0 } else { 3 };
        for (program, tracepoint) in &tracepoints[of_memory..] {
            self.attach_tracepoint(program, tracepoint)?;
        }
        if self.growth.is_some() {
            self.attach_growth()?;
        }
        Ok(())
    }

    /// What follows resident memory. It must hear of forks and executions after those that know who is a target.
    fn attach_growth(&mut self) -> Result<(), KernelError> {
        let tracepoints = [
            ("rss_exit", "sched_process_exit"),
            ("rss_exec", "sched_process_exec"),
            ("rss_fork", "sched_process_fork"),
            ("rss_changed", "rss_stat"),
        ];
        for (program, tracepoint) in tracepoints {
            self.attach_tracepoint(program, tracepoint)?;
        }
        let faults = self.attach_tracepoint("rss_fault", "page_fault_user");
        if let Err(error) = &faults {
            log::debug!("page faults are not counted: {error}");
        }
        if let Some(growth) = &mut self.growth {
            growth.sees_faults = faults.is_ok();
        }
        Ok(())
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

    /// Attaches probes of calls or of allocations. Those that the kernel refuses are left out and named.
    pub fn attach(
        &self,
        (subject, side): (Subject, Side),
        target: LinkTarget<'_>,
        probes: &[Probe],
    ) -> Result<(Link, Vec<Refused>), KernelError> {
        let programs = match subject {
            Subject::Calls => self.calls.as_ref(),
            Subject::Allocations => self.allocations.as_ref(),
        };
        let programs = programs.ok_or(KernelError::Object {
            what: "program",
            name: "function_session",
        })?;
        Linker {
            programs,
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

    /// The slot of a function's counters in a row.
    pub fn slot(&self, row: u32, function: FunctionId) -> usize {
        row as usize * self.layout.functions as usize + function.0 as usize
    }

    /// Rows that may hold something.
    pub fn rows_in_use(&self) -> u32 {
        match self.layout.grouping {
            Grouping::None => self.layout.rows,
            Grouping::Process | Grouping::Thread => {
                let given = self.rows_given.get(0).saturating_add(1);
                given.min(u64::from(self.layout.rows)) as u32
            }
        }
    }

    /// Processes or threads that found no row of their own.
    pub fn rows_missing(&self) -> u64 {
        match self.layout.grouping {
            Grouping::None => 0,
            Grouping::Process | Grouping::Thread => {
                (self.rows_given.get(0) + 1).saturating_sub(u64::from(self.layout.rows))
            }
        }
    }

    /// Whose a row is.
    pub fn row_owner(&self, row: u32) -> RowOwner {
        self.rows.get(row as usize)
    }

    /// Makes a process a target that has been looked at. `root`: it stays one whatever it executes; any other, where the
    /// kernel side itself adds children, was added by it, and removed if it has executed another program since.
    pub fn add_target(&mut self, pid: u32, root: bool) -> Result<(), KernelError> {
        /// `BPF_EXIST`.
        const ONLY_KNOWN: u64 = 2;
        let row = match self.targets.get(&pid, 0) {
            Ok([row, _flags]) => row,
            Err(_) => NO_ROW,
        };
        let flags = if root { target_flags::ROOT } else { 0 };
        let value = [row, flags];
        if !root && matches!(self.reach, Reach::Targets { keep_on_exec: false }) {
            // Removed: as wanted.
            let _: Result<(), _> = self.targets.insert(pid, value, ONLY_KNOWN);
            return Ok(());
        }
        self.targets
            .insert(pid, value, 0)
            .map_err(|error| Box::new(aya::EbpfError::MapError(error)).into())
    }

    /// Whether return probes are held back while something new is examined.
    pub fn can_hold(&self) -> bool {
        can_hold(self.mode, self.reach)
    }

    /// Where this process suspends return probes: another thread may do so, too.
    pub fn suspension(&self) -> Suspension {
        Suspension(self.holds.shared_word(hold::USER as usize), self.can_hold())
    }

    /// The number of the last hold that the kernel side set, for a program that was executed.
    pub fn last_hold(&self) -> u64 {
        self.holds.get(hold::SET as usize)
    }

    /// Whether return probes are suspended now: by a hold of the kernel side, or by this process more often than the
    /// `expected` times that are known to last.
    pub fn is_held(&self, expected: u64) -> bool {
        let by_kernel = self.last_hold() != self.holds.get(hold::RELEASED as usize);
        by_kernel || self.holds.get(hold::USER as usize) > expected
    }

    /// Releases holds up to this number: what they were set for has been looked at.
    pub fn release(&self, number: u64) {
        let released = self.holds.get(hold::RELEASED as usize);
        if number > released {
            self.holds.set(hold::RELEASED as usize, number);
        }
    }

    /// Hits of processes that are no targets.
    pub fn foreign_hits(&self) -> u64 {
        (0..self.layout.cpus as usize)
            .map(|cpu| self.foreign.get(cpu))
            .sum()
    }

    /// A process is no target any more.
    pub fn remove_target(&mut self, pid: u32) {
        // Gone already: as wanted.
        let _: Result<(), _> = self.targets.remove(&pid);
    }

    /// What was lost so far, by reason, over all CPUs.
    pub fn lost(&self, reason: LossReason) -> u64 {
        let slots = (0..self.layout.cpus).map(|cpu| (cpu * LOSS_REASONS + reason as u32) as usize);
        slots.map(|slot| self.loss.get(slot)).sum()
    }
}

fn take_targets(ebpf: &mut Ebpf) -> Result<HashMap<MapData, u32, [u32; 2]>, KernelError> {
    let name = "TARGETS";
    let map = ebpf
        .take_map(name)
        .ok_or(KernelError::Object { what: "map", name })?;
    HashMap::try_from(map).map_err(|error| Box::new(aya::EbpfError::MapError(error)).into())
}

pub(super) fn array_fd<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<BorrowedFd<'a>, KernelError> {
    use std::os::fd::AsFd as _;
    match ebpf.map(name) {
        Some(Map::Array(data)) => Ok(data.fd().as_fd()),
        _ => Err(KernelError::Object { what: "map", name }),
    }
}

/// The counters of memory that the programs read on this machine.
fn counters_to_read(
    settings: &KernelSettings,
    offsets: &KernelOffsets,
) -> Result<MemoryCounters, KernelError> {
    if settings.rss.is_some() {
        rss::check(offsets)?;
    }
    match settings.detail {
        EventDetail::Call | EventDetail::CallAndCaller if settings.rss.is_none() => {
            Ok(MemoryCounters::default())
        }
        EventDetail::Call | EventDetail::CallAndCaller | EventDetail::CallAndMemory => {
            memory::to_read(offsets.memory)
        }
    }
}
