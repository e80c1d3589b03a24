//! From what the user named to a plan, and what must be said about it before anything is attached.
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::config::{
    Action, Download, Inlined, ProbingConfig, SelectionConfig, SessionConfig, SymbolConfig,
};
use crate::kernel::capability::{self, Capabilities};
use crate::object::ObjectFile;
use crate::object::debug::{DebugSource, Debuginfod, Finder, Search};
use crate::probe::inlined::InlinedChoice;
use crate::probe::pattern::Pattern;
use crate::probe::plan::{Plan, PlannedObject, Returns, ReturnsChoice};
use crate::probe::planner::{self, MappedObject};
use crate::probe::returns::ProcessFacts;
use crate::probe::selection::Request;
use crate::resolve::LinesWanted;
use crate::target::process::{FileId, MappedFile, Process};
use crate::ui::plan_text;

use super::SessionError;

/// What will be probed, and in which processes each file of the plan is mapped.
pub struct Setup {
    /// The plan.
    pub plan: Plan,
    /// By object of the plan: the processes that map it.
    pub mapped_by: Vec<Vec<u32>>,
    /// By object of the plan: where its debug information is.
    pub debug: Vec<Arc<DebugSource>>,
    /// What the user must know before.
    pub warnings: Vec<String>,
    /// The plan's files, held open: their paths stay good when they are deleted, or their process ends.
    files: Vec<File>,
}

impl Setup {
    /// How many files are probed.
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    /// Whether there is anything to attach to.
    pub fn check(&self) -> Result<(), SessionError> {
        match self.plan.left_out.first() {
            Some(first) if self.plan.functions.is_empty() => Err(SessionError::AllLeftOut {
                function: first.name.clone(),
                reason: plan_text::left_out_reason(first.reason),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// What is needed to read the lines of the plan's functions.
    pub fn lines_wanted(&self, symbols: &SymbolConfig) -> LinesWanted {
        LinesWanted::new(&self.plan, &self.debug, &symbols.paths)
    }

    /// The patterns that name single functions, if places where these were inlined have no probes.
    pub fn not_seen_where_inlined(&self, config: &SessionConfig) -> Vec<Pattern> {
        let patterns = config.selection.functions.iter();
        match config.symbols.inlined {
            Inlined::Probed => Vec::new(),
            Inlined::Told => patterns
                .filter_map(|text| text.parse().ok())
                .filter(|pattern: &Pattern| !pattern.is_wildcard() && !pattern.names_line())
                .collect(),
        }
    }

    /// Says the warnings.
    pub fn warn(&self) {
        for warning in &self.warnings {
            log::warn!("{warning}");
        }
    }
}

/// Whether we may do this at all: asked before anything else is tried.
pub fn check_permissions() -> Result<(), SessionError> {
    Ok(Capabilities::current()?.check()?)
}

/// Makes the plan for some processes.
pub fn plan(processes: &[Process], config: &SessionConfig) -> Result<Setup, SessionError> {
    check_permissions()?;
    let request = request(config)?;
    let finder = finder(&config.symbols);
    let mut warnings = Vec::new();
    let mut seccomp = false;
    let mut files: BTreeMap<FileId, (MappedFile, Vec<u32>)> = BTreeMap::new();
    for process in processes {
        let circumstances = process.circumstances()?;
        seccomp |= circumstances.seccomp;
        if let Some(tracer) = circumstances
            .tracer
            .filter(|tracer| *tracer != std::process::id())
        {
            warnings.push(format!(
                "process {} is being debugged (TracerPid {tracer}): its breakpoints and ours share bytes, results may differ",
                process.pid
            ));
        }
        for file in process.mapped_files()? {
            let is_main = file.is_main;
            let (known, pids) = files.entry(file.id).or_insert_with(|| (file, Vec::new()));
            known.is_main |= is_main;
            pids.push(process.pid);
        }
    }
    let (objects, mut mapped_by) = open_objects(files, &finder, &request)?;
    let facts = ProcessFacts {
        seccomp,
        return_probe_defect: capability::has_return_probe_defect(),
        ..ProcessFacts::default()
    };
    let mut plan = planner::plan(&objects, &request, facts)?;
    if config.probing.returns == ReturnsChoice::ReturnProbe {
        warnings.push(
            "return probes everywhere: a C++ exception or a Rust panic through a probed function aborts the target, \
             coroutines and Go compute wrong results"
                .to_owned(),
        );
    }
    check_focus(&plan)?;
    warnings.append(&mut plan.notes);
    let debug = debug_sources(&plan, &objects);
    let order: Vec<Vec<u32>> = plan
        .objects
        .iter()
        .map(|object| mapped_by.remove(&object.attach_path).unwrap_or_default())
        .collect();
    let files = hold_files(&mut plan)?;
    Ok(Setup {
        plan,
        mapped_by: order,
        debug,
        warnings,
        files,
    })
}

/// By object of the plan: where its debug information is.
fn debug_sources(plan: &Plan, objects: &[MappedObject]) -> Vec<Arc<DebugSource>> {
    let of_planned = |planned: &PlannedObject| {
        let object = objects
            .iter()
            .find(|object| object.attach_path == planned.attach_path);
        object.map(|object| Arc::clone(object.file.debug()))
    };
    plan.objects.iter().filter_map(of_planned).collect()
}

/// Opens the plan's files, and gives the kernel the descriptors instead of paths.
fn hold_files(plan: &mut Plan) -> Result<Vec<File>, SessionError> {
    let mut files = Vec::with_capacity(plan.objects.len());
    for object in &mut plan.objects {
        let open = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(&object.attach_path);
        let file = open.map_err(|source| SessionError::System {
            what: "open a file that the target maps",
            source,
        })?;
        object.attach_path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        files.push(file);
    }
    Ok(files)
}

/// Where debug files are looked for. Servers that cannot be asked are no reason to give up.
fn finder(symbols: &SymbolConfig) -> Arc<Finder> {
    let debuginfod = match symbols.download {
        Download::Never => None,
        Download::WhenMissing => Debuginfod::from_environment()
            .inspect_err(|error| log::warn!("{error}"))
            .ok(),
    };
    Arc::new(Finder {
        debug_dirs: symbols.debug_dirs.clone(),
        debuginfod,
    })
}

fn request(config: &SessionConfig) -> Result<Request, SessionError> {
    let (selection, probing): (&SelectionConfig, ProbingConfig) = (&config.selection, config.probing);
    let SelectionConfig {
        functions,
        exclude,
        objects,
        focus,
    } = selection;
    let parsed = |texts: &[String]| {
        texts
            .iter()
            .map(|text| text.parse())
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(Request {
        functions: parsed(functions)?,
        exclude: parsed(exclude)?,
        objects: objects
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()?,
        focus: parsed(focus)?,
        returns: probing.returns,
        site: probing.site,
        names: config.symbols.names,
        inlined: match (config.symbols.inlined, config.action) {
            (Inlined::Probed, _) => InlinedChoice::Probed,
            (Inlined::Told, Action::DryRun) => InlinedChoice::Reported,
            // Told later, when everything is attached.
            (Inlined::Told, Action::Profile) => InlinedChoice::Ignored,
        },
    })
}

type MappedBy = BTreeMap<PathBuf, Vec<u32>>;

/// Reads the files. One that is no ELF file (a JIT's, a font) has no functions; the program itself must be one.
fn open_objects(
    files: BTreeMap<FileId, (MappedFile, Vec<u32>)>,
    finder: &Arc<Finder>,
    request: &Request,
) -> Result<(Vec<MappedObject>, MappedBy), SessionError> {
    let mut objects = Vec::new();
    let mut mapped_by = MappedBy::new();
    for (file, pids) in files.into_values() {
        let MappedFile {
            id: _,
            attach_path,
            path,
            is_main,
        } = file;
        let name = path
            .file_name()
            .map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy())
            .into_owned();
        let is_named = |pattern: &Pattern| pattern.names_object() && pattern.matches_object(&name, &path);
        let search = Search {
            finder: Arc::clone(finder),
            root: pids.first().map(|pid| PathBuf::from(format!("/proc/{pid}/root"))),
            path: path.clone(),
            // Only files that functions are looked for in are worth a download.
            download: is_main
                || request
                    .objects
                    .iter()
                    .any(|pattern| pattern.matches(&name, &path))
                || request.functions.iter().chain(&request.focus).any(is_named),
        };
        let file = match ObjectFile::open_with(&attach_path, name.clone(), search) {
            Ok(file) => file,
            Err(error) if is_main => return Err(error.into()),
            Err(error) => {
                log::debug!("left out `{}`: {error}", path.display());
                continue;
            }
        };
        mapped_by.insert(attach_path.clone(), pids);
        objects.push(MappedObject {
            attach_path,
            path,
            name,
            is_main,
            file,
        });
    }
    objects.sort_by_key(|object| !object.is_main);
    Ok((objects, mapped_by))
}

fn check_focus(plan: &Plan) -> Result<(), SessionError> {
    let endless = plan
        .functions
        .iter()
        .find_map(|function| match &function.returns {
            Returns::EntryOnly(reason) if function.focus => Some((function, *reason)),
            Returns::EntryOnly(_) | Returns::ReturnProbe(_) | Returns::ExitSites(..) => None,
        });
    endless.map_or(Ok(()), |(function, reason)| {
        Err(SessionError::FocusWithoutReturn {
            function: function.name.clone(),
            reason: plan_text::entry_only_reason(reason),
        })
    })
}
