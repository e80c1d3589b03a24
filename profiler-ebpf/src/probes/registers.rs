//! What the probes read of the interrupted thread's registers.
use core::arch::asm;
use core::mem::offset_of;

use aya_ebpf::bindings::pt_regs;
#[cfg(bpf_target_arch = "x86_64")]
use aya_ebpf::helpers::generated::bpf_probe_read_user;
use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_task_pt_regs};
use aya_ebpf::programs::ProbeContext;

/// Reads one register, at an offset that is written into the instruction: the compiler would compute an address from the
/// number of an argument, which the verifier refuses.
macro_rules! read_register {
    ($registers:expr, $field:ident $(, $more:literal)?) => {{
        let value: u64;
        // SAFETY: the kernel passes valid registers; one load of one of them.
        unsafe {
            asm!(
                "{0} = *(u64 *)({1} + {2})",
                out(reg) value,
                in(reg) $registers.0,
                const offset_of!(pt_regs, $field) $(+ $more)?,
                options(pure, readonly, nostack)
            );
        }
        value
    }};
}

/// The registers at a hit.
#[derive(Clone, Copy)]
pub(crate) struct Registers(*const pt_regs);

impl Registers {
    #[inline(always)]
    pub(crate) fn of(ctx: &ProbeContext) -> Self {
        Self(ctx.regs)
    }
}

/// Where a thread stands in user space, while it is in the kernel.
#[derive(Clone, Copy)]
pub(crate) struct UserPlace {
    /// The instruction.
    pub(crate) ip: u64,
    /// The stack pointer.
    pub(crate) sp: u64,
}

impl UserPlace {
    /// Where the current thread stands (kernel 5.15+).
    #[inline(always)]
    pub(crate) fn current() -> Self {
        // SAFETY: the helpers have no preconditions, and the kernel keeps a thread's registers on its stack.
        let registers = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as *const pt_regs;
        Self::of(Registers(registers))
    }

    #[cfg(bpf_target_arch = "x86_64")]
    #[inline(always)]
    fn of(registers: Registers) -> Self {
        Self {
            ip: read_register!(registers, rip),
            sp: read_register!(registers, rsp),
        }
    }

    #[cfg(bpf_target_arch = "aarch64")]
    #[inline(always)]
    fn of(registers: Registers) -> Self {
        Self {
            ip: read_register!(registers, pc),
            sp: read_register!(registers, sp),
        }
    }
}

#[cfg(bpf_target_arch = "x86_64")]
impl Registers {
    /// Where the instruction pointer stands.
    #[inline(always)]
    pub(crate) fn ip(self) -> u64 {
        // SAFETY: the kernel passes valid registers.
        unsafe { (*self.0).rip }
    }

    /// The stack pointer at an entry or an exit: the address of the return address.
    #[inline(always)]
    pub(crate) fn frame_at_site(self) -> u64 {
        // SAFETY: the kernel passes valid registers.
        unsafe { (*self.0).rsp }
    }

    /// An integer argument, counted from 0, as long as nothing has overwritten it; 0 = there is none of this number.
    #[inline(always)]
    pub(crate) fn argument(self, number: u8) -> u64 {
        match number {
            0 => read_register!(self, rdi),
            1 => read_register!(self, rsi),
            2 => read_register!(self, rdx),
            3 => read_register!(self, rcx),
            4 => read_register!(self, r8),
            5 => read_register!(self, r9),
            _ => 0,
        }
    }

    /// What the function returned.
    #[inline(always)]
    pub(crate) fn result(self) -> u64 {
        // SAFETY: the kernel passes valid registers.
        unsafe { (*self.0).rax }
    }

    /// Where the return address is at an entry: on the stack.
    #[inline(always)]
    pub(crate) fn return_address(self) -> u64 {
        let mut address = 0_u64;
        // SAFETY: the helper checks the address.
        let failed =
            unsafe { bpf_probe_read_user((&raw mut address).cast(), 8, self.frame_at_site() as *const _) };
        if failed == 0 { address } else { 0 }
    }

    /// Where Go's description of the running goroutine lies, at the entry and the exits of compiled Go functions
    /// (`src/cmd/compile/abi-internal.md`).
    #[inline(always)]
    pub(crate) fn goroutine(self) -> u64 {
        // SAFETY: the kernel passes valid registers.
        unsafe { (*self.0).r14 }
    }

    /// The same, after the return: `ret` has taken the return address off.
    #[inline(always)]
    pub(crate) fn frame_after_return(self) -> u64 {
        self.frame_at_site().wrapping_sub(8)
    }

    /// Whether a conditional jump with this condition code (Intel SDM vol. 1, appendix B) would be taken.
    #[inline(always)]
    pub(crate) fn condition_holds(self, code: u8) -> bool {
        // SAFETY: the kernel passes valid registers.
        let flags = unsafe { (*self.0).eflags };
        let (carry, parity, zero) = (flags & 1 != 0, flags & 4 != 0, flags & 0x40 != 0);
        let (sign, overflow) = (flags & 0x80 != 0, flags & 0x800 != 0);
        let holds = match code >> 1 {
            0 => overflow,
            1 => carry,
            2 => zero,
            3 => carry | zero,
            4 => sign,
            5 => parity,
            6 => sign != overflow,
            _ => zero || (sign != overflow),
        };
        holds != (code & 1 != 0)
    }
}

#[cfg(bpf_target_arch = "aarch64")]
impl Registers {
    /// Where the instruction pointer stands.
    #[inline(always)]
    pub(crate) fn ip(self) -> u64 {
        // SAFETY: the kernel passes valid registers.
        unsafe { (*self.0).pc }
    }

    /// The stack pointer at an entry: the return address is in a register and takes no room on the stack.
    #[inline(always)]
    pub(crate) fn frame_at_site(self) -> u64 {
        // SAFETY: the kernel passes valid registers.
        unsafe { (*self.0).sp }
    }

    /// An integer argument, counted from 0; 0 = there is none of this number.
    #[inline(always)]
    pub(crate) fn argument(self, number: u8) -> u64 {
        match number {
            0 => read_register!(self, regs, 0),
            1 => read_register!(self, regs, 8),
            2 => read_register!(self, regs, 16),
            3 => read_register!(self, regs, 24),
            4 => read_register!(self, regs, 32),
            5 => read_register!(self, regs, 40),
            _ => 0,
        }
    }

    /// What the function returned.
    #[inline(always)]
    pub(crate) fn result(self) -> u64 {
        self.argument(0)
    }

    /// The return address at an entry: in the link register.
    #[inline(always)]
    pub(crate) fn return_address(self) -> u64 {
        // SAFETY: the kernel passes valid registers.
        unsafe { (*self.0).regs[30] }
    }

    /// Go functions are not timed on this architecture.
    #[inline(always)]
    #[expect(clippy::unused_self, reason = "as on the architecture whose exits are probed")]
    pub(crate) fn goroutine(self) -> u64 {
        0
    }

    /// The same, after the return.
    #[inline(always)]
    pub(crate) fn frame_after_return(self) -> u64 {
        self.frame_at_site()
    }

    /// Exits are not probed on this architecture.
    #[inline(always)]
    #[expect(clippy::unused_self, reason = "as on the architecture whose exits are probed")]
    pub(crate) fn condition_holds(self, _code: u8) -> bool {
        true
    }
}
