//! The part of a plan that concerns one object.
use std::collections::HashSet;

use profiler_common::cookie::{CallStack, FunctionId};

use super::allocators::Allocator;
use super::analysis::{Analysis, Harmless};
use super::body::Body;
use super::entries;
use super::inlined::{self, Place};
use super::parallel;
use super::plan::{
    EntryOnlyReason, LeftOut, LeftOutReason, Plan, PlannedFunction, PlannedObject, Returns, ReturnsChoice,
    Site, SiteChoice,
};
use super::planner::{MappedObject, PlanError};
use super::returns::{self, Case, ProcessFacts};
use super::selection::{Request, Selected};
use super::tails;
use crate::object::names::NameStyle;
use crate::object::{FunctionKind, Machine};

/// What decides besides the functions themselves.
#[derive(Clone, Copy)]
pub(super) struct How {
    pub(super) returns: ReturnsChoice,
    pub(super) site: SiteChoice,
    pub(super) names: NameStyle,
    pub(super) facts: ProcessFacts,
}

impl How {
    pub(super) fn new(request: &Request, facts: ProcessFacts) -> Self {
        Self {
            returns: request.returns,
            site: request.site,
            names: request.names,
            facts,
        }
    }
}

/// Plans the returns of functions of one object anew, as more is known of the processes that map it, and says which have
/// changed.
pub(super) fn replan(
    functions: &mut [PlannedFunction],
    object: &MappedObject,
    how: How,
) -> Result<Vec<FunctionId>, PlanError> {
    let starts = |function: &PlannedFunction| {
        // A place where something was inlined has no returns, even where a function begins with it.
        let inlined = function.returns == Returns::EntryOnly(EntryOnlyReason::Inlined);
        object.file.function_at(function.address).filter(|_| !inlined)
    };
    let selected: Vec<(usize, Selected)> = functions
        .iter()
        .enumerate()
        .filter_map(|(position, function)| {
            let selected = Selected {
                function: starts(function)?,
                focus: function.focus,
                named: function.named,
                excluded: false,
                allocator: function.allocator,
            };
            Some((position, selected))
        })
        .collect();
    let only_selected: Vec<Selected> = selected.iter().map(|(_, selected)| *selected).collect();
    let planned = plan_functions(object, &only_selected, how)?;
    let mut changed = Vec::new();
    for ((position, _), planned) in selected.into_iter().zip(planned) {
        let function = &mut functions[position];
        if let Ok(planned) = planned
            && planned.returns != function.returns
        {
            function.returns = planned.returns;
            changed.push(function.id);
        }
    }
    returns::drop_shared_exits(functions);
    Ok(changed)
}

/// Plans the selected functions of one object.
pub(super) fn add(
    plan: &mut Plan,
    object: &MappedObject,
    (selected, places): (&[Selected], &[Place]),
    how: How,
) -> Result<(), PlanError> {
    let mut usable: Vec<Selected> = Vec::new();
    for selected in selected {
        match reason_to_leave_out(object, *selected) {
            None => usable.push(*selected),
            // A fragment is probed with its function; only who asks for it by its own name wants to hear of it.
            Some(LeftOutReason::Fragment) if !selected.named => {}
            Some(reason) => leave_out(plan, object, selected.function, (reason, how.names)),
        }
    }
    let planned_object = plan
        .objects
        .iter()
        .position(|planned| planned.attach_path == object.attach_path);
    let number = planned_object.unwrap_or(plan.objects.len());
    if planned_object.is_some() {
        let is_new = |selected: &Selected| {
            let address = object.file.functions()[selected.function].address;
            let is_it = |function: &PlannedFunction| {
                function.object == number
                    && function.address == address
                    && function.allocator.is_some() == selected.allocator.is_some()
            };
            !plan.functions.iter().any(is_it)
        };
        usable.retain(is_new);
    }
    let first = plan.functions.len();
    let planned = if usable.is_empty() {
        Vec::new()
    } else {
        plan_functions(object, &usable, how)?
    };
    for (planned, selected) in planned.into_iter().zip(&usable) {
        match planned {
            Ok(function) => {
                let id = FunctionId(plan.functions.len() as u32);
                plan.functions.push(PlannedFunction {
                    id,
                    object: number,
                    ..function
                });
            }
            Err(LeftOutReason::Fragment) if !selected.named => {}
            Err(reason) => leave_out(plan, object, selected.function, (reason, how.names)),
        }
    }
    let (known, new) = plan.functions.split_at_mut(first);
    let of_object = known.iter().filter(|known| known.object == number);
    returns::drop_exits_shared_with(of_object, new);
    add_places(plan, object, places, (number, how.names))?;
    if plan.functions.len() > first && planned_object.is_none() {
        let (attach_path, path) = (object.attach_path.clone(), object.path.clone());
        plan.objects.push(PlannedObject {
            attach_path,
            path,
            name: object.name.clone(),
            copies: Vec::new(),
        });
    }
    Ok(())
}

/// Adds the places where functions were inlined.
fn add_places(
    plan: &mut Plan,
    object: &MappedObject,
    places: &[Place],
    (number, names): (usize, NameStyle),
) -> Result<(), PlanError> {
    for planned in inlined::plan(object, places, names)? {
        match planned {
            Ok(function) => {
                let id = FunctionId(plan.functions.len() as u32);
                plan.functions.push(PlannedFunction {
                    id,
                    object: number,
                    ..function
                });
            }
            Err((name, reason)) => plan.left_out.push(LeftOut {
                name,
                object: object.name.clone(),
                reason,
            }),
        }
    }
    Ok(())
}

/// Plans each of the functions; their numbers and their object's are given later.
fn plan_functions(
    object: &MappedObject,
    selected: &[Selected],
    how: How,
) -> Result<Vec<Result<PlannedFunction, LeftOutReason>>, PlanError> {
    let code = object.file.load_code()?;
    let analysis = Analysis::new(&object.file, &code);
    let on_x86 = object.file.machine() == Machine::X86_64;
    let bodies: Vec<Body> = if on_x86 {
        parallel::map(selected, |selected| {
            analysis.body(&object.file.functions()[selected.function])
        })
    } else {
        vec![Body::default(); selected.len()]
    };
    let calls_matter = on_x86 && how.returns == ReturnsChoice::Auto && how.facts.evidences.any_machinery();
    let harmless = calls_matter.then(|| {
        let functions = selected.iter().map(|selected| selected.function).zip(&bodies);
        Harmless::judge(&analysis, &functions.collect::<Vec<_>>())
    });
    let fragments: HashSet<u64> = bodies.iter().flat_map(|body| &body.fragments).copied().collect();
    let entries = entries::choose(&analysis, selected, &bodies, how.site);
    let cases: Vec<_> = selected.iter().zip(&bodies).zip(entries).collect();
    let selected_ones = selected;
    Ok(parallel::map(&cases, |((selected, body), entry)| {
        let function = &object.file.functions()[selected.function];
        if fragments.contains(&function.address) {
            return Err(LeftOutReason::Fragment);
        }
        let harmless = harmless
            .as_ref()
            .is_some_and(|harmless| harmless.has(selected.function));
        let followed = selected
            .allocator
            .is_some()
            .then(|| tails::follow(&analysis, body, &|index| is_allocator(selected_ones, index)));
        let body = followed.as_ref().unwrap_or(body);
        let returns = returns::decide(
            how.returns,
            how.facts,
            &Case {
                file: &object.file,
                function,
                body,
                harmless,
                allocator: selected.allocator,
            },
        );
        Ok(PlannedFunction {
            stack: returns::call_stack(&object.file, function),
            ..describe(object, (**selected, how.names), (*entry)?, returns)
        })
    }))
}

/// Whether it is among the selected functions, as an allocator whose results are seen.
fn is_allocator(selected: &[Selected], function: usize) -> bool {
    selected.iter().any(|selected| {
        let needs_no_return = |allocator: Allocator| allocator.shape.action.needs_no_return();
        selected.function == function && !selected.allocator.is_none_or(needs_no_return)
    })
}

fn leave_out(
    plan: &mut Plan,
    object: &MappedObject,
    function: usize,
    (reason, names): (LeftOutReason, NameStyle),
) {
    let name = object.file.shown_name(&object.file.functions()[function], names);
    plan.left_out.push(LeftOut {
        name,
        object: object.name.clone(),
        reason,
    });
}

fn reason_to_leave_out(object: &MappedObject, selected: Selected) -> Option<LeftOutReason> {
    let function = &object.file.functions()[selected.function];
    if selected.excluded {
        return Some(LeftOutReason::Excluded);
    }
    match function.kind {
        FunctionKind::Ifunc => return Some(LeftOutReason::Ifunc),
        FunctionKind::Fragment => return Some(LeftOutReason::Fragment),
        FunctionKind::Ordinary => {}
    }
    object
        .file
        .segments()
        .code_offset(function.address)
        .is_none()
        .then_some(LeftOutReason::NotCode)
}

fn describe(
    object: &MappedObject,
    (selected, names): (Selected, NameStyle),
    entry: Site,
    returns: Returns,
) -> PlannedFunction {
    let function = &object.file.functions()[selected.function];
    // The table of allocators has the names as compilers write them.
    let names = if selected.allocator.is_some() {
        NameStyle::Raw
    } else {
        names
    };
    PlannedFunction {
        id: FunctionId(0),
        object: 0,
        name: object.file.shown_name(function, names),
        aliases: object.file.shown_aliases(function, names),
        address: function.address,
        entry,
        returns,
        stack: CallStack::Thread,
        focus: selected.focus,
        named: selected.named,
        allocator: selected.allocator,
    }
}
