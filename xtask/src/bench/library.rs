//! A large library without debug information, as large C++ projects make them: written by hand, because a compiler would
//! take minutes for it. The same bytes every time.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
};

/// Functions of the library: with what is said of each it has 150 MB.
const FUNCTIONS: u64 = 600_000;
/// Every so many of them can be seen by other libraries.
const EXPORTED: u64 = 3;
/// The last one, which is searched for: as the symbol table has it, and as C++ writes it.
pub(super) const LAST: &str = "base::internal::LastOfAll::find(int)";
const LAST_MANGLED: &str = "_ZN4base8internal9LastOfAll4findEi";

const HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;
const SECTION_HEADER: u64 = 64;
const SYMBOL: usize = 24;

/// Words of C++ projects, to make names of.
const WORDS: [&str; 16] = [
    "Layout",
    "Render",
    "Network",
    "Frame",
    "Buffer",
    "Context",
    "Observer",
    "Delegate",
    "Manager",
    "Service",
    "Stream",
    "Parser",
    "Element",
    "Accessibility",
    "Compositor",
    "Transaction",
];
const SPACES: [&str; 8] = ["base", "blink", "content", "media", "net", "storage", "ui", "viz"];
const PARAMETERS: [&str; 6] = [
    "v",
    "i",
    "RKSs",
    "PKcm",
    "St10unique_ptrIiSt14default_deleteIiEE",
    "bRKN4base8LocationE",
];

/// Marsaglia's generator.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

/// The parts of the file that are about its functions.
#[derive(Default)]
struct Content {
    text: Vec<u8>,
    frames: Vec<u8>,
    symbols: Vec<u8>,
    strings: Vec<u8>,
    dynamic_symbols: Vec<u8>,
    dynamic_strings: Vec<u8>,
}

/// A section, as its header describes it.
struct Section<'a> {
    name: &'a str,
    kind: u32,
    flags: u64,
    link: u32,
    /// Bytes of an entry; 0 = it has none.
    entry: u64,
    bytes: &'a [u8],
}

/// Writes the library.
pub(super) fn write(path: &Path) -> io::Result<()> {
    // The code starts behind the frames, whose length has to be known before.
    let text_address = page(HEADER + 2 * PROGRAM_HEADER + FUNCTIONS * 32 + (4 << 10));
    let content = Content::new(text_address);
    let mut file = BufWriter::new(File::create(path)?);
    content.write(&mut file, text_address)?;
    file.flush()
}

fn page(offset: u64) -> u64 {
    offset.next_multiple_of(4096)
}

impl Content {
    fn new(text_address: u64) -> Self {
        let mut content = Self::default();
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        content.strings.push(0);
        content.dynamic_strings.push(0);
        content.symbols.resize(SYMBOL, 0);
        content.dynamic_symbols.resize(SYMBOL, 0);
        content.add_common_frame();
        for number in 0..FUNCTIONS {
            let address = text_address + content.text.len() as u64;
            let size = content.add_code(random.below(12) * 16);
            content.add_frame(address, size);
            let name = if number + 1 == FUNCTIONS {
                LAST_MANGLED.to_owned()
            } else {
                name(number, &mut random)
            };
            add_symbol(&mut content.symbols, &mut content.strings, &name, (address, size));
            if number % EXPORTED == 0 {
                let (symbols, strings) = (&mut content.dynamic_symbols, &mut content.dynamic_strings);
                add_symbol(symbols, strings, &name, (address, size));
            }
        }
        content.frames.extend([0; 4]);
        content
    }

    /// `push rbp; mov rbp, rsp; …; pop rbp; ret`, and what fills the room before the next one.
    fn add_code(&mut self, body: usize) -> u64 {
        self.text.extend([0x55, 0x48, 0x89, 0xe5]);
        // nop dword ptr [rax]
        self.text
            .extend([0x0f, 0x1f, 0x00].iter().cycle().take(body / 3 * 3));
        self.text.extend([0x5d, 0xc3]);
        let size = body / 3 * 3 + 6;
        self.text.resize(self.text.len().next_multiple_of(16), 0xcc);
        size as u64
    }

    /// The entry that all others refer to: version 1, `zR`, addresses relative to themselves in four bytes.
    fn add_common_frame(&mut self) {
        let fields = [
            &20_u32.to_le_bytes()[..],
            &[0; 4],
            &[1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b],
            // def_cfa rsp+8; offset rip, cfa-8
            &[0x0c, 7, 8, 0x90, 1],
            &[0; 2],
        ];
        self.frames.extend(fields.concat());
    }

    /// Frames lie at the file's start, behind its headers, at the address that is their place in the file.
    fn add_frame(&mut self, address: u64, size: u64) {
        let place = frames_address() + self.frames.len() as u64;
        let common = self.frames.len() as u32 + 4;
        let distance = address.wrapping_sub(place + 8) as u32;
        let fields = [
            &28_u32.to_le_bytes()[..],
            &common.to_le_bytes(),
            &distance.to_le_bytes(),
            &(size as u32).to_le_bytes(),
            // No augmentation data; advance 1; def_cfa_offset 16; offset rbp; advance 3; def_cfa_register rbp; …
            &[
                0, 0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x44, 0x0c, 7, 8, 0, 0, 0,
            ],
        ];
        self.frames.extend(fields.concat());
    }

    fn write(&self, file: &mut impl io::Write, text_address: u64) -> io::Result<()> {
        let names = [
            "",
            ".eh_frame",
            ".text",
            ".dynsym",
            ".dynstr",
            ".symtab",
            ".strtab",
            ".shstrtab",
        ];
        let name_text: Vec<u8> = names.iter().flat_map(|name| name.bytes().chain([0])).collect();
        let section = |name, kind, flags, (link, entry), bytes| Section {
            name,
            kind,
            flags,
            link,
            entry,
            bytes,
        };
        let sections = [
            section(names[1], 1, 2, (0, 0), &self.frames),
            section(names[2], 1, 6, (0, 0), &self.text),
            section(names[3], 11, 2, (4, SYMBOL as u64), &self.dynamic_symbols),
            section(names[4], 3, 2, (0, 0), &self.dynamic_strings),
            section(names[5], 2, 0, (6, SYMBOL as u64), &self.symbols),
            section(names[6], 3, 0, (0, 0), &self.strings),
            section(names[7], 3, 0, (0, 0), &name_text),
        ];
        let text_end = text_address + self.text.len() as u64;
        let mut offsets = vec![frames_address(), text_address];
        let mut end = page(text_end);
        for section in &sections[2..] {
            offsets.push(end);
            end = (end + section.bytes.len() as u64).next_multiple_of(8);
        }
        file.write_all(&file_header(end, sections.len() as u16 + 1))?;
        file.write_all(&program_header(4, (0, text_address)))?;
        file.write_all(&program_header(5, (text_address, self.text.len() as u64)))?;
        let mut position = HEADER + 2 * PROGRAM_HEADER;
        for (section, offset) in sections.iter().zip(&offsets) {
            io::copy(&mut io::Read::take(io::repeat(0), offset - position), file)?;
            file.write_all(section.bytes)?;
            position = offset + section.bytes.len() as u64;
        }
        io::copy(&mut io::Read::take(io::repeat(0), end - position), file)?;
        file.write_all(&[0; SECTION_HEADER as usize])?;
        let mut name_offset = 1_u32;
        for (section, offset) in sections.iter().zip(&offsets) {
            file.write_all(&section.header(name_offset, *offset))?;
            name_offset += section.name.len() as u32 + 1;
        }
        Ok(())
    }
}

impl Section<'_> {
    fn header(&self, name: u32, offset: u64) -> Vec<u8> {
        let address = if self.flags == 0 { 0 } else { offset };
        let words = [self.flags, address, offset, self.bytes.len() as u64];
        let mut header = [name.to_le_bytes(), self.kind.to_le_bytes()].concat();
        header.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        header.extend([self.link.to_le_bytes(), 1_u32.to_le_bytes()].concat());
        header.extend([8, self.entry].iter().flat_map(|word: &u64| word.to_le_bytes()));
        header
    }
}

fn frames_address() -> u64 {
    HEADER + 2 * PROGRAM_HEADER
}

/// `_ZN…E…`: two namespaces, a class, a method, parameters.
fn name(number: u64, random: &mut Random) -> String {
    let space = SPACES[random.below(SPACES.len())];
    let class = format!(
        "{}{}{}",
        WORDS[random.below(WORDS.len())],
        WORDS[random.below(WORDS.len())],
        number / 40
    );
    let method = format!(
        "Do{}{}{}",
        WORDS[random.below(WORDS.len())],
        WORDS[random.below(WORDS.len())],
        number % 40
    );
    let parameters = PARAMETERS[random.below(PARAMETERS.len())];
    let part = |text: &str| format!("{}{text}", text.len());
    format!("_ZN{}{}{}E{parameters}", part(space), part(&class), part(&method))
}

fn add_symbol(symbols: &mut Vec<u8>, strings: &mut Vec<u8>, name: &str, (address, size): (u64, u64)) {
    symbols.extend((strings.len() as u32).to_le_bytes());
    // A global function, of the second section.
    symbols.extend([0x12, 0, 2, 0]);
    symbols.extend(address.to_le_bytes());
    symbols.extend(size.to_le_bytes());
    strings.extend(name.bytes().chain([0]));
}

/// 64 bits, little endian, a shared object for x86-64.
fn file_header(sections: u64, count: u16) -> Vec<u8> {
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(16, 0);
    header.extend([3_u16, 62].iter().flat_map(|field| field.to_le_bytes()));
    header.extend(1_u32.to_le_bytes());
    header.extend([0, HEADER, sections].iter().flat_map(|field| field.to_le_bytes()));
    header.extend(0_u32.to_le_bytes());
    let sizes = [
        HEADER as u16,
        PROGRAM_HEADER as u16,
        2,
        SECTION_HEADER as u16,
        count,
        count - 1,
    ];
    header.extend(sizes.iter().flat_map(|field| field.to_le_bytes()));
    header
}

/// A part that is loaded at the address that is its place in the file.
fn program_header(flags: u32, (offset, size): (u64, u64)) -> Vec<u8> {
    let mut header = [1_u32.to_le_bytes(), flags.to_le_bytes()].concat();
    let fields = [offset, offset, offset, size, size, 4096];
    header.extend(fields.iter().flat_map(|field: &u64| field.to_le_bytes()));
    header
}

#[cfg(test)]
mod tests {
    use super::{Content, FUNCTIONS, LAST_MANGLED, page};

    #[test]
    fn the_library_has_its_size_and_its_last_function() {
        let content = Content::new(page(FUNCTIONS * 32 + 8192));
        let bytes = content.text.len()
            + content.frames.len()
            + content.symbols.len()
            + content.strings.len()
            + content.dynamic_symbols.len()
            + content.dynamic_strings.len();
        assert!((145_000_000..155_000_000).contains(&bytes), "{bytes}");
        assert!(
            content
                .strings
                .ends_with(format!("\0{LAST_MANGLED}\0").as_bytes())
        );
        assert!(content.frames.len() as u64 <= FUNCTIONS * 32 + 4096);
    }
}
