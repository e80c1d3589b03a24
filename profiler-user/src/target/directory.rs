//! Reads who processes are, and keeps what is dear to find out.
use std::path::{Path, PathBuf};

use super::TargetError;
use super::containers::Containers;
use super::identity::Identity;
use super::process::{self, field};
use super::users::Users;
use crate::rooted::Root;

/// `PF_KTHREAD` of the kernel's `include/linux/sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// Knows the processes of the host. Users and containers are asked for once.
#[derive(Debug)]
pub struct Directory {
    users: Users,
    containers: Containers,
}

impl Default for Directory {
    fn default() -> Self {
        Self::new()
    }
}

impl Directory {
    /// Of this host.
    pub fn new() -> Self {
        Self::with_root(Path::new("/"))
    }

    /// Of this host, with users and the runtimes' state looked for below `root`.
    pub fn with_root(root: &Path) -> Self {
        Self {
            users: Users::new(Root::new(root.to_owned())),
            containers: Containers::new(root.to_owned()),
        }
    }

    /// Whether runtimes are asked what they call a container and its pod. Without that its id is known, nothing else of it,
    /// and no daemon can delay the answer.
    #[must_use]
    pub fn asking(mut self, asks: bool) -> Self {
        self.containers.set_asking(asks);
        self
    }

    /// Who a process is. Asking a runtime for its container's name takes a second at most.
    pub fn identity(&mut self, pid: u32) -> Result<Identity, TargetError> {
        self.containers.allow_time();
        self.read(pid).map(|(identity, _)| identity)
    }

    /// All processes of the host but kernel threads and those that end meanwhile, by id.
    pub fn processes(&mut self) -> Vec<Identity> {
        self.containers.allow_time();
        let mut pids = process::ids();
        pids.sort_unstable();
        let read = pids.into_iter().filter_map(|pid| self.read(pid).ok());
        read.filter(|(_, stat)| stat.maps_a_program)
            .map(|(identity, _)| identity)
            .collect()
    }

    fn read(&mut self, pid: u32) -> Result<(Identity, Stat), TargetError> {
        let before = Stat::read(pid)?;
        let status = process::read(pid, "status")?;
        let number = |name, index| {
            let value = field(&status, name)?.split_ascii_whitespace().nth(index)?;
            value.parse::<u32>().ok()
        };
        if let Some(tgid) = number("Tgid:", 0).filter(|tgid| *tgid != pid) {
            return Err(TargetError::Thread { tid: pid, pid: tgid });
        }
        let inner_pid = field(&status, "NSpid:")
            .and_then(|ids| ids.split_ascii_whitespace().next_back())
            .and_then(|id| id.parse().ok());
        let uid = number("Uid:", 1).unwrap_or_default();
        let mut place = self.containers.place(pid, uid, &process::read(pid, "cgroup")?);
        let comm = field(&status, "Name:").unwrap_or_default().to_owned();
        let exe = program(pid);
        if is_runtime(&comm, exe.as_deref()) {
            place.container = None;
        }
        let identity = Identity {
            pid,
            inner_pid: inner_pid.unwrap_or(pid),
            parent: number("PPid:", 0).unwrap_or_default(),
            start_ticks: before.start_ticks,
            comm,
            exe,
            uid,
            user: self.users.name(uid),
            cgroup: place.cgroup,
            unit: place.unit,
            container: place.container,
        };
        // Another process of the same id must not get a part of the first one's identity.
        if Stat::read(pid)?.start_ticks == before.start_ticks {
            Ok((identity, before))
        } else {
            Err(TargetError::Ended { pid })
        }
    }
}

/// The program, as the process knows it.
fn program(pid: u32) -> Option<PathBuf> {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let text = path.to_str()?;
    Some(
        text.strip_suffix(" (deleted)")
            .map_or_else(|| path.clone(), PathBuf::from),
    )
}

/// Whether a process is the runtime's own, which is in the container's control group until it executes the program: what it
/// maps is of the host, and none of the container's business.
fn is_runtime(comm: &str, exe: Option<&Path>) -> bool {
    // `runc:[2:INIT]` and others, by `nsexec.c`; crun copies itself into memory, and is then called by a descriptor's number.
    let exe = exe.map(Path::to_string_lossy).unwrap_or_default();
    comm.starts_with("runc:[")
        || exe.starts_with("/memfd:runc_cloned")
        || exe.starts_with("/memfd:crun")
        || exe.ends_with("/crun")
}

/// What is needed of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    start_ticks: u64,
    /// It is neither a kernel thread nor a zombie.
    maps_a_program: bool,
}

impl Stat {
    fn read(pid: u32) -> Result<Self, TargetError> {
        let text = process::read(pid, "stat")?;
        Self::parse(&text).ok_or(TargetError::Ended { pid })
    }

    /// The name may hold anything but is in parentheses; the state follows it as field 3.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let is_dead = matches!(*fields.first()?, "Z" | "X" | "x");
        Some(Self {
            start_ticks: number(22)?,
            maps_a_program: !is_dead && number(9)? & KERNEL_THREAD == 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Directory, Stat, is_runtime};

    #[test]
    fn a_runtime_that_has_not_executed_the_program_yet_is_not_in_the_container() {
        for (comm, exe, expected) in [
            ("runc:[2:INIT]", Some("/usr/sbin/runc"), true),
            ("runc:[1:CHILD]", None, true),
            ("6", Some("/memfd:runc_cloned:/proc/self/exe"), true),
            ("3", Some("/memfd:crun"), true),
            ("crun", Some("/usr/bin/crun"), true),
            ("runc", Some("/usr/sbin/runc"), false),
            ("nginx", Some("/usr/sbin/nginx"), false),
            ("nginx", None, false),
        ] {
            assert_eq!(is_runtime(comm, exe.map(Path::new)), expected, "{comm}");
        }
    }

    #[test]
    fn the_name_in_stat_may_hold_parentheses_and_spaces() {
        let behind = "S 1 2 3 4 5 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0";
        let stat = Stat::parse(&format!("12 (a) b (c) {behind}")).unwrap();
        assert_eq!((stat.start_ticks, stat.maps_a_program), (4711, true));
        let thread = behind.replacen("5 0", "5 2129984", 1);
        assert!(
            !Stat::parse(&format!("2 (kthreadd) {thread}"))
                .unwrap()
                .maps_a_program
        );
        let zombie = behind.replacen('S', "Z", 1);
        assert!(!Stat::parse(&format!("2 (x) {zombie}")).unwrap().maps_a_program);
        assert_eq!(Stat::parse("12 (a) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn this_process_is_known_by_all_that_the_kernel_tells() {
        let mut directory = Directory::new();
        let me = directory.identity(std::process::id()).unwrap();
        assert_eq!(me.pid, std::process::id());
        assert_eq!(me.parent, std::os::unix::process::parent_id());
        assert_eq!(me.exe, std::env::current_exe().ok());
        assert!(me.start_ticks > 0);
        let all = directory.processes();
        let again = all.iter().find(|identity| identity.pid == me.pid).unwrap();
        assert_eq!(*again, me);
        assert!(all.iter().all(|identity| identity.comm != "kthreadd"));
    }

    #[test]
    fn a_thread_is_told_with_its_process() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let link = std::fs::read_link("/proc/thread-self").unwrap();
            sender.send(link).unwrap();
            let _ = wait.recv();
        });
        let link = receiver.recv().unwrap();
        let tid: u32 = link.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let error = Directory::new().identity(tid).unwrap_err();
        drop(done);
        thread.join().unwrap();
        assert_eq!(
            error.to_string(),
            format!(
                "`{tid}` is a thread of process `{0}`: give `-p {0}`",
                std::process::id()
            )
        );
    }
}
