//! The list of executables and libraries, and the files that functions are looked for in.
use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use log::Level;
use serde_json::json;

use super::{Entry, List, ListError, chosen, column};
use crate::cli::list::ListConfig;
use crate::object::ObjectFile;
use crate::object::debug::{DebugPlace, Search};
use crate::object::inventory::Inventory;
use crate::probe::pattern::ObjectPattern;
use crate::target::TargetError;
use crate::target::process::{FileId, MappedFile, Process};
use crate::ui::listing::{ListColumn, ListShape};

const COLUMNS: &[ListColumn] = &[
    column("path", ListShape::Name, 0),
    column("build id", ListShape::Name, 2),
    column("functions", ListShape::Number, 0),
    column("from", ListShape::Word, 3),
    column("debug info", ListShape::Word, 0),
    column("processes", ListShape::Number, 1),
];

/// A file in which functions are.
pub(super) struct Found {
    /// Its path, as its processes know it.
    pub(super) path: PathBuf,
    /// Its file name.
    pub(super) name: String,
    /// Where it can be opened, whatever the mount namespace.
    pub(super) open: PathBuf,
    /// It is the program itself, or was named.
    pub(super) is_main: bool,
    /// Who maps it.
    pub(super) pids: Vec<u32>,
    /// As it is mapped, if it is.
    mapped: Option<MappedFile>,
}

impl Found {
    /// What was read. A file that a process maps ends no list: it may be unreadable, or gone meanwhile. That is said of
    /// programs; libraries need not be files with functions.
    pub(super) fn unless_unreadable<T>(&self, read: Result<T, ListError>) -> Result<Option<T>, ListError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(error) if self.mapped.is_none() => Err(error),
            Err(error) => {
                let level = if self.is_main { Level::Warn } else { Level::Debug };
                log::log!(level, "left out `{}`: {}", self.path.display(), chain(&error));
                Ok(None)
            }
        }
    }
}

/// The error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Lists the objects that are asked for: programs first, by path.
pub(super) fn list(config: &ListConfig) -> Result<List, ListError> {
    let patterns = config
        .patterns
        .iter()
        .map(|text| text.parse::<ObjectPattern>())
        .collect::<Result<Vec<_>, _>>()?;
    let mut entries = Vec::new();
    for found in find(config)? {
        let is_meant = |pattern: &ObjectPattern| pattern.matches(&found.name, &found.path);
        if !patterns.is_empty() && !patterns.iter().any(is_meant) {
            continue;
        }
        let read = open(&found).and_then(|file| Ok((file, Inventory::of(&found.open, &found.name)?)));
        if let Some((file, inventory)) = found.unless_unreadable(read)? {
            entries.push(entry(&found, &file, &inventory));
        }
    }
    Ok(List {
        columns: COLUMNS,
        entries,
    })
}

/// The files that are named, or those that the processes that are asked for map, programs first.
pub(super) fn find(config: &ListConfig) -> Result<Vec<Found>, ListError> {
    let mut found: Vec<Found> = config.files.iter().map(|path| named(path)).collect();
    if !config.selector.is_empty() {
        let mut mapped = of_processes(config)?;
        mapped.sort_by(|a, b| b.is_main.cmp(&a.is_main).then_with(|| a.path.cmp(&b.path)));
        found.extend(mapped);
    }
    Ok(found)
}

/// Reads a file; its debug file, too, where that names the functions, as for `attach`.
pub(super) fn open(found: &Found) -> Result<ObjectFile, ListError> {
    let search = Search {
        root: found.mapped.as_ref().and_then(MappedFile::root),
        path: found.path.clone(),
        ..Search::default()
    };
    Ok(ObjectFile::open_with(&found.open, found.name.clone(), search)?)
}

fn named(path: &Path) -> Found {
    Found {
        path: path.to_owned(),
        name: file_name(path),
        open: path.to_owned(),
        is_main: true,
        pids: Vec::new(),
        mapped: None,
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

fn of_processes(config: &ListConfig) -> Result<Vec<Found>, ListError> {
    let mut files: HashMap<FileId, Found> = HashMap::new();
    let mut failures: Vec<TargetError> = Vec::new();
    for identity in chosen(&config.selector)? {
        let mapped = Process::open(identity.pid).and_then(|process| process.mapped_files());
        match mapped {
            Ok(mapped) => mapped
                .into_iter()
                .for_each(|file| add(&mut files, file, identity.pid)),
            Err(error) => failures.push(error),
        }
    }
    let number = failures.len();
    match failures.into_iter().next() {
        Some(error) if files.is_empty() => return Err(error.into()),
        Some(error) => log::warn!("{number} processes could not be looked into, the first: {error}"),
        None => {}
    }
    Ok(files.into_values().collect())
}

/// Adds a file that a process maps.
pub(super) fn add(files: &mut HashMap<FileId, Found>, file: MappedFile, pid: u32) {
    let is_main = file.is_main;
    let found = files.entry(file.id).or_insert_with(|| Found {
        name: file_name(&file.path),
        path: file.path.clone(),
        open: file.attach_path.clone(),
        is_main: false,
        pids: Vec::new(),
        mapped: Some(file),
    });
    found.is_main |= is_main;
    found.pids.push(pid);
}

fn entry(found: &Found, file: &ObjectFile, inventory: &Inventory) -> Entry {
    let build_id = file.build_id().map(hexadecimal);
    let sources: Vec<&str> = inventory.sources.iter().map(|source| source.name()).collect();
    let path = found.path.to_string_lossy();
    let debug_info = match file.debug().place() {
        DebugPlace::Own => "own",
        DebugPlace::Separate => "separate file",
        DebugPlace::Nowhere => "none",
    };
    let cells = vec![
        path.clone().into_owned(),
        build_id.clone().unwrap_or_default(),
        file.functions().len().to_string(),
        sources.join("+"),
        debug_info.to_owned(),
        found.pids.len().to_string(),
    ];
    let json = json!({
        "path": path,
        "name": found.name,
        "build_id": build_id,
        "functions": file.functions().len(),
        "function_sources": sources,
        "debug_info": debug_info,
        "is_program": found.is_main,
        "pids": found.pids,
    });
    Entry { cells, json }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
