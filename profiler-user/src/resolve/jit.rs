//! Names of code that was compiled while its process ran: the map that the compiler writes (`/tmp/perf-PID.map`).
use std::collections::BTreeMap;

/// The most functions that are kept of a process.
const MAX_FUNCTIONS: usize = 4 << 20;

/// The most text that is kept of a process, bytes.
const MAX_TEXT: usize = 256 << 20;

/// The longest name that is kept, bytes.
const MAX_NAME: usize = 4096;

/// What a compiler said of the code that it made.
#[derive(Debug, Default)]
pub struct JitMap {
    /// By start.
    functions: BTreeMap<u64, JitFunction>,
    text: String,
    /// There was more than is kept.
    full: bool,
}

#[derive(Clone, Copy, Debug)]
struct JitFunction {
    end: u64,
    name: u32,
    length: u32,
}

impl JitMap {
    /// Adds lines `START SIZE NAME`, numbers in hexadecimal. Later ones replace earlier ones at the same addresses: the
    /// compiler has used the memory again. Lines that are none are passed over.
    pub fn add(&mut self, lines: &[u8]) {
        for line in lines.split(|byte| *byte == b'\n') {
            if let Some((start, end, name)) = parse(line) {
                self.insert(start, end, name);
            }
        }
    }

    fn insert(&mut self, start: u64, end: u64, name: &[u8]) {
        let name = &name[..name.len().min(MAX_NAME)];
        if self.functions.len() >= MAX_FUNCTIONS || self.text.len() + name.len() * 3 > MAX_TEXT {
            self.full = true;
            return;
        }
        while let Some((old, function)) = self
            .functions
            .range(..end)
            .next_back()
            .map(|(old, it)| (*old, *it))
        {
            if function.end <= start {
                break;
            }
            self.functions.remove(&old);
        }
        let position = self.text.len();
        self.text.push_str(&String::from_utf8_lossy(name));
        let function = JitFunction {
            end,
            name: position as u32,
            length: (self.text.len() - position) as u32,
        };
        self.functions.insert(start, function);
    }

    /// The function that an address lies in, and the distance from its start.
    pub fn lookup(&self, address: u64) -> Option<(&str, u64)> {
        let (start, function) = self.functions.range(..=address).next_back()?;
        let name = &self.text[function.name as usize..][..function.length as usize];
        (address < function.end).then(|| (name, address - start))
    }

    /// Functions that are known.
    pub fn len(&self) -> usize {
        self.functions.len()
    }

    /// Nothing is known.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    /// There was more than is kept: some code has no name.
    pub fn is_full(&self) -> bool {
        self.full
    }
}

fn parse(line: &[u8]) -> Option<(u64, u64, &[u8])> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let mut number = || {
        let text = str::from_utf8(parts.next()?).ok()?;
        u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
    };
    let (start, size) = (number()?, number()?);
    let name = parts.next()?.trim_ascii();
    let end = start.checked_add(size)?;
    (size != 0 && !name.is_empty()).then_some((start, end, name))
}

#[cfg(test)]
mod tests {
    use super::JitMap;

    fn map(text: &str) -> JitMap {
        let mut map = JitMap::default();
        map.add(text.as_bytes());
        map
    }

    #[test]
    fn lines_of_several_compilers_are_understood() {
        // V8, the JVM's agent, .NET.
        let map = map("3ef1a0 2c LazyCompile:*add /srv/app.js:3:13\n\
                       7f00001000 100 java/lang/String::hashCode\r\n\
                       0x00007F0000002000 40 int32 [app] Program::Main(string[])[Optimized]\n");
        assert_eq!(
            map.lookup(0x3e_f1a0),
            Some(("LazyCompile:*add /srv/app.js:3:13", 0))
        );
        assert_eq!(
            map.lookup(0x3e_f1cb),
            Some(("LazyCompile:*add /srv/app.js:3:13", 0x2b))
        );
        assert_eq!(map.lookup(0x3e_f1cc), None);
        assert_eq!(
            map.lookup(0x7f_0000_10ff),
            Some(("java/lang/String::hashCode", 0xff))
        );
        assert_eq!(
            map.lookup(0x7f00_0000_2000),
            Some(("int32 [app] Program::Main(string[])[Optimized]", 0))
        );
    }

    #[test]
    fn code_that_replaces_other_code_takes_its_addresses() {
        let map = map("1000 100 old one\n1100 100 old two\n1200 100 old three\n1080 100 new\n");
        assert_eq!(map.lookup(0x1000), None);
        assert_eq!(map.lookup(0x1080), Some(("new", 0)));
        assert_eq!(map.lookup(0x117f), Some(("new", 0xff)));
        assert_eq!(map.lookup(0x1180), None);
        assert_eq!(map.lookup(0x1200), Some(("old three", 0)));
        assert_eq!(map.len(), 2);
    }

    #[test]
    fn lines_that_are_none_are_passed_over() {
        let map =
            map("\nx y z\n10\n10 20\n10 0 empty\nffffffffffffffff 2 beyond\n10 20 \n30 8 \u{fffd}good\n");
        assert_eq!(map.len(), 1);
        assert_eq!(map.lookup(0x37), Some(("\u{fffd}good", 7)));
    }

    #[test]
    fn names_that_are_not_text_and_endless_ones_are_kept_as_far_as_they_go() {
        let mut map = JitMap::default();
        map.add(b"10 8 a\xffb\n");
        map.add(&[b"20 8 ".as_slice(), &vec![b'n'; 100_000], b"\n"].concat());
        assert_eq!(map.lookup(0x10), Some(("a\u{fffd}b", 0)));
        assert_eq!(map.lookup(0x20).map(|(name, _)| name.len()), Some(4096));
    }
}
