//! Where files with debug information lie, and whether they are the right ones.
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::debuginfod::Debuginfod;
use super::hex;
use super::link::{self, DebugLink, SharedLink};
use super::sections::SectionTable;
use crate::object::source::Source;

/// Where distributions put debug files.
const STANDARD: &str = "/usr/lib/debug";

/// Where files with debug information are looked for: the same for all objects of a session.
#[derive(Debug, Default)]
pub struct Finder {
    /// Folders that are laid out like `/usr/lib/debug`, or hold debug files as they are; they come first.
    pub debug_dirs: Vec<PathBuf>,
    /// Servers that are asked for what is found nowhere else.
    pub debuginfod: Option<Debuginfod>,
}

/// One object's place in the search.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Where everything is looked for.
    pub finder: Arc<Finder>,
    /// The root of the target's own file system, where it may be another: looked into before the host's.
    pub root: Option<PathBuf>,
    /// The object's path, as the target sees it.
    pub path: PathBuf,
    /// Whether it is worth a download.
    pub download: bool,
}

/// A file that was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) source: Source,
    pub(super) table: SectionTable,
}

/// What tells the right file from others.
#[derive(Clone, Copy, Debug)]
enum Proof<'a> {
    BuildId(&'a [u8]),
    /// Where there is no build id.
    Crc(u32),
}

/// What is known of the object itself.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) build_id: Option<&'a [u8]>,
    pub(super) link: Option<&'a DebugLink>,
    pub(super) own: &'a Source,
}

/// The answer of a search, and why candidates were refused.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) found: Option<Found>,
    pub(super) refused: Vec<String>,
}

impl Search {
    /// Looks for the object's separate debug file.
    pub(super) fn separate(&self, wanted: Wanted<'_>) -> Answer {
        let mut answer = Answer::default();
        if let Some(id) = wanted.build_id.filter(|id| id.len() > 2) {
            let found = self.first(
                &by_build_id(id),
                Proof::BuildId(id),
                wanted.own,
                &mut answer.refused,
            );
            if found.is_some() {
                answer.found = found;
                return answer;
            }
        }
        if let Some(link) = wanted.link {
            let proof = wanted.build_id.map_or(Proof::Crc(link.crc), Proof::BuildId);
            answer.found = self.by_link(&link.name, proof, wanted.own, &mut answer.refused);
        }
        if answer.found.is_none()
            && let (Some(id), true, Some(server)) = (wanted.build_id, self.download, &self.finder.debuginfod)
        {
            match server.fetch(&hex(id)) {
                Ok(Some(path)) => {
                    answer.found = matching(&path, Proof::BuildId(id), wanted.own, &mut answer.refused);
                }
                Ok(None) => {}
                Err(error) => answer.refused.push(error.to_string()),
            }
        }
        answer
    }

    /// Looks for the file that several files' debug information shares. `near`: the file that names it.
    pub(super) fn shared(&self, link: &SharedLink, near: &Path, own: &Source) -> Answer {
        let mut answer = Answer::default();
        let proof = Proof::BuildId(&link.build_id);
        let named = if link.path.is_absolute() {
            self.in_roots(&link.path)
        } else {
            near.parent()
                .map(|folder| folder.join(&link.path))
                .into_iter()
                .collect()
        };
        for path in named {
            if answer.found.is_none() {
                answer.found = matching(&path, proof, own, &mut answer.refused);
            }
        }
        if answer.found.is_none() && link.build_id.len() > 2 {
            answer.found = self.first(&by_build_id(&link.build_id), proof, own, &mut answer.refused);
        }
        // Debug files that were copied elsewhere keep their layout.
        if let (None, Ok(inside)) = (&answer.found, link.path.strip_prefix(STANDARD)) {
            answer.found = self.first(inside, proof, own, &mut answer.refused);
        }
        answer
    }

    /// Where a path of the target may lead: in its own file system, then in the host's.
    pub(super) fn in_roots(&self, path: &Path) -> Vec<PathBuf> {
        let inside = path.strip_prefix("/").unwrap_or(path);
        let root = self.root.as_ref().map(|root| root.join(inside));
        root.into_iter().chain([path.to_owned()]).collect()
    }

    /// The first match at a path within the folders of debug files.
    fn first(
        &self,
        inside: &Path,
        proof: Proof<'_>,
        own: &Source,
        refused: &mut Vec<String>,
    ) -> Option<Found> {
        let mut folders = self.finder.debug_dirs.clone();
        folders.extend(self.in_roots(Path::new(STANDARD)));
        folders
            .into_iter()
            .find_map(|folder| matching(&folder.join(inside), proof, own, refused))
    }

    fn by_link(
        &self,
        name: &Path,
        proof: Proof<'_>,
        own: &Source,
        refused: &mut Vec<String>,
    ) -> Option<Found> {
        let folder = self.path.parent()?;
        let inside = folder.strip_prefix("/").unwrap_or(folder);
        let mut paths = Vec::new();
        for debug_dir in &self.finder.debug_dirs {
            paths.push(debug_dir.join(inside).join(name));
            paths.push(debug_dir.join(name));
        }
        for relative in [
            folder.join(name),
            folder.join(".debug").join(name),
            Path::new(STANDARD).join(inside).join(name),
        ] {
            paths.extend(self.in_roots(&relative));
        }
        // The target's file system comes first as a whole.
        if let Some(root) = &self.root {
            paths.sort_by_key(|path| {
                !self.finder.debug_dirs.iter().any(|dir| path.starts_with(dir)) && !path.starts_with(root)
            });
        }
        paths.iter().find_map(|path| matching(path, proof, own, refused))
    }
}

/// `.build-id/ab/cdef….debug`.
fn by_build_id(id: &[u8]) -> PathBuf {
    let name = hex(id);
    let (folder, file) = name.split_at(2);
    Path::new(".build-id").join(folder).join(format!("{file}.debug"))
}

/// The file, if it is there and proves to be the right one. A file that is not the right one is named.
fn matching(path: &Path, proof: Proof<'_>, own: &Source, refused: &mut Vec<String>) -> Option<Found> {
    let source = Source::open(path).ok()?;
    if is_same_file(&source, own) {
        return None;
    }
    let refuse = |why: &str| format!("`{}` is not used as a debug file: {why}", path.display());
    let table = match SectionTable::read(&source) {
        Ok(table) => table,
        Err(defect) => {
            refused.push(refuse(defect.text()));
            return None;
        }
    };
    let is_right = match proof {
        Proof::BuildId(id) => table.build_id(&source).as_deref() == Some(id),
        Proof::Crc(crc) => link::crc(&source) == Some(crc),
    };
    if !is_right {
        refused.push(refuse(match proof {
            Proof::BuildId(_) => "its build id is another",
            Proof::Crc(_) => "its check sum is another",
        }));
        return None;
    }
    let path = path.to_owned();
    Some(Found { path, source, table })
}

fn is_same_file(one: &Source, other: &Source) -> bool {
    let (Source::File(one), Source::File(other)) = (one, other) else {
        return false;
    };
    let identity = |file: &std::fs::File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}
