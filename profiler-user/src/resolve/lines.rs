//! The source lines of a plan's functions.
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::PathStyle;
use crate::event::FunctionNames;
use crate::object::debug::{DebugError, DebugInfo, DebugSource, SourceLine};
use crate::probe::inlined::NotSeen;
use crate::probe::plan::Plan;

/// By function: where it is declared, or else the line of its first instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionLines(Vec<Option<SourceLine>>);

/// Which lines are to be read, without anything else of the plan: it can be given to another thread.
#[derive(Clone, Debug)]
pub struct LinesWanted {
    /// By object of the plan.
    debug: Vec<Arc<DebugSource>>,
    /// By function: its object, and its address there; none = it is there because it allocates, and nobody asks where it is.
    functions: Vec<Option<(usize, u64)>>,
    style: PathStyle,
}

impl LinesWanted {
    /// The lines of all functions of a plan. `debug`: by object of the plan.
    pub fn new(plan: &Plan, debug: &[Arc<DebugSource>], style: &PathStyle) -> Self {
        Self::from_number(plan, debug, (0, style))
    }

    /// The lines of the plan's functions from number `first` on.
    fn from_number(plan: &Plan, debug: &[Arc<DebugSource>], (first, style): (usize, &PathStyle)) -> Self {
        let functions = plan.functions[first..].iter();
        Self {
            debug: debug.to_vec(),
            functions: functions
                .map(|function| {
                    let place = (function.object, function.address);
                    function.allocator.is_none().then_some(place)
                })
                .collect(),
            style: style.clone(),
        }
    }

    /// Reads them. The debug information of one object after the other is in memory for that.
    pub fn read(&self) -> FunctionLines {
        let mut lines = vec![None; self.functions.len()];
        let mut shown: HashMap<Arc<str>, Arc<str>> = HashMap::new();
        for (object, debug) in self.debug.iter().enumerate() {
            let places = self.functions.iter().enumerate();
            let places: Vec<(usize, u64)> = places
                .filter_map(|(function, place)| Some((function, (*place)?)))
                .filter(|(_, (of, _))| *of == object)
                .map(|(function, (_, address))| (function, address))
                .collect();
            if let Err(error) = read_object(debug, &places, &mut lines) {
                log::debug!("no lines: {error}");
            }
        }
        for line in lines.iter_mut().flatten() {
            let name = shown.entry(Arc::clone(&line.file));
            line.file = Arc::clone(name.or_insert_with_key(|file| Arc::from(self.style.shown(file))));
        }
        FunctionLines(lines)
    }
}

fn read_object(
    debug: &DebugSource,
    places: &[(usize, u64)],
    lines: &mut [Option<SourceLine>],
) -> Result<(), DebugError> {
    if places.is_empty() {
        return Ok(());
    }
    let loaded = debug.load();
    let units = loaded.as_ref().map(DebugInfo::units);
    if let Ok(Ok(units)) = &units {
        for (function, address) in places {
            lines[*function] = units.declaration(*address);
        }
    }
    if let Some(go) = debug.go_lines() {
        for (function, address) in places {
            let declared = || {
                let (file, line) = go.declaration(*address)?;
                Some(SourceLine {
                    file: Arc::from(&*file),
                    line,
                })
            };
            lines[*function] = lines[*function].take().or_else(declared);
        }
        return Ok(());
    }
    match units {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error),
        Err(error) => Err(error.clone()),
    }
}

impl FunctionLines {
    /// The line of a function.
    pub fn get(&self, function: usize) -> Option<&SourceLine> {
        self.0.get(function)?.as_ref()
    }

    /// Adds the lines to the functions' names; the first of them is that of function number `first`.
    pub fn complete(&self, names: &mut FunctionNames, first: usize) {
        for (function, line) in self.0.iter().enumerate() {
            if let Some(SourceLine { file, line }) = line {
                names.set_source((first + function) as u32, Arc::clone(file), *line);
            }
        }
    }

    /// How many functions have one.
    pub fn known(&self) -> usize {
        self.0.iter().flatten().count()
    }
}

/// What debug information has to say of a session.
#[derive(Debug, Default)]
struct Told {
    lines: FunctionLines,
    notes: Vec<String>,
}

/// Lines that are being read by a thread of their own.
#[derive(Clone, Debug, Default)]
pub struct LinesAhead(Option<Arc<OnceLock<Told>>>);

impl LinesAhead {
    /// Nobody wants them.
    pub fn none() -> Self {
        Self(None)
    }

    /// Begins to read the lines, if somebody wants them, and to look where functions were inlined.
    pub fn start(wanted: LinesWanted, of_functions: bool, inlined: NotSeen) -> std::io::Result<Self> {
        if !of_functions && inlined.is_empty() {
            return Ok(Self::none());
        }
        let told = Arc::new(OnceLock::new());
        let telling = Arc::clone(&told);
        let read = move || Told {
            lines: if of_functions {
                wanted.read()
            } else {
                FunctionLines::default()
            },
            notes: inlined.notes(&wanted.debug),
        };
        std::thread::Builder::new()
            .name("lines".to_owned())
            .spawn(move || telling.set(read()).is_ok())?;
        Ok(Self(Some(told)))
    }

    /// Whether they are still being read.
    pub fn is_pending(&self) -> bool {
        self.0.as_ref().is_some_and(|told| told.get().is_none())
    }

    /// Waits until they are read; `false` if that takes longer.
    pub fn wait(&self, longest: Duration) -> bool {
        let deadline = Instant::now() + longest;
        while self.is_pending() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// The lines, once they are read.
    pub fn get(&self) -> Option<&FunctionLines> {
        self.0.as_ref()?.get().map(|told| &told.lines)
    }

    /// What else is to be said, once it is known.
    pub fn notes(&self) -> &[String] {
        let told = self.0.as_ref().and_then(|told| told.get());
        told.map_or(&[], |told| &told.notes)
    }
}

/// The lines of a session: those of the functions that it began with, and of those that joined.
#[derive(Debug, Default)]
pub struct Lines {
    parts: Vec<(usize, LinesAhead)>,
    /// How paths are shown; none = nobody wants lines.
    style: Option<PathStyle>,
}

impl Lines {
    /// The lines of a beginning, and how those of functions that join are shown, if anything shows them.
    pub fn new(first: LinesAhead, style: Option<PathStyle>) -> Self {
        Self {
            parts: vec![(0, first)],
            style,
        }
    }

    /// Functions joined the plan from number `first` on: their lines are read beside.
    pub fn extend(&mut self, plan: &Plan, debug: &[Arc<DebugSource>], first: usize) {
        let Some(style) = &self.style else { return };
        let wanted = LinesWanted::from_number(plan, debug, (first, style));
        match LinesAhead::start(wanted, true, NotSeen::Allocators(Vec::new())) {
            Ok(ahead) => self.parts.push((first, ahead)),
            Err(error) => log::warn!("no lines of functions that joined: {error}"),
        }
    }

    /// The part that was added last.
    pub fn latest(&self) -> LinesAhead {
        self.parts
            .last()
            .map_or_else(LinesAhead::none, |(_, ahead)| ahead.clone())
    }

    /// Waits until all are read; `false` if that takes longer.
    pub fn wait(&self, longest: Duration) -> bool {
        let deadline = Instant::now() + longest;
        let left = || deadline.saturating_duration_since(Instant::now());
        self.parts.iter().all(|(_, ahead)| ahead.wait(left()))
    }

    /// The line of a function, once it is read.
    pub fn get(&self, function: usize) -> Option<&SourceLine> {
        let part = self.parts.iter().rev().find(|(first, _)| *first <= function);
        part.and_then(|(first, ahead)| ahead.get()?.get(function - first))
    }

    /// What else is to be said, once it is known.
    pub fn notes(&self) -> &[String] {
        self.parts.first().map_or(&[], |(_, ahead)| ahead.notes())
    }
}
