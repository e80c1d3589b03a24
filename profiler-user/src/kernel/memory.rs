//! The kernel's own counters of a process's memory: where they are, and how exact the sum of them is.
use profiler_common::config::{MAX_MAP_HEAD, MemoryCounters, RssForm};

use super::btf::Btf;
use super::error::KernelError;

/// Bytes of an `atomic_long_t`.
const SINGLE: u32 = 8;
/// Page faults after which a thread hands over the changes that it held back (`TASK_RSS_EVENTS_THRESH`, mm/memory.c of
/// kernels before 6.2).
const HELD_BACK: u64 = 64;

/// How exact the resident memory is that events tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RssExactness {
    /// The kernel's own sum over all CPUs, at a moment of the hit.
    Exact,
    /// Each other thread of the process holds back changes of up to so many bytes in each kind of page.
    WithinPerThread {
        /// Bytes.
        bytes: u64,
    },
}

/// Where the counters are, as far as type information tells it. `None`: in no form that is known.
pub(super) fn counters(btf: &Btf<'_>) -> Option<MemoryCounters> {
    let found = MemoryCounters {
        rss: btf.member("mm_struct", "rss_stat")?,
        total_vm: btf.member("mm_struct", "total_vm")?,
        ..MemoryCounters::default()
    };
    if let Some(count) = btf.member("mm_rss_stat", "count") {
        let in_task = btf.member("task_struct", "rss_stat");
        let held_back = in_task.zip(btf.member("task_rss_stat", "count"));
        return Some(MemoryCounters {
            form: RssForm::Single as u32,
            rss: found.rss + count,
            stride: SINGLE,
            held_back: held_back.map_or(0, |(task, count)| task + count),
            ..found
        });
    }
    if btf.is_array_of(("mm_struct", "rss_stat"), "percpu_counter") != Some(true) {
        return None;
    }
    let count = btf.member("percpu_counter", "count")?;
    let counter = MemoryCounters {
        form: RssForm::PerCpu as u32,
        rss: found.rss + count,
        stride: btf.size("percpu_counter")?,
        ..found
    };
    // A kernel for a single processor has no parts.
    let Some(parts) = btf.member("percpu_counter", "counters") else {
        return Some(counter);
    };
    Some(MemoryCounters {
        parts: parts.checked_sub(count)?,
        map_parts: btf
            .member("bpf_array", "pptrs")
            .filter(|at| *at <= MAX_MAP_HEAD && at % 8 == 0)?,
        ..counter
    })
}

/// What the programs are to read on this machine.
pub(super) fn to_read(found: Option<MemoryCounters>) -> Result<MemoryCounters, KernelError> {
    let counters = found.ok_or(KernelError::UnknownMemoryCounters)?;
    let parts = if counters.parts == 0 { 0 } else { online_cpus() };
    Ok(MemoryCounters {
        page_shift: page_size().trailing_zeros(),
        cpus: parts,
        ..counters
    })
}

/// How exact the sum of them is; none = they are not read.
pub(super) fn exactness(counters: &MemoryCounters) -> Option<RssExactness> {
    match counters {
        MemoryCounters { form, .. } if *form == RssForm::Unread as u32 => None,
        MemoryCounters { form, .. } if *form == RssForm::Single as u32 => {
            Some(RssExactness::WithinPerThread {
                bytes: HELD_BACK << counters.page_shift,
            })
        }
        _ => Some(RssExactness::Exact),
    }
}

/// The highest number of a CPU that runs, plus one. A machine may have room for hundreds that never come; one that comes
/// while the profiler runs is not asked, and can hold back some pages.
fn online_cpus() -> u32 {
    let online = aya::util::online_cpus().unwrap_or_default();
    let highest = online.into_iter().max();
    highest.map_or_else(super::load::possible_cpus, |cpu| cpu + 1)
}

/// Bytes of a page.
pub fn page_size() -> u64 {
    // SAFETY: `sysconf` takes any number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::{RssExactness, counters, exactness, to_read};
    use crate::kernel::btf::{Btf, fixture, kernel_offsets};
    use profiler_common::config::{MemoryCounters, RssForm};

    const STRUCT: u32 = 4 << 24;
    const ARRAY: u32 = 3 << 24;

    /// Where each of these words is among strings that are put together of them.
    struct Strings(Vec<u8>);

    impl Strings {
        fn of(&mut self, word: &str) -> u32 {
            let at = self.0.len() as u32;
            self.0.extend_from_slice(word.as_bytes());
            self.0.push(0);
            at
        }

        /// A structure of so many bytes, and its members by name, number of their type, and offset in bytes.
        fn structure(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> Vec<u32> {
            let mut words = vec![self.of(name), STRUCT | members.len() as u32, size];
            for (name, kind, offset) in members {
                words.extend([self.of(name), *kind, offset * 8]);
            }
            words
        }
    }

    #[test]
    fn counters_of_one_number_are_found_with_what_threads_hold_back() {
        let mut strings = Strings(vec![0]);
        let types = [
            strings.structure("mm_struct", 1024, &[("total_vm", 9, 200), ("rss_stat", 2, 832)]),
            strings.structure("mm_rss_stat", 32, &[("count", 9, 0)]),
            strings.structure("task_struct", 9000, &[("mm", 9, 2000), ("rss_stat", 4, 2100)]),
            strings.structure("task_rss_stat", 20, &[("events", 9, 0), ("count", 9, 4)]),
        ];
        let bytes = fixture::btf(&types.concat(), &strings.0);
        let found = counters(&Btf::parse(&bytes).unwrap()).unwrap();
        let expected = MemoryCounters {
            form: RssForm::Single as u32,
            rss: 832,
            stride: 8,
            held_back: 2104,
            total_vm: 200,
            ..MemoryCounters::default()
        };
        assert_eq!(found, expected);
        let read = to_read(Some(found)).unwrap();
        assert_eq!(read.cpus, 0);
        let bytes = 64 << read.page_shift;
        assert_eq!(exactness(&read), Some(RssExactness::WithinPerThread { bytes }));
    }

    /// `rss_stat` is of the type `kind`.
    fn per_cpu(kind: u32, counter: &[(&str, u32, u32)]) -> Option<MemoryCounters> {
        let mut strings = Strings(vec![0]);
        let types = [
            strings.structure(
                "mm_struct",
                1024,
                &[("total_vm", 9, 200), ("rss_stat", kind, 832)],
            ),
            vec![0, ARRAY, 0, 3, 3, 4],
            strings.structure("percpu_counter", 40, counter),
            strings.structure("bpf_array", 400, &[("map", 9, 0), ("pptrs", 9, 328)]),
        ];
        let bytes = fixture::btf(&types.concat(), &strings.0);
        counters(&Btf::parse(&bytes).unwrap())
    }

    #[test]
    fn counters_with_a_part_for_each_cpu_are_found() {
        let members = [
            ("lock", 9, 0),
            ("count", 9, 8),
            ("list", 9, 16),
            ("counters", 9, 32),
        ];
        let expected = MemoryCounters {
            form: RssForm::PerCpu as u32,
            rss: 840,
            stride: 40,
            parts: 24,
            total_vm: 200,
            map_parts: 328,
            ..MemoryCounters::default()
        };
        assert_eq!(per_cpu(2, &members), Some(expected));
        let read = to_read(Some(expected)).unwrap();
        assert!(read.cpus > 0 && read.page_shift >= 12);
        assert_eq!(exactness(&read), Some(RssExactness::Exact));
    }

    #[test]
    fn a_kernel_for_one_processor_has_no_parts_to_add() {
        let found = per_cpu(2, &[("count", 9, 0)]).unwrap();
        assert_eq!((found.parts, found.stride), (0, 40));
        assert_eq!(to_read(Some(found)).unwrap().cpus, 0);
    }

    #[test]
    fn counters_of_an_unknown_form_are_refused_with_the_next_step() {
        let members = [("count", 9, 8), ("counters", 9, 32)];
        assert_eq!(per_cpu(3, &members), None);
        assert_eq!(per_cpu(4, &members), None);
        let error = to_read(None).unwrap_err().to_string();
        assert!(error.contains("`--monitor`"), "{error}");
        assert_eq!(exactness(&MemoryCounters::default()), None);
    }

    #[test]
    fn the_running_kernels_counters_are_found() {
        let Ok(offsets) = kernel_offsets() else { return };
        let found = offsets.memory.unwrap();
        assert!(
            found.total_vm > 0 && found.rss > 0 && found.stride >= 8,
            "{found:?}"
        );
    }
}
