//! Makes the plan of a session from the objects that a target maps and what the user asked for.
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::inlined::{self, InlinedChoice, Place};
use super::object_plan::{self, How};
use super::pattern::Pattern;
use super::plan::Plan;
use super::returns::ProcessFacts;
use super::selection::{self, Request, Selected, Selection};
use crate::object::debug::DebugError;
use crate::object::{ObjectError, ObjectFile};

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
    /// A pattern of source files matches no function.
    #[error("no function matches `{pattern}`: {why}")]
    NoSource {
        /// The pattern.
        pattern: String,
        /// What is missing.
        why: String,
    },
    /// What a pattern names has no entry, since it was inlined everywhere.
    #[error("no function matches `{pattern}`, but {inlined}: `--inlined` probes these places")]
    OnlyInlined {
        /// The pattern.
        pattern: String,
        /// What was inlined where.
        inlined: String,
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
pub fn plan(objects: &[MappedObject], request: &Request, facts: ProcessFacts) -> Result<Plan, PlanError> {
    let evidence = ProcessFacts::of_objects(objects.iter().map(|object| &object.file));
    let facts = ProcessFacts {
        evidences: facts.evidences.union(evidence.evidences),
        ..facts
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
    let (selected, notes) = select(&objects, request)?;
    let places = inlined_places(&objects, request);
    let mut plan = Plan {
        notes,
        ..Plan::default()
    };
    for ((object, selected), places) in objects.iter().zip(selected).zip(places) {
        if request.inlined == InlinedChoice::Reported {
            plan.notes.extend(inlined::report(&places, request.names));
        }
        let places = if request.inlined == InlinedChoice::Probed {
            places
        } else {
            Vec::new()
        };
        if !selected.is_empty() || !places.is_empty() {
            let how = How {
                returns: request.returns,
                site: request.site,
                names: request.names,
                facts,
            };
            object_plan::add(&mut plan, object, (&selected, &places), how)?;
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

type SelectedByObject = Vec<Vec<Selected>>;

/// The selected functions of each object, and what must be said. Wildcards that name no object are tried on the main executable, then,
/// those that matched nothing there, everywhere.
fn select(
    objects: &[&MappedObject],
    request: &Request,
) -> Result<(SelectedByObject, Vec<String>), PlanError> {
    let mut selection = Selection::new(request);
    let mut selected: Vec<Vec<Selected>> = objects
        .iter()
        .map(|object| selection.select(object, false))
        .collect();
    let unmatched: Vec<Pattern> = selection.unmatched().cloned().collect();
    let notes = std::mem::take(&mut selection.notes);
    if unmatched.is_empty() {
        return Ok((selected, notes));
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
    let mut selection = selection.wider(&wider);
    for (object, selected) in objects.iter().zip(&mut selected) {
        if !wider.functions.is_empty() || !wider.focus.is_empty() {
            merge(
                selected,
                selection.select(object, true),
                wider.functions.is_empty(),
            );
        }
    }
    for pattern in selection.unmatched() {
        let is_focus = !wider.functions.iter().any(|other| std::ptr::eq(other, pattern));
        unmatched_pattern(objects, request, (pattern, is_focus), &selection.missing)?;
    }
    let notes = [notes, selection.notes].concat();
    Ok((selected, notes))
}

/// What to say of a pattern that names no function with an entry.
fn unmatched_pattern(
    objects: &[&MappedObject],
    request: &Request,
    (pattern, is_focus): (&Pattern, bool),
    missing: &[DebugError],
) -> Result<(), PlanError> {
    let places: Vec<Place> = objects
        .iter()
        .filter(|object| pattern.matches_object(&object.name, &object.path))
        .flat_map(|object| inlined::places(object.file.debug(), &[pattern]).unwrap_or_default())
        .collect();
    if !places.is_empty() {
        if request.inlined == InlinedChoice::Probed && !is_focus {
            return Ok(());
        }
        return Err(PlanError::OnlyInlined {
            pattern: pattern.to_string(),
            inlined: inlined::report(&places, request.names).join("; "),
        });
    }
    if pattern.names_source() {
        return Err(PlanError::NoSource {
            pattern: pattern.to_string(),
            why: why_no_source(objects, missing),
        });
    }
    Err(PlanError::NothingMatched {
        pattern: pattern.to_string(),
        nearest: selection::nearest(pattern, objects),
    })
}

/// What debug information is missing: that of the program itself is told in full, that of others is counted.
fn why_no_source(objects: &[&MappedObject], missing: &[DebugError]) -> String {
    let main = objects.iter().find(|object| object.is_main);
    let main = main.and_then(|object| object.file.debug().load().err());
    let others = missing.len().saturating_sub(usize::from(main.is_some()));
    let mut parts: Vec<String> = main.iter().map(ToString::to_string).collect();
    if parts.is_empty() {
        parts.push(
            "no source file of that name has such a function, or such a line, with code of its own"
                .to_owned(),
        );
    }
    match (others, missing.iter().find(|error| Some(*error) != main.as_ref())) {
        (1, Some(other)) => parts.push(other.to_string()),
        (2.., _) => parts.push(format!("{others} other files have no debug information")),
        _ => {}
    }
    parts.join("; ")
}

/// By object: where functions that are asked for were inlined. What cannot be read has none, as the search said.
fn inlined_places(objects: &[&MappedObject], request: &Request) -> Vec<Vec<Place>> {
    let of_object = |object: &&MappedObject| {
        if request.inlined == InlinedChoice::Ignored || !request.admits(object) {
            return Vec::new();
        }
        let asked: Vec<&Pattern> = request
            .functions
            .iter()
            .filter(|pattern| request.is_near(object, pattern))
            .collect();
        inlined::places(object.file.debug(), &asked).unwrap_or_default()
    };
    objects.iter().map(of_object).collect()
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

#[cfg(test)]
#[path = "planner_tests.rs"]
pub(crate) mod tests;
