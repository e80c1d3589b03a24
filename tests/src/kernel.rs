//! The attach modes, and what a test does where the kernel cannot be had.
//!
//! * `EBPF_PROF_REQUIRE_KERNEL=1`, or `CI` set: a missing kernel feature or right is a failure.
//! * `EBPF_PROF_SKIP_KERNEL=1`: the user asked for it: the test says why it skips, and passes.
//! * neither: the reason is printed and the test fails.
use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{PoisonError, RwLock};

/// Tests share the machine, those that measure time have it alone.
static MACHINE: RwLock<()> = RwLock::new(());

/// How probes are attached (`--attach-mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// One program at entry and return, one link for all functions.
    Session,
    /// A program at entries and one at returns, a link each.
    Multi,
    /// A perf event for each probe. Detaching takes 20 to 100 ms for each: never more than some dozens.
    PerfEvent,
}

impl AttachMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Session, Self::Multi, Self::PerfEvent];

    /// The value of `--attach-mode`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Multi => "multi",
            Self::PerfEvent => "perf-event",
        }
    }

    /// The first kernel that has it.
    const fn lowest_kernel(self) -> (u32, u32) {
        match self {
            Self::Session => (6, 13),
            Self::Multi => (6, 6),
            Self::PerfEvent => (5, 15),
        }
    }
}

/// Runs `test` under each attach mode, beside other tests. All modes run, also after one of them failed.
pub fn for_each_attach_mode(test: impl Fn(AttachMode)) {
    let _shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    in_each_mode(test);
}

/// Like [`for_each_attach_mode`], with no other test running at the same time.
pub fn for_each_attach_mode_alone(test: impl Fn(AttachMode)) {
    let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    in_each_mode(test);
}

/// Runs `test` once, with the mode that the profiler prefers on a recent kernel.
pub fn with_kernel(test: impl FnOnce(AttachMode)) {
    let _shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    let mode = AttachMode::ALL.into_iter().find(|mode| missing(*mode).is_none());
    match mode {
        Some(mode) => test(mode),
        None => cannot_run(&missing(AttachMode::PerfEvent).unwrap_or_default()),
    }
}

fn in_each_mode(test: impl Fn(AttachMode)) {
    let failed: Vec<_> = AttachMode::ALL
        .into_iter()
        .filter(|mode| match missing(*mode) {
            Some(reason) => {
                cannot_run(&reason);
                false
            }
            None => catch_unwind(AssertUnwindSafe(|| test(*mode))).is_err(),
        })
        .map(AttachMode::name)
        .collect();
    assert!(failed.is_empty(), "failed in the attach modes {failed:?}");
}

/// Why `mode` cannot be tested here.
fn missing(mode: AttachMode) -> Option<String> {
    let owner = fs::metadata("/proc/self").ok()?.uid();
    if owner != 0 {
        return Some(format!("probes need root, and this is user {owner}"));
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (major, minor) = mode.lowest_kernel();
    (version < (major, minor)).then(|| {
        format!(
            "{} probes need kernel {major}.{minor}, this is {}",
            mode.name(),
            release.trim()
        )
    })
}

#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
pub(crate) fn cannot_run(reason: &str) {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    let required = is_set("EBPF_PROF_REQUIRE_KERNEL") || is_set("CI");
    assert!(
        !required && is_set("EBPF_PROF_SKIP_KERNEL"),
        "{reason}; EBPF_PROF_SKIP_KERNEL=1 skips such tests"
    );
    eprintln!("skipped: {reason}");
}
