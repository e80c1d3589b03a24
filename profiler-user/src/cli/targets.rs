//! Which processes: the options that `attach` and `list` have in common.
use super::error::ConfigError;
use super::parse;
use crate::target::glob::Glob;
use crate::target::selector::{CgroupPath, ContainerChoice, PodChoice, Selector, UserChoice};

/// The heading of these options in the help.
pub(super) const TARGETING: &str = "Targeting";

/// Which processes. An option that is repeated means any of its values; different options must all hold.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = TARGETING)]
pub struct TargetArgs {
    /// The processes of these ids, separated by commas, or with the option repeated
    #[arg(short, long = "pid", value_name = "PID[,PID...]", value_delimiter = ',', value_parser = parse::pid)]
    pub pids: Vec<u32>,
    /// Those in this container, by its name, a glob of names, or the beginning of its id; may be repeated, as all below
    #[arg(long = "container", value_name = "NAME|ID")]
    pub containers: Vec<ContainerChoice>,
    /// Those in this Kubernetes pod, by glob
    #[arg(long = "pod", value_name = "[NAMESPACE/]NAME")]
    pub pods: Vec<PodChoice>,
    /// Those of this systemd unit, by glob, with or without `.service`
    #[arg(long = "systemd-unit", value_name = "NAME")]
    pub units: Vec<Glob>,
    /// Those in this control group and below it, with or without `/sys/fs/cgroup` in front
    #[arg(long = "cgroup", value_name = "PATH")]
    pub cgroups: Vec<CgroupPath>,
    /// Those of this user
    #[arg(long = "user", value_name = "NAME|UID")]
    pub users: Vec<UserChoice>,
    /// Those that run this program, by glob of its path, or of its file name if there is no slash
    #[arg(long, value_name = "PATH")]
    pub exe: Vec<Glob>,
    /// Those of this name, as `ps -o comm` shows it, by glob
    #[arg(long, value_name = "NAME")]
    pub comm: Vec<Glob>,
    /// The children of the processes that match, too, and theirs
    #[arg(long)]
    pub children: bool,
    /// All processes of this machine
    #[arg(short, long = "all-processes")]
    pub all: bool,
}

impl TargetArgs {
    /// The processes that are meant, each id once, in the order typed; ourselves are no target.
    pub(super) fn selector(self) -> Result<Selector, ConfigError> {
        let Self {
            pids: typed,
            containers,
            pods,
            units,
            cgroups,
            users,
            exe,
            comm,
            children,
            all,
        } = self;
        let own = std::process::id();
        if typed.contains(&own) {
            return Err(ConfigError::OwnPid { pid: own });
        }
        let mut pids = Vec::with_capacity(typed.len());
        for pid in typed {
            if !pids.contains(&pid) {
                pids.push(pid);
            }
        }
        Ok(Selector {
            pids,
            children,
            comm,
            exe,
            users,
            cgroups,
            containers,
            pods,
            units,
            all,
        })
    }
}
