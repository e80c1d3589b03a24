//! How much memory a process has, as the kernel tells it.
use super::process::{field, read};

/// The memory of a process, bytes. The kernel counts pages for each CPU apart, so that a number may be off by some dozens
/// of pages for each CPU (`include/linux/percpu_counter.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// Resident: what of it is in memory.
    pub rss: u64,
    /// The most that ever was.
    pub rss_peak: u64,
    /// Mapped.
    pub vms: u64,
    /// The most that ever was.
    pub vms_peak: u64,
    /// Resident and its own: heaps, stacks.
    pub anonymous: u64,
    /// Resident and of files.
    pub file: u64,
    /// Resident and shared: `tmpfs`, shared anonymous mappings.
    pub shared: u64,
    /// Swapped out.
    pub swap: u64,
}

impl MemoryUsage {
    /// The memory of this process now; none where it has ended, or has none of its own.
    pub fn of(pid: u32) -> Option<Self> {
        Self::in_status(&read(pid, "status").ok()?)
    }

    /// What `/proc/PID/status` says.
    fn in_status(status: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let kib = field(status, name)?.strip_suffix("kB")?.trim().parse::<u64>();
            kib.ok()?.checked_mul(1024)
        };
        Some(Self {
            rss: bytes("VmRSS:")?,
            rss_peak: bytes("VmHWM:")?,
            vms: bytes("VmSize:")?,
            vms_peak: bytes("VmPeak:")?,
            anonymous: bytes("RssAnon:").unwrap_or_default(),
            file: bytes("RssFile:").unwrap_or_default(),
            shared: bytes("RssShmem:").unwrap_or_default(),
            swap: bytes("VmSwap:").unwrap_or_default(),
        })
    }

    /// Adds that of another process. The peaks are left alone: they were at different times.
    pub fn add(&mut self, other: &Self) {
        let Self {
            rss,
            rss_peak: _,
            vms,
            vms_peak: _,
            anonymous,
            file,
            shared,
            swap,
        } = other;
        self.rss = self.rss.saturating_add(*rss);
        self.vms = self.vms.saturating_add(*vms);
        self.anonymous = self.anonymous.saturating_add(*anonymous);
        self.file = self.file.saturating_add(*file);
        self.shared = self.shared.saturating_add(*shared);
        self.swap = self.swap.saturating_add(*swap);
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryUsage;

    #[test]
    fn the_numbers_of_the_kernel_become_bytes() {
        let status = "Name:\tx\nVmPeak:\t    2000 kB\nVmSize:\t    1000 kB\nVmLck:\t0 kB\nVmHWM:\t     30 kB\n\
            VmRSS:\t      20 kB\nRssAnon:\t       7 kB\nRssFile:\t      12 kB\nRssShmem:\t       1 kB\nVmSwap:\t      4 kB\n";
        let expected = MemoryUsage {
            rss: 20 << 10,
            rss_peak: 30 << 10,
            vms: 1000 << 10,
            vms_peak: 2000 << 10,
            anonymous: 7 << 10,
            file: 12 << 10,
            shared: 1 << 10,
            swap: 4 << 10,
        };
        assert_eq!(MemoryUsage::in_status(status), Some(expected));
        let mut both = expected;
        both.add(&expected);
        assert_eq!(
            (both.rss, both.swap, both.rss_peak),
            (40 << 10, 8 << 10, 30 << 10)
        );
    }

    #[test]
    fn a_zombie_and_a_kernel_thread_have_none() {
        for status in ["Name:\tx\nState:\tZ (zombie)\n", "", "VmRSS:\tmany kB\n"] {
            assert_eq!(MemoryUsage::in_status(status), None, "{status}");
        }
    }

    #[test]
    fn this_process_has_some() {
        let usage = MemoryUsage::of(std::process::id()).unwrap();
        assert!(usage.rss > 0 && usage.rss <= usage.vms, "{usage:?}");
    }
}
