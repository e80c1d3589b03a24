//! Names of the kernel's functions, from the text of `/proc/kallsyms`.
use std::io;

use crate::target::code_texts;

/// The most symbols that are kept.
const MAX_SYMBOLS: usize = 4 << 20;

/// What is known of the kernel's functions.
#[derive(Debug)]
pub enum KernelSymbols {
    /// Their names.
    Known(KernelNames),
    /// The kernel shows no addresses to us (`kernel.kptr_restrict`, or a missing `CAP_SYSLOG`).
    Hidden,
    /// The text could not be read.
    Unreadable(io::Error),
}

/// The kernel's functions by address.
#[derive(Debug, Default)]
pub struct KernelNames {
    symbols: Vec<Symbol>,
    text: String,
    /// Names of modules; the kernel itself is none.
    modules: Vec<Box<str>>,
}

#[derive(Clone, Copy, Debug)]
struct Symbol {
    address: u64,
    name: u32,
    length: u16,
    /// Index among the modules plus one.
    module: u16,
}

/// A place in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelPlace<'a> {
    /// The function.
    pub function: &'a str,
    /// Its module; none = the kernel itself.
    pub module: Option<&'a str>,
    /// Bytes from the function's start.
    pub offset: u64,
}

impl KernelSymbols {
    /// Those of the running kernel.
    pub fn of_this_machine() -> Self {
        match code_texts::kernel_symbols() {
            Ok(text) => Self::parse(&text),
            Err(error) => Self::Unreadable(error),
        }
    }

    /// Those of a text in the form of `/proc/kallsyms`. Lines that are none are passed over.
    pub fn parse(text: &[u8]) -> Self {
        let mut names = KernelNames::default();
        let mut hidden = false;
        for line in text.split(|byte| *byte == b'\n') {
            if let Some(line) = Line::parse(line) {
                hidden |= line.address == 0;
                names.add(&line);
            }
        }
        if names.symbols.is_empty() && hidden {
            return Self::Hidden;
        }
        names.symbols.sort_by_key(|symbol| symbol.address);
        names.text.shrink_to_fit();
        names.symbols.shrink_to_fit();
        Self::Known(names)
    }

    /// The function that an address lies in.
    pub fn lookup(&self, address: u64) -> Option<KernelPlace<'_>> {
        match self {
            Self::Known(names) => names.lookup(address),
            Self::Hidden | Self::Unreadable(_) => None,
        }
    }

    /// Why kernel functions have no names, and what helps. `None`: they have.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Known(names) if names.symbols.is_empty() => Some(
                "`/proc/kallsyms` names no functions: kernel functions are shown as addresses".to_owned(),
            ),
            Self::Known(_) => None,
            Self::Hidden => Some(
                "the kernel hides its addresses, its functions are not named: run as root with \
                 `sysctl kernel.kptr_restrict=1` or 0"
                    .to_owned(),
            ),
            Self::Unreadable(error) => Some(format!(
                "failed to read `/proc/kallsyms`: {error}; kernel functions are shown as addresses"
            )),
        }
    }
}

impl KernelNames {
    fn add(&mut self, line: &Line<'_>) {
        let name = u32::try_from(self.text.len());
        let (Ok(name), true) = (name, line.address != 0 && self.symbols.len() < MAX_SYMBOLS) else {
            return;
        };
        let module = line.module.map_or(0, |module| self.module(module));
        self.text.push_str(line.name);
        self.symbols.push(Symbol {
            address: line.address,
            name,
            length: line.name.len() as u16,
            module,
        });
    }

    /// The number of a module. Its symbols come one after the other.
    fn module(&mut self, name: &str) -> u16 {
        let last = self.modules.last().is_some_and(|last| **last == *name);
        let known = if last {
            Some(self.modules.len() - 1)
        } else {
            self.modules.iter().position(|known| **known == *name)
        };
        let index = known.unwrap_or_else(|| {
            self.modules.push(name.into());
            self.modules.len() - 1
        });
        u16::try_from(index + 1).unwrap_or(0)
    }

    fn lookup(&self, address: u64) -> Option<KernelPlace<'_>> {
        let after = self.symbols.partition_point(|symbol| symbol.address <= address);
        let last = self.symbols[after.checked_sub(1)?].address;
        // Of several names of one address, the first.
        let first = self.symbols[..after].partition_point(|symbol| symbol.address < last);
        let symbol = self.symbols[first];
        let module = usize::from(symbol.module).checked_sub(1);
        Some(KernelPlace {
            function: &self.text[symbol.name as usize..][..usize::from(symbol.length)],
            module: module.map(|index| &*self.modules[index]),
            offset: address - symbol.address,
        })
    }
}

struct Line<'a> {
    address: u64,
    name: &'a str,
    module: Option<&'a str>,
}

impl<'a> Line<'a> {
    /// `ADDRESS TYPE NAME`, then for a module's a tab and `[MODULE]`; only functions.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let line = str::from_utf8(line).ok()?;
        let mut words = line.split_ascii_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        if !matches!(words.next()?, "t" | "T" | "w" | "W") {
            return None;
        }
        let name = words.next().filter(|name| u16::try_from(name.len()).is_ok())?;
        let module = words
            .next()
            .and_then(|word| word.strip_prefix('[')?.strip_suffix(']'));
        Some(Self {
            address,
            name,
            module,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{KernelPlace, KernelSymbols};

    const TEXT: &[u8] = b"0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000400 t do_one_initcall
ffffffff82000000 D jiffies
ffffffffc0100000 t nf_hook\t[nf_tables]
ffffffffc0100040 t nf_next\t[nf_tables]
ffffffffc0200000 t bpf_prog_0123\t[bpf]
garbage
";

    #[test]
    fn functions_are_named_with_their_module() {
        let symbols = KernelSymbols::parse(TEXT);
        let place = |function, module, offset| {
            Some(KernelPlace {
                function,
                module,
                offset,
            })
        };
        assert_eq!(symbols.lookup(0xffff_ffff_8100_0010), place("_stext", None, 0x10));
        assert_eq!(
            symbols.lookup(0xffff_ffff_8100_0400),
            place("do_one_initcall", None, 0)
        );
        assert_eq!(
            symbols.lookup(0xffff_ffff_c010_0050),
            place("nf_next", Some("nf_tables"), 0x10)
        );
        assert_eq!(
            symbols.lookup(0xffff_ffff_c020_0000),
            place("bpf_prog_0123", Some("bpf"), 0)
        );
        assert_eq!(symbols.lookup(0x1000), None);
        assert!(symbols.problem().is_none());
    }

    #[test]
    fn hidden_addresses_are_told_from_none() {
        let hidden = KernelSymbols::parse(b"0000000000000000 T _stext\n0000000000000000 t x\t[m]\n");
        assert!(matches!(hidden, KernelSymbols::Hidden));
        assert!(
            hidden
                .problem()
                .is_some_and(|text| text.contains("kptr_restrict"))
        );
        assert_eq!(hidden.lookup(0), None);
        let none = KernelSymbols::parse(b"");
        assert!(matches!(none, KernelSymbols::Known(_)) && none.problem().is_some());
    }

    #[test]
    fn this_kernel_has_symbols_or_hides_them() {
        let symbols = KernelSymbols::of_this_machine();
        if let KernelSymbols::Known(names) = &symbols {
            let known = names
                .symbols
                .iter()
                .rev()
                .find(|symbol| symbol.module == 0)
                .unwrap();
            assert_eq!(symbols.lookup(known.address + 1).unwrap().offset, 1);
        }
    }
}
