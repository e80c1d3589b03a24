//! Where it was measured: figures of different machines are not to be compared.

use std::{fmt, fs, process::Command, thread};

use serde_json::{Value, json};

use crate::exec::answer;

/// This machine, and what is on it.
pub(super) struct Machine {
    kernel: String,
    cpu: String,
    cpus: usize,
    guest: bool,
    bpftrace: String,
    load: String,
}

impl Machine {
    pub(super) fn here() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = info.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':'))
                .map(|(_, value)| value.trim().to_owned())
        };
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            kernel: answer(Command::new("uname").args(["-rm"])).unwrap_or_default(),
            cpu: field("model name").unwrap_or_else(|| "unknown CPU".to_owned()),
            cpus: thread::available_parallelism().map_or(1, usize::from),
            guest: field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            bpftrace: answer(Command::new("bpftrace").arg("--version"))
                .unwrap_or_else(|| "no bpftrace".to_owned()),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "kernel": self.kernel,
            "cpu": self.cpu,
            "cpus": self.cpus,
            "guest": self.guest,
            "bpftrace": self.bpftrace,
            "load_at_start": self.load,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kernel,
            cpu,
            cpus,
            guest,
            bpftrace,
            load,
        } = self;
        let kind = if *guest { "guest" } else { "bare metal" };
        write!(
            f,
            "kernel {kernel}, {cpu}, {cpus} CPUs, {kind}, {bpftrace}, load at the start {load}"
        )
    }
}
