//! Where a file's bytes lie in memory, and the bytes of its code.

/// A part of the file that is loaded into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Virtual address of its first byte.
    pub address: u64,
    /// Offset of its first byte in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub size: u64,
    /// The processor may execute it.
    pub executable: bool,
}

impl Segment {
    fn contains(&self, address: u64) -> bool {
        address.wrapping_sub(self.address) < self.size && address >= self.address
    }
}

/// The loaded parts of a file.
#[derive(Clone, Debug, Default)]
pub struct Segments(Vec<Segment>);

impl Segments {
    pub(super) fn new(segments: Vec<Segment>) -> Self {
        Self(segments)
    }

    /// Those that may be executed.
    pub fn executable(&self) -> impl Iterator<Item = &Segment> {
        self.0.iter().filter(|segment| segment.executable)
    }

    /// The file offset of an address in an executable segment: what the kernel is given.
    pub fn code_offset(&self, address: u64) -> Option<u64> {
        let segment = self.executable().find(|segment| segment.contains(address))?;
        (address - segment.address).checked_add(segment.offset)
    }

    /// The address of the code at this offset in the file: the reverse of [`Segments::code_offset`].
    pub fn code_address(&self, offset: u64) -> Option<u64> {
        let holds = |segment: &&Segment| offset >= segment.offset && offset - segment.offset < segment.size;
        let segment = self.executable().find(holds)?;
        segment.address.checked_add(offset - segment.offset)
    }

    /// The end of the executable segment that the address lies in.
    pub fn code_end(&self, address: u64) -> Option<u64> {
        let segment = self.executable().find(|segment| segment.contains(address))?;
        segment.address.checked_add(segment.size)
    }

    /// The file offset of `length` bytes at an address in any segment.
    pub fn file_range(&self, address: u64, length: u64) -> Option<u64> {
        let segment = self.0.iter().find(|segment| segment.contains(address))?;
        let inside = address - segment.address;
        if length > segment.size - inside {
            return None;
        }
        inside.checked_add(segment.offset)
    }
}

/// The bytes of a file's executable segments.
#[derive(Debug, Default)]
pub struct Code(Vec<(u64, Vec<u8>)>);

impl Code {
    pub(super) fn push(&mut self, address: u64, bytes: Vec<u8>) {
        self.0.push((address, bytes));
    }

    /// Code that lies at this address: for tests, and for code that comes from elsewhere.
    pub fn from_bytes(address: u64, bytes: Vec<u8>) -> Self {
        Self(vec![(address, bytes)])
    }

    /// All of it: where each piece lies, and its bytes.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.0.iter().map(|(address, bytes)| (*address, bytes.as_slice()))
    }

    /// The bytes in `start..end`, if one segment holds them all.
    pub fn bytes(&self, start: u64, end: u64) -> Option<&[u8]> {
        self.0.iter().find_map(|(address, bytes)| {
            let from = usize::try_from(start.checked_sub(*address)?).ok()?;
            let to = usize::try_from(end.checked_sub(*address)?).ok()?;
            bytes.get(from..to)
        })
    }
}
