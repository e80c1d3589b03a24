//! The reasons of a plan, in words.
use crate::probe::plan::{EntryOnlyReason, ExitSitesReason, LeftOutReason, ReturnProbeReason, Returns, Site};

/// Where an entry is probed: `0x1139 entry`, `0x113d +4`.
pub fn site(site: &Site) -> String {
    match site.distance {
        0 => format!("{:#x} entry", site.offset),
        distance => format!("{:#x} +{distance}", site.offset),
    }
}

/// How a function's returns are seen.
pub fn returns(returns: &Returns) -> String {
    match returns {
        Returns::ReturnProbe(_) => "return probe".to_owned(),
        Returns::ExitSites(sites, _) if sites.len() == 1 => "1 exit site".to_owned(),
        Returns::ExitSites(sites, _) => format!("{} exit sites", sites.len()),
        Returns::EntryOnly(_) => "not seen".to_owned(),
    }
}

/// Why they are seen so.
pub const fn returns_reason(returns: &Returns) -> &'static str {
    match returns {
        Returns::ReturnProbe(reason) => return_probe_reason(*reason),
        Returns::ExitSites(_, reason) => exit_sites_reason(*reason),
        Returns::EntryOnly(reason) => entry_only_reason(*reason),
    }
}

/// Why a return probe.
pub const fn return_probe_reason(reason: ReturnProbeReason) -> &'static str {
    match reason {
        ReturnProbeReason::NoMachinery => "nothing the process maps can unwind or switch stacks",
        ReturnProbeReason::Leaf => "it calls nothing",
        ReturnProbeReason::HarmlessCallees => "nothing it calls can throw or switch stacks",
        ReturnProbeReason::HarmlessLibrary => "it is a C library function that takes no callback",
        ReturnProbeReason::Forced => "`--returns uretprobe` asks for it, at your own risk",
    }
}

/// Why exit sites.
pub const fn exit_sites_reason(reason: ExitSitesReason) -> &'static str {
    match reason {
        ExitSitesReason::Unwinding => "an exception or panic may pass through it",
        ExitSitesReason::StackSwitch => "the process switches stacks",
        ExitSitesReason::Go => "Go moves its stacks",
        ExitSitesReason::StackScan => {
            "a garbage collector reads return addresses from the stack (OCaml, native Java)"
        }
        ExitSitesReason::Seccomp => {
            "on this kernel return probes break what runs under seccomp (CVE-2025-21834)"
        }
        ExitSitesReason::Cancellation => "the process cancels threads",
        ExitSitesReason::ReturnAddress => "it keeps or judges its return address, or returns twice",
        ExitSitesReason::Forced => "`--returns sites` asks for it",
    }
}

/// Why only the entry.
pub const fn entry_only_reason(reason: EntryOnlyReason) -> &'static str {
    match reason {
        EntryOnlyReason::Undecodable => "not every instruction could be decoded",
        EntryOnlyReason::NoSize => "its symbol has no size",
        EntryOnlyReason::IndirectJump => "an indirect jump may leave it unseen",
        EntryOnlyReason::NeverReturns => "no instruction leaves it",
        EntryOnlyReason::Architecture => "exits are not decoded on this architecture",
        EntryOnlyReason::Refused => "the kernel takes no breakpoint on one of its exits",
        EntryOnlyReason::ForeignStack => "it starts without a return address, or replaces it",
        EntryOnlyReason::Goroutine => {
            "a Go function that need not say which goroutine runs it: assembly, or Go before 1.18"
        }
        EntryOnlyReason::MovingStack => "OCaml 5 moves its stacks",
        EntryOnlyReason::SharedExit => "another function shares its exit",
        EntryOnlyReason::Inlined => "it was inlined and has no return of its own",
        EntryOnlyReason::NotNeeded => "its entry tells all that matters",
        EntryOnlyReason::Forced => "`--returns none` asks for it",
    }
}

/// Why a function is left out.
pub const fn left_out_reason(reason: LeftOutReason) -> &'static str {
    match reason {
        LeftOutReason::Ifunc => "IFUNC resolver: the name stands for another function",
        LeftOutReason::Fragment => "fragment of another function",
        LeftOutReason::Undecodable => "its first instruction could not be decoded",
        LeftOutReason::NotCode => "outside the executable segments",
        LeftOutReason::Loop => "a loop begins with its first instruction, whose turns would be counted",
        LeftOutReason::Excluded => "named by --exclude",
        LeftOutReason::Refused => "the kernel takes no breakpoint on its first instruction",
        LeftOutReason::NoRoom => "it appeared later, and `--max-map-memory` left no room",
    }
}
