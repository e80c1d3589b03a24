//! Entries, returns and exits of functions that allocate and free.
use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::BPF_F_USER_STACK;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::{bpf_get_attach_cookie, bpf_get_func_ip, bpf_get_stackid};
use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use profiler_common::alloc::{
    Action, Family, LiveBlock, LiveKey, NO_ARGUMENT, SHAPE_SHIFT, Shape, StackChoice, bit_length,
};
use profiler_common::config::STACK_SPAN;
use profiler_common::cookie::{Cookie, Leave, Role};
use profiler_common::loss::LossReason;
use profiler_common::stats::function_flags::HARMLESS;

use super::alloc_end::{conclude, give_back, resizes};
use super::registers::Registers;
use crate::heap::live;
use crate::heap::maps::{self as heap_maps, STACKS};
use crate::heap::process;
use crate::heap::thread::{
    self, FIXED, Forwarded, Freed, HAS_OLD, HeapThread, PASSED_OVER, Pending, RETURN_PROBE,
};
use crate::{filter, maps, memory, stack};

const NO_BLOCK: LiveBlock = LiveBlock {
    size: 0,
    time_ns: 0,
    site: 0,
    tid: 0,
};

/// What a session program answers at an entry.
const FOLLOW: u32 = 0;
const IGNORE: u32 = 1;

/// Entry and return in one program.
#[unsafe(no_mangle)]
#[unsafe(link_section = "uprobe")]
extern "C" fn alloc_session(ctx: *mut c_void) -> u32 {
    let ctx = ProbeContext::new(ctx);
    let registers = Registers::of(&ctx);
    // SAFETY: the context is the one that the kernel passed.
    let site = unsafe { bpf_get_func_ip(ctx.as_ptr()) };
    if registers.ip() == site {
        return enter(&ctx, registers);
    }
    leave(
        cookie(ctx.as_ptr()),
        registers.frame_after_return(),
        registers.result(),
    );
    0
}

/// Entry alone.
#[uprobe]
fn alloc_entry(ctx: ProbeContext) -> u32 {
    enter(&ctx, Registers::of(&ctx));
    0
}

/// Entry of a function whose return does not matter.
#[uprobe]
fn alloc_free(ctx: ProbeContext) -> u32 {
    let cookie = cookie(ctx.as_ptr());
    let registers = Registers::of(&ctx);
    let Some((shape, _)) = wanted(cookie) else {
        return 0;
    };
    let Some(thread) = current() else { return 0 };
    let sp = registers.frame_at_site();
    if is_within(thread, shape.family, sp) {
        return 0;
    }
    match shape.action {
        Action::Free => free(thread, cookie, shape, registers),
        Action::Forward => forward(&ctx, thread, (cookie, shape), registers),
        Action::None
        | Action::Allocate
        | Action::AllocateAlone
        | Action::AllocateOut
        | Action::Reallocate
        | Action::Map
        | Action::Unmap
        | Action::Remap
        | Action::Break
        | Action::BreakTo
        | Action::Resize => {}
    }
    0
}

/// Return through a return probe.
#[uretprobe]
fn alloc_return(ctx: RetProbeContext) -> u32 {
    let ctx = ProbeContext::new(ctx.as_ptr());
    let registers = Registers::of(&ctx);
    leave(
        cookie(ctx.as_ptr()),
        registers.frame_after_return(),
        registers.result(),
    );
    0
}

/// A `ret`, or a jump that leaves the function.
#[uprobe]
fn alloc_exit(ctx: ProbeContext) -> u32 {
    let cookie = cookie(ctx.as_ptr());
    let registers = Registers::of(&ctx);
    if cookie
        .condition
        .is_none_or(|code| registers.condition_holds(code))
    {
        let result = if cookie.leave == Leave::FirstArgument {
            registers.argument(0)
        } else {
            registers.result()
        };
        leave(cookie, registers.frame_at_site(), result);
    }
    0
}

#[inline(always)]
fn cookie(ctx: *mut c_void) -> Cookie {
    // SAFETY: the context is the one that the kernel passed.
    Cookie::from_bits(unsafe { bpf_get_attach_cookie(ctx) })
}

/// The shape of the cookie's function, and its flags, if the hit counts.
#[inline(always)]
fn wanted(cookie: Cookie) -> Option<(Shape, u32)> {
    let flags = filter::wanted(cookie)?;
    Some((Shape::from_bits((flags >> SHAPE_SHIFT) as u16), flags))
}

#[inline(always)]
fn current() -> Option<&'static mut HeapThread> {
    let thread = thread::current_or_new();
    if thread.is_none() {
        maps::lose(LossReason::NoThreadState);
    }
    thread
}

/// Whether a call at `sp` is made by a call of its family that has not returned. One that never will is forgotten.
#[inline(always)]
fn is_within(thread: &mut HeapThread, family: Family, sp: u64) -> bool {
    let pending = thread.pending(family);
    if pending.sp == 0 {
        return false;
    }
    let below = pending.sp.wrapping_sub(sp);
    if below < STACK_SPAN && (below != 0 || (pending.flags & RETURN_PROBE != 0 && stack::is_tail_call(sp))) {
        return true;
    }
    give_up(pending, family);
    false
}

/// A call was left without a return: `longjmp`, an exception.
#[inline(always)]
fn give_up(pending: &mut Pending, family: Family) {
    maps::lose(LossReason::EntryWithoutReturn);
    if pending.flags & HAS_OLD != 0 {
        let old = pending.old;
        let key = LiveKey {
            address: pending.pointer,
            process: pending.reserved,
            family: family as u32,
        };
        live::put_back(&key, &old);
    }
    pending.sp = 0;
}

/// Who calls.
#[inline(always)]
fn caller(thread: &mut HeapThread, registers: Registers, sp: u64) -> u64 {
    if heap_maps::stack() == StackChoice::None as u32 && heap_maps::events() == 0 {
        return 0;
    }
    match thread.caller_at(sp) {
        Some(caller) => caller,
        None if maps::callers() != 0 => stack::told_caller(registers.return_address()),
        None => registers.return_address(),
    }
}

#[inline(always)]
fn stack_of(ctx: &ProbeContext) -> i32 {
    if heap_maps::stack() != StackChoice::FramePointers as u32 {
        return -1;
    }
    // SAFETY: the context is the kernel's, and the map one of stacks.
    let id = unsafe {
        bpf_get_stackid(
            ctx.as_ptr(),
            core::ptr::from_ref(&STACKS).cast_mut().cast(),
            BPF_F_USER_STACK.into(),
        )
    };
    if id < 0 {
        maps::lose(LossReason::StackLost);
        return -1;
    }
    id as i32
}

/// The size that was asked for. One that overflows is never granted.
#[inline(always)]
fn size(shape: Shape, registers: Registers) -> u64 {
    let size = registers.argument(shape.size);
    if shape.count >= NO_ARGUMENT {
        return size;
    }
    let count = registers.argument(shape.count);
    if bit_length(size) + bit_length(count) > 64 {
        return u64::MAX;
    }
    size.wrapping_mul(count)
}

#[inline(always)]
fn forward(
    ctx: &ProbeContext,
    thread: &mut HeapThread,
    (cookie, shape): (Cookie, Shape),
    registers: Registers,
) {
    let sp = registers.frame_at_site();
    let size = size(shape, registers);
    // `new[]` calls `new`: the first of them was asked.
    if thread.forwarded.is_for(sp, size) {
        return;
    }
    thread.forwarded = Forwarded {
        sp,
        caller: caller(thread, registers, sp),
        size,
        function: cookie.function.0,
        stack: stack_of(ctx),
    };
}

#[inline(always)]
fn free(thread: &mut HeapThread, cookie: Cookie, shape: Shape, registers: Registers) {
    let address = registers.argument(shape.pointer);
    if address == 0 {
        return;
    }
    let process = process::number(thread);
    if process == 0 {
        return;
    }
    let sp = registers.frame_at_site();
    let key = LiveKey {
        address,
        process,
        family: shape.family as u32,
    };
    let call = Freed {
        address,
        sp,
        function: cookie.function.0,
        family: key.family,
    };
    live::free(thread, &key, &call, registers);
}

#[inline(always)]
fn enter(ctx: &ProbeContext, registers: Registers) -> u32 {
    let cookie = cookie(ctx.as_ptr());
    let Some((shape, flags)) = wanted(cookie) else {
        return IGNORE;
    };
    let has_return_probe = cookie.role == Role::EntryWithReturnProbe;
    if has_return_probe && flags & HARMLESS == 0 && !filter::arms_return_probes() {
        maps::lose(LossReason::Held);
        return IGNORE;
    }
    let Some(thread) = current() else { return IGNORE };
    let sp = registers.frame_at_site();
    if is_within(thread, shape.family, sp) {
        return IGNORE;
    }
    let process = process::number(thread);
    if process == 0 {
        return IGNORE;
    }
    let Some((bytes, pointer)) = asked(shape, registers) else {
        return IGNORE;
    };
    let forwarded = thread.forwarded;
    thread.forwarded.sp = 0;
    let unmaps = shape.action == Action::Unmap;
    let is_sampled = unmaps || thread.is_sampled(bytes);
    if !is_sampled {
        thread.last_address = 0;
        if shape.action == Action::AllocateAlone {
            return IGNORE;
        }
    }
    let old = old_block(shape, process, pointer);
    let is_forwarded = forwarded.is_for(sp, bytes);
    let (caller, function, stack) = if is_forwarded {
        (forwarded.caller, forwarded.function, forwarded.stack)
    } else if is_sampled {
        (caller(thread, registers, sp), cookie.function.0, stack_of(ctx))
    } else {
        // The caller at this place matters to a call of another family that is jumped to.
        (registers.return_address(), cookie.function.0, -1)
    };
    *thread.pending(shape.family) = Pending {
        sp,
        caller,
        // What was asked for, not what it was rounded up to.
        size: if is_forwarded { forwarded.size } else { bytes },
        pointer,
        function,
        flags: if has_return_probe { RETURN_PROBE } else { 0 }
            | if old.is_some() { HAS_OLD } else { 0 }
            | if is_sampled { 0 } else { PASSED_OVER }
            | if is_fixed(shape, registers) { FIXED } else { 0 },
        stack,
        reserved: process,
        old: old.unwrap_or(NO_BLOCK),
        // SAFETY: the helper has no preconditions.
        entered_ns: if unmaps { unsafe { bpf_ktime_get_ns() } } else { 0 },
    };
    FOLLOW
}

/// How many bytes are asked for, and for which block.
#[inline(always)]
fn asked(shape: Shape, registers: Registers) -> Option<(u64, u64)> {
    if shape.action == Action::BreakTo {
        let to = registers.argument(shape.size);
        let end = memory::end_of_heap();
        return (to != 0 && end != 0).then_some((to.wrapping_sub(end), end));
    }
    Some((size(shape, registers), registers.argument(shape.pointer)))
}

/// Whether a mapping takes the place of others (`mmap`'s fourth argument, `include/uapi/linux/mman.h`).
#[inline(always)]
fn is_fixed(shape: Shape, registers: Registers) -> bool {
    /// `MAP_FIXED`.
    const FLAG: u64 = 0x10;
    shape.action == Action::Map && registers.argument(3) & FLAG != 0
}

/// Takes out the block that a call resizes or unmaps.
#[inline(always)]
fn old_block(shape: Shape, process: u32, pointer: u64) -> Option<LiveBlock> {
    if !resizes(shape.action) || pointer == 0 {
        return None;
    }
    live::take(&LiveKey {
        address: pointer,
        process,
        family: shape.family as u32,
    })
}

#[inline(always)]
fn leave(cookie: Cookie, sp: u64, result: u64) {
    let Some(flags) = filter::flags(cookie) else {
        return;
    };
    let shape = Shape::from_bits((flags >> SHAPE_SHIFT) as u16);
    let Some(thread) = thread::current() else { return };
    let pending = *thread.pending(shape.family);
    if pending.sp != sp {
        let is_inner = pending.sp != 0 && sp < pending.sp;
        let is_known = is_inner || cookie.leave != Leave::Return || *thread.returned(shape.family) == sp;
        // Entries of what is passed over leave no trace.
        let is_passed_over = heap_maps::sample_bytes() != 0 && shape.action == Action::AllocateAlone;
        if !is_known && !is_passed_over && filter::is_current(flags, cookie) {
            maps::lose(LossReason::ReturnWithoutEntry);
        }
        return;
    }
    thread.pending(shape.family).sp = 0;
    *thread.returned(shape.family) = sp;
    if cookie.leave == Leave::Jump {
        // Another function of the family returns in its place. It would find the same caller, had not another profiler's
        // return probe replaced the return address meanwhile.
        give_back(&pending, shape.family);
        thread.forwarded = Forwarded {
            sp,
            caller: pending.caller,
            size: pending.size,
            function: pending.function,
            stack: pending.stack,
        };
        return;
    }
    // SAFETY: the helper has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    conclude(thread, &pending, shape, (result, now_ns));
}
