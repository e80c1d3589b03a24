//! How a function's returns are seen: by a return probe where that is harmless, on the function's own exits
//! elsewhere, not at all where neither is possible.
use std::collections::{HashMap, HashSet};

use profiler_common::cookie::CallStack;

use super::allocators::Allocator;
use super::body::Body;
use super::callees;
use super::plan::{
    EntryOnlyReason, ExitSite, ExitSitesReason, PlannedFunction, Price, ReturnProbeReason, Returns,
    ReturnsChoice,
};
use crate::object::{Evidence, Evidences, Function, Machine, ObjectFile};

/// What decides about return probes in a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// What the objects that it maps speak for.
    pub evidences: Evidences,
    /// The kernel has CVE-2025-21834: return probes end what runs under seccomp, or will.
    pub return_probe_defect: bool,
}

impl ProcessFacts {
    /// What a process's objects tell; nothing about the kernel.
    pub fn of_objects<'a>(objects: impl IntoIterator<Item = &'a ObjectFile>) -> Self {
        let evidences = objects.into_iter().map(|object| *object.evidences());
        Self {
            evidences: evidences.fold(Evidences::default(), Evidences::union),
            ..Self::default()
        }
    }

    /// The same for a process that could have anything but Go, which a file says for itself.
    #[must_use]
    pub fn with_all_evidences(self) -> Self {
        Self {
            evidences: self.evidences.union(Evidences::all()),
            ..self
        }
    }

    fn forbids_return_probes(self) -> bool {
        self.return_probe_defect
    }
}

/// What decides about the returns of one function.
pub(super) struct Case<'a> {
    pub(super) file: &'a ObjectFile,
    pub(super) function: &'a Function,
    /// What it does; only on x86-64.
    pub(super) body: &'a Body,
    /// Neither it nor what it calls unwinds or switches stacks.
    pub(super) harmless: bool,
    /// It is probed because it allocates or frees.
    pub(super) allocator: Option<Allocator>,
}

/// Decides how the returns of a function are seen.
pub(super) fn decide(choice: ReturnsChoice, facts: ProcessFacts, case: &Case<'_>) -> Returns {
    let named = |test: fn(&str) -> bool| case.file.names(case.function).any(|name| test(name.raw));
    if case
        .allocator
        .is_some_and(|allocator| allocator.shape.action.needs_no_return())
    {
        return Returns::EntryOnly(EntryOnlyReason::NotNeeded);
    }
    let starts_the_program = case.function.address == case.file.entry_point();
    if choice == ReturnsChoice::None {
        return Returns::EntryOnly(EntryOnlyReason::Forced);
    }
    if choice != ReturnsChoice::ReturnProbe && hides_goroutine(case.file, case.function) {
        return Returns::EntryOnly(EntryOnlyReason::Goroutine);
    }
    if case.file.evidences().has(Evidence::MovingStack) && named(is_in_ocaml) {
        return Returns::EntryOnly(EntryOnlyReason::MovingStack);
    }
    if starts_the_program || named(callees::has_foreign_stack) {
        return Returns::EntryOnly(EntryOnlyReason::ForeignStack);
    }
    if named(callees::reads_return_address) {
        return exit_sites(case, ExitSitesReason::ReturnAddress);
    }
    match choice {
        ReturnsChoice::None => Returns::EntryOnly(EntryOnlyReason::Forced),
        ReturnsChoice::Sites => exit_sites(case, ExitSitesReason::Forced),
        ReturnsChoice::ReturnProbe if facts.forbids_return_probes() => {
            exit_sites(case, ExitSitesReason::Seccomp)
        }
        ReturnsChoice::ReturnProbe => Returns::ReturnProbe(ReturnProbeReason::Forced),
        ReturnsChoice::Auto => automatic(facts, case),
    }
}

/// OCaml's functions are `caml`, the name of their module, which begins with a capital, and their own.
fn is_in_ocaml(raw: &str) -> bool {
    raw.strip_prefix("caml")
        .is_some_and(|module| module.starts_with(|first: char| first.is_ascii_uppercase()))
}

/// Where a function's calls are kept: with the goroutine, if its probes can tell which that is.
pub(super) fn call_stack(file: &ObjectFile, function: &Function) -> CallStack {
    match file.go_function(function.address) {
        Some(go) if go.names_goroutine && file.machine() == Machine::X86_64 => CallStack::Goroutine,
        Some(_) | None => CallStack::Thread,
    }
}

/// Whether it is a Go function whose returns cannot be given to a goroutine.
fn hides_goroutine(file: &ObjectFile, function: &Function) -> bool {
    let go = file.go_function(function.address);
    file.has_unknown_go() || go.is_some_and(|go| !go.names_goroutine)
}

fn automatic(facts: ProcessFacts, case: &Case<'_>) -> Returns {
    let body = case.body;
    if case.file.machine() == Machine::X86_64 && never_returns(body) {
        return Returns::EntryOnly(EntryOnlyReason::NeverReturns);
    }
    if facts.forbids_return_probes() {
        return exit_sites(case, ExitSitesReason::Seccomp);
    }
    // What its own file speaks for matters, whether that was taken for the whole process or not.
    let evidences = facts.evidences.union(*case.file.evidences());
    let has = |evidence| evidences.has(evidence);
    if has(Evidence::Go) {
        return exit_sites(case, ExitSitesReason::Go);
    }
    // Who is cancelled within an allocator is broken in any case.
    if case.allocator.is_some_and(|allocator| allocator.harmless) {
        return Returns::ReturnProbe(ReturnProbeReason::HarmlessLibrary);
    }
    if !evidences.any_machinery() {
        return Returns::ReturnProbe(ReturnProbeReason::NoMachinery);
    }
    // A thread that may be cancelled at any instruction unwinds out of functions that call nothing, too.
    if has(Evidence::Cancellation) && has(Evidence::Unwinding) {
        return exit_sites(case, ExitSitesReason::Cancellation);
    }
    if let Some(reason) = harmless(case) {
        return Returns::ReturnProbe(reason);
    }
    let reason = if has(Evidence::Unwinding) {
        ExitSitesReason::Unwinding
    } else if has(Evidence::StackScan) {
        ExitSitesReason::StackScan
    } else {
        ExitSitesReason::StackSwitch
    };
    exit_sites(case, reason)
}

/// Why a return probe does no harm even among machinery.
fn harmless(case: &Case<'_>) -> Option<ReturnProbeReason> {
    let named = |test: fn(&str) -> bool| case.file.names(case.function).any(|name| test(name.raw));
    let library = case.file.name();
    if named(callees::is_allocator)
        || (callees::is_c_library(library) && named(callees::is_harmless))
        || callees::is_mathematics(library)
    {
        return Some(ReturnProbeReason::HarmlessLibrary);
    }
    if case.file.machine() != Machine::X86_64 {
        return None;
    }
    let body = case.body;
    if !body.calls && !body.undecodable && !body.unseen_exit && !body.replaces_stack {
        return Some(ReturnProbeReason::Leaf);
    }
    case.harmless.then_some(ReturnProbeReason::HarmlessCallees)
}

fn never_returns(body: &Body) -> bool {
    !body.undecodable && !body.unseen_exit && body.exits.is_empty()
}

/// Exit sites, or why there are none.
fn exit_sites(case: &Case<'_>, reason: ExitSitesReason) -> Returns {
    match collect_sites(case) {
        Ok(sites) => Returns::ExitSites(sites, reason),
        Err(reason) => Returns::EntryOnly(reason),
    }
}

fn collect_sites(case: &Case<'_>) -> Result<Vec<ExitSite>, EntryOnlyReason> {
    if case.file.machine() != Machine::X86_64 {
        return Err(EntryOnlyReason::Architecture);
    }
    if case.function.size == 0 {
        return Err(EntryOnlyReason::NoSize);
    }
    let body = case.body;
    if body.undecodable {
        return Err(EntryOnlyReason::Undecodable);
    }
    if body.unseen_exit {
        return Err(EntryOnlyReason::IndirectJump);
    }
    if body.exits.is_empty() {
        return Err(EntryOnlyReason::NeverReturns);
    }
    let sites = body.exits.iter().map(|exit| {
        if exit.refused {
            return Err(EntryOnlyReason::Refused);
        }
        let offset = case
            .file
            .segments()
            .code_offset(exit.address)
            .ok_or(EntryOnlyReason::Undecodable)?;
        let price = if exit.emulated {
            Price::Emulated
        } else {
            Price::SingleStepped
        };
        Ok(ExitSite {
            offset,
            condition: exit.condition,
            leave: exit.leave,
            price,
        })
    });
    sites.collect()
}

/// Functions of one object that are left through the same instruction cannot be told apart there: their returns
/// are not seen. (Compilers merge equal cold parts of several functions.)
pub(super) fn drop_shared_exits(functions: &mut [PlannedFunction]) {
    drop_exits_shared_with([].iter(), functions);
}

/// The same of functions that join others of their object: these stay as they are.
pub(super) fn drop_exits_shared_with<'a>(
    others: impl Iterator<Item = &'a PlannedFunction>,
    functions: &mut [PlannedFunction],
) {
    let others = others.filter(|other| other.allocator.is_none());
    let taken: HashSet<u64> = others.flat_map(exit_offsets).collect();
    for function in functions.iter_mut() {
        if function.allocator.is_none() && exit_offsets(function).any(|offset| taken.contains(&offset)) {
            function.returns = Returns::EntryOnly(EntryOnlyReason::SharedExit);
        }
    }
    let mut owners: HashMap<u64, usize> = HashMap::new();
    let mut sharing = Vec::new();
    for (index, function) in functions.iter().enumerate() {
        let Returns::ExitSites(sites, _) = &function.returns else {
            continue;
        };
        // Which of its functions an allocation is in is told by where its return address lies.
        if function.allocator.is_some() {
            continue;
        }
        for site in sites {
            if let Some(owner) = owners.insert(site.offset, index) {
                sharing.extend([owner, index]);
            }
        }
    }
    for index in sharing {
        functions[index].returns = Returns::EntryOnly(EntryOnlyReason::SharedExit);
    }
}

fn exit_offsets(function: &PlannedFunction) -> impl Iterator<Item = u64> {
    let sites = match &function.returns {
        Returns::ExitSites(sites, _) => sites.as_slice(),
        Returns::ReturnProbe(_) | Returns::EntryOnly(_) => &[],
    };
    sites.iter().map(|site| site.offset)
}

#[cfg(test)]
mod tests {
    use profiler_common::cookie::FunctionId;

    use super::drop_shared_exits;
    use crate::probe::plan::{
        EntryOnlyReason, ExitSite, ExitSitesReason, PlannedFunction, Price, Returns, Site,
    };

    fn left_at(offsets: &[u64]) -> PlannedFunction {
        let price = Price::SingleStepped;
        let site = |offset: &u64| ExitSite {
            offset: *offset,
            condition: None,
            leave: profiler_common::cookie::Leave::Return,
            price,
        };
        PlannedFunction {
            id: FunctionId(0),
            object: 0,
            name: String::new(),
            aliases: Vec::new(),
            address: 0,
            entry: Site {
                offset: 0,
                distance: 0,
                price,
            },
            returns: Returns::ExitSites(offsets.iter().map(site).collect(), ExitSitesReason::Forced),
            stack: profiler_common::cookie::CallStack::Thread,
            focus: false,
            named: false,
            allocator: None,
        }
    }

    #[test]
    fn functions_that_share_an_exit_lose_their_exits() {
        let mut functions = [left_at(&[1, 2]), left_at(&[3]), left_at(&[2, 4])];
        drop_shared_exits(&mut functions);
        let shared = Returns::EntryOnly(EntryOnlyReason::SharedExit);
        assert!(functions[0].returns == shared && functions[2].returns == shared);
        assert!(matches!(functions[1].returns, Returns::ExitSites(..)));
    }
}
