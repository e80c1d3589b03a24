//! The table `pclntab` that every Go program carries: its functions with names, and which line each address belongs to.
//! Layouts: `src/internal/abi/symtab.go`, `src/runtime/symtab.go` and `src/debug/gosym/pclntab.go` of Go.

/// Bytes that the table starts with, in all versions: magic, two zeros, the unit of code addresses, the pointer size.
pub(super) const PREAMBLE: usize = 8;

/// The most functions that are believed.
const MAX_FUNCTIONS: u64 = 1 << 23;

/// The longest name or path that is believed, bytes.
const MAX_TEXT: usize = 1 << 14;

/// The flag of a function that is written in assembly.
const ASSEMBLY: u8 = 1 << 2;

/// How the table is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// Go 1.2 to 1.15.
    Go12,
    /// Go 1.16 and 1.17.
    Go116,
    /// Go 1.18 and 1.19.
    Go118,
    /// Go 1.20 and later.
    Go120,
}

impl Version {
    fn of(magic: u32) -> Option<Self> {
        match magic {
            0xffff_fffb => Some(Self::Go12),
            0xffff_fffa => Some(Self::Go116),
            0xffff_fff0 => Some(Self::Go118),
            0xffff_fff1 => Some(Self::Go120),
            _ => None,
        }
    }

    /// Addresses are distances from the start of the code.
    fn is_relative(self) -> bool {
        self >= Self::Go118
    }
}

/// A table's header. Offsets count from the table's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: Version,
    quantum: u64,
    count: u64,
    /// Where the code starts; 0 where another place tells it (Go 1.26 and later), or addresses are absolute.
    pub(super) text_start: u64,
    names: u64,
    units: u64,
    files: u64,
    values: u64,
    functions: u64,
}

/// The table, and its header.
#[derive(Clone, Copy)]
pub(super) struct Table<'data> {
    pub(super) bytes: &'data [u8],
    pub(super) header: Header,
}

/// One function of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'data> {
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) name: &'data [u8],
    /// Distance from the entry to where a recovered panic goes on; 0 = nowhere.
    pub(super) resumes: u32,
    pub(super) assembly: bool,
}

/// The fixed part of a function's record, as far as it is used.
struct Record {
    name: u64,
    resumes: u32,
    file_values: u32,
    line_values: u32,
    unit: u32,
    /// The line of its declaration, from Go 1.20 on.
    first_line: Option<u32>,
    flags: u8,
}

fn u32_at(bytes: &[u8], offset: u64) -> Option<u32> {
    let start = usize::try_from(offset).ok()?;
    let word = bytes.get(start..start.checked_add(4)?)?;
    Some(u32::from_le_bytes(word.try_into().ok()?))
}

fn u64_at(bytes: &[u8], offset: u64) -> Option<u64> {
    let start = usize::try_from(offset).ok()?;
    let word = bytes.get(start..start.checked_add(8)?)?;
    Some(u64::from_le_bytes(word.try_into().ok()?))
}

fn text_at(bytes: &[u8], offset: u64) -> Option<&[u8]> {
    let rest = bytes.get(usize::try_from(offset).ok()?..)?;
    let end = rest.iter().take(MAX_TEXT).position(|byte| *byte == 0)?;
    Some(&rest[..end])
}

impl Header {
    /// Reads the header of the table that starts here, if one does.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let version = Version::of(u32_at(bytes, 0)?)?;
        let [0, 0, quantum @ (1 | 2 | 4), 8] = *bytes.get(4..PREAMBLE)? else {
            return None;
        };
        let word = |index: u64| u64_at(bytes, PREAMBLE as u64 + index * 8);
        let count = word(0).filter(|count| *count <= MAX_FUNCTIONS)?;
        let quantum = u64::from(quantum);
        let header = match version {
            Version::Go12 => Self {
                version,
                quantum,
                count,
                text_start: 0,
                names: 0,
                units: 0,
                // Behind the functions: the distance of the table of files.
                files: u32_at(bytes, 24 + count * 16)?.into(),
                values: 0,
                functions: 16,
            },
            Version::Go116 => Self {
                version,
                quantum,
                count,
                text_start: 0,
                names: word(2)?,
                units: word(3)?,
                files: word(4)?,
                values: word(5)?,
                functions: word(6)?,
            },
            Version::Go118 | Version::Go120 => Self {
                version,
                quantum,
                count,
                text_start: word(2)?,
                names: word(3)?,
                units: word(4)?,
                files: word(5)?,
                values: word(6)?,
                functions: word(7)?,
            },
        };
        let length = bytes.len() as u64;
        let inside = [
            header.names,
            header.units,
            header.files,
            header.values,
            header.functions,
        ]
        .iter()
        .all(|offset| *offset < length);
        (inside && header.functions.checked_add(count * header.stride())? < length).then_some(header)
    }

    /// Bytes of an entry of the list of functions: its address and the place of its record.
    fn stride(&self) -> u64 {
        if self.version.is_relative() { 8 } else { 16 }
    }
}

impl<'data> Table<'data> {
    /// The address (or its distance from the code's start) and the record of the function of this number.
    fn slot(&self, index: u64) -> Option<(u64, u64)> {
        let Self { bytes, header } = self;
        let place = header.functions + index * header.stride();
        if header.version.is_relative() {
            Some((u32_at(bytes, place)?.into(), u32_at(bytes, place + 4)?.into()))
        } else {
            Some((u64_at(bytes, place)?, u64_at(bytes, place + 8)?))
        }
    }

    /// Where the function of this number starts, from the code's start; `count` = where the last one ends.
    pub(super) fn start(&self, index: u64) -> Option<u64> {
        let Self { bytes, header } = self;
        let place = header.functions + index * header.stride();
        if header.version.is_relative() {
            u32_at(bytes, place).map(u64::from)
        } else {
            u64_at(bytes, place)
        }
    }

    /// The functions in the order of their addresses, up to the first damage.
    pub(super) fn entries(self, text_start: u64) -> impl Iterator<Item = Entry<'data>> {
        (0..self.header.count).map_while(move |index| self.entry(index, text_start))
    }

    fn entry(&self, index: u64, text_start: u64) -> Option<Entry<'data>> {
        let (start, record) = self.slot(index)?;
        let end = self.start(index + 1)?;
        let record = self.record(record)?;
        Some(Entry {
            address: text_start.checked_add(start)?,
            size: end.checked_sub(start)?,
            name: text_at(self.bytes, self.header.names.checked_add(record.name)?)?,
            resumes: record.resumes,
            assembly: record.flags & ASSEMBLY != 0,
        })
    }

    fn record(&self, offset: u64) -> Option<Record> {
        let Self { bytes, header } = self;
        let base = match header.version {
            Version::Go12 => 0,
            Version::Go116 | Version::Go118 | Version::Go120 => header.functions,
        };
        let entry = base.checked_add(offset)?;
        // The record starts with the address once more.
        let fields = entry.checked_add(if header.version.is_relative() { 4 } else { 8 })?;
        let field = |index: u64| u32_at(bytes, fields.checked_add(index * 4)?);
        let flags = match header.version {
            Version::Go12 | Version::Go116 => None,
            Version::Go118 => field(8),
            Version::Go120 => field(9),
        };
        Some(Record {
            name: field(0)?.into(),
            resumes: match header.version {
                // It was the size of the frame.
                Version::Go12 => 0,
                Version::Go116 | Version::Go118 | Version::Go120 => field(2)?,
            },
            file_values: field(4)?,
            line_values: field(5)?,
            unit: match header.version {
                Version::Go12 => 0,
                Version::Go116 | Version::Go118 | Version::Go120 => field(7)?,
            },
            first_line: match header.version {
                Version::Go12 | Version::Go116 | Version::Go118 => None,
                Version::Go120 => field(8),
            },
            flags: flags.map_or(0, |word| (word >> 8) as u8),
        })
    }

    /// The record of the function that an address lies in, and the address's distance from the function's start.
    fn containing(&self, address: u64, text_start: u64) -> Option<(Record, u64)> {
        let wanted = address.checked_sub(text_start)?;
        let (mut low, mut high) = (0, self.header.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.start(middle)? <= wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let index = low.checked_sub(1)?;
        let (start, record) = self.slot(index)?;
        if wanted >= self.start(index + 1)? {
            return None;
        }
        Some((self.record(record)?, wanted - start))
    }

    /// The file and line of the declaration of the function that starts at this address. Before Go 1.20 it is the line
    /// of its first instruction.
    pub(super) fn declaration(&self, address: u64, text_start: u64) -> Option<(&'data [u8], u32)> {
        let (file, line) = self.position(address, text_start)?;
        let (record, _) = self.containing(address, text_start)?;
        Some((file, record.first_line.unwrap_or(line)))
    }

    /// The file and line of an address, if the table knows its function.
    pub(super) fn position(&self, address: u64, text_start: u64) -> Option<(&'data [u8], u32)> {
        let (record, distance) = self.containing(address, text_start)?;
        let line = self.value(record.line_values, distance)?;
        let file = self.value(record.file_values, distance)?;
        Some((self.file(file, record.unit)?, u32::try_from(line).ok()?))
    }

    fn file(&self, number: i64, unit: u32) -> Option<&'data [u8]> {
        let Self { bytes, header } = self;
        let number = u64::from(u32::try_from(number).ok()?);
        if header.version == Version::Go12 {
            return text_at(bytes, u32_at(bytes, header.files + number * 4)?.into());
        }
        let place = header.units + (u64::from(unit) + number) * 4;
        let offset = u32_at(bytes, place).filter(|offset| *offset != u32::MAX)?;
        text_at(bytes, header.files + u64::from(offset))
    }

    /// The value that holds at this distance from the function's start, in one of the lists of changes.
    fn value(&self, list: u32, distance: u64) -> Option<i64> {
        if list == 0 {
            return None;
        }
        let start = usize::try_from(self.header.values + u64::from(list)).ok()?;
        let mut rest = self.bytes.get(start..)?;
        let (mut value, mut end) = (-1_i64, 0_u64);
        loop {
            let change = number(&mut rest)?;
            if change == 0 && end != 0 {
                return None;
            }
            // The sign is in the lowest bit.
            value += i64::from((change >> 1) ^ 0_u32.wrapping_sub(change & 1)) << 32 >> 32;
            end += u64::from(number(&mut rest)?) * self.header.quantum;
            if distance < end {
                return Some(value);
            }
        }
    }
}

/// A number of up to five bytes, seven bits in each, the lowest first.
fn number(rest: &mut &[u8]) -> Option<u32> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
#[path = "table_tests.rs"]
pub(crate) mod tests;
