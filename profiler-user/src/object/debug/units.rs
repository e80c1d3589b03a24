//! The units of a program's debug information: which of them an address belongs to, and what each of them says, read
//! when it is first asked for.
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use gimli::{
    AttributeValue, DebugInfoOffset, DebugLineOffset, Dwarf, EndianSlice, LittleEndian, Section as _,
    UnitRef, UnitType,
};

use super::DebugInfo;
use super::abbreviations::Abbreviations;
use super::die::{Die, InFile, RANGE_COST, Ranges};
use super::facts::Facts;
use super::lines::LineTable;
use super::scopes::Scopes;
use super::split::{Skeleton, SplitUnit};

pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Work that may be done, for each byte of the file and in any case: real files need a few for each.
const BUDGET_PER_BYTE: u64 = 64;
const LEAST_BUDGET: u64 = 1 << 26;
/// What an attribute costs.
const ATTRIBUTE_COST: u64 = 8;
/// A unit is looked for among so many that have an address near one at most.
const MAX_NEAR: usize = 1 << 16;

pub(super) fn slice(bytes: &[u8]) -> Slice<'_> {
    EndianSlice::new(bytes, LittleEndian)
}

/// A unit: what one run of the compiler has made, or a part that several have in common.
pub(super) struct Unit<'a> {
    pub(super) offset: usize,
    pub(super) header: gimli::Unit<Slice<'a>>,
    lines_at: Option<DebugLineOffset>,
    facts: OnceCell<Facts>,
    lines: OnceCell<Option<Rc<LineTable<'a>>>>,
    split: OnceCell<Option<Box<SplitUnit<'a>>>>,
}

/// Tables of lines, by their place.
type Tables<'a> = HashMap<(InFile, usize), Option<Rc<LineTable<'a>>>>;

struct UnitRange {
    begin: u64,
    end: u64,
    unit: u32,
    /// The least beginning of this range and all behind it.
    min_begin: u64,
}

/// What answers questions about one object's debug information.
pub struct Units<'a> {
    pub(super) info: &'a DebugInfo,
    pub(super) dwarf: Dwarf<Slice<'a>>,
    pub(super) main: Vec<Unit<'a>>,
    pub(super) shared: Vec<Unit<'a>>,
    ranges: Vec<UnitRange>,
    pub(super) names: RefCell<HashMap<Die, Option<&'a [u8]>>>,
    tables: RefCell<Tables<'a>>,
    pub(super) scopes: RefCell<HashMap<(InFile, u32), Rc<Scopes<'a>>>>,
    budget: Cell<u64>,
}

impl<'a> Units<'a> {
    pub(super) fn new(info: &'a DebugInfo) -> Result<Self, gimli::Error> {
        let dwarf = info
            .main
            .borrow_with_sup(info.shared.as_ref(), |bytes| slice(bytes));
        let length = |dwarf: &Dwarf<Slice<'_>>| {
            let sections = [
                dwarf.debug_info.reader(),
                dwarf.debug_line.reader(),
                dwarf.debug_str.reader(),
            ];
            sections
                .map(|section| section.slice().len() as u64)
                .iter()
                .sum::<u64>()
        };
        let bytes = length(&dwarf) + dwarf.sup().map_or(0, length);
        let mut units = Self {
            info,
            dwarf,
            main: Vec::new(),
            shared: Vec::new(),
            ranges: Vec::new(),
            names: RefCell::default(),
            tables: RefCell::default(),
            scopes: RefCell::default(),
            budget: Cell::new(bytes.saturating_mul(BUDGET_PER_BYTE).max(LEAST_BUDGET)),
        };
        units.main = units.read_units(&units.dwarf)?;
        if let Some(shared) = units.dwarf.sup() {
            units.shared = units.read_units(shared)?;
        }
        units.ranges = units.read_ranges();
        Ok(units)
    }

    /// Takes work from the budget; none is left in a file that refers to the same things over and over.
    pub(super) fn spend(&self, bytes: u64) -> Option<()> {
        let left = self.budget.get().checked_sub(bytes);
        self.budget.set(left.unwrap_or(0));
        left.map(|_| ())
    }

    /// The same, for the attributes of an entry: some take no bytes.
    pub(super) fn spend_on(&self, abbreviation: &gimli::Abbreviation) -> Option<()> {
        self.spend(ATTRIBUTE_COST * abbreviation.attributes().len() as u64)
    }

    fn read_units(&self, dwarf: &Dwarf<Slice<'a>>) -> Result<Vec<Unit<'a>>, gimli::Error> {
        let mut headers = Vec::new();
        let mut list = dwarf.units();
        // What comes after damage is lost; what came before is as good as ever.
        while let Ok(Some(header)) = list.next() {
            match header.type_() {
                UnitType::Type { .. } | UnitType::SplitType { .. } => {}
                UnitType::Compilation
                | UnitType::Partial
                | UnitType::Skeleton(_)
                | UnitType::SplitCompilation(_) => headers.push(header),
            }
        }
        if headers.is_empty() && !dwarf.debug_info.reader().is_empty() {
            return Err(gimli::Error::MissingUnitDie);
        }
        let mut abbreviations = Abbreviations::new(dwarf, &headers);
        let mut units = Vec::with_capacity(headers.len());
        for header in headers {
            let Some(offset) = header.debug_info_offset() else {
                continue;
            };
            let Some(abbreviations) = abbreviations.of(&header) else {
                continue;
            };
            let Ok(mut unit) = gimli::Unit::new_with_abbreviations(dwarf, header, abbreviations) else {
                continue;
            };
            // Its file names are worth more memory than all the rest: they are read again when they are wanted.
            let program = unit.line_program.take();
            let lines_at = program.as_ref().map(|program| program.header().offset());
            let header_length = program.map_or(0, |program| program.header().header_length() as u64);
            let texts = [unit.name, unit.comp_dir];
            let text_length: usize = texts.iter().flatten().map(|text| text.slice().len()).sum();
            if self.spend(header_length + text_length as u64 + 64).is_none() {
                break;
            }
            units.push(Unit {
                offset: offset.0,
                header: unit,
                lines_at,
                facts: OnceCell::new(),
                lines: OnceCell::new(),
                split: OnceCell::new(),
            });
        }
        Ok(units)
    }

    /// Which addresses each unit has: by its own ranges, by the table of all of them, or by its lines.
    fn read_ranges(&self) -> Vec<UnitRange> {
        let mut listed: HashMap<usize, Vec<(u64, u64)>> = HashMap::new();
        let mut headers = self.dwarf.debug_aranges.headers();
        while let Ok(Some(header)) = headers.next() {
            let list = listed.entry(header.debug_info_offset().0).or_default();
            let mut entries = header.entries();
            while let Ok(Some(entry)) = entries.next() {
                list.push((entry.address(), entry.address().saturating_add(entry.length())));
            }
        }
        let mut ranges = Vec::new();
        for (index, unit) in self.main.iter().enumerate() {
            if matches!(unit.header.header.type_(), UnitType::Partial) {
                continue;
            }
            let mut add = |begin: u64, end: u64| {
                // Nothing lies at 0: code that the linker has left out is said to be there.
                if begin != 0 && begin < end {
                    ranges.push(UnitRange {
                        begin,
                        end,
                        unit: index as u32,
                        min_begin: 0,
                    });
                }
            };
            let own = self.root_ranges(unit);
            let list = listed.get(&unit.offset);
            if let (Some(list), false) = (list, own.listed) {
                for (begin, end) in list {
                    add(*begin, *end);
                }
            } else if own.list.is_empty() {
                let lines = self.lines(unit);
                for (begin, end) in lines.iter().flat_map(|lines| lines.sequences()) {
                    // Units may share a table.
                    if self.spend(RANGE_COST).is_none() {
                        break;
                    }
                    add(begin, end);
                }
            } else {
                for (begin, end) in own.list {
                    add(begin, end);
                }
            }
        }
        ranges.sort_unstable_by_key(|range| (range.end, range.unit));
        let mut least = u64::MAX;
        for range in ranges.iter_mut().rev() {
            least = least.min(range.begin);
            range.min_begin = least;
        }
        ranges
    }

    fn root_ranges(&self, unit: &Unit<'a>) -> Ranges {
        let reference = UnitRef::new(&self.dwarf, &unit.header);
        let read = || {
            let mut entries = reference.entries_raw(None).ok()?;
            let abbreviation = entries.read_abbreviation().ok()??;
            let mut ranges = super::die::RangeAttributes::default();
            for spec in abbreviation.attributes() {
                ranges.note(reference, &entries.read_attribute(*spec).ok()?);
            }
            Some(ranges.read(self, reference))
        };
        read().unwrap_or_default()
    }

    /// The units that may say something about an address.
    pub(super) fn at(&self, address: u64) -> impl Iterator<Item = (u32, &Unit<'a>)> {
        let first = self.ranges.partition_point(|range| range.end <= address);
        let near = self.ranges[first..]
            .iter()
            .take(MAX_NEAR)
            .take_while(move |range| range.min_begin <= address);
        near.filter(move |range| range.begin <= address)
            .filter_map(|range| Some((range.unit, self.main.get(range.unit as usize)?)))
    }

    /// The unit's DIEs: its own, or those of its larger part, which is elsewhere.
    pub(super) fn dies(&self, index: u32) -> Option<(InFile, UnitRef<'_, Slice<'a>>)> {
        let unit = self.main.get(index as usize)?;
        Some(match self.split(index) {
            Some(split) => (InFile::Split, UnitRef::new(&split.dwarf, &split.unit)),
            None => (InFile::Main, UnitRef::new(&self.dwarf, &unit.header)),
        })
    }

    /// The part of a unit that is in another file.
    pub(super) fn split(&self, index: u32) -> Option<&SplitUnit<'a>> {
        let unit = self.main.get(index as usize)?;
        let split = unit.split.get_or_init(|| {
            let skeleton = Skeleton {
                index: index as usize,
                count: self.main.len(),
                id: unit.header.dwo_id?,
                unit: &unit.header,
                dwarf: &self.dwarf,
            };
            self.info.split.unit(skeleton).map(Box::new)
        });
        split.as_deref()
    }

    /// The functions of a unit, and what was inlined into them.
    pub(super) fn facts(&self, index: u32) -> Option<&Facts> {
        let unit = self.main.get(index as usize)?;
        let facts = unit.facts.get_or_init(|| {
            let dies = self.dies(index);
            dies.map_or_else(Facts::default, |(file, dies)| {
                Facts::read(self, (file, index), dies)
            })
        });
        Some(facts)
    }

    /// The lines of a unit of the program.
    pub(super) fn lines<'u>(&'u self, unit: &'u Unit<'a>) -> Option<&'u Rc<LineTable<'a>>> {
        unit.lines
            .get_or_init(|| self.line_table(InFile::Main, unit))
            .as_ref()
    }

    /// The table that numbers of files in this DIE's unit refer to.
    pub(super) fn lines_of(&self, die: Die) -> Option<Rc<LineTable<'a>>> {
        match die.file {
            // Split parts have no table of their own.
            InFile::Main | InFile::Split => self.lines(self.main.get(die.unit as usize)?).cloned(),
            InFile::Shared => self.line_table(InFile::Shared, self.shared.get(die.unit as usize)?),
        }
    }

    /// Parts that several units have in common also share a table with one of them.
    fn line_table(&self, file: InFile, unit: &Unit<'a>) -> Option<Rc<LineTable<'a>>> {
        let offset = unit.lines_at?;
        if let Some(table) = self.tables.borrow().get(&(file, offset.0)) {
            return table.clone();
        }
        let dwarf = match file {
            InFile::Main | InFile::Split => &self.dwarf,
            InFile::Shared => self.dwarf.sup()?,
        };
        let table = LineTable::read(self, UnitRef::new(dwarf, &unit.header), offset).map(Rc::new);
        self.tables.borrow_mut().insert((file, offset.0), table.clone());
        table
    }

    /// The unit of a file that holds this offset of its `.debug_info`, and the offset within the unit.
    pub(super) fn find(&self, file: InFile, offset: DebugInfoOffset) -> Option<Die> {
        let units = match file {
            InFile::Main => &self.main,
            InFile::Shared => &self.shared,
            InFile::Split => return None,
        };
        let index = units
            .partition_point(|unit| unit.offset <= offset.0)
            .checked_sub(1)?;
        let inside = offset.to_unit_offset(&units[index].header.header)?;
        Some(Die {
            file,
            unit: index as u32,
            offset: inside.0,
        })
    }

    /// The unit of a DIE.
    pub(super) fn unit_of(&self, die: Die) -> Option<UnitRef<'_, Slice<'a>>> {
        let index = die.unit as usize;
        match die.file {
            InFile::Main => Some(UnitRef::new(&self.dwarf, &self.main.get(index)?.header)),
            InFile::Shared => Some(UnitRef::new(self.dwarf.sup()?, &self.shared.get(index)?.header)),
            InFile::Split => {
                let split = self.split(die.unit)?;
                Some(UnitRef::new(&split.dwarf, &split.unit))
            }
        }
    }

    /// The DIE that an attribute of another one refers to.
    pub(super) fn follow(&self, from: Die, value: AttributeValue<Slice<'a>>) -> Option<Die> {
        super::die::reference(value).and_then(|reference| match reference {
            super::die::Reference::Unit(offset) => Some(Die { offset, ..from }),
            super::die::Reference::File(offset) => self.find(from.file, offset),
            super::die::Reference::Shared(offset) => self.find(InFile::Shared, offset),
        })
    }
}
