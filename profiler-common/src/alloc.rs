//! Allocations: how a function allocates or frees, and what the kernel side keeps of it.
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What memory is told apart by: numbers of different families are never added up, since one lies within the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Family {
    /// `malloc` and its like, C++'s `new`, Rust's allocator.
    #[default]
    Heap = 0,
    /// Mappings: `mmap`, `sbrk`.
    Mapping = 1,
    /// `CPython`'s allocators.
    Python = 2,
    /// `GLib`'s slices.
    Glib = 3,
    /// CUDA.
    Cuda = 4,
    /// Allocators that the user named.
    User = 5,
}

/// How many families there are.
pub const FAMILIES: usize = Family::ALL.len();

impl Family {
    /// Every family, by number.
    pub const ALL: [Self; 6] = [
        Self::Heap,
        Self::Mapping,
        Self::Python,
        Self::Glib,
        Self::Cuda,
        Self::User,
    ];

    /// What the user types and reads.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heap => "heap",
            Self::Mapping => "mapping",
            Self::Python => "python",
            Self::Glib => "glib",
            Self::Cuda => "cuda",
            Self::User => "user",
        }
    }

    /// What it has, for help and documentation.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Heap => {
                "the C library's allocator and what stands in for it (jemalloc, tcmalloc, mimalloc, snmalloc, musl), C++'s `new`, Rust's"
            }
            Self::Mapping => {
                "`mmap`, `munmap`, `mremap`, `brk`, `sbrk` of the C library: what the heap itself asks for, and the program"
            }
            Self::Python => {
                "the domains of CPython's allocator, where the file has their symbols; only with `--family python`"
            }
            Self::Glib => "GLib's slices",
            Self::Cuda => "memory of CUDA, by the runtime and by the driver",
            Self::User => "what `--allocator` describes",
        }
    }

    /// The family that is called `name`.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }

    /// The family of this number.
    pub const fn from_bits(bits: u32) -> Self {
        match bits {
            1 => Self::Mapping,
            2 => Self::Python,
            3 => Self::Glib,
            4 => Self::Cuda,
            5 => Self::User,
            _ => Self::Heap,
        }
    }
}

/// What a call does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Action {
    /// Nothing that counts.
    #[default]
    None = 0,
    /// Allocates, and returns the address; null = it failed.
    Allocate = 1,
    /// The same, and calls no other function of its family.
    AllocateAlone = 2,
    /// Allocates, and writes the address where an argument points to; anything but 0 = it failed.
    AllocateOut = 3,
    /// Gives a block another size, and returns its new address; null = it failed, or freed the block where the size is 0.
    Reallocate = 4,
    /// Frees.
    Free = 5,
    /// Maps; −1 = it failed.
    Map = 6,
    /// Unmaps a range.
    Unmap = 7,
    /// Gives a mapping another size, and returns its new address; −1 = it failed.
    Remap = 8,
    /// Moves the end of the heap by a signed number of bytes, and returns the old end; −1 = it failed.
    Break = 9,
    /// Gives a block another size where it is; returns the size that it has now.
    Resize = 10,
    /// Calls another function of its family that allocates, and returns what that returned.
    Forward = 11,
    /// Moves the end of the heap to an address, and returns 0.
    BreakTo = 12,
}

impl Action {
    const fn from_bits(bits: u16) -> Self {
        match bits & 15 {
            1 => Self::Allocate,
            2 => Self::AllocateAlone,
            3 => Self::AllocateOut,
            4 => Self::Reallocate,
            5 => Self::Free,
            6 => Self::Map,
            7 => Self::Unmap,
            8 => Self::Remap,
            9 => Self::Break,
            10 => Self::Resize,
            11 => Self::Forward,
            12 => Self::BreakTo,
            _ => Self::None,
        }
    }

    /// Whether the entry tells all that counts.
    pub const fn needs_no_return(self) -> bool {
        match self {
            Self::None | Self::Free | Self::Forward => true,
            Self::Allocate
            | Self::AllocateAlone
            | Self::AllocateOut
            | Self::Reallocate
            | Self::Map
            | Self::Unmap
            | Self::Remap
            | Self::Break
            | Self::BreakTo
            | Self::Resize => false,
        }
    }
}

/// No argument.
pub const NO_ARGUMENT: u8 = 7;

/// How a function's arguments are read. Arguments are numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// What it does.
    pub action: Action,
    /// What its memory counts as.
    pub family: Family,
    /// The argument with the size, bytes.
    pub size: u8,
    /// The argument that the size is multiplied by.
    pub count: u8,
    /// The argument with the block's address, or with the place that the address is written to.
    pub pointer: u8,
}

impl Shape {
    /// As bits 16…31 of a function's flags.
    pub const fn to_bits(self) -> u16 {
        self.action as u16
            | (self.size as u16 & 7) << 4
            | (self.count as u16 & 7) << 7
            | (self.pointer as u16 & 7) << 10
            | (self.family as u16 & 7) << 13
    }

    /// What the bits mean; any number is a shape.
    pub const fn from_bits(bits: u16) -> Self {
        Self {
            action: Action::from_bits(bits),
            size: (bits >> 4) as u8 & 7,
            count: (bits >> 7) as u8 & 7,
            pointer: (bits >> 10) as u8 & 7,
            family: Family::from_bits(bits as u32 >> 13),
        }
    }

    /// How many arguments, counted from the first, must be as the caller gave them.
    pub const fn arguments(self) -> u32 {
        let mut most = 0;
        let numbers = [self.size, self.count, self.pointer];
        let mut index = 0;
        while index < numbers.len() {
            if numbers[index] < NO_ARGUMENT && numbers[index] as u32 + 1 > most {
                most = numbers[index] as u32 + 1;
            }
            index += 1;
        }
        most
    }
}

/// Where the shape lies in a function's flags.
pub const SHAPE_SHIFT: u32 = 16;

/// How callers are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum StackChoice {
    /// They are not.
    None = 0,
    /// By the return address.
    #[default]
    Caller = 1,
    /// By the stack, followed by frame pointers.
    FramePointers = 2,
}

/// The settings of the memory programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HeapConfig {
    /// Mean distance of sampled allocations, bytes; 0 = every allocation counts.
    pub sample_bytes: u64,
    /// Call sites that there is room for.
    pub site_count: u32,
    /// [`StackChoice`] as a number.
    pub stack: u32,
    /// 1 = threads are told apart.
    pub by_thread: u32,
    /// 1 = every allocation and free is sent through the ring.
    pub events: u32,
}

/// The unit of counts where allocations are sampled: each stands for a number that is no whole one.
pub const SAMPLED_UNIT: u64 = 1 << 10;

/// Processes that are told apart at most, those that ended counted in.
pub const MAX_PROCESSES: u32 = 16_384;

/// Frames of a stack.
pub const STACK_DEPTH: usize = 64;

/// A block that is alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LiveKey {
    /// Its address.
    pub address: u64,
    /// The number of its process.
    pub process: u32,
    /// [`Family`] as a number.
    pub family: u32,
}

/// What is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LiveBlock {
    /// Bytes that were asked for.
    pub size: u64,
    /// When it was allocated, `CLOCK_MONOTONIC`, ns.
    pub time_ns: u64,
    /// The number of the call site.
    pub site: u32,
    /// The thread; with [`PART`], if this is cut off from another block.
    pub tid: u32,
}

/// A part of a mapping whose beginning has a block of its own: it is no allocation, and its end no free.
pub const PART: u32 = 1 << 31;

/// Processes whose mappings' places are known.
pub const RANGE_PROCESSES: u32 = 1024;

/// What tells call sites apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SiteKey {
    /// The return address of the call; 0 = callers are not told apart.
    pub caller: u64,
    /// The number of the process.
    pub process: u32,
    /// The thread; 0 = threads are not told apart.
    pub tid: u32,
    /// The number of the function that was called.
    pub function: u32,
    /// The number of the stack, negative = none.
    pub stack: i32,
}

/// Buckets of sizes: 0; 1; 2…3; 4…7; …
pub const SIZE_BUCKETS: usize = 40;
/// Buckets of lifetimes: below 1024 ns; below 2048 ns; …
pub const LIFETIME_BUCKETS: usize = 32;

/// The counters of a call site. Counts are in units of 1, or of `1 /` [`SAMPLED_UNIT`] where allocations are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SiteStats {
    /// Whose it is.
    pub key: SiteKey,
    /// Successful allocations.
    pub allocations: u64,
    /// Bytes that they asked for.
    pub bytes: u64,
    /// Of these, freed.
    pub frees: u64,
    /// Bytes that are alive.
    pub live_bytes: u64,
    /// The most that ever were.
    pub peak_bytes: u64,
    /// Alive when all targets together had most, if [`Self::epoch`] is still that of the peak; else what is alive now.
    pub at_peak_bytes: u64,
    /// The same, blocks.
    pub at_peak_count: u64,
    /// The peak that [`Self::at_peak_bytes`] is of.
    pub epoch: u64,
    /// Calls that returned no memory.
    pub failed: u64,
    /// Freed by the same thread before its next allocation.
    pub temporary: u64,
    /// Allocations whose end cannot be seen, since there was no room to remember them.
    pub untracked: u64,
    /// Their bytes.
    pub untracked_bytes: u64,
    /// Allocations that were counted, each as one.
    pub samples: u64,
    /// Gone without being freed: the process ended or executed another program, and the room was needed.
    pub dropped: u64,
    /// Their bytes.
    pub dropped_bytes: u64,
    /// Allocations by size.
    pub sizes: [u64; SIZE_BUCKETS],
    /// Freed ones by how long they lived.
    pub lifetimes: [u64; LIFETIME_BUCKETS],
}

impl SiteStats {
    /// Blocks that are alive.
    pub const fn live_count(&self) -> u64 {
        self.allocations
            .saturating_sub(self.frees)
            .saturating_sub(self.untracked)
            .saturating_sub(self.dropped)
    }
}

/// How many freed addresses are remembered, at most; a power of two.
pub const FREED_SLOTS: usize = 1 << 16;

/// What is known of a family as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(128))]
pub struct FamilyTotals {
    /// Bytes that are alive.
    pub live_bytes: u64,
    /// The most that ever were.
    pub peak_bytes: u64,
    /// How often that was passed.
    pub epoch: u64,
    /// When, `CLOCK_MONOTONIC`, ns.
    pub peak_ns: u64,
    /// Frees of addresses that are not known: allocated before the attach, or freed twice too long ago.
    pub unknown_frees: u64,
    /// Frees in a forked process of what its parent allocated before the fork.
    pub inherited_frees: u64,
    /// Allocations at an address that was alive: its free was missed.
    pub missed_frees: u64,
    /// Ranges that were unmapped and are not known, or in part: of before the attach, or of too many mappings ago.
    pub partial_unmaps: u64,
    /// Frees by the allocator itself of what had been freed already: what lies in its caches when a thread ends.
    pub internal_frees: u64,
    /// Frees of addresses that were allocated where there was no room to remember them cannot be told from
    /// [`Self::unknown_frees`]; this is how many there may be.
    pub untracked: u64,
    /// Frees of addresses that had been freed since the attach, and not allocated since: freed twice.
    pub double_frees: u64,
    /// Zero.
    pub reserved: [u64; 5],
}

/// A process, under a number that it keeps until it executes another program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ProcessInfo {
    /// When it was forked, `CLOCK_MONOTONIC`, ns; 0 = before it was seen.
    pub forked_ns: u64,
    /// When it executed another program, and what it had was gone, `CLOCK_MONOTONIC`, ns; 0 = it has not.
    pub executed_ns: u64,
    /// Its process id, as the host sees it; 0 = the number is nobody's.
    pub tgid: u32,
    /// The number of the process that it was forked from; 0 = none that is known.
    pub parent: u32,
}

/// The bucket of a size.
#[expect(
    clippy::inline_always,
    reason = "a call between BPF functions costs more than the function"
)]
#[inline(always)]
pub const fn size_bucket(size: u64) -> u32 {
    let bits = bit_length(size);
    if bits < SIZE_BUCKETS as u32 {
        bits
    } else {
        SIZE_BUCKETS as u32 - 1
    }
}

/// The bucket of a lifetime, ns.
#[expect(
    clippy::inline_always,
    reason = "a call between BPF functions costs more than the function"
)]
#[inline(always)]
pub const fn lifetime_bucket(nanoseconds: u64) -> u32 {
    let bits = bit_length(nanoseconds >> 10);
    if bits < LIFETIME_BUCKETS as u32 {
        bits
    } else {
        LIFETIME_BUCKETS as u32 - 1
    }
}

/// Bits needed to write a number. eBPF has no instruction to count leading zeros, and its verifier follows every branch:
/// all bits below the highest are set, and then counted.
#[expect(
    clippy::inline_always,
    reason = "a call between BPF functions costs more than the function"
)]
#[inline(always)]
pub const fn bit_length(value: u64) -> u32 {
    let mut bits = value;
    bits |= bits >> 1;
    bits |= bits >> 2;
    bits |= bits >> 4;
    bits |= bits >> 8;
    bits |= bits >> 16;
    bits |= bits >> 32;
    bits -= (bits >> 1) & 0x5555_5555_5555_5555;
    bits = (bits & 0x3333_3333_3333_3333) + ((bits >> 2) & 0x3333_3333_3333_3333);
    bits = (bits + (bits >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    (bits.wrapping_mul(0x0101_0101_0101_0101) >> 56) as u32
}

const _: () = assert!(
    size_of::<LiveKey>() == 16
        && size_of::<LiveBlock>() == 24
        && size_of::<SiteKey>() == 24
        && size_of::<FamilyTotals>() == 128
);

#[cfg(test)]
mod tests {
    use super::{Action, Family, NO_ARGUMENT, Shape, bit_length, lifetime_bucket, size_bucket};

    #[test]
    fn a_shape_survives_the_trip_through_a_functions_flags() {
        let actions = (0..16).map(Action::from_bits);
        for (action, family) in actions.zip(Family::ALL.into_iter().cycle()) {
            for (size, count, pointer) in [(0, 1, 2), (5, 7, 0), (NO_ARGUMENT, NO_ARGUMENT, 6)] {
                let shape = Shape {
                    action,
                    family,
                    size,
                    count,
                    pointer,
                };
                assert_eq!(Shape::from_bits(shape.to_bits()), shape);
            }
        }
    }

    #[test]
    fn a_shape_reads_no_more_arguments_than_it_names() {
        let shape = |size, count, pointer| Shape {
            action: Action::Allocate,
            family: Family::Heap,
            size,
            count,
            pointer,
        };
        assert_eq!(shape(0, NO_ARGUMENT, NO_ARGUMENT).arguments(), 1);
        assert_eq!(shape(1, 2, 0).arguments(), 3);
        assert_eq!(shape(NO_ARGUMENT, NO_ARGUMENT, NO_ARGUMENT).arguments(), 0);
    }

    #[test]
    fn buckets_of_sizes_and_lifetimes_are_powers_of_two() {
        for value in [0, 1, 2, 3, 4, 7, 8, 1 << 31, 1 << 32, u64::MAX >> 1, u64::MAX] {
            assert_eq!(bit_length(value), 64 - value.leading_zeros(), "{value}");
        }
        assert_eq!([0, 1, 3, 4, u64::MAX].map(size_bucket), [0, 1, 2, 3, 39]);
        assert_eq!(
            [0, 1023, 1024, 2048, u64::MAX].map(lifetime_bucket),
            [0, 0, 1, 2, 31]
        );
    }
}
