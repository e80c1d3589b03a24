//! The plan of a session: every function that will be probed, where, and how its returns are seen.
use std::fmt;
use std::path::PathBuf;

use profiler_common::cookie::{CallStack, FunctionId, Leave};

use super::allocators::Allocator;

/// What a hit of a probe costs, told by the probed instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Price {
    /// The kernel emulates the instruction (`nop`, `push reg`, `jmp`, `jcc`, `call rel32`): one trap.
    Emulated,
    /// The kernel executes the instruction out of line and traps a second time: 2–20 times dearer.
    SingleStepped,
}

/// A place that carries a breakpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Offset in the file, bytes: what the kernel is given.
    pub offset: u64,
    /// Bytes from the function's first instruction; 0 = the entry itself.
    pub distance: u32,
    /// What a hit costs.
    pub price: Price,
}

/// A place where a function is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitSite {
    /// Offset in the file, bytes.
    pub offset: u64,
    /// For a conditional jump that leaves the function: the x86 condition code (0…15) under which it is taken.
    pub condition: Option<u8>,
    /// How it leaves the function.
    pub leave: Leave,
    /// What a hit costs.
    pub price: Price,
}

/// How a function's returns are seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returns {
    /// The kernel replaces the return address.
    ReturnProbe(ReturnProbeReason),
    /// Probes on the function's own `ret` instructions and on the jumps that leave it.
    ExitSites(Vec<ExitSite>, ExitSitesReason),
    /// They are not seen: calls are counted, without times.
    EntryOnly(EntryOnlyReason),
}

/// Why a return probe is harmless there (or was asked for).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReturnProbeReason {
    /// Nothing that the process maps can unwind or switch stacks.
    NoMachinery,
    /// The function calls nothing.
    Leaf,
    /// All that the function calls, directly and transitively, is known neither to throw nor to switch stacks.
    HarmlessCallees,
    /// A C library function that takes no callback.
    HarmlessLibrary,
    /// `--returns uretprobe`.
    Forced,
}

/// Why exit sites were chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitSitesReason {
    /// An exception or a panic may pass through the frame.
    Unwinding,
    /// The process switches stacks.
    StackSwitch,
    /// Go moves its stacks.
    Go,
    /// A garbage collector reads return addresses from the stack.
    StackScan,
    /// The kernel has CVE-2025-21834: return probes end what runs under seccomp, or will.
    Seccomp,
    /// The process cancels threads, which unwinds frames that have clean-ups.
    Cancellation,
    /// The function keeps or judges its own return address (`setjmp`, `dlsym`), or returns twice (`vfork`).
    ReturnAddress,
    /// `--returns sites`.
    Forced,
}

/// Why only the entry is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryOnlyReason {
    /// Not every instruction could be decoded.
    Undecodable,
    /// The symbol has no size, and none could be inferred.
    NoSize,
    /// An indirect jump may leave the function unseen.
    IndirectJump,
    /// No instruction leaves the function: it ends the thread, jumps or throws.
    NeverReturns,
    /// Exits are not decoded on this architecture.
    Architecture,
    /// The kernel takes no breakpoint on one of its exits.
    Refused,
    /// Another function is left through one of its exits, too.
    SharedExit,
    /// A Go function that need not say which goroutine runs it: in assembly, or from before Go 1.18.
    Goroutine,
    /// It starts without a return address at the stack pointer (`_start`, lazy binding), or replaces it.
    ForeignStack,
    /// A function in OCaml 5, whose frame may move while it runs.
    MovingStack,
    /// It was inlined, so that it has no return of its own.
    Inlined,
    /// Its entry tells all that matters.
    NotNeeded,
    /// `--returns none`.
    Forced,
}

/// How the returns of functions are chosen (`--returns`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReturnsChoice {
    /// Return probes where they are harmless, exit sites elsewhere, the entry alone where neither is possible.
    #[default]
    Auto,
    /// Return probes everywhere: the user's own risk.
    ReturnProbe,
    /// Exit sites everywhere.
    Sites,
    /// Entries only.
    None,
}

/// Where entries are probed (`--site`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SiteChoice {
    /// Where the plan says: at the cheapest instruction that is as good as the first.
    #[default]
    Planned,
    /// At the first instruction, whatever it costs.
    Entry,
}

/// One function that will be probed.
#[derive(Clone, Debug)]
pub struct PlannedFunction {
    /// Its number in this session, equal to its index in [`Plan::functions`].
    pub id: FunctionId,
    /// Index in [`Plan::objects`].
    pub object: usize,
    /// Demangled name of the preferred symbol, or `object+0x1234`.
    pub name: String,
    /// Demangled names of the other symbols at the same address.
    pub aliases: Vec<String>,
    /// Virtual address of the first instruction in the object.
    pub address: u64,
    /// Where its entry is probed.
    pub entry: Site,
    /// How its returns are seen.
    pub returns: Returns,
    /// Where its calls are kept.
    pub stack: CallStack,
    /// It matches `--focus`.
    pub focus: bool,
    /// The user named it without a wildcard: the governor takes it last.
    pub named: bool,
    /// It allocates or frees, and is probed for that.
    pub allocator: Option<Allocator>,
}

/// A file whose functions are probed.
#[derive(Clone, Debug)]
pub struct PlannedObject {
    /// What the kernel is given: a path that names the very file that the process maps.
    pub attach_path: PathBuf,
    /// What the user reads: the path in the target's own view.
    pub path: PathBuf,
    /// The file's name.
    pub name: String,
    /// Files of the same build under the same path, in other containers: their functions are the same. What the kernel is
    /// given of each.
    pub copies: Vec<PathBuf>,
}

/// Where an object of a plan lies: in its own file, or in a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Placement {
    /// Index in [`Plan::objects`].
    pub object: usize,
    /// 0 = its own file; else the number of the copy, from 1 on.
    pub copy: usize,
}

impl PlannedObject {
    /// What the kernel is given of a copy; its own file where there is none of this number.
    pub fn place(&self, copy: usize) -> &PathBuf {
        let copy = copy.checked_sub(1).and_then(|index| self.copies.get(index));
        copy.unwrap_or(&self.attach_path)
    }
}

/// Why a function that was asked for will not be probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeftOutReason {
    /// Its symbol is an IFUNC resolver: the name stands for another function.
    Ifunc,
    /// It is a fragment of another function (`.cold`, `.part` without an entry of its own).
    Fragment,
    /// Its first instruction could not be decoded.
    Undecodable,
    /// It lies outside the executable segments.
    NotCode,
    /// `--exclude` names it.
    Excluded,
    /// It was inlined, and a loop of its own begins with its first instruction.
    Loop,
    /// The kernel refuses a breakpoint on its first instructions, or takes them for others behind one.
    Refused,
    /// It appeared while the session ran, and `--max-map-memory` left no room for its counters.
    NoRoom,
}

/// A function that was asked for and is not probed.
#[derive(Clone, Debug)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// The object's file name.
    pub object: String,
    /// Why.
    pub reason: LeftOutReason,
}

/// What a session probes.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The functions, by number.
    pub functions: Vec<PlannedFunction>,
    /// The files.
    pub objects: Vec<PlannedObject>,
    /// What was asked for and left out.
    pub left_out: Vec<LeftOut>,
    /// What else the user must know.
    pub notes: Vec<String>,
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Emulated => "cheap",
            Self::SingleStepped => "single-stepped",
        })
    }
}
