//! From what the user named to a plan, and what must be said about it before anything is attached.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use profiler_common::alloc::Family;

use crate::cli::config::{
    Action, Download, Inlined, ProbingConfig, SelectionConfig, SessionConfig, SymbolConfig,
};
use crate::kernel::capability::{self, Capabilities};
use crate::kernel::{AttachMode, EventDetail, Reach};
use crate::object::debug::{Debuginfod, Finder};
use crate::probe::allocators::{self, Allocators};
use crate::probe::inlined::InlinedChoice;
use crate::probe::pattern::Pattern;
use crate::probe::plan::{Placement, Plan, Returns, ReturnsChoice};
use crate::probe::planner::PlanError;
use crate::probe::returns::ProcessFacts;
use crate::probe::selection::Request;
use crate::resolve::LinesWanted;
use crate::target::process::{FileId, MappedFile, Process};
use crate::ui::plan_text;

use super::SessionError;
use super::ahead;
use super::catalog::{Care, Catalog};

/// What will be probed, and in which processes each file of the plan is mapped.
pub struct Setup {
    /// The plan.
    pub plan: Plan,
    /// The files behind it.
    pub catalog: Catalog,
    /// By process: the objects of the plan that it maps, or may map later.
    pub mapped_by: BTreeMap<u32, BTreeSet<Placement>>,
    /// What the user must know before.
    pub warnings: Vec<String>,
    /// What was asked for and is not there yet.
    pub awaited: Vec<String>,
}

impl Setup {
    /// Whether there is anything to attach to, or to wait for.
    pub fn check(&self) -> Result<(), SessionError> {
        match self.plan.left_out.first() {
            Some(first) if self.plan.functions.is_empty() && self.awaited.is_empty() => {
                Err(SessionError::AllLeftOut {
                    function: first.name.clone(),
                    reason: plan_text::left_out_reason(first.reason),
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What is needed to read the lines of the plan's functions.
    pub fn lines_wanted(&self, symbols: &SymbolConfig) -> LinesWanted {
        LinesWanted::new(&self.plan, self.catalog.debug(), &symbols.paths)
    }

    /// The patterns that name single functions, if places where these were inlined have no probes.
    pub fn not_seen_where_inlined(&self, config: &SessionConfig) -> Vec<Pattern> {
        let patterns = config.selection.functions.iter();
        match config.symbols.inlined {
            Inlined::Probed => Vec::new(),
            Inlined::Told => patterns
                .filter_map(|text| text.parse().ok())
                .filter(|pattern: &Pattern| !pattern.is_wildcard() && !pattern.names_line())
                .collect(),
        }
    }

    /// The allocators of `CPython`, which link-time optimization puts into their callers, where they are followed.
    pub fn allocators_not_seen(&self, config: &SessionConfig) -> Vec<Pattern> {
        let memory = config.memory.as_ref();
        let followed = memory.is_some_and(|memory| memory.families.contains(&Family::Python));
        let names = allocators::names_of(Family::Python);
        names
            .filter(|_| followed)
            .filter_map(|name| name.parse().ok())
            .collect()
    }

    /// Says the warnings.
    pub fn warn(&self) {
        for warning in &self.warnings {
            log::warn!("{warning}");
        }
        if !self.awaited.is_empty() {
            log::warn!(
                "not mapped yet, and probed as soon as it is: {}",
                self.awaited.join(", ")
            );
        }
    }
}

/// Whether we may do this at all: asked before anything else is tried.
pub fn check_permissions() -> Result<(), SessionError> {
    Ok(Capabilities::current()?.check()?)
}

/// What is known of the targets before any of them is looked at.
pub fn first_facts(reach: Reach) -> ProcessFacts {
    let known = ProcessFacts {
        return_probe_defect: capability::has_return_probe_defect(),
        ..ProcessFacts::default()
    };
    match reach {
        Reach::Process | Reach::Targets { keep_on_exec: false } => known,
        // Nobody looks at each program before it hits a probe.
        Reach::Targets { keep_on_exec: true } | Reach::Everyone => known.with_all_evidences(),
    }
}

/// A warning where the kernel side knows other process ids than we do.
fn of_namespace() -> Option<String> {
    (!capability::sees_host_pids()).then(|| {
        "this is a pid namespace of its own: process ids in records are the host's, children are followed late, and `-a` is \
         not to be had; run with the host's (`--pid host`)"
            .to_owned()
    })
}

/// A warning where the user asks for what can harm.
fn of_returns(choice: ReturnsChoice) -> Option<String> {
    (choice == ReturnsChoice::ReturnProbe).then(|| {
        "return probes everywhere: a C++ exception or a Rust panic through a probed function aborts the target, \
         coroutines and Go compute wrong results"
            .to_owned()
    })
}

fn care(mode: AttachMode, reach: Reach) -> Care {
    match reach {
        Reach::Targets { keep_on_exec: true } | Reach::Everyone => Care::AssumesTheWorst,
        Reach::Process | Reach::Targets { keep_on_exec: false }
            if mode == AttachMode::Session && capability::sees_host_pids() =>
        {
            Care::Suspends
        }
        Reach::Process | Reach::Targets { keep_on_exec: false } => Care::Wary,
    }
}

/// Makes the plan for some processes: none where the first is waited for.
pub fn plan(
    processes: &[Process],
    config: &SessionConfig,
    mode: AttachMode,
    reach: Reach,
) -> Result<Setup, SessionError> {
    check_permissions()?;
    let request = request(config)?;
    let finder = finder(&config.symbols);
    let mut warnings = Vec::new();
    let facts = first_facts(reach);
    let mut files: BTreeMap<FileId, (MappedFile, Vec<u32>)> = BTreeMap::new();
    for process in processes {
        let (circumstances, mapped) = match (process.circumstances(), process.mapped_files()) {
            (Ok(circumstances), Ok(mapped)) => (circumstances, mapped),
            // Among many some end while they are looked at.
            (Err(_), _) | (_, Err(_)) if processes.len() > 1 && process.has_ended() => continue,
            (circumstances, mapped) => (circumstances?, mapped?),
        };
        warnings.extend(process.debugged(&circumstances));
        for file in mapped.into_iter().chain(ahead::files(process, &request)) {
            let is_main = file.is_main;
            let (known, pids) = files.entry(file.id).or_insert_with(|| (file, Vec::new()));
            known.is_main |= is_main;
            pids.push(process.pid);
        }
    }
    let mut catalog = Catalog::new(request, finder, facts, care(mode, reach));
    let mut plan = Plan::default();
    warnings.extend(of_namespace());
    let by_file: Vec<(FileId, Vec<u32>)> = files
        .values()
        .map(|(file, pids)| (file.id, pids.clone()))
        .collect();
    catalog.add(&mut plan, files.into_values().map(|(file, _)| file).collect())?;
    warnings.extend(of_returns(config.probing.returns));
    let follows_programs = matches!(reach, Reach::Targets { keep_on_exec: true });
    let may_come = processes.is_empty() || follows_programs || needs_no_function(config);
    let awaited = awaited(&catalog, &plan, may_come)?;
    check_focus(&plan)?;
    warnings.append(&mut plan.notes);
    let mut mapped_by: BTreeMap<u32, BTreeSet<Placement>> = BTreeMap::new();
    for (file, pids) in by_file {
        for (object, pid) in catalog
            .placement(file)
            .into_iter()
            .flat_map(|it| pids.iter().map(move |pid| (it, pid)))
        {
            mapped_by.entry(*pid).or_default().insert(object);
        }
    }
    Ok(Setup {
        plan,
        catalog,
        mapped_by,
        warnings,
        awaited,
    })
}

/// What may come later: functions of objects that are named and not mapped yet; all, where no process is there
/// yet or other programs will be executed. What
/// can never come is an error.
fn awaited(catalog: &Catalog, plan: &Plan, later: bool) -> Result<Vec<String>, SessionError> {
    let scope = catalog.scope();
    let objects = scope.unmatched_objects().map(ToString::to_string);
    let mut awaited: Vec<String> = objects.collect();
    let objects_wait = !awaited.is_empty();
    for pattern in scope.unmatched() {
        let may_come = later || objects_wait || (pattern.names_object() && catalog.lacks_object_of(pattern));
        if may_come {
            awaited.push(pattern.to_string());
        } else {
            catalog.check_unmatched(pattern)?;
        }
    }
    if awaited.is_empty() && !later && plan.functions.is_empty() && plan.left_out.is_empty() {
        let object = catalog.first_name();
        return Err(PlanError::NoFunctions { object }.into());
    }
    Ok(awaited)
}

/// Where debug files are looked for. Servers that cannot be asked are no reason to give up.
fn finder(symbols: &SymbolConfig) -> Arc<Finder> {
    let debuginfod = match symbols.download {
        Download::Never => None,
        Download::WhenMissing => Debuginfod::from_environment()
            .inspect_err(|error| log::warn!("{error}"))
            .ok(),
    };
    Arc::new(Finder {
        debug_dirs: symbols.debug_dirs.clone(),
        debuginfod,
    })
}

fn request(config: &SessionConfig) -> Result<Request, SessionError> {
    let (selection, probing): (&SelectionConfig, ProbingConfig) = (&config.selection, config.probing);
    let SelectionConfig {
        functions,
        exclude,
        objects,
        focus,
    } = selection;
    let parsed = |texts: &[String]| {
        texts
            .iter()
            .map(|text| text.parse())
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(Request {
        functions: parsed(functions)?,
        exclude: parsed(exclude)?,
        objects: objects
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()?,
        focus: parsed(focus)?,
        returns: probing.returns,
        site: probing.site,
        names: config.symbols.names,
        allocators: allocators_of(config),
        // Families lie within each other: the sum of one of them is what is alive.
        also: (config.monitor.detail == EventDetail::CallAndCaller)
            .then(|| Arc::new(Allocators::new(&[Family::Heap], Vec::new()))),
        inlined: match (config.symbols.inlined, config.action) {
            (Inlined::Probed, _) => InlinedChoice::Probed,
            (Inlined::Told, Action::DryRun) => InlinedChoice::Reported,
            // Told later, when everything is attached.
            (Inlined::Told, Action::Profile) => InlinedChoice::Ignored,
        },
    })
}

/// The allocators that are meant in place of functions; none where no function is meant.
fn allocators_of(config: &SessionConfig) -> Option<Arc<Allocators>> {
    let of_memory = config.memory.as_ref();
    let followed = of_memory.map(|memory| Allocators::new(&memory.families, memory.rows.clone()));
    let nothing = needs_no_function(config).then(|| Allocators::new(&[], Vec::new()));
    followed.or(nothing).map(Arc::new)
}

/// Whether there is something to follow where no function has a probe.
fn needs_no_function(config: &SessionConfig) -> bool {
    config.growth.is_some() && config.selection.functions.is_empty()
}

fn check_focus(plan: &Plan) -> Result<(), SessionError> {
    let endless = plan
        .functions
        .iter()
        .find_map(|function| match &function.returns {
            Returns::EntryOnly(reason) if function.focus => Some((function, *reason)),
            Returns::EntryOnly(_) | Returns::ReturnProbe(_) | Returns::ExitSites(..) => None,
        });
    endless.map_or(Ok(()), |(function, reason)| {
        Err(SessionError::FocusWithoutReturn {
            function: function.name.clone(),
            reason: plan_text::entry_only_reason(reason),
        })
    })
}
