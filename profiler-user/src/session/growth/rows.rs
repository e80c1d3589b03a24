//! From places to the lines of a result.
use std::collections::HashMap;

use profiler_common::rss::{BEFORE, BY_OTHERS, NO_FUNCTION, PlaceCounters, PlaceKey};

use crate::aggregate::growth::{GrowthCounters, GrowthRow};
use crate::kernel::memory::page_size;
use crate::kernel::rss::RssMaps;
use crate::object::debug::SourceLine;
use crate::object::names::{self, NameStyle};
use crate::probe::plan::Plan;
use crate::session::memory::known::Who;
use crate::session::memory::sites::{SiteName, SiteNames};
use crate::ui::mem_view::{GrowthShown, MemBy};

/// What stands for places that found no room.
const OTHERS: &str = "(places without room)";
/// What stands for changes that a process did not make itself.
const NOT_ITSELF: &str = "(by the kernel or another process)";
/// What stands for what a command had when its first change was seen.
const HAD_BEFORE: &str = "(when it was first seen)";
/// What stands for any place, where places are not told apart.
const ANYWHERE: &str = "(anywhere)";
/// Frames of a stack in place of a probed function, where none was open.
const NO_OPEN_FUNCTION: &str = "";

/// The names of a place.
#[derive(Clone, Debug)]
pub(super) struct Named {
    place: SiteName,
    stack: Vec<SiteName>,
    pub(super) line: Option<SourceLine>,
    /// They need not be looked for again.
    pub(super) is_final: bool,
}

impl Named {
    pub(super) fn of(key: &PlaceKey, names: &mut SiteNames, maps: &RssMaps) -> Self {
        if key.ip == 0 {
            let text = match key.by {
                BY_OTHERS => NOT_ITSELF,
                BEFORE => HAD_BEFORE,
                _ => ANYWHERE,
            };
            return Self {
                place: SiteName::unnamed(text),
                stack: Vec::new(),
                line: None,
                is_final: true,
            };
        }
        let (place, is_final) = names.instruction(key.tgid, key.ip);
        let mut stack = vec![place.clone()];
        let frames = maps.stacks.frames(key.stack);
        // The first frame is the place itself.
        let behind = frames.get(1..).unwrap_or_default();
        stack.extend(behind.iter().map(|frame| names.call(key.tgid, *frame)));
        Self {
            place,
            stack,
            line: None,
            is_final,
        }
    }
}

/// What tells lines apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Key {
    what: String,
    function: String,
    object: String,
    pid: Option<u32>,
    tid: Option<u32>,
    ip: Option<u64>,
    line: Option<(String, u32)>,
    stack: Vec<String>,
}

/// What lines are made of.
pub(super) struct Source<'a> {
    pub(super) named: &'a HashMap<PlaceKey, Named>,
    pub(super) who: &'a HashMap<u32, Who>,
    pub(super) plan: &'a Plan,
    pub(super) shown: &'a GrowthShown,
}

impl Source<'_> {
    /// The lines, what has grown most first.
    pub(super) fn rows(
        &self,
        places: &[(PlaceKey, PlaceCounters)],
        others: &PlaceCounters,
    ) -> Vec<GrowthRow> {
        let mut found: HashMap<Key, GrowthCounters> = HashMap::new();
        for (place, counted) in places {
            *found.entry(self.key(place)).or_default() += GrowthCounters::of(counted, page_size());
        }
        if *others != PlaceCounters::default() {
            let key = Key {
                what: OTHERS.to_owned(),
                ..Key::default()
            };
            *found.entry(key).or_default() += GrowthCounters::of(others, page_size());
        }
        let row = |(key, counters): (Key, GrowthCounters)| GrowthRow {
            what: key.what,
            function: key.function,
            object: key.object,
            pid: key.pid,
            tid: key.tid,
            ip: key.ip,
            line: key.line,
            stack: key.stack,
            counters,
        };
        let mut rows: Vec<GrowthRow> = found.into_iter().map(row).collect();
        rows.sort_by(|one, other| {
            let rank = |row: &GrowthRow| (std::cmp::Reverse(row.counters.total()), row.pid, row.ip);
            let names = |row: &GrowthRow| (row.what.clone(), row.function.clone(), row.stack.clone());
            rank(one)
                .cmp(&rank(other))
                .then_with(|| names(one).cmp(&names(other)))
        });
        rows
    }

    fn key(&self, place: &PlaceKey) -> Key {
        let pid = place.tgid;
        let function = self.function(place.function);
        let named = self.named.get(place);
        let of_process = |what: String| Key {
            what,
            pid: Some(pid),
            ..Key::default()
        };
        match self.shown.by {
            MemBy::Site => site(place, named, function),
            MemBy::Function => Key {
                what: match named {
                    _ if !function.is_empty() => function,
                    Some(named) => named
                        .place
                        .function
                        .as_deref()
                        .map_or_else(|| named.place.text.to_string(), |function| self.styled(function)),
                    None => String::new(),
                },
                ..Key::default()
            },
            MemBy::Object => Key {
                what: named.map_or(String::new(), |named| {
                    let place = &named.place;
                    let text = if place.object.is_empty() {
                        &place.text
                    } else {
                        &place.object
                    };
                    text.to_string()
                }),
                ..Key::default()
            },
            MemBy::Thread => Key {
                tid: Some(place.tid),
                ..of_process(format!("{} {}", self.comm(pid), place.tid))
            },
            MemBy::Process => of_process(format!("{} {pid}", self.comm(pid))),
            MemBy::Container => Key {
                what: self
                    .who
                    .get(&pid)
                    .map_or(String::new(), |who| who.container.clone()),
                ..Key::default()
            },
        }
    }

    /// The name of a probed function.
    fn function(&self, number: u32) -> String {
        if number == NO_FUNCTION {
            return NO_OPEN_FUNCTION.to_owned();
        }
        let function = self.plan.functions.get(number as usize);
        function.map_or(String::new(), |function| self.styled(&function.name))
    }

    fn styled(&self, name: &str) -> String {
        match self.shown.names {
            NameStyle::Raw => name.to_owned(),
            NameStyle::Demangled => names::demangle(name).into_owned(),
        }
    }

    fn comm(&self, pid: u32) -> &str {
        self.who.get(&pid).map_or("", |who| who.comm.as_str())
    }
}

fn site(place: &PlaceKey, named: Option<&Named>, function: String) -> Key {
    let Some(named) = named else {
        return Key {
            pid: Some(place.tgid),
            function,
            ..Key::default()
        };
    };
    Key {
        what: named.place.text.to_string(),
        function,
        object: named.place.object.to_string(),
        pid: Some(place.tgid),
        tid: None,
        ip: (place.ip != 0).then_some(place.ip),
        line: named.line.as_ref().map(|line| (line.file.to_string(), line.line)),
        stack: named.stack.iter().map(|frame| frame.text.to_string()).collect(),
    }
}
