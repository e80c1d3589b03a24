//! What a probe carries: the number that the kernel hands to the program on each hit.

/// How a probed function's returns are seen. Part of the cookie, because the entry acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// An entry whose return comes through a return probe.
    EntryWithReturnProbe = 0,
    /// An entry whose return comes through probes on the function's exits.
    EntryWithExitSites = 1,
    /// An entry whose return is never seen.
    EntryOnly = 2,
    /// An exit: a `ret`, or a jump that leaves the function.
    Exit = 3,
}

/// Which shadow stack a probed function's calls are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CallStack {
    /// That of the thread.
    #[default]
    Thread = 0,
    /// That of the goroutine: a function in Go, whose calls move between threads and whose stack moves in memory.
    Goroutine = 1,
}

/// How an exit leaves its function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Leave {
    /// By a `ret` of its own.
    #[default]
    Return = 0,
    /// By a jump: another function returns in place of this one.
    Jump = 1,
    /// By a `ret` of a function that it jumps to: a hit need not be this one's.
    Elsewhere = 2,
    /// By a jump to a function that returns its first argument (`memset`).
    FirstArgument = 3,
}

impl Leave {
    const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Return,
            1 => Self::Jump,
            2 => Self::Elsewhere,
            _ => Self::FirstArgument,
        }
    }
}

impl Role {
    const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::EntryWithReturnProbe,
            1 => Self::EntryWithExitSites,
            2 => Self::EntryOnly,
            _ => Self::Exit,
        }
    }
}

/// The number of a function within a session: an index of every per-function map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionId(pub u32);

/// A probe's cookie: `function` in bits 0…31, `generation` in 32…39, `role` in 40…41, `stack` in 42, `leave` in 43…44, and for the exit that
/// is a conditional jump its condition code plus one in 48…52 (0 = unconditional; x86 condition codes 0…15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// The probed function.
    pub function: FunctionId,
    /// The generation of its link.
    pub generation: u8,
    /// What a hit means.
    pub role: Role,
    /// Where the call is kept.
    pub stack: CallStack,
    /// For an exit: how it leaves the function.
    pub leave: Leave,
    /// For an exit that is a conditional jump: the condition under which the jump is taken.
    pub condition: Option<u8>,
}

impl Cookie {
    /// The number handed to the kernel.
    pub const fn to_bits(self) -> u64 {
        let condition = match self.condition {
            Some(code) => (code & 15) as u64 + 1,
            None => 0,
        };
        self.function.0 as u64
            | (self.generation as u64) << 32
            | (self.role as u64) << 40
            | (self.stack as u64) << 42
            | (self.leave as u64) << 43
            | condition << 48
    }

    /// What the kernel's number means. Any number is a cookie; the function may be out of range.
    pub const fn from_bits(bits: u64) -> Self {
        let condition = (bits >> 48) as u8 & 31;
        Self {
            function: FunctionId(bits as u32),
            generation: (bits >> 32) as u8,
            role: Role::from_bits((bits >> 40) as u8),
            stack: if bits >> 42 & 1 == 0 {
                CallStack::Thread
            } else {
                CallStack::Goroutine
            },
            leave: Leave::from_bits((bits >> 43) as u8),
            condition: if condition == 0 { None } else { Some(condition - 1) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CallStack, Cookie, FunctionId, Leave, Role};

    #[test]
    fn a_cookie_survives_the_trip_through_the_kernels_number() {
        for role in [
            Role::EntryWithReturnProbe,
            Role::EntryWithExitSites,
            Role::EntryOnly,
            Role::Exit,
        ] {
            for (condition, stack) in [
                (None, CallStack::Thread),
                (Some(0), CallStack::Goroutine),
                (Some(15), CallStack::Thread),
            ] {
                let cookie = Cookie {
                    function: FunctionId(0xdead_beef),
                    generation: 0xa5,
                    role,
                    stack,
                    leave: if condition.is_some() {
                        Leave::Jump
                    } else {
                        Leave::FirstArgument
                    },
                    condition,
                };
                assert_eq!(Cookie::from_bits(cookie.to_bits()), cookie);
            }
        }
    }
}
