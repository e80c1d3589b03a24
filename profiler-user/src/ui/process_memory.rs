//! The line that says how much memory processes have.
use super::mem_table::bytes;
use crate::aggregate::memory::ProcessMemory;
use crate::target::usage::MemoryUsage;

/// What the processes have together, or had when they were last seen, if none is left.
pub(super) fn line(processes: &[ProcessMemory]) -> Option<String> {
    let living = processes.iter().any(|process| !process.has_ended);
    let counted: Vec<&ProcessMemory> = processes
        .iter()
        .filter(|process| process.has_ended != living)
        .collect();
    let seen = if living { "" } else { " when last seen" };
    let mut total = MemoryUsage::default();
    for process in &counted {
        total.add(&process.usage);
    }
    let kinds = format!(
        "anonymous {}, files {}, shared {}",
        bytes(total.anonymous),
        bytes(total.file),
        bytes(total.shared)
    );
    let (rss, vms) = (bytes(total.rss), bytes(total.vms));
    match &counted[..] {
        [] => None,
        [only] => Some(format!(
            "process: RSS {rss} ({kinds}), highest {}, VMS {vms}, highest {}{seen}",
            bytes(only.usage.rss_peak),
            bytes(only.usage.vms_peak)
        )),
        many => Some(format!(
            "{} processes: RSS {rss} ({kinds}; what they share counts for each), VMS {vms}{seen}",
            many.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::line;
    use crate::aggregate::memory::ProcessMemory;
    use crate::target::usage::MemoryUsage;

    fn process(pid: u32, has_ended: bool) -> ProcessMemory {
        ProcessMemory {
            pid,
            has_ended,
            usage: MemoryUsage {
                rss: 3 << 20,
                rss_peak: 4 << 20,
                vms: 5 << 20,
                vms_peak: 6 << 20,
                anonymous: 2 << 20,
                file: 1 << 20,
                ..MemoryUsage::default()
            },
            ..ProcessMemory::default()
        }
    }

    #[test]
    fn one_process_has_its_peaks() {
        let text = "process: RSS 3.00 MiB (anonymous 2.00 MiB, files 1.00 MiB, shared 0 B), highest 4.00 MiB, \
            VMS 5.00 MiB, highest 6.00 MiB";
        assert_eq!(line(&[process(1, false), process(2, true)]).unwrap(), text);
        assert_eq!(
            line(&[process(2, true)]).unwrap(),
            format!("{text} when last seen")
        );
        assert_eq!(line(&[]), None);
    }

    #[test]
    fn several_are_added_up_and_their_shared_pages_are_said_to_count_for_each() {
        let text = line(&[process(1, false), process(2, false), process(3, true)]).unwrap();
        assert!(text.starts_with("2 processes: RSS 6.00 MiB ("), "{text}");
        assert!(
            text.contains("what they share counts for each), VMS 10.0 MiB"),
            "{text}"
        );
    }
}
