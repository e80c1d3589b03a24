//! What can go wrong between us and the kernel.
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::AttachMode;

/// A failure of the kernel side. Each message names the thing and the next step.
#[derive(Debug, Error)]
pub enum KernelError {
    /// The process lacks capabilities.
    #[error("missing {}: run as root, e.g. `sudo ebpf-prof …`", .missing.join(", "))]
    MissingCapabilities {
        /// Their names.
        missing: Vec<&'static str>,
    },
    /// The kernel is too old for any way of attaching.
    #[error("this kernel cannot attach probes: the oldest way needs {} (see `ebpf-prof doctor`)", AttachMode::PerfEvent.since())]
    Unsupported,
    /// The kernel is locked down.
    #[error(
        "this kernel is locked down (`{level}`), which forbids programs to read memory: boot with `lockdown=integrity` or none"
    )]
    LockedDown {
        /// The level in `/sys/kernel/security/lockdown`.
        level: String,
    },
    /// The mode that was asked for is not there.
    #[error("this kernel has no `{mode}` probes, they came with {}: leave `--attach-mode` out to use the best there is", .mode.since())]
    ModeUnsupported {
        /// The mode.
        mode: AttachMode,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Multi links are there, but miss threads.
    #[error(
        "`multi` probes of this kernel see a process's first thread only, which 6.6.35, 6.9.5 and 6.10 mended: leave \
         `--attach-mode` out to use the best there is"
    )]
    FirstThreadOnly,
    /// aya could not load the object.
    #[error("failed to load the kernel programs (see `ebpf-prof doctor`)")]
    Load(#[from] Box<aya::EbpfError>),
    /// The object embedded in this binary is not what it should be.
    #[error("the embedded kernel object has no {what} `{name}`: build again with `cargo xtask build`")]
    Object {
        /// Map or program.
        what: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// The embedded object could not be parsed.
    #[error("failed to read the embedded kernel object")]
    Parse(#[from] aya_obj::ParseError),
    /// The embedded object could not be relocated.
    #[error("failed to relocate the embedded kernel object")]
    Relocate(#[from] aya_obj::relocation::EbpfRelocationError),
    /// The verifier refused a program.
    #[error("the kernel refused the program `{program}`{}{log}", if .log.is_empty() { "" } else { ":\n" })]
    Verifier {
        /// Its name.
        program: &'static str,
        /// The last lines of the verifier's log.
        log: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A program could not be attached to its tracepoint.
    #[error("failed to attach `{program}` to its tracepoint")]
    Tracepoint {
        /// The program's name.
        program: &'static str,
        /// Why.
        #[source]
        source: Box<aya::programs::ProgramError>,
    },
    /// A map could not be read.
    #[error("failed to read the kernel's `{map}`")]
    ReadMap {
        /// The map's name.
        map: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A map could not be mapped into memory.
    #[error("failed to map the kernel's `{map}` ({bytes} bytes)")]
    Map {
        /// The map's name.
        map: &'static str,
        /// Its size.
        bytes: usize,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A link could not be made.
    #[error("failed to attach {probes} probes to `{}`", .path.display())]
    Attach {
        /// The file.
        path: PathBuf,
        /// How many probes.
        probes: usize,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Something under `/proc` or `/sys` could not be read.
    #[error("failed to read `{}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel has no type information.
    #[error(
        "this kernel offers no BTF at `/sys/kernel/btf/vmlinux`: it must be built with CONFIG_DEBUG_INFO_BTF"
    )]
    NoBtf(#[source] io::Error),
    /// The memory counters of processes are not where any kernel that we know has them.
    #[error(
        "this kernel counts the memory of processes in a way that is not known: leave `--monitor` out to record calls without it"
    )]
    UnknownMemoryCounters,
    /// Changes of resident memory cannot be followed.
    #[error("changes of resident memory cannot be followed: {why}; leave `--rss` out to follow allocations")]
    NoGrowth {
        /// Why not.
        why: &'static str,
    },
    /// The kernel's type information is malformed.
    #[error("failed to parse the kernel's BTF at byte {offset}")]
    MalformedBtf {
        /// Where.
        offset: usize,
    },
}
