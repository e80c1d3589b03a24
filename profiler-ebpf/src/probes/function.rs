//! Entries, returns and exits of functions.
use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::{bpf_get_attach_cookie, bpf_get_func_ip};
use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use profiler_common::cookie::{Cookie, Role};
use profiler_common::event::FunctionEventKind;
use profiler_common::loss::LossReason;
use profiler_common::stats::function_flags;

use super::place::Place;
use super::registers::Registers;
use crate::stack::{self, Frame, Stack};
use crate::{emit, filter, log, maps, stats};

/// What a session program answers at an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Arm the return probe.
    Follow = 0,
    /// No return probe for this call.
    Ignore = 1,
}

/// Entry and return in one program (kernel 6.13+): at the entry the instruction pointer stands at the probe.
///
/// Written without aya's macro, whose programs always answer 0: here the answer decides whether the kernel replaces the
/// return address.
#[unsafe(no_mangle)]
#[unsafe(link_section = "uprobe")]
extern "C" fn function_session(ctx: *mut c_void) -> u32 {
    let ctx = ProbeContext::new(ctx);
    let registers = Registers::of(&ctx);
    // SAFETY: the context is the one that the kernel passed.
    let site = unsafe { bpf_get_func_ip(ctx.as_ptr()) };
    if registers.ip() == site {
        let cookie = cookie(ctx.as_ptr());
        let place = Place::of_thread(registers.frame_at_site());
        return enter(cookie, place, registers) as u32;
    }
    // Armed at the entry, so that it belongs to a call that counted, whatever became of its link since.
    let cookie = cookie(ctx.as_ptr());
    if let Some(flags) = filter::flags(cookie) {
        let place = Place::of_thread(registers.frame_after_return());
        leave(&ctx, (cookie, flags), place, || registers.ip());
    }
    0
}

/// Entry alone. A program that is not of a session must answer 0: 1 would take the breakpoint away.
#[uprobe]
fn function_entry(ctx: ProbeContext) -> u32 {
    let cookie = cookie(ctx.as_ptr());
    let registers = Registers::of(&ctx);
    let _: Verdict = enter(cookie, Place::at_site(cookie, registers), registers);
    0
}

/// Entry alone, of a function whose calls are only counted, where nothing is recorded and nothing is in focus: the
/// shortest way from the hit to the counter.
#[uprobe]
fn function_count(ctx: ProbeContext) -> u32 {
    let cookie = cookie(ctx.as_ptr());
    if filter::wanted(cookie).is_some()
        && let Some(counters) = maps::stats(cookie.function.0)
    {
        stats::untimed(counters);
    }
    0
}

/// Return through a return probe.
#[uretprobe]
fn function_return(ctx: RetProbeContext) -> u32 {
    let ctx = ProbeContext::new(ctx.as_ptr());
    let registers = Registers::of(&ctx);
    let cookie = cookie(ctx.as_ptr());
    if let Some(flags) = filter::wanted(cookie) {
        let place = Place::of_thread(registers.frame_after_return());
        leave(&ctx, (cookie, flags), place, || registers.ip());
    }
    0
}

/// A `ret`, or a jump that leaves the function.
#[uprobe]
fn function_exit(ctx: ProbeContext) -> u32 {
    let cookie = cookie(ctx.as_ptr());
    let registers = Registers::of(&ctx);
    if let Some(flags) = filter::wanted(cookie)
        && cookie
            .condition
            .is_none_or(|code| registers.condition_holds(code))
    {
        let place = Place::at_site(cookie, registers);
        let caller = || stack::told_caller(registers.return_address());
        leave(&ctx, (cookie, flags), place, caller);
    }
    0
}

#[inline(always)]
fn cookie(ctx: *mut c_void) -> Cookie {
    // SAFETY: the context is the one that the kernel passed.
    Cookie::from_bits(unsafe { bpf_get_attach_cookie(ctx) })
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

#[inline(always)]
fn enter(cookie: Cookie, place: Place, registers: Registers) -> Verdict {
    let Some(flags) = filter::wanted(cookie) else {
        return Verdict::Ignore;
    };
    let opens_focus = flags & function_flags::FOCUS != 0;
    let records = flags & function_flags::EVENTS != 0;
    let held = cookie.role == Role::EntryWithReturnProbe && !filter::arms_return_probes();
    let timed = cookie.role != Role::EntryOnly && !held;
    let needs_focus = maps::focus() != 0 && !opens_focus;
    let stack = if needs_focus {
        place.stack()
    } else if timed || records {
        place.stack_or_new()
    } else {
        None
    };
    if let Some(stack) = stack {
        stack.heal_before_entry(place.sp);
    }
    if needs_focus && stack.is_none_or(|stack| stack.focus() == 0) {
        return Verdict::Ignore;
    }
    let function = cookie.function.0;
    let Some(counters) = maps::stats(function) else {
        return Verdict::Ignore;
    };
    let depth = stack.map_or(0, Stack::len);
    let start_ns = if timed || records { now() } else { 0 };
    let mut pushed = false;
    if timed && let Some(stack) = stack {
        let form = if cookie.role == Role::EntryWithReturnProbe {
            stack::RETURN_PROBE
        } else {
            0
        };
        let focus = if opens_focus { stack::FOCUS } else { 0 };
        pushed = stack.push(Frame {
            sp: place.sp,
            start_ns,
            child_ns: 0,
            function,
            flags: form | focus,
        });
        if !pushed {
            maps::lose(LossReason::StackTooDeep);
        }
    }
    if records {
        let caller = || stack::told_caller(registers.return_address());
        emit::function(FunctionEventKind::Call, (start_ns, 0), (function, depth), caller);
    }
    if pushed {
        stats::timed(counters);
        return Verdict::Follow;
    }
    if held {
        maps::lose(LossReason::Held);
    }
    stats::untimed(counters);
    Verdict::Ignore
}

#[inline(always)]
fn leave(ctx: &ProbeContext, (cookie, flags): (Cookie, u32), place: Place, caller: impl FnOnce() -> u64) {
    let end_ns = now();
    let function = cookie.function.0;
    let stack = place.stack();
    let closed = stack.and_then(|stack| stack.close(place.sp, function).map(|closed| (stack, closed)));
    let Some((stack, (frame, depth))) = closed else {
        let known = maps::focus() != 0 || stack.is_some_and(Stack::closes_beyond);
        if !known && filter::is_current(flags, cookie) {
            maps::lose(LossReason::ReturnWithoutEntry);
            log::return_without_entry(ctx, function, place.sp);
        }
        return;
    };
    let duration_ns = end_ns.saturating_sub(frame.start_ns);
    stack.charge_parent(duration_ns);
    stats::returned(function, duration_ns, frame.child_ns.min(duration_ns));
    if flags & function_flags::EVENTS != 0 {
        let times = (end_ns, duration_ns);
        emit::function(FunctionEventKind::Return, times, (function, depth), caller);
    }
    if depth == 0 {
        place.left();
    }
}
