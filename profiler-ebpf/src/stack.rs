//! The shadow stack of a thread: which probed calls are open.
//!
//! A frame's identity is its stack pointer at the entry, where the return address lies. The stack grows downwards, so a
//! frame below the current stack pointer was left without a return (`longjmp`, an exception, a return that the kernel
//! gave up): it is taken off and counted. Frames are always in the order of their entries.
use core::arch::asm;
use core::ffi::c_void;
use core::ptr::NonNull;

use aya_ebpf::helpers::generated::{
    bpf_get_current_task, bpf_loop, bpf_probe_read_kernel, bpf_probe_read_user,
};
use profiler_common::config::{MAX_DEPTH, STACK_SPAN};
use profiler_common::event::{JUMPED_TO, ProcessEventKind};
use profiler_common::loss::LossReason;

use crate::{emit, maps, rows, stats};

const _: () = assert!(
    MAX_DEPTH.is_power_of_two() && MAX_DEPTH == 512,
    "`slot` masks with a literal"
);

/// The frame's return comes through a return probe.
pub(crate) const RETURN_PROBE: u32 = 1 << 0;
/// The frame opened a focus window.
pub(crate) const FOCUS: u32 = 1 << 1;

/// More than the largest stack of a goroutine, bytes.
pub(crate) const GOROUTINE_STACK: u64 = 1 << 40;

/// An open call.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    /// Where its return address lies.
    pub(crate) sp: u64,
    pub(crate) start_ns: u64,
    /// Time spent in the probed functions that it called, ns.
    pub(crate) child_ns: u64,
    pub(crate) function: u32,
    /// [`RETURN_PROBE`], [`FOCUS`].
    pub(crate) flags: u32,
}

/// What the profiler knows of a thread. Zeroed by the kernel when made.
#[repr(C)]
pub(crate) struct ThreadState {
    len: u32,
    /// Open focus windows.
    focus: u32,
    /// Calls open beyond a full stack, which have no frames.
    beyond: u32,
    /// The row of counters that its hits count in, where there are rows for processes or threads.
    row: u32,
    frames: [Frame; MAX_DEPTH as usize],
}

/// A stack of open calls, of the current thread or of the goroutine that it runs. One thread runs one probe at a time,
/// so nothing here needs to be atomic.
#[derive(Clone, Copy)]
pub(crate) struct Stack {
    state: NonNull<ThreadState>,
    /// How far the stack pointer may move up at once on this stack: farther away is another one.
    span: u64,
}

/// Takes the low bits of an index where the compiler cannot see it: it would drop a mask that it can prove, and the
/// verifier, which cannot prove it, would refuse the program.
#[inline(always)]
fn slot(index: u32) -> usize {
    let mut slot = u64::from(index);
    // SAFETY: one instruction on one register.
    unsafe { asm!("{0} &= 511", inout(reg) slot, options(pure, nomem, nostack)) };
    slot as usize
}

impl Stack {
    /// The current thread's stack, if it has one.
    #[inline(always)]
    pub(crate) fn current() -> Option<Self> {
        maps::thread().map(Self::of_thread)
    }

    /// The current thread's stack, made where there is none.
    #[inline(always)]
    pub(crate) fn current_or_new() -> Option<Self> {
        if let Some(state) = maps::thread() {
            return Some(Self::of_thread(state));
        }
        let Some(state) = maps::create_thread() else {
            maps::lose(LossReason::NoThreadState);
            return None;
        };
        let stack = Self::of_thread(state);
        if maps::grouping() != 0 {
            stack.set_row(rows::of_new_thread());
        }
        emit::process(ProcessEventKind::ThreadSeen, 0);
        Some(stack)
    }

    /// The row of counters that the thread's hits count in.
    #[inline(always)]
    pub(crate) fn row(self) -> u32 {
        // SAFETY: as in `len`.
        unsafe { (*self.state.as_ptr()).row }
    }

    /// Gives the thread another row.
    #[inline(always)]
    pub(crate) fn change_row(self) {
        self.set_row(rows::after_exec());
    }

    #[inline(always)]
    fn set_row(self, row: u32) {
        // SAFETY: as in `len`.
        unsafe { (*self.state.as_ptr()).row = row }
    }

    #[inline(always)]
    fn of_thread(state: NonNull<ThreadState>) -> Self {
        Self {
            state,
            span: STACK_SPAN,
        }
    }

    /// That of a goroutine, which has one stack only.
    #[inline(always)]
    pub(crate) fn of_goroutine(state: NonNull<ThreadState>) -> Self {
        Self {
            state,
            span: GOROUTINE_STACK,
        }
    }

    /// Open calls.
    #[inline(always)]
    pub(crate) fn len(self) -> u32 {
        // SAFETY: the state lives as long as the thread, which is running this.
        unsafe { (*self.state.as_ptr()).len }
    }

    #[inline(always)]
    fn set_len(self, len: u32) {
        // SAFETY: as in `len`.
        unsafe { (*self.state.as_ptr()).len = len }
    }

    /// Open focus windows.
    #[inline(always)]
    pub(crate) fn focus(self) -> u32 {
        // SAFETY: as in `len`.
        unsafe { (*self.state.as_ptr()).focus }
    }

    #[inline(always)]
    fn set_focus(self, focus: u32) {
        // SAFETY: as in `len`.
        unsafe { (*self.state.as_ptr()).focus = focus }
    }

    #[inline(always)]
    fn beyond(self) -> u32 {
        // SAFETY: as in `len`.
        unsafe { (*self.state.as_ptr()).beyond }
    }

    #[inline(always)]
    fn set_beyond(self, beyond: u32) {
        // SAFETY: as in `len`.
        unsafe { (*self.state.as_ptr()).beyond = beyond }
    }

    /// Whether a return without a frame is that of a call beyond the full stack.
    #[inline(always)]
    pub(crate) fn closes_beyond(self) -> bool {
        let beyond = self.beyond();
        if beyond == 0 {
            return false;
        }
        self.set_beyond(beyond - 1);
        true
    }

    #[inline(always)]
    fn frame(self, index: u32) -> *mut Frame {
        // SAFETY: the slot is within the array.
        unsafe {
            (&raw mut (*self.state.as_ptr()).frames)
                .cast::<Frame>()
                .add(slot(index))
        }
    }

    /// Opens a call. `false`: the stack is full.
    #[inline(always)]
    pub(crate) fn push(self, frame: Frame) -> bool {
        let len = self.len();
        if len >= MAX_DEPTH {
            self.set_beyond(self.beyond() + 1);
            return false;
        }
        // SAFETY: the frame is within the array.
        unsafe { *self.frame(len) = frame };
        if frame.flags & FOCUS != 0 {
            self.set_focus(self.focus() + 1);
        }
        self.set_len(len + 1);
        true
    }

    /// The innermost open call.
    #[inline(always)]
    fn top(self) -> Option<Frame> {
        let len = self.len();
        // SAFETY: the frame is within the array.
        (len != 0).then(|| unsafe { *self.frame(len.wrapping_sub(1)) })
    }

    /// The function of the innermost call that is still open, now that the thread stands at `sp`.
    #[inline(always)]
    pub(crate) fn innermost(self, sp: u64) -> Option<u32> {
        let mut index = self.len();
        for _ in 0..FEW_STEPS {
            if index == 0 {
                return None;
            }
            index = index.wrapping_sub(1);
            // SAFETY: the frame is within the array.
            let frame = unsafe { *self.frame(index) };
            let below = sp.wrapping_sub(frame.sp);
            // Left without a return, where it lies below on the same stack.
            if below == 0 || below >= self.span {
                return Some(frame.function);
            }
        }
        None
    }

    /// Takes the innermost call off.
    #[inline(always)]
    fn pop(self, frame: Frame) {
        if frame.flags & FOCUS != 0 {
            self.set_focus(self.focus().saturating_sub(1));
        }
        self.set_len(self.len().wrapping_sub(1));
    }

    /// Closes the call of `function` whose return address lay at `sp`: its frame, and how many calls enclose it.
    /// Calls above it were left without a return.
    #[inline(always)]
    pub(crate) fn close(self, sp: u64, function: u32) -> Option<(Frame, u32)> {
        let mut top = self.top()?;
        if top.sp != sp || top.function != function {
            unwind(self, sp, self.span, function);
            top = self.top()?;
            if top.sp != sp || top.function != function {
                return None;
            }
        }
        self.pop(top);
        // What was open beyond it has been left.
        self.set_beyond(0);
        Some((top, self.len()))
    }

    /// Adds to the child time of the innermost call.
    #[inline(always)]
    pub(crate) fn charge_parent(self, duration_ns: u64) {
        let len = self.len();
        if len != 0 {
            // SAFETY: the frame is within the array.
            unsafe { (*self.frame(len.wrapping_sub(1))).child_ns += duration_ns };
        }
    }

    /// Takes off what was left without a return before an entry whose return address lies at `sp`.
    #[inline(always)]
    pub(crate) fn heal_before_entry(self, sp: u64) {
        let Some(top) = self.top() else { return };
        // The usual case: the caller's frame lies above.
        if top.sp > sp {
            return;
        }
        // Equal, under a return probe: a tail call keeps the caller open; anything else replaced it.
        if top.sp == sp && top.flags & RETURN_PROBE != 0 && is_tail_call(sp) {
            return;
        }
        unwind(self, sp, self.span, NO_FUNCTION);
    }
}

/// Steps of an unwinding at one hit where the kernel has no `bpf_loop`.
const FEW_STEPS: u32 = 16;
/// No function's number.
const NO_FUNCTION: u32 = u32::MAX;

/// What a step of [`unwind`] looks at.
#[repr(C)]
struct Unwinding {
    stack: Stack,
    sp: u64,
    span: u64,
    function: u32,
    reserved: u32,
}

/// Takes off every call that was left without a return, now that the thread stands at `sp`, down to the frame of
/// `function` there. A frame more than `span` below belongs to another stack.
///
/// With `bpf_loop` (kernel 5.17+) the verifier looks at one step. It follows every turn of an ordinary loop instead, in
/// quadratic time: 512 turns took it a second. Older kernels therefore take few steps at a hit, and the rest at the next.
#[inline(never)]
fn unwind(stack: Stack, sp: u64, span: u64, function: u32) {
    let mut unwinding = Unwinding {
        stack,
        sp,
        span,
        function,
        reserved: 0,
    };
    if maps::has_loop() != 0 {
        let step: unsafe extern "C" fn(u64, *mut Unwinding) -> u64 = unwind_step;
        // SAFETY: the callback has the signature that the helper calls, and its context outlives the call.
        unsafe { bpf_loop(MAX_DEPTH, step as *mut c_void, (&raw mut unwinding).cast(), 0) };
        return;
    }
    for _ in 0..FEW_STEPS {
        if unwinding.step() {
            return;
        }
    }
}

/// One turn of `bpf_loop`: 1 ends it.
unsafe extern "C" fn unwind_step(_turn: u64, unwinding: *mut Unwinding) -> u64 {
    // SAFETY: the helper passes the context that `unwind` gave it.
    unsafe { &mut *unwinding }.step().into()
}

impl Unwinding {
    /// Takes one call off; `true`: there is nothing more to take.
    #[inline(always)]
    fn step(&mut self) -> bool {
        let Some(top) = self.stack.top() else { return true };
        let below = self.sp.wrapping_sub(top.sp);
        if below >= self.span || (below == 0 && top.function == self.function) {
            return true;
        }
        stats::abandoned(top.function);
        self.stack.pop(top);
        false
    }
}

/// The thread ends, or its program is replaced: no open call will return.
#[inline(always)]
pub(crate) fn abandon_all(stack: Stack) {
    unwind(stack, 0, u64::MAX, NO_FUNCTION);
}

/// Whether the return address at `sp` is the kernel's trampoline: then the function was jumped to by one that has a
/// return probe at the same place. The kernel decides in the same way (`prepare_uretprobe`, kernel/events/uprobes.c).
#[inline(always)]
pub(crate) fn is_tail_call(sp: u64) -> bool {
    let Some(trampoline) = trampoline() else {
        return true;
    };
    let mut address = 0_u64;
    // SAFETY: the helper checks the address.
    let failed = unsafe { bpf_probe_read_user((&raw mut address).cast(), 8, sp as *const _) };
    failed == 0 && address == trampoline
}

/// The return address of a call, for events: the kernel's trampoline says nothing.
#[inline(always)]
pub(crate) fn told_caller(return_address: u64) -> u64 {
    if trampoline() == Some(return_address) {
        JUMPED_TO
    } else {
        return_address
    }
}

/// Where the kernel's trampoline lies in this process: `current->mm->uprobes_state.xol_area->vaddr`.
/// `None`: unknown, the offsets were not found in the kernel's BTF.
#[inline(never)]
fn trampoline() -> Option<u64> {
    let config = maps::config();
    if config.task_mm == 0 || config.mm_xol_area == 0 || config.xol_area_vaddr == 0 {
        return None;
    }
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    let mm = read_kernel(task + u64::from(config.task_mm))?;
    let area = read_kernel(mm + u64::from(config.mm_xol_area))?;
    read_kernel(area + u64::from(config.xol_area_vaddr))
}

#[inline(always)]
fn read_kernel(address: u64) -> Option<u64> {
    let mut value = 0_u64;
    // SAFETY: the helper checks the address.
    let failed = unsafe { bpf_probe_read_kernel((&raw mut value).cast(), 8, address as *const _) };
    (failed == 0).then_some(value)
}
