//! Links: what holds probes in place. Dropping a link takes its probes away; so does our death, however it comes.
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use profiler_common::cookie::Cookie;

use super::AttachMode;
use super::capability::uprobe_pmu;
use super::error::KernelError;
use super::program::Programs;
use super::syscall::{self, MultiKind, MultiTarget};

/// A place of a file that gets a breakpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Offset in the file, bytes.
    pub offset: u64,
    /// What the kernel hands to the program.
    pub cookie: Cookie,
}

/// What probes are there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Calls and returns.
    Calls,
    /// Allocations and frees.
    Allocations,
}

/// What the probes of a link are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Entries whose returns come through return probes.
    EntryAndReturn,
    /// Entries whose exits are probed apart.
    Entry,
    /// Entries whose returns are not seen.
    Count,
    /// Exits.
    Exit,
}

/// Where a link goes.
#[derive(Clone, Copy, Debug)]
pub struct LinkTarget<'a> {
    /// A path that names the very file that the process maps.
    pub path: &'a Path,
    /// The process; none = every process that maps the file.
    pub pid: Option<u32>,
}

/// Probes in place.
#[derive(Debug, Default)]
pub struct Link {
    /// In the order in which they are to be closed.
    fds: Vec<OwnedFd>,
}

impl Link {
    /// How many kernel objects it consists of.
    pub fn len(&self) -> usize {
        self.fds.len()
    }

    /// Whether nothing is attached.
    pub fn is_empty(&self) -> bool {
        self.fds.is_empty()
    }
}

/// A probe that the kernel refused, and why.
#[derive(Debug)]
pub struct Refused {
    /// The probe.
    pub probe: Probe,
    /// What the kernel said.
    pub source: io::Error,
}

/// Takes links away, side by side: the kernel waits for running programs at each.
pub fn detach(links: Vec<Link>) {
    let mut fds: Vec<OwnedFd> = links.into_iter().flat_map(|link| link.fds).collect();
    let threads = fds.len().min(8);
    if threads < 2 {
        return;
    }
    std::thread::scope(|scope| {
        while !fds.is_empty() {
            let part = fds.split_off(fds.len().saturating_sub(fds.len().div_ceil(threads)));
            scope.spawn(move || drop(part));
        }
    });
}

/// Takes links away on a thread of its own, one lot after the other: the kernel takes its time, and processes may end by the
/// hundred.
#[derive(Debug, Default)]
pub struct Detacher(OnceLock<Option<Sender<Vec<Link>>>>);

impl Detacher {
    /// Takes links away, later.
    pub fn detach(&self, links: Vec<Link>) {
        let queue = self.0.get_or_init(|| {
            let (sender, receiver) = channel::<Vec<Link>>();
            let thread = std::thread::Builder::new().name("detach".to_owned());
            let started = thread.spawn(move || receiver.into_iter().for_each(detach));
            started.is_ok().then_some(sender)
        });
        match queue {
            // The thread ends with this sender, and not before.
            Some(queue) => drop(queue.send(links)),
            None => detach(links),
        }
    }
}

/// Makes links of loaded programs.
pub(super) struct Linker<'a> {
    pub(super) programs: &'a Programs,
    pub(super) mode: AttachMode,
}

impl Linker<'_> {
    /// Attaches `probes`. Those that the kernel refuses are left out and named; the others are attached all the same.
    pub(super) fn attach(
        &self,
        side: Side,
        target: LinkTarget<'_>,
        probes: &[Probe],
    ) -> Result<(Link, Vec<Refused>), KernelError> {
        let path = CString::new(target.path.as_os_str().as_bytes()).unwrap_or_default();
        let mut link = Link::default();
        let mut refused = Vec::new();
        for (program, kind) in self.steps(side) {
            let mut step = Step {
                mode: self.mode,
                program,
                kind,
                path: &path,
                pid: target.pid,
                fds: Vec::new(),
            };
            step.attach(probes, &mut refused)
                .map_err(|source| KernelError::Attach {
                    path: target.path.to_owned(),
                    probes: probes.len(),
                    source,
                })?;
            // Returns are attached before entries and closed after them, so that no entry waits in vain.
            step.fds.append(&mut link.fds);
            link.fds = step.fds;
        }
        refused.dedup_by_key(|refused| refused.probe.offset);
        Ok((link, refused))
    }

    fn steps(&self, side: Side) -> Vec<(BorrowedFd<'_>, MultiKind)> {
        let Programs {
            session: _,
            entry,
            count,
            at_return: _,
            exit,
        } = self.programs;
        match side {
            Side::Entry => vec![(entry.as_fd(), MultiKind::Entry)],
            Side::Count => vec![(count.as_fd(), MultiKind::Entry)],
            Side::Exit => vec![(exit.as_fd(), MultiKind::Entry)],
            Side::EntryAndReturn => match (self.programs.session(), self.programs.at_return()) {
                (Some(session), _) => vec![(session, MultiKind::Session)],
                (None, Some(at_return)) => {
                    vec![(at_return, MultiKind::Return), (entry.as_fd(), MultiKind::Entry)]
                }
                (None, None) => vec![(entry.as_fd(), MultiKind::Entry)],
            },
        }
    }
}

/// One program on one set of probes.
struct Step<'a> {
    mode: AttachMode,
    program: BorrowedFd<'a>,
    kind: MultiKind,
    path: &'a CStr,
    pid: Option<u32>,
    fds: Vec<OwnedFd>,
}

impl Step<'_> {
    /// Attaches all probes that the kernel takes. A refused one is found by halving.
    fn attach(&mut self, probes: &[Probe], refused: &mut Vec<Refused>) -> io::Result<()> {
        let failed = match self.mode {
            AttachMode::Session | AttachMode::Multi => self.attach_multi(probes),
            AttachMode::PerfEvent => return self.attach_perf_events(probes, refused),
        };
        let Err(source) = failed else { return Ok(()) };
        if !is_about_one_probe(&source) || probes.is_empty() {
            return Err(source);
        }
        if let [probe] = probes {
            refused.push(Refused {
                probe: *probe,
                source,
            });
            return Ok(());
        }
        let (left, right) = probes.split_at(probes.len() / 2);
        self.attach(left, refused)?;
        self.attach(right, refused)
    }

    fn attach_multi(&mut self, probes: &[Probe]) -> io::Result<()> {
        if probes.is_empty() {
            return Ok(());
        }
        let offsets: Vec<u64> = probes.iter().map(|probe| probe.offset).collect();
        let cookies: Vec<u64> = probes.iter().map(|probe| probe.cookie.to_bits()).collect();
        let target = MultiTarget {
            path: self.path,
            offsets: &offsets,
            cookies: &cookies,
            pid: self.pid.unwrap_or(0),
        };
        self.fds
            .push(syscall::link_multi(self.program, self.kind, &target)?);
        Ok(())
    }

    fn attach_perf_events(&mut self, probes: &[Probe], refused: &mut Vec<Refused>) -> io::Result<()> {
        let pmu = uprobe_pmu()?;
        for probe in probes {
            let at_return = self.kind == MultiKind::Return;
            let opened =
                syscall::open_uprobe(pmu, self.path, probe.offset, self.pid, at_return).and_then(|event| {
                    syscall::link_perf_event(self.program, event.as_fd(), probe.cookie.to_bits())
                });
            match opened {
                Ok(link) => self.fds.push(link),
                Err(source) if is_about_one_probe(&source) => refused.push(Refused {
                    probe: *probe,
                    source,
                }),
                Err(source) => return Err(source),
            }
        }
        Ok(())
    }
}

/// Whether an error can be the fault of a single probe, and not of the process, the file or our permissions.
fn is_about_one_probe(error: &io::Error) -> bool {
    /// The kernel's own `ENOTSUPP`, which leaks out of `arch_uprobe_analyze_insn`.
    const ENOTSUPP: i32 = 524;
    matches!(
        error.raw_os_error(),
        Some(
            libc::EINVAL
                | libc::EOPNOTSUPP
                | libc::ENOEXEC
                | libc::EIO
                | libc::EFAULT
                | libc::EILSEQ
                | ENOTSUPP
        )
    )
}
