//! What the probes read of the interrupted thread's registers.
use aya_ebpf::bindings::pt_regs;
use aya_ebpf::programs::ProbeContext;

/// The registers at a hit.
#[derive(Clone, Copy)]
pub(crate) struct Registers(*const pt_regs);

impl Registers {
    #[inline(always)]
    pub(crate) fn of(ctx: &ProbeContext) -> Self {
        Self(ctx.regs)
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
