//! Listens to what happens to the processes of the host, on a thread of its own.
//!
//! The thread drops what concerns nobody, and suspends return probes at once where a target maps something that nobody has
//! looked at: the session may be busy, and a library can throw in its first instruction.
use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::SessionError;
use super::reader::Notice;
use crate::kernel::lifecycle::{LifeEvent, Lifecycle, MappedInode, Mapping};
use crate::kernel::load::Suspension;
use crate::kernel::ring::Waker;
use crate::object::is_system_library;

/// The longest wait: only a safety net, as every message and the end of the session wake the thread.
const WAIT: Duration = Duration::from_secs(10);
/// Files that are remembered as examined.
const KEPT: usize = 65_536;

/// What the session and the listening thread both know.
#[derive(Debug, Default)]
pub(super) struct Shared {
    members: RwLock<HashSet<u32>>,
    examined: RwLock<HashSet<MappedInode>>,
    /// Only the members matter, and their children.
    is_closed: bool,
    /// What any process maps is wanted: it may be a target's child, and gone before it is known.
    tells_all: bool,
    suspension: OnceLock<Suspension>,
}

impl Shared {
    pub(super) fn new(is_closed: bool, tells_all: bool) -> Self {
        Self {
            is_closed,
            tells_all,
            ..Self::default()
        }
    }

    /// From now on return probes can be suspended.
    pub(super) fn set_suspension(&self, suspension: Suspension) {
        // It is set once.
        drop(self.suspension.set(suspension));
    }

    /// A process is a target now: before it is looked at, so that nothing falls between.
    pub(super) fn insert(&self, pid: u32) {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        members.insert(pid);
    }

    /// It is one no more.
    pub(super) fn remove(&self, pid: u32) {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        members.remove(&pid);
    }

    /// Files were looked at: the next time they are mapped there is nothing to wait for.
    pub(super) fn examined(&self, files: impl Iterator<Item = MappedInode>) {
        let mut examined = self.examined.write().unwrap_or_else(PoisonError::into_inner);
        if examined.len() >= KEPT {
            examined.clear();
        }
        examined.extend(files);
    }

    fn has(&self, pid: u32) -> bool {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        members.contains(&pid)
    }

    /// The message as the session is to get it; none if it concerns nobody.
    fn filtered(&self, event: LifeEvent) -> Option<LifeEvent> {
        match event {
            LifeEvent::Forked { parent, .. } => (!self.is_closed || self.has(parent)).then_some(event),
            LifeEvent::Executed { pid } => (!self.is_closed || self.has(pid)).then_some(event),
            LifeEvent::Mapped(mapping) if self.has(mapping.pid) => Some(self.suspending(mapping)),
            LifeEvent::Mapped(_) => self.tells_all.then_some(event),
            // A descriptor of the process tells it exactly.
            LifeEvent::Ended { pid: _ } => None,
            LifeEvent::Missed(_) => Some(event),
        }
    }

    fn suspending(&self, mut mapping: Mapping) -> LifeEvent {
        let known = self.examined.read().unwrap_or_else(PoisonError::into_inner);
        let name = mapping.path.file_name().unwrap_or_default().to_string_lossy();
        let is_harmless = known.contains(&mapping.file) || is_system_library(&name);
        if let Some(suspension) = self.suspension.get().filter(|_| !is_harmless) {
            suspension.begin();
            mapping.suspends = true;
        }
        LifeEvent::Mapped(mapping)
    }
}

/// The listening thread. It ends when it is dropped.
pub(super) struct Watch {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

struct Stop {
    asked: AtomicBool,
    waker: Waker,
}

impl Watch {
    /// Begins to listen. `None`: perf events are not allowed here, which is said; then only looking again finds what is new.
    pub(super) fn start(
        notices: UnboundedSender<Notice>,
        shared: &Arc<Shared>,
    ) -> Result<Option<Self>, SessionError> {
        let lifecycle = match Lifecycle::listen() {
            Ok(lifecycle) => lifecycle,
            Err(error) => {
                log::warn!(
                    "new processes and libraries are found late, by looking every few seconds: {error}"
                );
                return Ok(None);
            }
        };
        let failed = |what: &'static str| move |source: io::Error| SessionError::System { what, source };
        let stop = Arc::new(Stop {
            asked: AtomicBool::new(false),
            waker: Waker::new().map_err(failed("make an event descriptor"))?,
        });
        let (stopped, shared) = (Arc::clone(&stop), Arc::clone(shared));
        let thread = std::thread::Builder::new()
            .name("lifecycle".to_owned())
            .spawn(move || listen(lifecycle, &stopped, &notices, &shared))
            .map_err(failed("start the thread that watches processes"))?;
        Ok(Some(Self {
            stop,
            thread: Some(thread),
        }))
    }
}

fn listen(mut lifecycle: Lifecycle, stop: &Stop, notices: &UnboundedSender<Notice>, shared: &Shared) {
    while !stop.asked.load(Ordering::Acquire) {
        lifecycle.wait(&stop.waker, WAIT);
        lifecycle.drain(|event| {
            if let Some(event) = shared.filtered(event) {
                // The session may be gone already.
                drop(notices.send(Notice::Life(event)));
            }
        });
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.asked.store(true, Ordering::Release);
        self.stop.waker.wake();
        if let Some(thread) = self.thread.take() {
            // A panic there is a bug of ours; the session has its results.
            let _: std::thread::Result<()> = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shared;
    use crate::kernel::lifecycle::{LifeEvent, Mapping};

    fn mapped(pid: u32) -> LifeEvent {
        LifeEvent::Mapped(Mapping {
            pid,
            start: 0x1000,
            length: 0x1000,
            file: (8, 1, 5),
            offset: 0,
            path: "/lib/x.so".into(),
            suspends: false,
        })
    }

    #[test]
    fn only_what_concerns_targets_is_passed_on() {
        let shared = Shared::new(true, false);
        shared.insert(7);
        let forked = |parent| LifeEvent::Forked { parent, child: 9 };
        assert_eq!(shared.filtered(forked(7)), Some(forked(7)));
        assert_eq!(shared.filtered(forked(8)), None);
        assert_eq!(shared.filtered(mapped(8)), None);
        assert_eq!(shared.filtered(mapped(7)), Some(mapped(7)));
        shared.remove(7);
        assert_eq!(shared.filtered(mapped(7)), None);
        let open = Shared::new(false, false);
        assert_eq!(open.filtered(forked(8)), Some(forked(8)));
        assert_eq!(open.filtered(mapped(8)), None);
    }
}
