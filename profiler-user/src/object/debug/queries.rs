//! Questions to the debug information of an object.
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::die::Die;
use super::facts::{FunctionFacts, InlinedFacts};
use super::units::Units;

/// A line of a source file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceLine {
    /// The file's path, as the compiler knew it.
    pub file: Arc<str>,
    /// The line, from 1; 0 = code that belongs to no line.
    pub line: u32,
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One of the functions that an address belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The function's name as the linker knows it, or else as its language does.
    pub function: Option<Cow<'a, str>>,
    /// The line that the address belongs to; for a function around an inlined one, the line of the call.
    pub location: Option<SourceLine>,
}

/// A function with code, and where it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// Address of its first instruction.
    pub entry: u64,
    /// Where it is declared.
    pub source: SourceLine,
}

/// A place where a function was inlined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlinedPlace<'a> {
    /// The function's name as the linker knows it, or else as its language does.
    pub function: Cow<'a, str>,
    /// Address of the first instruction of the place.
    pub entry: u64,
    /// Address of the first instruction of the function around it.
    pub caller: u64,
    /// That function's name.
    pub caller_name: Option<Cow<'a, str>>,
    /// The code of the place: beginnings and ends.
    pub code: Vec<(u64, u64)>,
    /// Where the inlined function is declared.
    pub declared: Option<SourceLine>,
    /// The line of the call.
    pub call: Option<SourceLine>,
}

impl<'a> Units<'a> {
    /// The line that an address belongs to.
    pub fn location(&self, address: u64) -> Option<SourceLine> {
        self.at(address)
            .find_map(|(index, _)| self.location_in(index, address))
    }

    fn location_in(&self, index: u32, address: u64) -> Option<SourceLine> {
        let unit = self.main.get(index as usize)?;
        let (file, line) = self.lines(unit)?.at(address)?;
        let file = self.file(self.die(index, 0)?, file)?;
        Some(SourceLine { file, line })
    }

    /// The functions that an address belongs to, the innermost first: those that were inlined there, then the one
    /// with code of its own. Without any, at least the line.
    pub fn frames(&self, address: u64) -> Vec<Frame<'a>> {
        let in_function = self.at(address).find_map(|(index, _)| {
            let facts = self.facts(index)?;
            let (function, _) = facts.at(address)?;
            Some((index, function, facts.inlined_at(function, address)))
        });
        let Some((index, function, inlined)) = in_function else {
            let location = self.location(address);
            let only_line = |location| Frame {
                function: None,
                location: Some(location),
            };
            return location.map(only_line).into_iter().collect();
        };
        let mut location = self.location_in(index, address);
        let mut frames = Vec::with_capacity(inlined.len() + 1);
        for place in inlined.into_iter().rev() {
            frames.push(Frame {
                function: place.origin.and_then(|origin| self.name(origin)),
                location: location.take(),
            });
            location = self.call(index, place);
        }
        let name = self.die(index, function.die).and_then(|die| self.name(die));
        frames.push(Frame {
            function: name,
            location,
        });
        frames
    }

    /// Where the function that starts at this address is declared; where that is not said, the line of the address.
    pub fn declaration(&self, address: u64) -> Option<SourceLine> {
        let declared = self.at(address).find_map(|(index, _)| {
            let (function, at_its_start) = self.facts(index)?.at(address)?;
            at_its_start.then(|| self.declaration_of(index, function))?
        });
        declared.or_else(|| self.location(address).filter(|location| location.line > 0))
    }

    fn declaration_of(&self, index: u32, function: &FunctionFacts) -> Option<SourceLine> {
        self.source_of(self.die(index, function.die)?)
    }

    fn source_of(&self, die: Die) -> Option<SourceLine> {
        let (die, file, line) = self.declared(die)?;
        let file = self.file(die, file)?;
        Some(SourceLine {
            file,
            line: u32::try_from(line).ok()?,
        })
    }

    /// Where the function that an address belongs to is entered.
    pub fn entry_of(&self, address: u64) -> Option<u64> {
        self.at(address).find_map(|(index, _)| {
            let (function, _) = self.facts(index)?.at(address)?;
            Some(function.entry)
        })
    }

    /// All functions with code whose declaration is known, in the order of the file.
    pub fn declarations(&self) -> Vec<Declaration> {
        let mut found = Vec::new();
        for index in 0..self.main.len() as u32 {
            let functions = self.facts(index).into_iter().flat_map(|facts| &facts.functions);
            found.extend(functions.filter_map(|function| {
                Some(Declaration {
                    entry: function.entry,
                    source: self.declaration_of(index, function)?,
                })
            }));
        }
        found
    }

    /// Addresses of instructions that belong to this line of the files that match.
    pub fn addresses_of_line(&self, matches: &dyn Fn(&str) -> bool, line: u32) -> Vec<u64> {
        self.lines_where(matches, &|candidate| candidate == line)
            .into_iter()
            .map(|(address, _)| address)
            .collect()
    }

    /// Addresses and lines of the files that match, for lines that are wanted.
    pub fn lines_where(
        &self,
        matches: &dyn Fn(&str) -> bool,
        wanted: &dyn Fn(u32) -> bool,
    ) -> Vec<(u64, u32)> {
        let mut found = Vec::new();
        for (index, unit) in self.main.iter().enumerate() {
            let Some(lines) = self.lines(unit) else { continue };
            let mut verdicts: HashMap<u64, bool> = HashMap::new();
            for (address, file, line) in lines.rows() {
                if !wanted(line) {
                    continue;
                }
                let is_match = *verdicts.entry(file).or_insert_with(|| {
                    let name = self.die(index as u32, 0).and_then(|die| self.file(die, file));
                    name.is_some_and(|name| matches(&name))
                });
                if is_match {
                    found.push((address, line));
                }
            }
        }
        found
    }

    /// The places where functions whose name matches were inlined, by address.
    pub fn inlined(&self, matches: &dyn Fn(&str) -> bool) -> Vec<InlinedPlace<'a>> {
        let mut found = Vec::new();
        // By function: its name, if it matches.
        let mut verdicts: HashMap<Die, Option<Cow<'a, str>>> = HashMap::new();
        for index in 0..self.main.len() as u32 {
            let Some(facts) = self.facts(index) else { continue };
            let places = facts.inlined.iter().enumerate();
            for (number, place) in places.filter(|(_, place)| place.entry != 0) {
                let Some(origin) = place.origin else { continue };
                let verdict = verdicts.entry(origin);
                let name = verdict.or_insert_with(|| self.full_name_of(origin).filter(|name| matches(name)));
                let caller = facts.functions.get(place.function as usize);
                if let (Some(function), Some(caller)) = (name, caller) {
                    let caller_die = self.die(index, caller.die);
                    found.push(InlinedPlace {
                        function: function.clone(),
                        entry: place.entry,
                        caller: caller.entry,
                        caller_name: caller_die.and_then(|die| self.full_name_of(die)),
                        code: facts.code_of(number),
                        declared: self.source_of(origin),
                        call: self.call(index, place),
                    });
                }
            }
        }
        found.sort_by(|a, b| (a.entry, &a.function).cmp(&(b.entry, &b.function)));
        found.dedup();
        found
    }

    fn call(&self, index: u32, place: &InlinedFacts) -> Option<SourceLine> {
        let file = self.file(self.die(index, 0)?, place.call_file?)?;
        Some(SourceLine {
            file,
            line: place.call_line,
        })
    }

    fn die(&self, index: u32, offset: usize) -> Option<Die> {
        let (file, _) = self.dies(index)?;
        Some(Die {
            file,
            unit: index,
            offset,
        })
    }

    fn name(&self, die: Die) -> Option<Cow<'a, str>> {
        self.name_of(die).map(String::from_utf8_lossy)
    }

    fn file(&self, die: Die, index: u64) -> Option<Arc<str>> {
        let lines = self.lines_of(die)?;
        // The table's texts are in the file with the table.
        let unit = match die.file {
            super::die::InFile::Split => Die {
                file: super::die::InFile::Main,
                ..die
            },
            super::die::InFile::Main | super::die::InFile::Shared => die,
        };
        lines.file(self, self.unit_of(unit)?, index)
    }
}
