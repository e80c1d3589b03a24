//! What the user asked for, and which functions that is.
use std::path::Path;
use std::sync::Arc;

use super::allocators::{Allocator, Allocators};
use super::inlined::InlinedChoice;
use super::pattern::{ObjectPattern, Pattern};
use super::plan::{ReturnsChoice, SiteChoice};
use super::planner::MappedObject;
use super::source::SourceSets;
use crate::object::debug::DebugError;
use crate::object::names::NameStyle;
use crate::object::{Function, ObjectFile};

/// What is to be probed.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `--function`; none = every function of the main executable, or of the objects named.
    pub functions: Vec<Pattern>,
    /// `--exclude`.
    pub exclude: Vec<Pattern>,
    /// `--object`.
    pub objects: Vec<ObjectPattern>,
    /// `--focus`: probed in any case.
    pub focus: Vec<Pattern>,
    /// `--returns`.
    pub returns: ReturnsChoice,
    /// `--site`.
    pub site: SiteChoice,
    /// How names are shown.
    pub names: NameStyle,
    /// `--inlined`.
    pub inlined: InlinedChoice,
    /// Allocators, in place of all of the above.
    pub allocators: Option<Arc<Allocators>>,
    /// Allocators beside all of the above.
    pub also: Option<Arc<Allocators>>,
}

impl Request {
    /// Whether `--object` lets functions of this object in.
    pub(super) fn admits(&self, object: &MappedObject) -> bool {
        self.objects.is_empty()
            || self
                .objects
                .iter()
                .any(|pattern| pattern.matches(&object.name, &object.path))
    }

    /// Whether functions of a file of this name and path can be asked for: every pattern that names no object can match
    /// anywhere.
    pub fn may_want(&self, name: &str, path: &Path) -> bool {
        let mut patterns = self.functions.iter().chain(&self.focus);
        let named = patterns.any(|pattern| pattern.matches_object(name, path));
        let by_object = self.objects.iter().any(|object| object.matches(name, path));
        let everything = self.functions.is_empty() && self.objects.is_empty();
        named || by_object || everything || self.allocators.is_some() || self.also.is_some()
    }

    /// Whether functions of this object are looked for at once, and not only where nothing else matches. Wildcards
    /// would match too much, and to read the debug information of everything that is mapped takes its time.
    pub(super) fn is_near(&self, object: &MappedObject, pattern: &Pattern) -> bool {
        let wide = pattern.is_wildcard() || pattern.names_source();
        pattern.matches_object(&object.name, &object.path)
            && (object.is_main || !wide || !self.objects.is_empty() || pattern.names_object())
    }
}

/// Why a function was selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    /// Index among the object's functions.
    pub(super) function: usize,
    pub(super) focus: bool,
    /// By a pattern without wildcards.
    pub(super) named: bool,
    /// `--exclude` names it, and `--focus` does not.
    pub(super) excluded: bool,
    /// It allocates or frees, and that is what is asked for.
    pub(super) allocator: Option<Allocator>,
}

/// A request's patterns, and which of them have matched something.
pub(super) struct Selection<'a> {
    request: &'a Request,
    functions: Vec<(&'a Pattern, bool)>,
    focus: Vec<(&'a Pattern, bool)>,
    /// Why source patterns found nothing in some objects.
    pub(super) missing: Vec<DebugError>,
    /// What must be said.
    pub(super) notes: Vec<String>,
}

impl<'a> Selection<'a> {
    pub(super) fn new(request: &'a Request) -> Self {
        let unmatched = |patterns: &'a [Pattern]| patterns.iter().map(|pattern| (pattern, false)).collect();
        Self {
            request,
            functions: unmatched(&request.functions),
            focus: unmatched(&request.focus),
            missing: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The same with other patterns; what was missing stays known.
    pub(super) fn wider<'b>(&mut self, request: &'b Request) -> Selection<'b> {
        Selection {
            missing: std::mem::take(&mut self.missing),
            ..Selection::new(request)
        }
    }

    /// The patterns that have matched nothing.
    pub(super) fn unmatched(&self) -> impl Iterator<Item = &'a Pattern> {
        self.functions
            .iter()
            .chain(&self.focus)
            .filter(|(_, matched)| !matched)
            .map(|(pattern, _)| *pattern)
    }

    /// The object's functions that are asked for. `everywhere` = patterns with wildcards that name no object
    /// match outside the main executable, too.
    pub(super) fn select(&mut self, object: &MappedObject, everywhere: bool) -> Vec<Selected> {
        match &self.request.allocators {
            Some(allocators) => allocators.select(object),
            None => self.select_by_patterns(object, everywhere),
        }
    }

    fn select_by_patterns(&mut self, object: &MappedObject, everywhere: bool) -> Vec<Selected> {
        let admitted = self.request.admits(object);
        let by_default =
            self.functions.is_empty() && admitted && (object.is_main || !self.request.objects.is_empty());
        let asked = |pattern: &Pattern, admitted: bool| {
            let far = everywhere && pattern.matches_object(&object.name, &object.path);
            admitted && (far || self.request.is_near(object, pattern))
        };
        let of_object = |patterns: &[(&Pattern, bool)], admitted| -> Vec<usize> {
            (0..patterns.len())
                .filter(|index| asked(patterns[*index].0, admitted))
                .collect()
        };
        let functions = of_object(&self.functions, admitted);
        // A focus is looked for where it may be, also outside the objects whose functions are listed.
        let focus = of_object(&self.focus, true);
        if !by_default && functions.is_empty() && focus.is_empty() {
            return Vec::new();
        }
        let exclude = self.request.exclude.iter();
        let exclude: Vec<&Pattern> = exclude
            .filter(|pattern| pattern.matches_object(&object.name, &object.path))
            .collect();
        let asked = functions.iter().map(|index| self.functions[*index].0);
        let asked = asked.chain(focus.iter().map(|index| self.focus[*index].0));
        let sources = SourceSets::of(object, asked.chain(exclude.iter().copied()));
        let mut found = Vec::new();
        for (index, function) in object.file.functions().iter().enumerate() {
            let matching = |pattern: &Pattern| {
                if pattern.names_source() {
                    sources.has(pattern, index)
                } else {
                    matches(&object.file, function, pattern)
                }
            };
            let by_function = mark(&mut self.functions, &functions, &matching);
            let by_focus = mark(&mut self.focus, &focus, &matching);
            if !by_default && by_function.is_none() && by_focus.is_none() {
                continue;
            }
            found.push(Selected {
                function: index,
                focus: by_focus.is_some(),
                named: by_function == Some(true) || by_focus == Some(true),
                excluded: by_focus.is_none() && exclude.iter().any(|pattern| matching(pattern)),
                allocator: None,
            });
        }
        if let Some(error) = sources.missing {
            let blind = exclude.iter().filter(|pattern| pattern.names_source());
            if !found.is_empty() {
                self.notes.extend(
                    blind.map(|pattern| format!("`--exclude {pattern}` leaves out nothing there: {error}")),
                );
            }
            if !self.missing.contains(&error) {
                self.missing.push(error);
            }
        }
        found
    }
}

/// Marks the patterns that match; `Some(true)` if one of them has no wildcards.
fn mark(
    patterns: &mut [(&Pattern, bool)],
    candidates: &[usize],
    matching: &dyn Fn(&Pattern) -> bool,
) -> Option<bool> {
    let mut named = None;
    for index in candidates {
        let (pattern, matched) = &mut patterns[*index];
        if matching(pattern) {
            *matched = true;
            named = Some(named == Some(true) || !pattern.is_wildcard());
        }
    }
    named
}

fn matches(file: &ObjectFile, function: &Function, pattern: &Pattern) -> bool {
    let mut names = file.names(function).peekable();
    if names.peek().is_none() {
        return pattern.matches_text(&file.display_name(function));
    }
    names.any(|name| pattern.matches(name.raw))
}

/// The names most like the pattern, at most five.
pub(super) fn nearest(pattern: &Pattern, objects: &[&MappedObject]) -> Vec<String> {
    let wanted: String = pattern
        .function()
        .chars()
        .filter(|character| !"*?/^$".contains(*character))
        .collect();
    let wanted = wanted.to_lowercase();
    let mut best: Vec<(f64, String)> = Vec::new();
    for object in objects
        .iter()
        .filter(|object| pattern.matches_object(&object.name, &object.path))
    {
        for function in object.file.functions() {
            let Some(name) = object.file.names(function).next() else {
                continue;
            };
            let shown = name.demangled();
            let plain = crate::object::names::without_parameters(&shown);
            let likeness = likeness(&wanted, plain);
            if likeness > 0.7 && (best.len() < 5 || best.iter().any(|(other, _)| *other < likeness)) {
                best.push((likeness, plain.to_owned()));
                best.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
                best.dedup_by(|a, b| a.1 == b.1);
                best.truncate(5);
            }
        }
    }
    best.into_iter().map(|(_, name)| name).collect()
}

/// How like a name is to what is wanted, whole or by its last part, 0…1.
fn likeness(wanted: &str, name: &str) -> f64 {
    let name = name.to_lowercase();
    // Names of kilobytes are templates that nobody misspells.
    if name.len() > 200 {
        return 0.0;
    }
    let last = name.rsplit("::").next().unwrap_or(&name);
    let whole = strsim::jaro_winkler(wanted, &name);
    if wanted.contains("::") {
        whole
    } else {
        whole.max(strsim::jaro_winkler(wanted, last) * 0.99)
    }
}
