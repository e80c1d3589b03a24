//! Split debug information: the larger part is in a file for each unit (`.dwo`), or in one for all (`.dwp`).
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use gimli::{Dwarf, DwarfPackage, DwarfPackageSections, DwarfSections, DwoId, Section as _, UnitType};

use super::abbreviations;
use super::find::{At, Lookup};
use super::sections::{self, SectionTable};
use super::units::{Slice, slice};

/// What the files of single units may take together, bytes: what is beyond is as good as absent.
const MAX_FILES: u64 = 4 << 30;

/// Units of a file that are looked at before that with the right identity: compilers make one for each file.
const MAX_UNITS: usize = 64;

type SplitFile = OnceLock<Option<DwarfSections<Vec<u8>>>>;

/// The files that one object's debug information refers to, read when they are first needed.
#[derive(Debug)]
pub(super) struct SplitFiles {
    lookup: Lookup,
    /// The file with the debug information itself; none = the object.
    separate: Option<At>,
    package: OnceLock<Option<DwarfPackageSections<Vec<u8>>>>,
    /// Bytes that files of single units may still take.
    room: AtomicU64,
    /// By unit.
    files: OnceLock<Box<[SplitFile]>>,
}

/// The part of a unit that is elsewhere.
#[derive(Debug)]
pub(super) struct SplitUnit<'a> {
    pub(super) dwarf: Dwarf<Slice<'a>>,
    pub(super) unit: gimli::Unit<Slice<'a>>,
}

/// A unit that has its larger part elsewhere.
#[derive(Clone, Copy)]
pub(super) struct Skeleton<'u, 'a> {
    /// Its number, and how many there are.
    pub(super) index: usize,
    pub(super) count: usize,
    pub(super) id: DwoId,
    pub(super) unit: &'u gimli::Unit<Slice<'a>>,
    pub(super) dwarf: &'u Dwarf<Slice<'a>>,
}

impl SplitFiles {
    pub(super) fn new(lookup: Lookup, separate: Option<At>) -> Self {
        Self {
            lookup,
            separate,
            package: OnceLock::new(),
            room: AtomicU64::new(MAX_FILES),
            files: OnceLock::new(),
        }
    }

    /// The larger part of a unit.
    pub(super) fn unit<'a>(&'a self, skeleton: Skeleton<'_, 'a>) -> Option<SplitUnit<'a>> {
        let dwarf = self.packaged(skeleton).or_else(|| self.own_file(skeleton))?;
        let mut unit = find_unit(&dwarf, skeleton.id)?;
        unit.copy_relocated_attributes(skeleton.unit);
        Some(SplitUnit { dwarf, unit })
    }

    fn packaged<'a>(&'a self, skeleton: Skeleton<'_, 'a>) -> Option<Dwarf<Slice<'a>>> {
        let package = self.package.get_or_init(|| self.load_package()).as_ref()?;
        let package: DwarfPackage<Slice<'a>> = package.borrow(|bytes| slice(bytes), slice(&[])).ok()?;
        package.find_cu(skeleton.id, skeleton.dwarf).ok()?
    }

    fn load_package(&self) -> Option<DwarfPackageSections<Vec<u8>>> {
        let named = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(".dwp");
            PathBuf::from(name)
        };
        let object = self.lookup.path();
        let mut paths = self.lookup.places(&named(object));
        let separate = self.separate.as_ref();
        paths.extend(separate.and_then(|at| at.map(|path| Some(named(path)))));
        let file_name = named(Path::new(object.file_name()?));
        paths.extend(self.lookup.in_debug_dirs(&file_name));
        paths.iter().find_map(|path| {
            let source = self.lookup.open(path).ok()?;
            let table = SectionTable::read(&source).ok()?;
            let mut room = sections::room(&source);
            let load = |id: gimli::SectionId| -> Result<Vec<u8>, gimli::Error> {
                // All of them: the index says where each unit's part of each section is. A section that cannot be read is
                // as good as none.
                let name = id.dwo_name();
                Ok(name.map_or_else(Vec::new, |name| {
                    table.bytes_within(&source, name, &mut room).unwrap_or_default()
                }))
            };
            DwarfPackageSections::load(load).ok()
        })
    }

    fn own_file<'a>(&'a self, skeleton: Skeleton<'_, 'a>) -> Option<Dwarf<Slice<'a>>> {
        let files = self
            .files
            .get_or_init(|| (0..skeleton.count).map(|_| OnceLock::new()).collect());
        let sections = files
            .get(skeleton.index)?
            .get_or_init(|| self.load_file(skeleton));
        let mut dwarf = sections.as_ref()?.borrow(|bytes| slice(bytes));
        dwarf.make_dwo(skeleton.dwarf);
        Some(dwarf)
    }

    fn load_file(&self, skeleton: Skeleton<'_, '_>) -> Option<DwarfSections<Vec<u8>>> {
        let name = skeleton.unit.dwo_name().ok()??;
        let name = skeleton.dwarf.attr_string(skeleton.unit, name).ok()?;
        let name = Path::new(OsStr::from_bytes(name.slice()));
        let folder = skeleton
            .unit
            .comp_dir
            .map(|folder| folder.slice())
            .unwrap_or_default();
        let built = Path::new(OsStr::from_bytes(folder)).join(name);
        let mut paths = Vec::new();
        if built.is_absolute() {
            paths.extend(self.lookup.places(&built));
        }
        let file_name = Path::new(name.file_name()?);
        let beside = |path: &Path| {
            let folder = path.parent().filter(|folder| folder.is_absolute())?;
            Some(folder.join(file_name))
        };
        if let Some(path) = beside(self.lookup.path()) {
            paths.extend(self.lookup.places(&path));
        }
        paths.extend(self.separate.as_ref().and_then(|at| at.map(beside)));
        paths.extend(self.lookup.in_debug_dirs(file_name));
        paths.iter().find_map(|path| {
            let source = self.lookup.open(path).ok()?;
            let spend = |room: u64| room.checked_sub(source.length());
            self.room
                .try_update(Ordering::Relaxed, Ordering::Relaxed, spend)
                .ok()?;
            let sections = SectionTable::read(&source).ok()?.dwarf(&source, true).ok()?;
            // A file of another build has another identity.
            has_unit(&sections, skeleton.id).then_some(sections)
        })
    }
}

fn has_unit(sections: &DwarfSections<Vec<u8>>, id: DwoId) -> bool {
    find_unit(&sections.borrow(|bytes| slice(bytes)), id).is_some()
}

/// The unit of this identity, which the header has, or before DWARF 5 the first entry.
fn find_unit<'a>(dwarf: &Dwarf<Slice<'a>>, id: DwoId) -> Option<gimli::Unit<Slice<'a>>> {
    let section = dwarf.debug_abbrev.reader().slice();
    let mut headers = dwarf.units();
    let mut tried = 0;
    while let Ok(Some(header)) = headers.next() {
        match header.type_() {
            UnitType::Skeleton(other) | UnitType::SplitCompilation(other) if other != id => continue,
            UnitType::Type { .. } | UnitType::SplitType { .. } => continue,
            UnitType::Compilation
            | UnitType::Partial
            | UnitType::Skeleton(_)
            | UnitType::SplitCompilation(_) => {}
        }
        tried += 1;
        if tried > MAX_UNITS {
            break;
        }
        let table = abbreviations::table(section, header.debug_abbrev_offset());
        let unit = table.and_then(|table| gimli::Unit::new_with_abbreviations(dwarf, header, table).ok());
        if let Some(unit) = unit.filter(|unit| unit.dwo_id == Some(id)) {
            return Some(unit);
        }
    }
    None
}
