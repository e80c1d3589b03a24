//! Why something could not be kept. Each reason is a slot of a per-CPU array of `u64`.

macro_rules! loss_reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $index:literal, $key:literal, $text:literal;)+) => {
        /// A reason for loss.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum LossReason {
            $($(#[doc = $doc])+ $name = $index,)+
        }

        impl LossReason {
            /// Every reason, in the order of the kernel's slots.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// A stable identifier for machine-readable output.
            pub const fn key(self) -> &'static str {
                match self { $(Self::$name => $key,)+ }
            }

            /// What a user reads.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

loss_reasons! {
    /// The ring had no room: the event was dropped, the counters are right.
    RingFull = 0, "ring_full", "events dropped because the ring was full";
    /// More than [`crate::config::MAX_DEPTH`] nested calls on one thread: counted, not timed.
    StackTooDeep = 1, "stack_too_deep", "calls not timed because the shadow stack was full";
    /// There was no room for the shadow stack of the thread or goroutine: counted, not timed.
    NoThreadState = 2, "no_thread_state", "calls not timed because there was no room for the stack of their thread or goroutine";
    /// A return came for which no entry had been seen: the call began before the attach.
    ReturnWithoutEntry = 3, "return_without_entry", "returns of calls that were not seen to begin";
    /// An entered call whose return never came: `longjmp`, an exception, the end of its thread, or more than
    /// 64 nested return probes.
    EntryWithoutReturn = 4, "entry_without_return", "calls whose return was not seen (longjmp, exception, thread exit, more than 64 nested return probes)";
    /// A message about a thread or process did not fit its ring.
    ProcessRingFull = 5, "process_ring_full", "messages about threads and processes dropped because their ring was full";
    /// The probe's function number was out of range: never expected.
    BadCookie = 6, "bad_cookie", "probe hits with an unknown function number";
    /// A forked child found no room among the targets: its calls are not seen.
    TargetsFull = 7, "targets_full", "forked processes not followed because too many are followed already";
    /// A process ran another program or loaded a library, and had not been examined yet: counted, not timed.
    Held = 8, "held", "calls not timed while a new program or library was examined";
    /// A Go function was entered, and the thread's registers named no goroutine: counted, not timed.
    UnknownGoroutine = 9, "unknown_goroutine", "calls not timed because their goroutine could not be read";
    /// An allocation found no room among the live ones: it is counted, its end will not be seen.
    LiveFull = 10, "live_full", "allocations whose end cannot be seen because there was no room to remember them";
    /// A call site found no room: what it allocates is counted with the others.
    SitesFull = 11, "sites_full", "allocations counted without their call site because there was no room for more sites";
    /// The address that an allocation function had written could not be read: the allocation is not counted.
    PointerUnreadable = 12, "pointer_unreadable", "allocations not counted because the address that was written could not be read";
    /// The stack could not be kept: the caller alone is known.
    StackLost = 13, "stack_lost", "allocations or changes of memory counted by their caller or place alone because their stack could not be kept";
    /// A process found no room: what it does with memory is not counted.
    ProcessesFull = 14, "processes_full", "allocations or changes of memory not counted because too many processes are told apart already";
    /// The first change of a process that ran already: how much it changed cannot be told.
    FirstChange = 15, "first_change", "first changes of processes' memory, whose size cannot be told";
    /// A place found no room: what it does is counted with the others.
    PlacesFull = 16, "places_full", "changes of memory counted without their place because there was no room for more places";
}

/// How many reasons there are.
pub const LOSS_REASONS: u32 = LossReason::ALL.len() as u32;

const _: () = {
    let mut index = 0;
    while index < LossReason::ALL.len() {
        assert!(
            LossReason::ALL[index] as usize == index,
            "slots are numbered without gaps"
        );
        index += 1;
    }
};
