//! What a unit says of its functions: which code is theirs, and which functions were inlined where.
use gimli::{EntriesRaw, UnitRef, constants};

use super::die::{Die, InFile, RangeAttributes};
use super::units::{Slice, Units};

/// What a byte of entries costs of the budget, as they take memory.
const ENTRIES_COST: u64 = 8;

/// A function with code.
#[derive(Debug)]
pub(super) struct FunctionFacts {
    pub(super) die: usize,
    /// Where it is entered.
    pub(super) entry: u64,
    /// Its part of [`Facts::inlined_ranges`].
    inlined: std::ops::Range<u32>,
}

/// A function that was inlined into another.
#[derive(Debug)]
pub(super) struct InlinedFacts {
    /// The function.
    pub(super) origin: Option<Die>,
    /// Index of the function with code that it is in.
    pub(super) function: u32,
    /// Where it is entered; 0 = it has no code.
    pub(super) entry: u64,
    pub(super) call_file: Option<u64>,
    pub(super) call_line: u32,
}

#[derive(Debug)]
struct FunctionRange {
    begin: u64,
    end: u64,
    function: u32,
}

#[derive(Debug)]
struct InlinedRange {
    function: u32,
    /// How many functions that were inlined, too, are around it.
    depth: u32,
    begin: u64,
    end: u64,
    inlined: u32,
}

/// What a unit says of its functions.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) functions: Vec<FunctionFacts>,
    pub(super) inlined: Vec<InlinedFacts>,
    ranges: Vec<FunctionRange>,
    inlined_ranges: Vec<InlinedRange>,
}

/// The entry that the entries being read are in.
struct Around {
    /// The depth of its children.
    depth: isize,
    /// Index of the function; none = one without code.
    function: Option<u32>,
    /// How many inlined functions are around its children.
    inlined: u32,
}

struct Reading<'u, 'a> {
    units: &'u Units<'a>,
    unit: UnitRef<'u, Slice<'a>>,
    place: (InFile, u32),
    facts: Facts,
    around: Vec<Around>,
}

impl Facts {
    /// Reads the unit's functions, up to its first damage.
    pub(super) fn read<'a>(units: &Units<'a>, place: (InFile, u32), unit: UnitRef<'_, Slice<'a>>) -> Self {
        let mut reading = Reading {
            units,
            unit,
            place,
            facts: Self::default(),
            around: Vec::new(),
        };
        if units
            .spend(ENTRIES_COST * unit.header.length_including_self() as u64)
            .is_some()
        {
            let _complete = reading.read();
        }
        reading.facts.sorted()
    }

    fn sorted(mut self) -> Self {
        let Self {
            functions,
            inlined,
            ranges,
            inlined_ranges,
        } = &mut self;
        ranges.sort_unstable_by_key(|range| range.begin);
        inlined_ranges.sort_unstable_by_key(|range| (range.function, range.depth, range.begin));
        let mut start = 0;
        for part in inlined_ranges.chunk_by(|one, other| one.function == other.function) {
            let end = start + part.len() as u32;
            if let Some(function) = functions.get_mut(part[0].function as usize) {
                function.inlined = start..end;
            }
            start = end;
        }
        functions.shrink_to_fit();
        inlined.shrink_to_fit();
        ranges.shrink_to_fit();
        inlined_ranges.shrink_to_fit();
        self
    }

    /// The function that an address belongs to, and whether one of its parts begins there.
    pub(super) fn at(&self, address: u64) -> Option<(&FunctionFacts, bool)> {
        let after = self.ranges.partition_point(|range| range.begin <= address);
        let range = self.ranges.get(after.checked_sub(1)?)?;
        let function = self.functions.get(range.function as usize)?;
        (address < range.end).then_some((function, range.begin == address))
    }

    /// The code of what was inlined, by its index: beginnings and ends.
    pub(super) fn code_of(&self, inlined: usize) -> Vec<(u64, u64)> {
        let function = self.inlined.get(inlined).map(|inlined| inlined.function as usize);
        let function = function.and_then(|function| self.functions.get(function));
        let range = function.map_or(0..0, |function| {
            function.inlined.start as usize..function.inlined.end as usize
        });
        let ranges = self.inlined_ranges.get(range).unwrap_or_default().iter();
        ranges
            .filter(|range| range.inlined as usize == inlined)
            .map(|range| (range.begin, range.end))
            .collect()
    }

    /// What was inlined at an address of a function, the outermost first.
    pub(super) fn inlined_at(&self, function: &FunctionFacts, address: u64) -> Vec<&InlinedFacts> {
        let range = function.inlined.start as usize..function.inlined.end as usize;
        let mut left = self.inlined_ranges.get(range).unwrap_or_default();
        let mut found = Vec::new();
        loop {
            let depth = found.len() as u32;
            let after = left.partition_point(|range| (range.depth, range.begin) <= (depth, address));
            let range = after.checked_sub(1).and_then(|index| left.get(index));
            match range {
                Some(range) if range.depth == depth && address < range.end => {
                    found.extend(self.inlined.get(range.inlined as usize));
                    left = &left[after..];
                }
                Some(_) | None => return found,
            }
        }
    }
}

impl<'a> Reading<'_, 'a> {
    fn read(&mut self) -> Option<()> {
        let mut entries = self.unit.entries_raw(None).ok()?;
        while !entries.is_empty() {
            let (offset, depth) = (entries.next_offset().0, entries.next_depth());
            while self.around.last().is_some_and(|around| around.depth > depth) {
                self.around.pop();
            }
            let Some(abbreviation) = entries.read_abbreviation().ok()? else {
                continue;
            };
            self.units.spend_on(abbreviation)?;
            match abbreviation.tag() {
                constants::DW_TAG_subprogram => self.function(&mut entries, abbreviation, offset)?,
                constants::DW_TAG_inlined_subroutine if self.function_around().is_some() => {
                    self.inlined(&mut entries, abbreviation)?;
                }
                _ => entries.skip_attributes(abbreviation.attributes()).ok()?,
            }
        }
        Some(())
    }

    fn function_around(&self) -> Option<(u32, u32)> {
        let around = self.around.last()?;
        Some((around.function?, around.inlined))
    }

    fn enter(
        &mut self,
        entries: &EntriesRaw<'_, Slice<'a>>,
        has_children: bool,
        (function, inlined): (Option<u32>, u32),
    ) {
        if has_children {
            self.around.push(Around {
                depth: entries.next_depth(),
                function,
                inlined,
            });
        }
    }

    fn function(
        &mut self,
        entries: &mut EntriesRaw<'_, Slice<'a>>,
        abbreviation: &gimli::Abbreviation,
        die: usize,
    ) -> Option<()> {
        let mut attributes = RangeAttributes::default();
        for spec in abbreviation.attributes() {
            attributes.note(self.unit, &entries.read_attribute(*spec).ok()?);
        }
        let ranges = attributes.read(self.units, self.unit);
        let mut index = None;
        if !ranges.list.is_empty() {
            let function = self.facts.functions.len() as u32;
            index = Some(function);
            let of_function = |(begin, end): &(u64, u64)| FunctionRange {
                begin: *begin,
                end: *end,
                function,
            };
            self.facts.ranges.extend(ranges.list.iter().map(of_function));
            self.facts.functions.push(FunctionFacts {
                die,
                entry: ranges.entry,
                inlined: 0..0,
            });
        }
        self.enter(entries, abbreviation.has_children(), (index, 0));
        Some(())
    }

    fn inlined(
        &mut self,
        entries: &mut EntriesRaw<'_, Slice<'a>>,
        abbreviation: &gimli::Abbreviation,
    ) -> Option<()> {
        let (function, depth) = self.function_around()?;
        let mut attributes = RangeAttributes::default();
        let (mut origin, mut call_file, mut call_line) = (None, None, 0);
        for spec in abbreviation.attributes() {
            let attribute = entries.read_attribute(*spec).ok()?;
            match attribute.name() {
                constants::DW_AT_abstract_origin => origin = Some(attribute.value()),
                constants::DW_AT_call_file => call_file = attribute.udata_value(),
                constants::DW_AT_call_line => call_line = attribute.udata_value().unwrap_or(0) as u32,
                _ => attributes.note(self.unit, &attribute),
            }
        }
        // Before DWARF 5, file 0 means that none is known.
        let counts_from = u64::from(self.unit.header.version() < 5);
        let (file, unit) = self.place;
        let here = Die {
            file,
            unit,
            offset: 0,
        };
        let ranges = attributes.read(self.units, self.unit);
        let index = self.facts.inlined.len() as u32;
        let of_inlined = |(begin, end): &(u64, u64)| InlinedRange {
            function,
            depth,
            begin: *begin,
            end: *end,
            inlined: index,
        };
        self.facts
            .inlined_ranges
            .extend(ranges.list.iter().map(of_inlined));
        self.facts.inlined.push(InlinedFacts {
            origin: origin.and_then(|origin| self.units.follow(here, origin)),
            function,
            entry: ranges.entry,
            call_file: call_file.filter(|file| *file >= counts_from),
            call_line,
        });
        self.enter(entries, abbreviation.has_children(), (Some(function), depth + 1));
        Some(())
    }
}
