//! The reasons of a plan, in words.
use crate::probe::plan::{EntryOnlyReason, ExitSitesReason, LeftOutReason, ReturnProbeReason, Returns, Site};

/// Where an entry is probed: `0x1139 entry`, `0x113d +4`.
pub fn site(site: &Site) -> String {
    match site.distance {
        0 => format!("{:#x} entry", site.offset),
        distance => format!("{:#x} +{distance}", site.offset),
    }
}

/// How a function's returns are seen, and why so.
pub fn returns(returns: &Returns) -> String {
    match returns {
        Returns::ReturnProbe(reason) => format!("return probe: {}", return_probe_reason(*reason)),
        Returns::ExitSites(sites, reason) => {
            let plural = if sites.len() == 1 { "" } else { "s" };
            format!(
                "{} exit site{plural}: {}",
                sites.len(),
                exit_sites_reason(*reason)
            )
        }
        Returns::EntryOnly(reason) => format!("entry only: {}", entry_only_reason(*reason)),
    }
}

/// Why a return probe.
pub const fn return_probe_reason(reason: ReturnProbeReason) -> &'static str {
    match reason {
        ReturnProbeReason::NoMachinery => "nothing the process maps can unwind or switch stacks",
        ReturnProbeReason::Leaf => "it calls nothing",
        ReturnProbeReason::HarmlessCallees => "nothing it calls can throw or switch stacks",
        ReturnProbeReason::HarmlessLibrary => "a C library function without callbacks",
        ReturnProbeReason::Forced => "--returns uretprobe, at your own risk",
    }
}

/// Why exit sites.
pub const fn exit_sites_reason(reason: ExitSitesReason) -> &'static str {
    match reason {
        ExitSitesReason::Unwinding => "an exception or panic may pass through it",
        ExitSitesReason::StackSwitch => "the process switches stacks",
        ExitSitesReason::Go => "Go moves its stacks",
        ExitSitesReason::Seccomp => "seccomp, or this kernel's return probes are unsafe (CVE-2025-21834)",
        ExitSitesReason::Cancellation => "the process cancels threads",
        ExitSitesReason::Forced => "--returns sites",
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
        EntryOnlyReason::Forced => "--returns none",
    }
}

/// Why a function is left out.
pub const fn left_out_reason(reason: LeftOutReason) -> &'static str {
    match reason {
        LeftOutReason::Ifunc => "an IFUNC resolver: the name stands for another function",
        LeftOutReason::Fragment => "a fragment of another function",
        LeftOutReason::Undecodable => "its first instruction could not be decoded",
        LeftOutReason::NotCode => "outside the executable segments",
        LeftOutReason::Excluded => "--exclude names it",
        LeftOutReason::Refused => "the kernel refuses a breakpoint on its first instruction",
    }
}
