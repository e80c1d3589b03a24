//! The files that a session knows, and the plan that grows as more appear: processes join, libraries are loaded.
//!
//! A file is read once, whatever maps it: it is known by device and inode. What it speaks for (exceptions, coroutines) is
//! added to what is known of the targets; where that changes how returns can be seen, they are planned anew.
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use profiler_common::cookie::FunctionId;

use super::SessionError;
use crate::object::debug::{DebugSource, Finder, Search};
use crate::object::{Evidence, ObjectFile};
use crate::probe::pattern::Pattern;
use crate::probe::plan::{LeftOut, LeftOutReason, Placement, Plan, ReturnProbeReason, Returns};
use crate::probe::planner::{MappedObject, PlanError, Scope};
use crate::probe::returns::ProcessFacts;
use crate::probe::selection::Request;
use crate::target::heap;
use crate::target::process::{FileId, MappedFile};

/// Files that are remembered though nothing of them is wanted: hosts that build or start containers all day have ever new
/// ones.
const KEPT: usize = 65_536;

/// What is known of a file.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Where it is in the plan, if functions of it are planned.
    placed: Option<Placement>,
    /// It was looked at as the program of a process.
    as_main: bool,
    /// How many changes of what is asked for had been made when it was looked at.
    asked: u32,
}

/// What is known of all files of one build under one path.
#[derive(Clone, Copy, Debug)]
struct Build {
    /// Index in [`Plan::objects`], where functions of it are planned.
    planned: Option<usize>,
    /// It was looked at as the program of a process.
    as_main: bool,
    /// As in [`Known::asked`].
    asked: u32,
}

/// A file that is open, and about to be looked at.
struct Opened {
    file: MappedFile,
    /// That of the descriptor: it stays good when the file is deleted, or its process ends.
    path: PathBuf,
    /// A path only. None = it is held already.
    held: Option<File>,
    /// Path and build id, where it has one.
    build: Option<(PathBuf, Vec<u8>)>,
}

/// An ELF file that was seen.
struct Seen {
    /// As its process knows it.
    path: PathBuf,
    attach_path: PathBuf,
    /// The root of its process's file system.
    root: Option<PathBuf>,
    is_main: bool,
}

/// How it is made sure that no return probe meets machinery that nobody has looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// Return probes are suspended while something new is looked at.
    Suspends,
    /// They cannot be: whoever can load libraries is taken for one that has what these may bring.
    Wary,
    /// Every process is taken for one that has everything.
    AssumesTheWorst,
}

/// What an addition changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Earlier functions whose returns are planned differently now.
    pub replanned: Vec<FunctionId>,
}

/// The files of a session.
pub struct Catalog {
    pub(super) scope: Scope,
    facts: ProcessFacts,
    care: Care,
    /// Changes of what is asked for.
    asked: u32,
    known: HashMap<FileId, Known>,
    /// By path and build id.
    builds: HashMap<(PathBuf, Vec<u8>), Build>,
    /// The plan's files, held open.
    held: Vec<File>,
    /// The other files seen before the session begins: it may have to say what is in them.
    waiting: Vec<File>,
    /// Files of the plan.
    probed: usize,
    /// By object of the plan: where its debug information is.
    debug: Vec<Arc<DebugSource>>,
    /// Where separate debug files are looked for.
    finder: Arc<Finder>,
    /// The ELF files seen.
    seen: Vec<Seen>,
    /// Functions that the counters have room for; none = any number, as nothing is loaded yet.
    room: Option<usize>,
}

impl Catalog {
    /// No file is known. `facts`: what is known of the targets already.
    pub fn new(request: Request, finder: Arc<Finder>, facts: ProcessFacts, care: Care) -> Self {
        Self {
            scope: Scope::new(request),
            facts,
            care,
            asked: 0,
            known: HashMap::new(),
            builds: HashMap::new(),
            held: Vec::new(),
            waiting: Vec::new(),
            probed: 0,
            debug: Vec::new(),
            finder,
            seen: Vec::new(),
            room: None,
        }
    }

    /// What was asked for, and what of it was found.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// How many files are probed.
    pub fn file_count(&self) -> usize {
        self.probed
    }

    /// The files that were looked at: device (major, minor) and inode.
    pub fn files(&self) -> impl Iterator<Item = (u32, u32, u64)> {
        self.known.keys().map(|file| file.numbers())
    }

    /// By object of the plan: where its debug information is.
    pub fn debug(&self) -> &[Arc<DebugSource>] {
        &self.debug
    }

    /// Whether no file was seen in which the pattern's functions could be.
    pub fn lacks_object_of(&self, pattern: &Pattern) -> bool {
        !self
            .seen
            .iter()
            .any(|seen| pattern.matches_object(&file_name(&seen.path), &seen.path))
    }

    /// The name of the first file seen: a program's, if there was one.
    pub fn first_name(&self) -> String {
        self.seen
            .first()
            .map(|seen| file_name(&seen.path))
            .unwrap_or_default()
    }

    /// An error that says what is wrong with a pattern that matched nothing, and what is most like it in the files seen;
    /// none if it names what was inlined, and that is probed.
    pub fn check_unmatched(&self, pattern: &Pattern) -> Result<(), PlanError> {
        let open = |seen: &Seen| {
            let name = file_name(&seen.path);
            let search = self.search(&name, &seen.path, (seen.root.clone(), seen.is_main));
            Some(MappedObject {
                attach_path: seen.attach_path.clone(),
                path: seen.path.clone(),
                name: name.clone(),
                is_main: seen.is_main,
                file: ObjectFile::open_with(&seen.attach_path, name, search).ok()?,
            })
        };
        let objects: Vec<MappedObject> = self.seen.iter().filter_map(open).collect();
        self.scope.check_unmatched(pattern, &objects)
    }

    /// Where the debug information of a file is looked for.
    pub(super) fn search(&self, name: &str, path: &Path, (root, is_main): (Option<PathBuf>, bool)) -> Search {
        let request = self.scope.request();
        let is_named = |pattern: &Pattern| pattern.names_object() && pattern.matches_object(name, path);
        Search {
            finder: Arc::clone(&self.finder),
            root,
            path: path.to_owned(),
            // Only files that functions are looked for in are worth a download.
            download: is_main
                || request.objects.iter().any(|pattern| pattern.matches(name, path))
                || request.functions.iter().chain(&request.focus).any(is_named),
        }
    }

    /// From now on the plan may have so many functions.
    pub fn limit(&mut self, functions: usize) {
        self.room = Some(functions);
        self.waiting = Vec::new();
        self.seen = Vec::new();
    }

    /// Whether the file was looked at for all that is asked for.
    pub fn knows(&self, file: FileId, as_main: bool) -> bool {
        let known = self.known.get(&file);
        known.is_some_and(|known| known.asked == self.asked && (known.as_main || !as_main))
    }

    /// Whether the file was looked at for what it speaks for.
    pub fn has_met(&self, file: FileId, as_main: bool) -> bool {
        let known = self.known.get(&file);
        known.is_some_and(|known| known.as_main || !as_main)
    }

    /// More functions are asked for: files are looked at again when a process that maps them is.
    pub fn ask(&mut self, pattern: Pattern) {
        self.asked += 1;
        self.scope.ask(pattern);
    }

    /// These functions are wanted no more, wherever they appear.
    pub fn refuse(&mut self, pattern: Pattern) {
        self.scope.refuse(pattern);
    }

    /// Where the file is in the plan.
    pub fn placement(&self, file: FileId) -> Option<Placement> {
        self.known.get(&file)?.placed
    }

    /// What else is known of the targets. Returns the functions whose returns are planned differently now.
    pub fn learn(&mut self, plan: &mut Plan, facts: ProcessFacts) -> Result<Added, SessionError> {
        if self.care == Care::AssumesTheWorst {
            // All is taken for there already, but Go, which concerns its own files alone.
            return Ok(Added::default());
        }
        let wider = ProcessFacts {
            evidences: self.facts.evidences.union(facts.evidences),
            return_probe_defect: self.facts.return_probe_defect || facts.return_probe_defect,
        };
        if wider == self.facts {
            return Ok(Added::default());
        }
        let wider = if self.care == Care::Wary && wider.evidences.has(Evidence::Loading) {
            wider.with_all_evidences()
        } else {
            wider
        };
        let replanned = self.replan(plan, wider)?;
        // Only now: what failed is tried again.
        self.facts = wider;
        Ok(Added { replanned })
    }

    /// Looks at files, those that are known left out, and adds what is wanted of them to the plan.
    pub fn add(&mut self, plan: &mut Plan, files: Vec<MappedFile>) -> Result<Added, SessionError> {
        let new = |file: &MappedFile| !self.knows(file.id, file.is_main) && self.may_hold_something(file);
        let new: Vec<MappedFile> = files.into_iter().filter(new).collect();
        let new: Vec<Opened> = new.into_iter().filter_map(|file| self.hold(file, plan)).collect();
        if new.is_empty() {
            return Ok(Added::default());
        }
        let (opened, objects) = self.read(new)?;
        let evidence = ProcessFacts::of_objects(objects.iter().map(|object| &object.file));
        let added = self.learn(plan, evidence)?;
        let first = plan.objects.len();
        self.scope.extend(plan, &objects, self.facts)?;
        self.file(plan, first, opened, &objects);
        self.cut(plan);
        if self.asked > 0 {
            // What is looked at again is left out again.
            let mut told = HashSet::new();
            plan.left_out
                .retain(|left| told.insert((left.name.clone(), left.object.clone(), left.reason)));
        }
        drop(objects);
        heap::give_back();
        Ok(added)
    }

    /// Whether anything of a file can matter: functions that are asked for, or what it speaks for.
    fn may_hold_something(&self, file: &MappedFile) -> bool {
        let name = file_name(&file.path);
        self.care != Care::AssumesTheWorst || self.scope.request().may_want(&name, &file.path)
    }

    /// Opens a file that nobody has looked at: none if it cannot be opened, as its process has ended, or is a copy of one
    /// that is known.
    fn hold(&mut self, file: MappedFile, plan: &mut Plan) -> Option<Opened> {
        if let Some(placement) = self.placement(file.id) {
            // A library that turns out to be a program as well, or of which more is asked for: it is held already. What is
            // planned for one copy is for all.
            return Some(Opened {
                path: plan.objects[placement.object].attach_path.clone(),
                held: None,
                build: None,
                file,
            });
        }
        let opened = File::open(&file.attach_path).and_then(|content| {
            let held = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_PATH)
                .open(&file.attach_path)?;
            Ok((content, held))
        });
        let (content, held) = opened
            .inspect_err(|error| log::debug!("left out `{}`: {error}", file.path.display()))
            .ok()?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
        let build = crate::object::build_id(&content).map(|id| (file.path.clone(), id));
        let known = build.as_ref().and_then(|build| self.builds.get(build));
        let is_good = |known: &&Build| known.asked == self.asked && (known.as_main || !file.is_main);
        if let Some(known) = known.filter(is_good) {
            let placed = known.planned.map(|object| {
                plan.objects[object].copies.push(path);
                self.held.push(held);
                let copy = plan.objects[object].copies.len();
                Placement { object, copy }
            });
            let as_main = file.is_main;
            let asked = self.asked;
            self.known.insert(
                file.id,
                Known {
                    placed,
                    as_main,
                    asked,
                },
            );
            return None;
        }
        Some(Opened {
            file,
            path,
            held: Some(held),
            build,
        })
    }

    /// Reads files. One that is no ELF file (a JIT's, a font) has no functions; a program must be one.
    fn read(&mut self, files: Vec<Opened>) -> Result<(Vec<Opened>, Vec<MappedObject>), SessionError> {
        // One of many that cannot be read must not stand in the way of the others.
        let programs = files.iter().filter(|opened| opened.file.is_main).count();
        let is_alone = self.room.is_none() && programs <= 1;
        let mut read = Vec::new();
        for opened in files {
            let MappedFile {
                id, path, is_main, ..
            } = &opened.file;
            let known = self.known.entry(*id).or_default();
            known.as_main |= is_main;
            known.asked = self.asked;
            let (name, root) = (file_name(path), opened.file.root());
            let search = self.search(&name, path, (root.clone(), *is_main));
            match ObjectFile::open_with(&opened.path, name.clone(), search) {
                Ok(file) => {
                    let object = MappedObject {
                        attach_path: opened.path.clone(),
                        path: path.clone(),
                        name,
                        is_main: *is_main,
                        file,
                    };
                    self.note_seen(&object, root);
                    read.push((opened, object));
                }
                Err(error) if *is_main && is_alone => return Err(error.into()),
                Err(error) if *is_main => log::warn!("left out `{}`: {error}", path.display()),
                Err(error) => log::debug!("left out `{}`: {error}", path.display()),
            }
        }
        read.sort_by_key(|(_, object)| !object.is_main);
        Ok(read.into_iter().unzip())
    }

    /// Remembers a file for what is said of patterns that match nothing: only before the session begins.
    fn note_seen(&mut self, object: &MappedObject, root: Option<PathBuf>) {
        if self.room.is_none() {
            self.seen.push(Seen {
                path: object.path.clone(),
                attach_path: object.attach_path.clone(),
                root,
                is_main: object.is_main,
            });
        }
    }

    /// Remembers where the objects of the plan from number `first` on lie. Only the files of these stay open, and, until
    /// the session begins, all.
    fn file(&mut self, plan: &Plan, first: usize, opened: Vec<Opened>, objects: &[MappedObject]) {
        for (opened, object) in opened.into_iter().zip(objects) {
            let planned = plan.objects.iter().enumerate().skip(first);
            // Files of two containers have the same path: the descriptor tells them apart.
            let mut planned = planned.filter(|(_, planned)| planned.attach_path == object.attach_path);
            let planned = planned.next().map(|(index, _)| index);
            if let Some(known) = self.known.get_mut(&opened.file.id)
                && known.placed.is_none()
            {
                known.placed = planned.map(|object| Placement { object, copy: 0 });
            }
            if let Some(build) = opened.build {
                let (as_main, asked) = (opened.file.is_main, self.asked);
                self.builds.insert(
                    build,
                    Build {
                        planned,
                        as_main,
                        asked,
                    },
                );
            }
            if planned.is_some() {
                self.held.extend(opened.held);
            } else if self.room.is_none() {
                self.waiting.extend(opened.held);
            }
        }
        // By object, in the order of the plan.
        for planned in &plan.objects[first..] {
            let of = objects
                .iter()
                .find(|object| object.attach_path == planned.attach_path);
            self.debug
                .extend(of.map(|object| Arc::clone(object.file.debug())));
        }
        self.probed = plan.objects.len();
        if self.known.len() > KEPT {
            // They are looked at again when they come again.
            self.known.retain(|_, known| known.placed.is_some());
            self.builds.retain(|_, build| build.planned.is_some());
        }
    }

    /// Leaves out what the counters have no room for.
    fn cut(&self, plan: &mut Plan) {
        let Some(room) = self.room.filter(|room| *room < plan.functions.len()) else {
            return;
        };
        for function in plan.functions.drain(room..) {
            plan.left_out.push(LeftOut {
                name: function.name,
                object: plan.objects[function.object].name.clone(),
                reason: LeftOutReason::NoRoom,
            });
        }
    }

    /// Plans the returns anew of all functions that have return probes because nothing spoke against them.
    fn replan(&self, plan: &mut Plan, facts: ProcessFacts) -> Result<Vec<FunctionId>, SessionError> {
        let mut changed = Vec::new();
        for number in 0..plan.objects.len() {
            let depends = |returns: &Returns| match returns {
                Returns::ReturnProbe(reason) => *reason != ReturnProbeReason::Forced,
                Returns::ExitSites(..) | Returns::EntryOnly(_) => false,
            };
            let concerned = plan
                .functions
                .iter()
                .any(|function| function.object == number && depends(&function.returns));
            if !concerned {
                continue;
            }
            let planned = &plan.objects[number];
            let object = MappedObject {
                attach_path: planned.attach_path.clone(),
                path: planned.path.clone(),
                name: planned.name.clone(),
                is_main: false,
                file: ObjectFile::open(&planned.attach_path, planned.name.clone())?,
            };
            let runs = plan
                .functions
                .chunk_by_mut(|one, other| one.object == other.object);
            for run in runs.filter(|run| run[0].object == number) {
                changed.append(&mut self.scope.replan(run, &object, facts)?);
            }
        }
        Ok(changed)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy())
        .into_owned()
}
