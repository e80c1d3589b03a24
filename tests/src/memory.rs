//! What `ebpf-prof mem` reports at its end.
use std::collections::BTreeMap;
use std::path::Path;

use profiler_common::loss::LossReason;
use serde_json::Value;

use crate::kernel::AttachMode;
use crate::profiler::{Ended, Profiler};
use crate::report::Report;
use crate::target::{Outcome, Target};

/// Sums of numbers by their names, as the report has them.
pub type Numbers = BTreeMap<String, u64>;

/// The names of numbers that add up over lines.
const NUMBERS: [&str; 12] = [
    "allocations",
    "bytes",
    "frees",
    "freed_bytes",
    "live_count",
    "live_bytes",
    "at_peak_bytes",
    "failed",
    "temporary",
    "untracked",
    "untracked_bytes",
    "old_bytes",
];

impl Report {
    /// The numbers of all lines that `is_meant`, added up.
    pub fn memory(&self, is_meant: &dyn Fn(&Value) -> bool) -> Numbers {
        let rows = self.json["rows"].as_array().expect("the result has lines");
        let mut numbers: Numbers = NUMBERS.iter().map(|name| ((*name).to_owned(), 0)).collect();
        for row in rows.iter().filter(|row| is_meant(row)) {
            for (name, number) in &mut numbers {
                *number += row[name.as_str()].as_u64().expect("a number");
            }
        }
        numbers
    }

    /// The numbers of what this program itself has allocated.
    pub fn memory_of(&self, program: &Path) -> Numbers {
        let name = program
            .file_name()
            .expect("a program has a name")
            .to_string_lossy();
        self.memory(&|row| row["object"] == *name && row["family"] == "heap")
    }

    /// A number of a family as a whole.
    pub fn family(&self, family: &str, number: &str) -> u64 {
        self.json["families"][family][number].as_u64().unwrap_or(0)
    }

    /// The live blocks that it lists, by address, of what this program's code has allocated.
    pub fn blocks(&self, callers: &[u64]) -> BTreeMap<u64, u64> {
        let blocks = self.json["blocks"]
            .as_array()
            .expect("the result has a list of blocks");
        let meant = blocks.iter().filter(|block| {
            let caller = block["caller"].as_u64().expect("a number");
            block["family"] == "heap" && callers.contains(&caller)
        });
        meant
            .map(|block| {
                let number = |key: &str| block[key].as_u64().expect("a number");
                (number("address"), number("size"))
            })
            .collect()
    }

    /// The return addresses in this program.
    pub fn callers_in(&self, program: &Path) -> Vec<u64> {
        let name = program
            .file_name()
            .expect("a program has a name")
            .to_string_lossy();
        let rows = self.json["rows"].as_array().expect("the result has lines");
        let own = rows.iter().filter(|row| row["object"] == *name);
        own.filter_map(|row| row["caller"].as_u64()).collect()
    }

    /// Fails if anything was lost.
    pub fn assert_memory_is_complete(&self) {
        for reason in LossReason::ALL {
            assert_eq!(self.loss(*reason), 0, "{}: {:#}", reason.text(), self.json);
        }
    }
}

/// Runs a program to its end while its allocations are followed from `ready` on.
pub fn follow(program: &Path, arguments: &[&str], mode: AttachMode, options: &[&str]) -> (Outcome, Report) {
    let (outcome, ended) = follow_to_end(program, arguments, mode, options);
    (outcome, ended.success())
}

/// The same, with all that the profiler left behind.
pub fn follow_to_end(
    program: &Path,
    arguments: &[&str],
    mode: AttachMode,
    options: &[&str],
) -> (Outcome, Ended) {
    let target = Target::start(program, arguments);
    follow_target(target, mode, options)
}

/// The same with a program that has been started.
pub fn follow_target(target: Target, mode: AttachMode, options: &[&str]) -> (Outcome, Ended) {
    let pid = target.pid().to_string();
    let fixed = ["mem", "-p", &pid, "--attach-mode", mode.name()];
    let profiler = Profiler::start(&[&fixed, options].concat());
    profiler.wait_until_attached();
    (target.finish(), profiler.wait())
}
