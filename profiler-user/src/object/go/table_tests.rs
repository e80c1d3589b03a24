//! Tests over tables put together by hand, in every layout.
use super::{Entry, Header, Table, Version};

/// `main.first` with 16 bytes and `main.second`, in assembly, with 32, both in `a/b.go`.
const FIRST: u64 = 0x40_1000;
const SECOND: u64 = FIRST + 16;
const END: u64 = SECOND + 32;

/// The line is 7 for four bytes, then 9; for the file number it is 0 throughout.
const LINES: &[u8] = &[16, 4, 4, 44, 0];
const FILES: &[u8] = &[2, 48, 0];

/// A table in the layout of this version.
pub(crate) fn table(version: Version) -> Vec<u8> {
    let magic: u32 = match version {
        Version::Go12 => 0xffff_fffb,
        Version::Go116 => 0xffff_fffa,
        Version::Go118 => 0xffff_fff0,
        Version::Go120 => 0xffff_fff1,
    };
    let mut bytes = magic.to_le_bytes().to_vec();
    bytes.extend([0, 0, 1, 8]);
    let parts = Parts::new(version);
    match version {
        Version::Go12 => bytes.extend(2_u64.to_le_bytes()),
        Version::Go116 => {
            for word in [
                2,
                1,
                parts.names,
                parts.units,
                parts.files,
                parts.values,
                parts.functions,
            ] {
                bytes.extend(word.to_le_bytes());
            }
        }
        Version::Go118 | Version::Go120 => {
            let words = [
                2,
                1,
                FIRST,
                parts.names,
                parts.units,
                parts.files,
                parts.values,
                parts.functions,
            ];
            for word in words {
                bytes.extend(word.to_le_bytes());
            }
        }
    }
    parts.append_to(bytes)
}

/// Where the parts lie: at fixed places, far enough from each other.
struct Parts {
    version: Version,
    names: u64,
    units: u64,
    files: u64,
    values: u64,
    functions: u64,
}

impl Parts {
    fn new(version: Version) -> Self {
        let functions = if version == Version::Go12 { 16 } else { 0x180 };
        Self {
            version,
            names: 0x80,
            units: 0xc0,
            files: 0xe0,
            values: 0x100,
            functions,
        }
    }

    fn append_to(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let old = self.version == Version::Go12;
        // Everything counts from the table's start in the oldest layout, from its own part in the others.
        let base = |part: u64| if old { part as u32 } else { 0 };
        let records = 0x200;
        bytes.resize(0x280, 0);
        let mut put = |at: u64, new: &[u8]| bytes[at as usize..][..new.len()].copy_from_slice(new);
        put(self.names, b"main.first\0main.second\0");
        put(self.units, &0_u32.to_le_bytes());
        put(self.files, if old { &[0xe8, 0, 0, 0] } else { b"a/b.go\0" });
        put(self.files + 8, b"a/b.go\0");
        // Lists at 0 mean that there is none.
        put(self.values + 1, LINES);
        put(self.values + 9, FILES);
        for (index, (start, name)) in [(FIRST, 0), (SECOND, 11), (END, 0)].into_iter().enumerate() {
            let record = records + index as u64 * 0x40;
            let distance = if old { record } else { record - self.functions };
            let index = index as u64;
            if self.version.is_relative() {
                put(
                    self.functions + index * 8,
                    &((start - FIRST) as u32).to_le_bytes(),
                );
            } else {
                put(self.functions + index * 16, &start.to_le_bytes());
            }
            if index == 2 {
                if old {
                    put(self.functions + 40, &(self.files as u32).to_le_bytes());
                }
                break;
            }
            if self.version.is_relative() {
                put(self.functions + index * 8 + 4, &(distance as u32).to_le_bytes());
            } else {
                put(self.functions + index * 16 + 8, &distance.to_le_bytes());
            }
            let mut fields = vec![
                base(self.names) + name,
                0,
                if index == 0 { 5 } else { 0 },
                0,
                base(self.values) + 9,
                base(self.values) + 1,
                0,
                0,
            ];
            // Function id and flags; before them, since Go 1.20, the line that it starts at.
            let flags = (index as u32) << 10;
            match self.version {
                Version::Go12 | Version::Go116 => {}
                Version::Go118 => fields.push(flags),
                Version::Go120 => fields.extend([6, flags]),
            }
            let fields: Vec<u8> = fields
                .iter()
                .flat_map(|field: &u32| field.to_le_bytes())
                .collect();
            put(record + if self.version.is_relative() { 4 } else { 8 }, &fields);
        }
        bytes
    }
}

const VERSIONS: [Version; 4] = [Version::Go12, Version::Go116, Version::Go118, Version::Go120];

#[test]
fn functions_are_read_from_every_layout() {
    for version in VERSIONS {
        let bytes = table(version);
        let header = Header::read(&bytes).unwrap_or_else(|| panic!("{version:?}"));
        assert_eq!(header.version, version);
        let entries: Vec<_> = Table {
            bytes: &bytes,
            header,
        }
        .entries(header.text_start)
        .collect();
        let expected = [
            Entry {
                address: FIRST,
                size: 16,
                name: b"main.first",
                resumes: if version == Version::Go12 { 0 } else { 5 },
                assembly: false,
            },
            Entry {
                address: SECOND,
                size: 32,
                name: b"main.second",
                resumes: 0,
                assembly: version.is_relative(),
            },
        ];
        assert_eq!(entries, expected, "{version:?}");
    }
}

#[test]
fn files_and_lines_are_read_from_every_layout() {
    for version in VERSIONS {
        let bytes = table(version);
        let header = Header::read(&bytes).unwrap();
        let table = Table {
            bytes: &bytes,
            header,
        };
        let line = |address| table.position(address, header.text_start);
        for (address, expected) in [
            (FIRST, 7),
            (FIRST + 3, 7),
            (FIRST + 4, 9),
            (FIRST + 15, 9),
            (SECOND, 7),
        ] {
            assert_eq!(
                line(address),
                Some((&b"a/b.go"[..], expected)),
                "{version:?} {address:#x}"
            );
        }
        let declared = if version == Version::Go120 { 6 } else { 7 };
        let declaration = table.declaration(FIRST, header.text_start);
        assert_eq!(declaration, Some((&b"a/b.go"[..], declared)), "{version:?}");
        assert_eq!(line(FIRST - 1), None);
        assert_eq!(line(END), None);
    }
}

#[test]
fn a_damaged_table_is_no_table_or_a_shorter_one() {
    for version in VERSIONS {
        let good = table(version);
        for length in 0..good.len() {
            read_all(&good[..length]);
        }
        for position in 0..good.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[position] = value;
                read_all(&bytes);
                let end = bytes.len().min(position + 8);
                bytes[position..end].fill(value);
                read_all(&bytes);
            }
        }
    }
}

fn read_all(bytes: &[u8]) {
    let Some(header) = Header::read(bytes) else {
        return;
    };
    let table = Table { bytes, header };
    for entry in table.entries(header.text_start).take(100) {
        let _position = table.position(entry.address, header.text_start);
        let _inside = table.position(entry.address.saturating_add(5), header.text_start);
    }
}
