//! Single entries of debug information (DIEs): where they are, which code is theirs, how they are called.
use std::borrow::Cow;
use std::rc::Rc;

use gimli::{Attribute, AttributeValue, DebugInfoOffset, UnitRef, constants};

use super::scopes::Scopes;
use super::units::{Slice, Units};

/// The longest chain of entries that complete each other.
const MAX_CHAIN: usize = 16;
/// What a range costs of the budget, as it takes memory.
pub(super) const RANGE_COST: u64 = 64;
/// What an entry of a list of ranges costs that is none: lists may consist of these, and be shared by many.
const NO_RANGE_COST: u64 = 8;
/// The most ranges of one function.
const MAX_RANGES: usize = 1 << 17;

/// The file that an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum InFile {
    /// With the object's debug information.
    Main,
    /// With the larger part of one unit.
    Split,
    /// With what several objects have in common.
    Shared,
}

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Die {
    pub(super) file: InFile,
    /// The unit's number in that file; for a split part, the number of the unit that it belongs to.
    pub(super) unit: u32,
    /// Bytes from the unit's start.
    pub(super) offset: usize,
}

/// How one entry refers to another.
pub(super) enum Reference {
    Unit(usize),
    File(DebugInfoOffset),
    Shared(DebugInfoOffset),
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other forms refer to nothing that is read here"
)]
pub(super) fn reference(value: AttributeValue<Slice<'_>>) -> Option<Reference> {
    match value {
        AttributeValue::UnitRef(offset) => Some(Reference::Unit(offset.0)),
        AttributeValue::DebugInfoRef(offset) => Some(Reference::File(offset)),
        AttributeValue::DebugInfoRefSup(offset) => Some(Reference::Shared(offset)),
        _ => None,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the other forms are no addresses")]
pub(super) fn address(unit: UnitRef<'_, Slice<'_>>, value: AttributeValue<Slice<'_>>) -> Option<u64> {
    match value {
        AttributeValue::Addr(address) => Some(address),
        AttributeValue::DebugAddrIndex(index) => unit.address(index).ok(),
        _ => None,
    }
}

/// The attributes that tell which code belongs to an entry.
#[derive(Default)]
pub(super) struct RangeAttributes {
    low: Option<u64>,
    high: Option<u64>,
    size: Option<u64>,
    list: Option<gimli::RangeListsOffset>,
    entry: Option<u64>,
    entry_distance: Option<u64>,
}

/// The code of an entry.
#[derive(Default)]
pub(super) struct Ranges {
    /// Beginnings and ends, in the order of the file.
    pub(super) list: Vec<(u64, u64)>,
    /// They come from a list, which is complete.
    pub(super) listed: bool,
    /// Where it is entered.
    pub(super) entry: u64,
}

impl RangeAttributes {
    pub(super) fn note<'a>(&mut self, unit: UnitRef<'_, Slice<'a>>, attribute: &Attribute<Slice<'a>>) {
        let value = attribute.value();
        match attribute.name() {
            constants::DW_AT_low_pc => self.low = address(unit, value),
            constants::DW_AT_high_pc => {
                self.high = address(unit, value);
                if self.high.is_none() {
                    self.size = attribute.udata_value();
                }
            }
            constants::DW_AT_ranges => self.list = unit.attr_ranges_offset(value).ok().flatten(),
            constants::DW_AT_entry_pc => {
                self.entry = address(unit, value);
                if self.entry.is_none() {
                    self.entry_distance = attribute.udata_value();
                }
            }
            _ => {}
        }
    }

    pub(super) fn read(&self, units: &Units<'_>, unit: UnitRef<'_, Slice<'_>>) -> Ranges {
        let mut found = Ranges::default();
        let mut add = |begin: u64, end: u64| {
            if begin != 0 && begin < end {
                found.list.push((begin, end));
            }
        };
        if let Some(list) = self.list {
            if let Ok(mut list) = unit.ranges(list) {
                for _ in 0..MAX_RANGES {
                    // What is no range is not passed over unseen: it costs as well.
                    let Ok(Some(entry)) = list.next_raw() else { break };
                    let Ok(range) = list.convert_raw(entry) else { break };
                    let cost = range.map_or(NO_RANGE_COST, |_| RANGE_COST);
                    if units.spend(cost).is_none() {
                        break;
                    }
                    if let Some(range) = range {
                        add(range.begin, range.end);
                    }
                }
            }
        } else if let Some(low) = self.low {
            let end = self.high.or_else(|| low.checked_add(self.size?));
            add(low, end.unwrap_or(low));
        }
        found.listed = self.list.is_some() && !found.list.is_empty();
        let first = self.low.filter(|low| *low != 0 && self.list.is_none());
        let first = first.or_else(|| found.list.first().map(|(begin, _)| *begin));
        let distant = || first?.checked_add(self.entry_distance?);
        found.entry = self.entry.or_else(distant).or(first).unwrap_or(0);
        found
    }
}

/// A name, and the entry that says it.
type NameAt<'a> = (&'a [u8], Die);

/// What an entry, and those that complete it, say of a function.
#[derive(Default)]
struct Names<'a> {
    linkage: Option<&'a [u8]>,
    plain: Option<&'a [u8]>,
    file: Option<u64>,
    line: Option<u64>,
    next: Option<Die>,
}

impl<'a> Units<'a> {
    fn names_in(&self, die: Die) -> Option<Names<'a>> {
        let unit = self.unit_of(die)?;
        let mut entries = unit.entries_raw(Some(gimli::UnitOffset(die.offset))).ok()?;
        let abbreviation = entries.read_abbreviation().ok()??;
        self.spend_on(abbreviation)?;
        let mut names = Names::default();
        for spec in abbreviation.attributes() {
            let attribute = entries.read_attribute(*spec).ok()?;
            let value = attribute.value();
            match attribute.name() {
                constants::DW_AT_linkage_name | constants::DW_AT_MIPS_linkage_name => {
                    names.linkage = self.text(unit, value);
                }
                constants::DW_AT_name => names.plain = self.text(unit, value),
                constants::DW_AT_decl_file => names.file = attribute.udata_value(),
                constants::DW_AT_decl_line => names.line = attribute.udata_value(),
                constants::DW_AT_abstract_origin | constants::DW_AT_specification => {
                    names.next = self.follow(die, value);
                }
                _ => {}
            }
        }
        Some(names)
    }

    fn text(&self, unit: UnitRef<'_, Slice<'a>>, value: AttributeValue<Slice<'a>>) -> Option<&'a [u8]> {
        let text = unit.attr_string(value).ok()?.slice();
        self.spend(text.len() as u64)?;
        Some(text)
    }

    /// The name of a function as the linker knows it, or else as its language does.
    pub(super) fn name_of(&self, die: Die) -> Option<&'a [u8]> {
        if let Some(name) = self.names.borrow().get(&die) {
            return *name;
        }
        let (linkage, plain) = self.names_along(die);
        let name = linkage.or(plain.map(|(name, _)| name));
        self.names.borrow_mut().insert(die, name);
        name
    }

    /// The name of a function as the linker knows it, or else as its language does, in full.
    pub(super) fn full_name_of(&self, die: Die) -> Option<Cow<'a, str>> {
        let (linkage, plain) = self.names_along(die);
        if let Some(linkage) = linkage {
            return Some(String::from_utf8_lossy(linkage));
        }
        let (name, place) = plain?;
        let name = String::from_utf8_lossy(name);
        let around = self.scopes(place)?.around(place.offset);
        if around.is_empty() {
            return Some(name);
        }
        let mut full = String::new();
        for scope in around {
            full += &match scope {
                [] => Cow::Borrowed("(anonymous namespace)"),
                scope => String::from_utf8_lossy(scope),
            };
            full += "::";
        }
        self.spend(full.len() as u64)?;
        Some(Cow::Owned(full + &name))
    }

    fn scopes(&self, die: Die) -> Option<Rc<Scopes<'a>>> {
        let key = (die.file, die.unit);
        if let Some(scopes) = self.scopes.borrow().get(&key) {
            return Some(Rc::clone(scopes));
        }
        let scopes = Rc::new(Scopes::read(self, self.unit_of(die)?));
        self.scopes.borrow_mut().insert(key, Rc::clone(&scopes));
        Some(scopes)
    }

    /// The name that the linker knows, and the one that the language has, with the entry that says so.
    fn names_along(&self, die: Die) -> (Option<&'a [u8]>, Option<NameAt<'a>>) {
        let mut plain = None;
        let mut next = Some(die);
        for _ in 0..MAX_CHAIN {
            let Some((die, names)) = next.and_then(|die| Some((die, self.names_in(die)?))) else {
                break;
            };
            plain = plain.or(names.plain.map(|name| (name, die)));
            if names.linkage.is_some() {
                return (names.linkage, plain);
            }
            next = names.next;
        }
        (None, plain)
    }

    /// Where a function is declared: the number of the file, the entry whose unit counts so, and the line.
    pub(super) fn declared(&self, die: Die) -> Option<(Die, u64, u64)> {
        let (mut file, mut line) = (None, None);
        let mut next = Some(die);
        for _ in 0..MAX_CHAIN {
            let Some((die, names)) = next.and_then(|die| Some((die, self.names_in(die)?))) else {
                break;
            };
            // An entry that repeats another one gives only what differs.
            file = file.or_else(|| names.file.map(|file| (die, file)));
            line = line.or(names.line);
            next = names.next;
            if file.is_some() && line.is_some() {
                break;
            }
        }
        let (die, file) = file?;
        Some((die, file, line?))
    }
}
