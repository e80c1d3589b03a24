//! What lies where in a process: its executable mappings, as `/proc/PID/maps` tells them.
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::TargetError;
use super::mapped::root_of;
use super::process::{FileId, read};
use crate::rooted;

/// More than any vDSO, bytes.
const MAX_VDSO: u64 = 1 << 20;

/// What a mapping shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A file, by its path in the process's own view.
    File(PathBuf),
    /// The kernel's functions for user space.
    Vdso,
    /// The page where probed instructions are executed out of line.
    Uprobes,
    /// No file: code that was made while running, if anything. Its name, where it has one (`[heap]`, `[anon:…]`).
    Anonymous(String),
}

/// An executable mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The address of its first byte.
    pub start: u64,
    /// The address behind its last byte.
    pub end: u64,
    /// The offset of its first byte in the file.
    pub offset: u64,
    /// What it shows.
    pub backing: Backing,
}

impl Mapping {
    /// Opens the file that it shows, by the mapping itself where that is allowed: it names deleted files, too.
    pub fn open(&self, pid: u32) -> io::Result<(FileId, File)> {
        let Backing::File(path) = &self.backing else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let Self { start, end, .. } = self;
        let through_map = rooted::open_plain(Path::new(&format!("/proc/{pid}/map_files/{start:x}-{end:x}")));
        let file = match through_map {
            Ok(file) => file,
            Err(_) => root_of(pid).open(path)?,
        };
        Ok((FileId::of_file(&file)?, file))
    }
}

/// The executable mappings of a process, by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mappings(Vec<Mapping>);

impl Mappings {
    /// Those of a process, as they are now.
    pub fn of(pid: u32) -> Result<Self, TargetError> {
        Ok(Self::parse(&read(pid, "maps")?))
    }

    /// Those of a text in the form of `/proc/PID/maps`. Lines that are none are passed over.
    pub fn parse(text: &str) -> Self {
        let mut mappings: Vec<Mapping> = text.lines().filter_map(mapping).collect();
        mappings.sort_unstable_by_key(|mapping| mapping.start);
        Self(mappings)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.0.iter()
    }

    /// The mapping that an address lies in.
    pub fn at(&self, address: u64) -> Option<&Mapping> {
        let after = self.0.partition_point(|mapping| mapping.start <= address);
        let mapping = &self.0[after.checked_sub(1)?];
        (address < mapping.end).then_some(mapping)
    }

    /// The bytes of the process's vDSO, an ELF file. `None`: it has none, or its memory may not be read.
    pub fn read_vdso(&self, pid: u32) -> Option<Vec<u8>> {
        let vdso = self.0.iter().find(|mapping| mapping.backing == Backing::Vdso)?;
        let length = vdso.end - vdso.start;
        if length > MAX_VDSO {
            return None;
        }
        let mut bytes = vec![0; length as usize];
        let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
        memory.read_exact_at(&mut bytes, vdso.start).ok()?;
        Some(bytes)
    }
}

/// `start-end perms offset device inode path`; the path may hold spaces.
fn mapping(line: &str) -> Option<Mapping> {
    let mut rest = line;
    let mut next = || {
        let (word, behind) = rest.trim_start().split_once(' ')?;
        rest = behind;
        Some(word)
    };
    let (range, mode, offset, _device) = (next()?, next()?, next()?, next()?);
    let (start, end) = range.split_once('-')?;
    let rest = rest.trim_start();
    let (inode, path) = rest.split_once(' ').unwrap_or((rest, ""));
    let path = path.trim_start();
    let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
    let mapping = Mapping {
        start: hexadecimal(start)?,
        end: hexadecimal(end)?,
        offset: hexadecimal(offset)?,
        backing: match path {
            "[vdso]" => Backing::Vdso,
            "[uprobes]" => Backing::Uprobes,
            _ if inode != "0" && path.starts_with('/') => {
                Backing::File(path.strip_suffix(" (deleted)").unwrap_or(path).into())
            }
            _ => Backing::Anonymous(path.to_owned()),
        },
    };
    (mode.as_bytes().get(2) == Some(&b'x') && mapping.start < mapping.end).then_some(mapping)
}

#[cfg(test)]
mod tests {
    use super::{Backing, Mapping, Mappings};

    const TEXT: &str = "\
55d0c8a00000-55d0c8a10000 r--p 00000000 fe:00 10    /opt/a program
55d0c8a10000-55d0c8a20000 r-xp 00010000 fe:00 10    /opt/a program
7f0000000000-7f0000010000 rwxp 00000000 00:00 0 
7f1000000000-7f1000020000 r-xp 00002000 fe:00 11    /lib/b.so (deleted)
7f2000000000-7f2000001000 r-xp 00000000 00:00 0     [anon:jit code]
7ffee0000000-7ffee0002000 r-xp 00000000 00:00 0     [vdso]
7fffffffe000-7ffffffff000 --xp 00000000 00:00 0     [uprobes]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
not a line
zz-yy r-xp 0 0 0
20-10 r-xp 00000000 fe:00 10 /backwards
";

    #[test]
    fn executable_mappings_are_told_by_what_they_show() {
        let mappings = Mappings::parse(TEXT);
        let backings: Vec<_> = mappings.iter().map(|mapping| mapping.backing.clone()).collect();
        let anonymous = |name: &str| Backing::Anonymous(name.to_owned());
        assert_eq!(
            backings,
            [
                Backing::File("/opt/a program".into()),
                anonymous(""),
                Backing::File("/lib/b.so".into()),
                anonymous("[anon:jit code]"),
                Backing::Vdso,
                Backing::Uprobes,
                anonymous("[vsyscall]"),
            ]
        );
    }

    #[test]
    fn an_address_is_in_the_mapping_around_it() {
        let mappings = Mappings::parse(TEXT);
        let at = |address| {
            mappings
                .at(address)
                .map(|mapping| (mapping.start, mapping.offset))
        };
        assert_eq!(at(0x55d0_c8a1_0000), Some((0x55d0_c8a1_0000, 0x1_0000)));
        assert_eq!(at(0x55d0_c8a1_ffff), Some((0x55d0_c8a1_0000, 0x1_0000)));
        for outside in [0, 0x55d0_c8a0_0000, 0x55d0_c8a2_0000, u64::MAX] {
            assert_eq!(at(outside), None, "{outside:#x}");
        }
    }

    #[test]
    fn this_process_has_a_program_and_a_vdso() {
        let pid = std::process::id();
        let mappings = Mappings::of(pid).unwrap();
        let here = this_process_has_a_program_and_a_vdso as fn() as usize as u64;
        let mapping = mappings.at(here).unwrap();
        let (id, _file) = mapping.open(pid).unwrap();
        let program = super::FileId::of(std::path::Path::new("/proc/self/exe")).unwrap();
        assert_eq!(id, program);
        let vdso = mappings
            .iter()
            .any(|mapping: &Mapping| mapping.backing == Backing::Vdso);
        let bytes = mappings.read_vdso(pid);
        assert_eq!(bytes.is_some_and(|bytes| bytes.starts_with(b"\x7fELF")), vdso);
    }
}
