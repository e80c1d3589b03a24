//! Where exceptions land: the call-site table of a function's language-specific data.
use super::ObjectFile;

/// The longest call-site table that is believed, bytes.
const MAX_TABLE: u64 = 1 << 20;

/// The longest header: two encodings, two numbers, an address.
const MAX_HEADER: usize = 40;

/// Encodings of pointers (`DW_EH_PE_…`).
const OMITTED: u8 = 0xff;
const RELATIVE_TO_ITSELF: u8 = 0x10;

struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Cursor<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.position)?;
        self.position += 1;
        Some(byte)
    }

    fn fixed(&mut self, length: usize) -> Option<u64> {
        let bytes = self.bytes.get(self.position..self.position + length)?;
        self.position += length;
        let mut value = [0; 8];
        value[..length].copy_from_slice(bytes);
        Some(u64::from_le_bytes(value))
    }

    fn leb128(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A value in one of the encodings that call-site tables use.
    fn encoded(&mut self, encoding: u8) -> Option<u64> {
        match encoding & 0x0f {
            0x00 | 0x04 | 0x0c => self.fixed(8),
            0x01 => self.leb128(),
            0x02 => self.fixed(2),
            0x03 => self.fixed(4),
            0x0b => self.fixed(4).map(|value| i64::from(value as u32 as i32) as u64),
            _ => None,
        }
    }
}

impl ObjectFile {
    /// The addresses at which exceptions land, by the table at `table` of the code that starts at `start`.
    /// What is damaged ends the list.
    pub fn landing_pads(&self, table: u64, start: u64) -> Vec<u64> {
        let mut pads = Vec::new();
        if table != 0 {
            let _complete = self.read_landing_pads(table, start, &mut pads);
        }
        pads
    }

    fn read_landing_pads(&self, table: u64, start: u64, pads: &mut Vec<u64>) -> Option<()> {
        let mut header = [0; MAX_HEADER];
        // The last table may end with its segment.
        let length = (1..=MAX_HEADER)
            .rev()
            .find(|length| self.read_memory(table, &mut header[..*length]).is_some())?;
        let mut cursor = Cursor {
            bytes: &header[..length],
            position: 0,
        };
        let base = match cursor.byte()? {
            OMITTED => start,
            encoding => {
                let at = table.wrapping_add(cursor.position as u64);
                let value = cursor.encoded(encoding)?;
                if encoding & 0x70 == RELATIVE_TO_ITSELF {
                    at.wrapping_add(value)
                } else {
                    value
                }
            }
        };
        if cursor.byte()? != OMITTED {
            cursor.leb128()?;
        }
        let encoding = cursor.byte()?;
        let length = cursor.leb128()?.min(MAX_TABLE);
        let offset = self
            .segments()
            .file_range(table.wrapping_add(cursor.position as u64), length)?;
        let bytes = self.source.read(offset, length)?;
        let mut cursor = Cursor {
            bytes: &bytes,
            position: 0,
        };
        while cursor.position < bytes.len() {
            let (_start, _length) = (cursor.encoded(encoding)?, cursor.encoded(encoding)?);
            let pad = cursor.encoded(encoding)?;
            let _action = cursor.leb128()?;
            if pad != 0 {
                pads.push(base.wrapping_add(pad));
            }
        }
        Some(())
    }
}
