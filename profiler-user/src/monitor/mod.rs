//! What is recorded of each call. Each monitor is one file and one row of [`MONITORS`], which `--monitor`, its help and
//! the documentation are made from.
mod events;
mod function_memory;
mod functions;

use crate::kernel::EventDetail;
use crate::record::RecordForm;

/// A monitor.
#[derive(Debug)]
pub struct Monitor {
    /// What `--monitor` calls it.
    pub name: &'static str,
    /// What else it is called.
    pub aliases: &'static [&'static str],
    /// What `--help` says of it.
    pub summary: &'static str,
    /// What its records look like.
    pub form: RecordForm,
    /// What the kernel side sends for them.
    pub detail: EventDetail,
    /// Whether there are records.
    pub records: Records,
}

/// Whether a monitor records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// Where `--recording` asks for it; else calls are counted.
    OnDemand,
    /// Always: on the screen, unless `--recording` or `-o` says otherwise.
    Always,
}

/// Every monitor, the usual one first.
pub static MONITORS: &[&Monitor] = &[
    &functions::FUNCTIONS,
    &function_memory::FUNCTION_MEMORY,
    &events::EVENTS,
];

impl Monitor {
    /// The usual one.
    pub fn usual() -> &'static Self {
        MONITORS[0]
    }

    /// The monitor that `--monitor` calls `name`.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        MONITORS
            .iter()
            .copied()
            .find(|monitor| monitor.name == name || monitor.aliases.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::{MONITORS, Monitor};
    use std::collections::HashSet;

    #[test]
    fn each_name_means_one_monitor_and_each_says_what_it_is() {
        let names: Vec<&str> = MONITORS
            .iter()
            .flat_map(|monitor| [&[monitor.name], monitor.aliases].concat())
            .collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        for monitor in MONITORS {
            assert!(!monitor.summary.is_empty());
            for name in [&[monitor.name], monitor.aliases].concat() {
                assert_eq!(Monitor::by_name(name).map(|found| found.name), Some(monitor.name));
            }
        }
        assert!(Monitor::by_name("lines_of_code").is_none());
    }
}
