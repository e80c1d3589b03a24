//! Where a probe was hit: on which stack, and how deep.
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_probe_read_user;
use profiler_common::cookie::{CallStack, Cookie};
use profiler_common::loss::LossReason;

use super::registers::Registers;
use crate::maps::{self, GoroutineId};
use crate::stack::{GOROUTINE_STACK, Stack};

/// Where the end of a goroutine's stack is written in Go's description of it: the second word, in all versions.
const STACK_END: u64 = 8;

/// The stack of a call, and the call's identity on it.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// On a thread's stack, where the return address lies. On a goroutine's, which moves as a whole when it grows: how
    /// far that is from the stack's end, counted down from the limit, so that deeper calls have smaller numbers, too.
    pub(crate) sp: u64,
    stack: Owner,
}

#[derive(Clone, Copy)]
enum Owner {
    Thread,
    Goroutine(u64),
    Unknown,
}

impl Place {
    #[inline(always)]
    pub(crate) fn of_thread(sp: u64) -> Self {
        Self {
            sp,
            stack: Owner::Thread,
        }
    }

    /// At an entry or an exit.
    #[inline(always)]
    pub(crate) fn at_site(cookie: Cookie, registers: Registers) -> Self {
        match cookie.stack {
            CallStack::Thread => Self::of_thread(registers.frame_at_site()),
            CallStack::Goroutine => Self::of_goroutine(registers),
        }
    }

    #[inline(always)]
    fn of_goroutine(registers: Registers) -> Self {
        let goroutine = registers.goroutine();
        let mut end = 0_u64;
        // SAFETY: the helper checks the address.
        let failed = unsafe {
            bpf_probe_read_user(
                (&raw mut end).cast(),
                8,
                goroutine.wrapping_add(STACK_END) as *const _,
            )
        };
        let used = end.wrapping_sub(registers.frame_at_site());
        if failed != 0 || used >= GOROUTINE_STACK {
            return Self {
                sp: 0,
                stack: Owner::Unknown,
            };
        }
        Self {
            sp: GOROUTINE_STACK - used,
            stack: Owner::Goroutine(goroutine),
        }
    }

    /// The open calls, if there were any.
    #[inline(always)]
    pub(crate) fn stack(self) -> Option<Stack> {
        match self.stack {
            Owner::Thread => Stack::current(),
            Owner::Goroutine(address) => maps::goroutine(&id(address)).map(Stack::of_goroutine),
            Owner::Unknown => None,
        }
    }

    /// The open calls; an empty stack where there was none.
    #[inline(always)]
    pub(crate) fn stack_or_new(self) -> Option<Stack> {
        // A thread that runs goroutines is told of, and followed when it forks, like any other.
        let thread = Stack::current_or_new();
        match self.stack {
            Owner::Thread => thread,
            Owner::Goroutine(address) => {
                let id = id(address);
                let state = maps::goroutine(&id).or_else(|| maps::create_goroutine(&id));
                if state.is_none() {
                    maps::lose(LossReason::NoThreadState);
                }
                state.map(Stack::of_goroutine)
            }
            Owner::Unknown => {
                maps::lose(LossReason::UnknownGoroutine);
                None
            }
        }
    }

    /// The outermost open call was closed.
    #[inline(always)]
    pub(crate) fn left(self) {
        if let Owner::Goroutine(address) = self.stack {
            maps::forget_goroutine_if_crowded(&id(address));
        }
    }
}

#[inline(always)]
fn id(address: u64) -> GoroutineId {
    GoroutineId {
        address,
        process: bpf_get_current_pid_tgid() >> 32,
    }
}
