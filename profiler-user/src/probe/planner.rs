//! Makes the plan of a session from the objects that a target maps and what the user asked for.
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use profiler_common::cookie::FunctionId;

use super::analysis::{Analysis, Harmless};
use super::body::Body;
use super::parallel;
use super::pattern::Pattern;
use super::plan::{
    LeftOut, LeftOutReason, Plan, PlannedFunction, PlannedObject, Price, Returns, ReturnsChoice, Site,
};
use super::returns::{self, Case, ProcessFacts};
use super::selection::{self, Request, Selected, Selection};
use super::site::{self, ArgumentRegisters, Prologue};
use crate::object::{Evidence, FunctionKind, Machine, ObjectError, ObjectFile};

/// An object that the target maps.
#[derive(Debug)]
pub struct MappedObject {
    /// A path that names the very file that the process maps.
    pub attach_path: PathBuf,
    /// The path in the target's own view.
    pub path: PathBuf,
    /// The file's name.
    pub name: String,
    /// It is the program itself.
    pub is_main: bool,
    /// What is in it.
    pub file: ObjectFile,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A pattern matches no function.
    #[error("no function matches `{pattern}`{}", suggestion(nearest))]
    NothingMatched {
        /// The pattern.
        pattern: String,
        /// The names most like it.
        nearest: Vec<String>,
    },
    /// `--object` names nothing that the target maps.
    #[error("no mapped object matches `{pattern}`")]
    NoObject {
        /// The pattern.
        pattern: String,
    },
    /// The objects have no functions.
    #[error("`{object}` has no functions that could be probed")]
    NoFunctions {
        /// The object's name.
        object: String,
    },
    /// An object could not be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

fn suggestion(nearest: &[String]) -> String {
    let quoted: Vec<String> = nearest.iter().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() {
        String::new()
    } else {
        format!("; the nearest are {}", quoted.join(", "))
    }
}

/// Makes the plan. What `objects` speak for is added to what `facts` knows already.
pub fn plan(objects: &[MappedObject], request: &Request, facts: &ProcessFacts) -> Result<Plan, PlanError> {
    let evidence = ProcessFacts::of_objects(objects.iter().map(|object| &object.file));
    let facts = ProcessFacts {
        evidences: facts.evidences.union(evidence.evidences),
        ..*facts
    };
    let objects = distinct(objects);
    for pattern in &request.objects {
        if !objects
            .iter()
            .any(|object| pattern.matches(&object.name, &object.path))
        {
            return Err(PlanError::NoObject {
                pattern: pattern.to_string(),
            });
        }
    }
    let selected = select(&objects, request)?;
    let mut plan = Plan::default();
    for (object, selected) in objects.iter().zip(selected) {
        if !selected.is_empty() {
            add_object(&mut plan, object, &selected, (request.returns, &facts))?;
        }
    }
    if plan.functions.is_empty() && plan.left_out.is_empty() {
        let main = objects.iter().find(|object| object.is_main).or(objects.first());
        let object = main.map_or_else(String::new, |object| object.name.clone());
        return Err(PlanError::NoFunctions { object });
    }
    Ok(plan)
}

/// The objects without those that are another path of the same file.
fn distinct(objects: &[MappedObject]) -> Vec<&MappedObject> {
    let mut seen = HashSet::new();
    let is_new = |object: &&MappedObject| match std::fs::metadata(&object.attach_path) {
        Ok(metadata) => seen.insert((metadata.dev(), metadata.ino())),
        // Attaching will tell what is wrong with the file.
        Err(_) => true,
    };
    objects.iter().filter(is_new).collect()
}

/// The selected functions of each object. Wildcards that name no object are tried on the main executable, then,
/// those that matched nothing there, everywhere.
fn select(objects: &[&MappedObject], request: &Request) -> Result<Vec<Vec<Selected>>, PlanError> {
    let mut selection = Selection::new(request);
    let mut selected: Vec<Vec<Selected>> = objects
        .iter()
        .map(|object| selection.select(object, false))
        .collect();
    let unmatched: Vec<Pattern> = selection.unmatched().cloned().collect();
    if unmatched.is_empty() {
        return Ok(selected);
    }
    let again = |patterns: &[Pattern]| -> Vec<Pattern> {
        let is_unmatched = |pattern: &&Pattern| {
            unmatched
                .iter()
                .any(|other| other.to_string() == pattern.to_string())
        };
        patterns.iter().filter(is_unmatched).cloned().collect()
    };
    let wider = Request {
        functions: again(&request.functions),
        focus: again(&request.focus),
        ..request.clone()
    };
    let mut selection = Selection::new(&wider);
    for (object, selected) in objects.iter().zip(&mut selected) {
        if !wider.functions.is_empty() || !wider.focus.is_empty() {
            merge(
                selected,
                selection.select(object, true),
                wider.functions.is_empty(),
            );
        }
    }
    match selection.unmatched().next() {
        Some(pattern) => Err(PlanError::NothingMatched {
            pattern: pattern.to_string(),
            nearest: selection::nearest(pattern, objects),
        }),
        None => Ok(selected),
    }
}

/// Adds what a second look found. `only_focus`: it had no `--function`, so that all else are repetitions.
fn merge(selected: &mut Vec<Selected>, found: Vec<Selected>, only_focus: bool) {
    for new in found {
        match selected.iter_mut().find(|old| old.function == new.function) {
            Some(old) => {
                old.focus |= new.focus;
                old.named |= new.named;
                old.excluded &= !new.focus;
            }
            None if only_focus && !new.focus => {}
            None => selected.push(new),
        }
    }
    selected.sort_unstable_by_key(|selected| selected.function);
}

/// Plans the selected functions of one object.
fn add_object(
    plan: &mut Plan,
    object: &MappedObject,
    selected: &[Selected],
    (choice, facts): (ReturnsChoice, &ProcessFacts),
) -> Result<(), PlanError> {
    let (usable, left_out): (Vec<_>, Vec<_>) = selected
        .iter()
        .map(|selected| (*selected, reason_to_leave_out(object, selected)))
        .partition(|(_, reason)| reason.is_none());
    for (selected, reason) in left_out {
        // A fragment is probed with its function; only who asks for it by its own name wants to hear of it.
        if let Some(reason) = reason.filter(|reason| *reason != LeftOutReason::Fragment || selected.named) {
            leave_out(plan, object, selected.function, reason);
        }
    }
    let usable: Vec<Selected> = usable.into_iter().map(|(selected, _)| selected).collect();
    if usable.is_empty() {
        return Ok(());
    }
    let code = object.file.load_code()?;
    let analysis = Analysis {
        file: &object.file,
        code: &code,
    };
    let on_x86 = object.file.machine() == Machine::X86_64;
    let bodies: Vec<Body> = if on_x86 {
        parallel::map(&usable, |selected| {
            analysis.body(&object.file.functions()[selected.function])
        })
    } else {
        vec![Body::default(); usable.len()]
    };
    let harmless = (on_x86 && choice == ReturnsChoice::Auto && facts.evidences.any_machinery()).then(|| {
        let functions: Vec<(usize, &Body)> = usable
            .iter()
            .map(|selected| selected.function)
            .zip(&bodies)
            .collect();
        Harmless::judge(&analysis, &functions)
    });
    let number = plan.objects.len();
    let cases: Vec<(&Selected, &Body)> = usable.iter().zip(&bodies).collect();
    let planned = parallel::map(&cases, |(selected, body)| {
        let function = &object.file.functions()[selected.function];
        let entry = entry_site(&analysis, selected.function, body)?;
        let harmless = harmless
            .as_ref()
            .is_some_and(|harmless| harmless.has(selected.function));
        let returns = returns::decide(
            choice,
            facts,
            &Case {
                file: &object.file,
                function,
                body,
                harmless,
            },
        );
        Ok(describe(object, selected, entry, returns))
    });
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
            Err(reason) => leave_out(plan, object, selected.function, reason),
        }
    }
    if plan
        .functions
        .last()
        .is_some_and(|function| function.object == number)
    {
        plan.objects.push(PlannedObject {
            attach_path: object.attach_path.clone(),
            path: object.path.clone(),
            name: object.name.clone(),
        });
    }
    Ok(())
}

fn leave_out(plan: &mut Plan, object: &MappedObject, function: usize, reason: LeftOutReason) {
    let name = object.file.display_name(&object.file.functions()[function]);
    plan.left_out.push(LeftOut {
        name,
        object: object.name.clone(),
        reason,
    });
}

fn reason_to_leave_out(object: &MappedObject, selected: &Selected) -> Option<LeftOutReason> {
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

fn entry_site(analysis: &Analysis<'_>, function: usize, body: &Body) -> Result<Site, LeftOutReason> {
    let function = &analysis.file.functions()[function];
    let offset = analysis
        .file
        .segments()
        .code_offset(function.address)
        .ok_or(LeftOutReason::NotCode)?;
    if analysis.file.machine() != Machine::X86_64 {
        return Ok(Site {
            offset,
            distance: 0,
            price: Price::SingleStepped,
        });
    }
    let code_end = analysis
        .file
        .segments()
        .code_end(function.address)
        .ok_or(LeftOutReason::NotCode)?;
    let end = if function.size == 0 {
        code_end.min(function.address + 16)
    } else {
        function.end()
    };
    let code = analysis
        .code
        .bytes(function.address, end)
        .ok_or(LeftOutReason::Undecodable)?;
    let is_go = analysis.file.evidences().has(Evidence::Go);
    let prologue = if is_go { Prologue::Go } else { Prologue::Ordinary };
    let chosen = site::choose(
        code,
        function.address,
        body,
        (prologue, ArgumentRegisters::none()),
    )?;
    Ok(Site {
        offset: offset + u64::from(chosen.distance),
        distance: chosen.distance,
        price: chosen.price,
    })
}

fn describe(object: &MappedObject, selected: &Selected, entry: Site, returns: Returns) -> PlannedFunction {
    let function = &object.file.functions()[selected.function];
    PlannedFunction {
        id: FunctionId(0),
        object: 0,
        name: object.file.display_name(function),
        aliases: object.file.aliases(function),
        address: function.address,
        entry,
        returns,
        focus: selected.focus,
        named: selected.named,
    }
}
