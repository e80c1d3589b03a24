//! Functions that were inlined: they have no entry there, but each place begins somewhere.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use iced_x86::{Decoder, DecoderOptions, FlowControl};

use super::analysis::Analysis;
use super::body;
use super::pattern::Pattern;
use super::plan::{EntryOnlyReason, LeftOutReason, PlannedFunction, Price, Returns, Site};
use super::planner::{MappedObject, PlanError};
use super::x86;
use crate::object::debug::{DebugError, DebugSource, InlinedPlace, SourceLine};
use crate::object::names::NameStyle;
use crate::object::{Machine, ObjectFile};
use profiler_common::cookie::{CallStack, FunctionId};

/// Places named in a message.
const NAMED: usize = 4;

/// What becomes of places where functions were inlined (`--inlined`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InlinedChoice {
    /// They are not looked for, unless nothing else has a name.
    #[default]
    Ignored,
    /// They are told.
    Reported,
    /// They are probed.
    Probed,
}

/// A place where a function was inlined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The function's name as compilers write it.
    pub(super) function: String,
    /// Address of the place's first instruction.
    pub(super) entry: u64,
    /// The code of the place: beginnings and ends.
    code: Vec<(u64, u64)>,
    /// The function around it.
    caller: String,
    /// The line of the call.
    call: Option<SourceLine>,
    /// By a pattern without wildcards.
    named: bool,
}

impl Place {
    fn new(place: InlinedPlace<'_>, named: bool) -> Self {
        Self {
            function: place.function.into_owned(),
            entry: place.entry,
            code: place.code,
            caller: place.caller_name.unwrap_or_default().into_owned(),
            call: place.call,
            named,
        }
    }

    /// `caller at file.c:12`
    fn text(&self, style: NameStyle) -> String {
        let caller = if self.caller.is_empty() {
            format!("{:#x}", self.entry).into()
        } else {
            style.shown(&self.caller)
        };
        match &self.call {
            Some(SourceLine { file, line }) => {
                let file = file.rsplit('/').next().unwrap_or(file);
                format!("{caller} at {file}:{line}")
            }
            None => caller.into_owned(),
        }
    }
}

/// The places in an object where functions were inlined that one of the patterns names.
pub(super) fn places(debug: &DebugSource, patterns: &[&Pattern]) -> Result<Vec<Place>, DebugError> {
    if patterns.is_empty() {
        return Ok(Vec::new());
    }
    let debug = debug.load()?;
    let units = debug.units()?;
    let is_asked = |pattern: &&&Pattern, name: &str, declared: Option<&SourceLine>| {
        let in_file = pattern.source().is_none_or(|source| {
            declared.is_some_and(|declared| source.matches(&declared.file)) && pattern.line().is_none()
        });
        in_file && pattern.matches(name)
    };
    let by_name = |name: &str| patterns.iter().any(|pattern| pattern.matches(name));
    let places = units.inlined(&by_name).into_iter().filter_map(|place| {
        let mut asked = patterns
            .iter()
            .filter(|pattern| is_asked(pattern, &place.function, place.declared.as_ref()))
            .peekable();
        asked.peek()?;
        let named = asked.any(|pattern| !pattern.is_wildcard());
        Some(Place::new(place, named))
    });
    Ok(places.collect())
}

/// What is to be said of functions that were inlined: by function, how often and where.
pub(super) fn report(places: &[Place], style: NameStyle) -> Vec<String> {
    let mut by_function: BTreeMap<&str, Vec<&Place>> = BTreeMap::new();
    for place in places {
        by_function.entry(&place.function).or_default().push(place);
    }
    let named = by_function.iter().filter(|(_, places)| places[0].named);
    let mut lines: Vec<String> = named
        .map(|(function, places)| {
            format!(
                "`{}` was inlined {}",
                style.shown(function),
                whereabouts(places, style)
            )
        })
        .collect();
    let others = by_function.values().filter(|places| !places[0].named);
    let (functions, places) = others.fold((0, 0), |(functions, sum), places| {
        (functions + 1, sum + places.len())
    });
    if functions > 0 {
        lines.push(format!(
            "{functions} functions that match were inlined at {places} places"
        ));
    }
    lines
}

fn whereabouts(places: &[&Place], style: NameStyle) -> String {
    let named: Vec<String> = places.iter().take(NAMED).map(|place| place.text(style)).collect();
    let named = named.join(", ");
    match (places.len(), places.len().saturating_sub(NAMED)) {
        (1, _) => format!("at 1 place (in {named})"),
        (count, 0) => format!("at {count} places (in {named})"),
        (count, more) => format!("at {count} places (in {named} and {more} more)"),
    }
}

/// Functions that no probe sees where they were inlined.
#[derive(Clone, Debug)]
pub enum NotSeen {
    /// Functions that the user named.
    Functions(Vec<Pattern>, NameStyle),
    /// Functions that allocate.
    Allocators(Vec<Pattern>),
}

impl NotSeen {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Functions(patterns, _) | Self::Allocators(patterns) => patterns.is_empty(),
        }
    }

    /// What must be said, once probes are attached, of the places that they do not see.
    pub fn notes(&self, debug: &[Arc<DebugSource>]) -> Vec<String> {
        let (Self::Functions(patterns, _) | Self::Allocators(patterns)) = self;
        let patterns: Vec<&Pattern> = patterns.iter().collect();
        let places = debug
            .iter()
            .map(|debug| places(debug, &patterns).unwrap_or_default());
        match self {
            Self::Functions(_, style) => places
                .flat_map(|places| report(&places, *style))
                .map(|line| format!("{line}: calls there are not seen; `--inlined` counts them"))
                .collect(),
            Self::Allocators(_) => places.filter_map(|places| allocators(&places)).collect(),
        }
    }
}

/// What must be said of an object's allocators.
fn allocators(places: &[Place]) -> Option<String> {
    let functions: BTreeSet<&str> = places.iter().map(|place| place.function.as_str()).collect();
    let callers: BTreeSet<&str> = places.iter().map(|place| place.caller.as_str()).collect();
    let first = places.first()?;
    Some(format!(
        "{} allocators ({}, …) were inlined into {} functions: what these allocate and free is seen in part, or not at all; \
         CPython under `PYTHONMALLOC=malloc`, or built without link-time optimization, shows all of it",
        functions.len(),
        first.function,
        callers.len()
    ))
}

/// A place's probe, or its name and why it has none.
pub(super) type PlannedPlace = Result<PlannedFunction, (String, LeftOutReason)>;

/// The probes of an object's places. Each can carry one, or the reason is told.
pub(super) fn plan(
    object: &MappedObject,
    places: &[Place],
    style: NameStyle,
) -> Result<Vec<PlannedPlace>, PlanError> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let code = object.file.load_code()?;
    let analysis = Analysis::new(&object.file, &code);
    let planned = places.iter().map(|place| {
        let name = format!(
            "{} [inlined in {}]",
            style.shown(&place.function),
            place.text(style)
        );
        match site(&analysis, place) {
            Ok(entry) => Ok(PlannedFunction {
                id: FunctionId(0),
                object: 0,
                name,
                aliases: Vec::new(),
                address: place.entry,
                entry,
                returns: Returns::EntryOnly(EntryOnlyReason::Inlined),
                stack: CallStack::Thread,
                focus: false,
                named: place.named,
                allocator: None,
            }),
            Err(reason) => Err((name, reason)),
        }
    });
    Ok(planned.collect())
}

/// The place's first instruction, if it is one: found by following the function around it from its start.
fn site(analysis: &Analysis<'_>, place: &Place) -> Result<Site, LeftOutReason> {
    let address = place.entry;
    let file: &ObjectFile = analysis.file;
    let offset = file
        .segments()
        .code_offset(address)
        .ok_or(LeftOutReason::NotCode)?;
    let index = file.function_containing(address).ok_or(LeftOutReason::NotCode)?;
    let function = &file.functions()[index];
    if file.machine() != Machine::X86_64 {
        let site = Site {
            offset,
            distance: 0,
            price: Price::SingleStepped,
        };
        return if address.is_multiple_of(4) {
            Ok(site)
        } else {
            Err(LeftOutReason::Undecodable)
        };
    }
    if !body::reaches(analysis, (function.address, function.end()), address) {
        return Err(LeftOutReason::Undecodable);
    }
    let bytes = analysis.code.bytes(address, function.end());
    let (instruction, encoded) = bytes.and_then(x86::decode).ok_or(LeftOutReason::Undecodable)?;
    // The kernel traps after each turn of a repeated instruction, and would count all of them.
    let repeats = instruction.is_string_instruction()
        && (instruction.has_rep_prefix() || instruction.has_repne_prefix());
    if repeats || x86::is_refused(&instruction, encoded) {
        return Err(LeftOutReason::Refused);
    }
    if goes_back_to_its_start(analysis, place) {
        return Err(LeftOutReason::Loop);
    }
    Ok(Site {
        offset,
        distance: 0,
        price: x86::price(encoded),
    })
}

/// Whether a loop of the place itself begins with its first instruction: each of its turns would be counted as a call.
fn goes_back_to_its_start(analysis: &Analysis<'_>, place: &Place) -> bool {
    place.code.iter().any(|(start, end)| {
        let bytes = analysis.code.bytes(*start, *end).unwrap_or_default();
        let mut instructions = Decoder::with_ip(64, bytes, *start, DecoderOptions::NONE);
        instructions.iter().any(|instruction| {
            let jumps = matches!(
                instruction.flow_control(),
                FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch
            );
            jumps && instruction.near_branch_target() == place.entry
        })
    })
}
