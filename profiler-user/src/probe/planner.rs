//! Makes the plan of a session from the objects that a target maps and what the user asked for.
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use profiler_common::cookie::FunctionId;

use super::inlined::{self, InlinedChoice, Place};
use super::object_plan::{self, How};
use super::pattern::{ObjectPattern, Pattern};
use super::plan::{Plan, PlannedFunction};
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
    let mut scope = Scope::new(request.clone());
    let mut plan = Plan::default();
    scope.extend(&mut plan, objects, facts)?;
    scope.check(objects)?;
    if plan.functions.is_empty() && plan.left_out.is_empty() {
        let main = objects.iter().find(|object| object.is_main).or(objects.first());
        let object = main.map_or_else(String::new, |object| object.name.clone());
        return Err(PlanError::NoFunctions { object });
    }
    Ok(plan)
}

/// A request, and what it has found so far: objects may appear one after the other.
#[derive(Debug)]
pub struct Scope {
    request: Request,
    /// Patterns that have matched functions.
    matched: HashSet<String>,
    /// Of these, the ones that matched nothing in a main executable: they are looked for everywhere.
    far: HashSet<String>,
    /// Patterns of objects that have matched one.
    objects: HashSet<String>,
    /// Why source patterns found nothing in some objects.
    missing: Vec<DebugError>,
}

impl Scope {
    /// Nothing found yet.
    pub fn new(request: Request) -> Self {
        Self {
            request,
            matched: HashSet::new(),
            far: HashSet::new(),
            objects: HashSet::new(),
            missing: Vec::new(),
        }
    }

    /// What was asked for.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// More functions are asked for. A pattern that was refused is refused no more.
    pub fn ask(&mut self, pattern: Pattern) {
        let text = pattern.to_string();
        let Request {
            functions, exclude, ..
        } = &mut self.request;
        exclude.retain(|refused| refused.to_string() != text);
        // None means all of the program: that it stays.
        if functions.is_empty() {
            functions.extend("*".parse());
        }
        if functions.iter().all(|known| known.to_string() != text) {
            functions.push(pattern);
        }
    }

    /// These functions are wanted no more.
    pub fn refuse(&mut self, pattern: Pattern) {
        self.request.exclude.push(pattern);
    }

    /// Adds what is wanted of some more objects to a plan.
    pub fn extend(
        &mut self,
        plan: &mut Plan,
        objects: &[MappedObject],
        facts: ProcessFacts,
    ) -> Result<(), PlanError> {
        let objects = distinct(objects);
        for pattern in &self.request.objects {
            if objects
                .iter()
                .any(|object| pattern.matches(&object.name, &object.path))
            {
                self.objects.insert(pattern.to_string());
            }
        }
        let selected = self.select(&objects, &mut plan.notes);
        let places = inlined_places(&objects, &self.request);
        for ((object, selected), places) in objects.iter().zip(selected).zip(places) {
            let probed = match self.request.inlined {
                InlinedChoice::Probed => places,
                InlinedChoice::Reported => {
                    plan.notes.extend(inlined::report(&places, self.request.names));
                    Vec::new()
                }
                InlinedChoice::Ignored => Vec::new(),
            };
            if !selected.is_empty() || !probed.is_empty() {
                let how = How::new(&self.request, facts);
                object_plan::add(plan, object, (&selected, &probed), how)?;
            }
            let also = self.request.also.as_ref().map(|also| also.select(object));
            if let Some(also) = also.filter(|also| !also.is_empty()) {
                object_plan::add(plan, object, (&also, &[]), How::new(&self.request, facts))?;
            }
        }
        Ok(())
    }

    /// Plans the returns of some functions of one object anew, as more is known of the processes that map it. Returns
    /// those that changed.
    pub fn replan(
        &self,
        functions: &mut [PlannedFunction],
        object: &MappedObject,
        facts: ProcessFacts,
    ) -> Result<Vec<FunctionId>, PlanError> {
        object_plan::replan(functions, object, How::new(&self.request, facts))
    }

    /// The patterns of functions that have matched nothing.
    pub fn unmatched(&self) -> impl Iterator<Item = &Pattern> {
        let patterns = self.request.functions.iter().chain(&self.request.focus);
        patterns.filter(|pattern| !self.matched.contains(&pattern.to_string()))
    }

    /// The patterns of objects that have matched nothing.
    pub fn unmatched_objects(&self) -> impl Iterator<Item = &ObjectPattern> {
        let patterns = self.request.objects.iter();
        patterns.filter(|pattern| !self.objects.contains(&pattern.to_string()))
    }

    /// An error where something was not found. `objects`: where it was looked for.
    pub fn check(&self, objects: &[MappedObject]) -> Result<(), PlanError> {
        if let Some(pattern) = self.unmatched_objects().next() {
            return Err(PlanError::NoObject {
                pattern: pattern.to_string(),
            });
        }
        for pattern in self.unmatched() {
            self.check_unmatched(pattern, objects)?;
        }
        Ok(())
    }

    /// An error that says what is wrong with a pattern that matched nothing, unless it names what was inlined, and that is
    /// probed.
    pub fn check_unmatched(&self, pattern: &Pattern, objects: &[MappedObject]) -> Result<(), PlanError> {
        let is_focus = !self
            .request
            .functions
            .iter()
            .any(|other| std::ptr::eq(other, pattern));
        unmatched_pattern(
            &distinct(objects),
            &self.request,
            (pattern, is_focus),
            &self.missing,
        )
    }

    /// The selected functions of each object. Wildcards that name no object are tried on the main executables, then,
    /// those that matched nothing there, everywhere.
    fn select(&mut self, objects: &[&MappedObject], notes: &mut Vec<String>) -> Vec<Vec<Selected>> {
        let mut selection = Selection::new(&self.request);
        let mut selected: Vec<Vec<Selected>> = objects
            .iter()
            .map(|object| selection.select(object, false))
            .collect();
        let unmatched: HashSet<String> = selection.unmatched().map(ToString::to_string).collect();
        let patterns = self.request.functions.iter().chain(&self.request.focus);
        let names: Vec<String> = patterns.map(ToString::to_string).collect();
        let near = names.iter().filter(|name| !unmatched.contains(*name));
        self.matched.extend(near.cloned());
        let far = |pattern: &&Pattern| {
            let name = pattern.to_string();
            !self.matched.contains(&name) || self.far.contains(&name)
        };
        let wider = Request {
            functions: self.request.functions.iter().filter(far).cloned().collect(),
            focus: self.request.focus.iter().filter(far).cloned().collect(),
            ..self.request.clone()
        };
        notes.append(&mut selection.notes);
        if wider.functions.is_empty() && wider.focus.is_empty() {
            self.missing.append(&mut selection.missing);
            return selected;
        }
        let mut selection = selection.wider(&wider);
        for (object, selected) in objects.iter().zip(&mut selected) {
            merge(
                selected,
                selection.select(object, true),
                wider.functions.is_empty(),
            );
        }
        let unmatched: HashSet<String> = selection.unmatched().map(ToString::to_string).collect();
        let patterns = wider
            .functions
            .iter()
            .chain(&wider.focus)
            .map(ToString::to_string);
        for name in patterns.filter(|name| !unmatched.contains(name)) {
            self.far.insert(name.clone());
            self.matched.insert(name);
        }
        notes.append(&mut selection.notes);
        self.missing.append(&mut selection.missing);
        selected
    }
}

/// Where the functions begin that a pattern names in an object.
pub fn named_addresses(object: &MappedObject, pattern: &Pattern) -> HashSet<u64> {
    let request = Request {
        functions: vec![pattern.clone()],
        ..Request::default()
    };
    let selected = Selection::new(&request).select(object, true);
    let functions = object.file.functions();
    let addresses = selected
        .iter()
        .map(|selected| functions[selected.function].address);
    addresses.collect()
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
