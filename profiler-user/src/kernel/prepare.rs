//! What the kernel side is told, and how large its maps are.
use aya::{Ebpf, EbpfLoader};
use profiler_common::config::{KernelConfig, MAX_GOROUTINES, MemoryCounters};
use profiler_common::loss::LOSS_REASONS;

use super::btf::KernelOffsets;
use super::capability::has_loop;
use super::error::KernelError;
use super::layout::CounterLayout;
use super::load::{KernelSettings, MIN_RING, OBJECT, WAKE_SHARE};
use super::{AttachMode, EventDetail, Reach};

/// Elements of the array of histograms.
pub(super) fn histogram_elements(layout: CounterLayout) -> usize {
    let counters = layout.slots() * layout.buckets() as usize;
    counters.div_ceil(2).max(1)
}

/// Whether return probes are held back while something new is examined. Where programs are executed that nobody looks at
/// before, none is planned that they could break.
pub(super) fn can_hold(mode: AttachMode, reach: Reach) -> bool {
    let looks_first = matches!(reach, Reach::Process | Reach::Targets { keep_on_exec: false });
    mode == AttachMode::Session && looks_first
}

/// What the programs are told before they load.
fn kernel_config(settings: &KernelSettings, offsets: KernelOffsets, memory: MemoryCounters) -> KernelConfig {
    let KernelSettings {
        mode,
        layout,
        reach,
        focus,
        goroutines: _,
        ring_bytes,
        detail,
        heap: _,
        rss: _,
    } = *settings;
    KernelConfig {
        function_count: layout.functions,
        bucket_count: layout.buckets(),
        resolution: layout.resolution.unwrap_or(0),
        focus: focus.into(),
        wake_bytes: u64::from(ring_bytes.unwrap_or(MIN_RING)) / WAKE_SHARE,
        task_mm: offsets.task_mm,
        mm_xol_area: offsets.mm_xol_area,
        xol_area_vaddr: offsets.xol_area_vaddr,
        task_tgid: offsets.task_tgid,
        task_pid: offsets.task_pid,
        has_loop: has_loop().into(),
        grouping: layout.grouping as u32,
        row_count: layout.rows,
        check_targets: matches!(reach, Reach::Targets { .. }).into(),
        keep_on_exec: matches!(reach, Reach::Targets { keep_on_exec: true }).into(),
        own_tgid: if reach == Reach::Process {
            0
        } else {
            std::process::id()
        },
        can_hold: can_hold(mode, reach).into(),
        callers: (detail == EventDetail::CallAndCaller).into(),
        mm_brk: offsets.mm_brk,
        task_signal: offsets.task_signal,
        signal_live: offsets.signal_live,
        memory,
    }
}

/// Gives the maps their sizes and loads them.
pub(super) fn load_object(
    settings: &KernelSettings,
    offsets: KernelOffsets,
    memory: MemoryCounters,
) -> Result<Ebpf, KernelError> {
    let KernelSettings {
        layout,
        goroutines,
        ring_bytes,
        heap,
        rss,
        ..
    } = *settings;
    let ring = ring_bytes.unwrap_or(MIN_RING);
    let config = kernel_config(settings, offsets, memory);
    let bytes = zerocopy::IntoBytes::as_bytes(&config);
    let heap_config = heap.map(|heap| heap.config()).unwrap_or_default();
    let mut loader = EbpfLoader::new();
    loader.override_global("HEAP_CONFIG", zerocopy::IntoBytes::as_bytes(&heap_config), true);
    if let Some(heap) = heap {
        heap.size_maps(&mut loader);
    }
    let rss_config = rss.map(|rss| rss.config()).unwrap_or_default();
    loader.override_global("RSS_CONFIG", zerocopy::IntoBytes::as_bytes(&rss_config), true);
    if let Some(rss) = rss {
        rss.size_maps(&mut loader);
    }
    loader
        .btf(None)
        .allow_unsupported_maps()
        .override_global("CONFIG", bytes, true)
        .map_max_entries("FUNCTIONS", layout.functions)
        .map_max_entries("STATS", layout.slots() as u32)
        .map_max_entries("HISTOGRAMS", histogram_elements(layout) as u32)
        .map_max_entries("LOSS", layout.cpus * LOSS_REASONS)
        .map_max_entries("FOREIGN", layout.cpus)
        .map_max_entries("ROWS", layout.rows)
        .map_max_entries("CPU_DISTANCES", memory.cpus.max(1))
        .map_max_entries("GOROUTINES", if goroutines { MAX_GOROUTINES } else { 1 })
        .map_max_entries("EVENTS", ring)
        .load(OBJECT)
        .map_err(|error| Box::new(error).into())
}
