//! Where files with debug information lie, and whether they are the right ones.
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::debuginfod::Debuginfod;
use super::hex;
use super::link::{self, DebugLink, SharedLink};
use super::sections::SectionTable;
use crate::object::source::Source;
use crate::rooted::{self, Root};

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
    /// The root of the target's own file system, where it may be another. Where it is another, nothing but debug files with
    /// the right build id is taken from the host's.
    pub root: Option<PathBuf>,
    /// The object's path, as the target sees it.
    pub path: PathBuf,
    /// Whether it is worth a download.
    pub download: bool,
}

/// The search as it is done: whose paths are whose.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    search: Search,
    root: Option<Root>,
    /// Paths of the target mean the same on the host.
    on_host: bool,
}

/// A path, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// The target's: it, and all links on the way, are looked up below the target's root.
    Target(PathBuf),
    /// The host's.
    Host(PathBuf),
}

/// A file that was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) at: At,
    /// Its path, for messages.
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

impl At {
    fn path(&self) -> &Path {
        match self {
            Self::Target(path) | Self::Host(path) => path,
        }
    }

    fn with(&self, path: PathBuf) -> Self {
        match self {
            Self::Target(_) => Self::Target(path),
            Self::Host(_) => Self::Host(path),
        }
    }

    /// The path that `change` makes of it, in the same file system.
    pub(super) fn map(&self, change: impl FnOnce(&Path) -> Option<PathBuf>) -> Option<Self> {
        change(self.path()).map(|path| self.with(path))
    }
}

impl Lookup {
    /// Looks at whose the root is now, while the target is there.
    pub(super) fn new(search: Search) -> Self {
        let root = search.root.clone().map(Root::new);
        Self {
            on_host: root.as_ref().is_none_or(Root::is_own),
            root,
            search,
        }
    }

    /// The object's path, as the target sees it.
    pub(super) fn path(&self) -> &Path {
        &self.search.path
    }

    /// Opens a plain file.
    pub(super) fn open(&self, at: &At) -> io::Result<Source> {
        let file = match (at, &self.root) {
            (At::Target(path), Some(root)) => root.open(path)?,
            (At::Target(_), None) => return Err(io::ErrorKind::NotFound.into()),
            (At::Host(path), _) => rooted::open_plain(path)?,
        };
        Ok(Source::File(file))
    }

    fn shown(&self, at: &At) -> PathBuf {
        match (at, &self.root) {
            (At::Target(path), Some(root)) => root.shown(path),
            (At::Target(path), None) | (At::Host(path), _) => path.clone(),
        }
    }

    /// Looks for the object's separate debug file.
    pub(super) fn separate(&self, wanted: Wanted<'_>) -> Answer {
        let mut answer = Answer::default();
        if let Some(id) = wanted.build_id.filter(|id| id.len() > 2) {
            let proof = Proof::BuildId(id);
            let found = self.first(self.by_build_id(id), proof, wanted.own, &mut answer.refused);
            if found.is_some() {
                answer.found = found;
                return answer;
            }
        }
        if let Some(link) = wanted.link {
            let proof = wanted.build_id.map_or(Proof::Crc(link.crc), Proof::BuildId);
            answer.found = self.first(self.by_link(&link.name), proof, wanted.own, &mut answer.refused);
        }
        let Search { finder, download, .. } = &self.search;
        if answer.found.is_none()
            && let (Some(id), true, Some(server)) = (wanted.build_id, download, &finder.debuginfod)
        {
            match server.fetch(&hex(id)) {
                Ok(Some(path)) => {
                    let fetched = [At::Host(path)].into_iter();
                    let proof = Proof::BuildId(id);
                    answer.found = self.first(fetched, proof, wanted.own, &mut answer.refused);
                }
                Ok(None) => {}
                Err(error) => answer.refused.push(error.to_string()),
            }
        }
        answer
    }

    /// Looks for the file that several files' debug information shares. `near`: the file that names it; none = the object.
    pub(super) fn shared(&self, link: &SharedLink, near: Option<&At>, own: &Source) -> Answer {
        let mut answer = Answer::default();
        let proof = Proof::BuildId(&link.build_id);
        // What a file says is meant in the file system that it was found in.
        let beside = |path: &Path| Some(path.parent()?.join(&link.path));
        let mut paths = match near {
            Some(near) => near.map(beside).into_iter().collect(),
            None => Vec::new(),
        };
        if link.path.is_absolute() || near.is_none() {
            paths.extend(beside(self.path()).iter().flat_map(|path| self.places(path)));
        }
        if link.build_id.len() > 2 {
            paths.extend(self.by_build_id(&link.build_id));
        }
        // Debug files that were copied elsewhere keep their layout.
        if let Ok(inside) = link.path.strip_prefix(STANDARD)
            && rooted::is_plain_path(inside)
        {
            paths.extend(self.in_debug_dirs(inside));
        }
        answer.found = self.first(paths.into_iter(), proof, own, &mut answer.refused);
        answer
    }

    /// Where a path of the target leads: in its own file system, and in the host's only if that is the same.
    pub(super) fn places(&self, path: &Path) -> Vec<At> {
        let inside = self.root.is_some().then(|| At::Target(path.to_owned()));
        let host = self.on_host.then(|| At::Host(path.to_owned()));
        inside.into_iter().chain(host).collect()
    }

    /// A path within the folders of debug files that were named.
    pub(super) fn in_debug_dirs(&self, inside: &Path) -> impl Iterator<Item = At> {
        let folders = self.search.finder.debug_dirs.iter();
        folders.map(move |folder| At::Host(folder.join(inside)))
    }

    /// Where a debug file is called by a build id: in the host's folder, too, since no other file can have it.
    fn by_build_id(&self, id: &[u8]) -> impl Iterator<Item = At> + use<'_> {
        let name = hex(id);
        let (folder, file) = name.split_at(2);
        let inside = Path::new(".build-id").join(folder).join(format!("{file}.debug"));
        let standard = Path::new(STANDARD).join(&inside);
        let in_target = self.root.is_some().then(|| At::Target(standard.clone()));
        let named: Vec<At> = self.in_debug_dirs(&inside).collect();
        named.into_iter().chain(in_target).chain([At::Host(standard)])
    }

    fn by_link(&self, name: &Path) -> impl Iterator<Item = At> + use<'_> {
        let folder = self.path().parent().unwrap_or(Path::new(""));
        let inside = folder.strip_prefix("/").unwrap_or(folder);
        let mut paths = Vec::new();
        if rooted::is_plain_path(inside) {
            for debug_dir in &self.search.finder.debug_dirs {
                paths.push(At::Host(debug_dir.join(inside).join(name)));
                paths.push(At::Host(debug_dir.join(name)));
            }
        }
        let named = paths.len();
        for relative in [
            folder.join(name),
            folder.join(".debug").join(name),
            Path::new(STANDARD).join(inside).join(name),
        ] {
            paths.extend(self.places(&relative));
        }
        // The target's file system comes first as a whole.
        paths[named..].sort_by_key(|at| matches!(at, At::Host(_)));
        paths.into_iter()
    }

    fn first(
        &self,
        mut places: impl Iterator<Item = At>,
        proof: Proof<'_>,
        own: &Source,
        refused: &mut Vec<String>,
    ) -> Option<Found> {
        places.find_map(|at| self.matching(at, proof, own, refused))
    }

    /// The file, if it is there and proves to be the right one. A file that is not the right one is named.
    fn matching(&self, at: At, proof: Proof<'_>, own: &Source, refused: &mut Vec<String>) -> Option<Found> {
        let source = self.open(&at).ok()?;
        if is_same_file(&source, own) {
            return None;
        }
        let path = self.shown(&at);
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
        Some(Found {
            at,
            path,
            source,
            table,
        })
    }
}

fn is_same_file(one: &Source, other: &Source) -> bool {
    let (Source::File(one), Source::File(other)) = (one, other) else {
        return false;
    };
    let identity = |file: &std::fs::File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}
