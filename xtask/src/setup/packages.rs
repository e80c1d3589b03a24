//! Programs of the distribution: which are needed, and how to get them on Debian and its kin.

use std::{path::Path, process::Command};

use crate::{
    exec::{Failure, Outcome, answer, exec, note, step},
    workspace,
};

/// Something that a package brings.
pub(super) struct Need {
    /// A command, or the absolute path of a file.
    found_by: &'static str,
    package: &'static str,
}

/// What the tests need.
pub(super) const TESTS: &[Need] = &[
    Need {
        found_by: "gcc",
        package: "gcc",
    },
    Need {
        found_by: "g++",
        package: "g++",
    },
    Need {
        found_by: "/usr/include/stdio.h",
        package: "libc6-dev",
    },
    Need {
        found_by: "strip",
        package: "binutils",
    },
    // What takes debug information apart, and what reads it, to compare.
    Need {
        found_by: "dwz",
        package: "dwz",
    },
    Need {
        found_by: "llvm-symbolizer",
        package: "llvm",
    },
    Need {
        found_by: "/usr/share/doc/libc6-dbg",
        package: "libc6-dbg",
    },
    Need {
        found_by: "go",
        package: "golang-go",
    },
    Need {
        found_by: "xz",
        package: "xz-utils",
    },
    Need {
        found_by: "unshare",
        package: "util-linux",
    },
    Need {
        found_by: "podman",
        package: "podman",
    },
    Need {
        found_by: "runc",
        package: "runc",
    },
    // Allocators in place of the C library's, and what finds leaks without us.
    Need {
        found_by: "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
        package: "libjemalloc2",
    },
    Need {
        found_by: "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4",
        package: "libtcmalloc-minimal4",
    },
    Need {
        found_by: "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2",
        package: "libmimalloc2.0",
    },
    Need {
        found_by: "/usr/include/jemalloc/jemalloc.h",
        package: "libjemalloc-dev",
    },
    Need {
        found_by: "/usr/include/gperftools/tcmalloc.h",
        package: "libgoogle-perftools-dev",
    },
    Need {
        found_by: "/usr/share/doc/libmimalloc-dev",
        package: "libmimalloc-dev",
    },
    Need {
        found_by: "/usr/include/glib-2.0/glib.h",
        package: "libglib2.0-dev",
    },
    Need {
        found_by: "musl-gcc",
        package: "musl-tools",
    },
    Need {
        found_by: "valgrind",
        package: "valgrind",
    },
    Need {
        found_by: "heaptrack",
        package: "heaptrack",
    },
    // Real programs to follow: a Python with symbols, and one whose allocator is no function in its files.
    Need {
        found_by: "/usr/bin/python3-dbg",
        package: "python3-dbg",
    },
    Need {
        found_by: "sqlite3",
        package: "sqlite3",
    },
    Need {
        found_by: "redis-server",
        package: "redis-server",
    },
    Need {
        found_by: "redis-benchmark",
        package: "redis-tools",
    },
];

/// The headers of the distribution's kernel: a file that tells that they are there, and the package.
const HEADERS: [&str; 2] = if cfg!(target_arch = "aarch64") {
    ["/usr/share/doc/linux-headers-arm64", "linux-headers-arm64"]
} else {
    ["/usr/share/doc/linux-headers-amd64", "linux-headers-amd64"]
};

/// What the benchmark needs.
pub(super) const BENCH: &[Need] = &[
    Need {
        found_by: "gcc",
        package: "gcc",
    },
    Need {
        found_by: "/usr/include/stdio.h",
        package: "libc6-dev",
    },
    Need {
        found_by: "bpftrace",
        package: "bpftrace",
    },
    Need {
        found_by: "memleak-bpfcc",
        package: "bpfcc-tools",
    },
    // What `memleak` compiles against.
    Need {
        found_by: HEADERS[0],
        package: HEADERS[1],
    },
    Need {
        found_by: "heaptrack",
        package: "heaptrack",
    },
    Need {
        found_by: "sqlite3",
        package: "sqlite3",
    },
    Need {
        found_by: "llvm-symbolizer",
        package: "llvm",
    },
    // A large program with a symbol table.
    Need {
        found_by: "node",
        package: "nodejs",
    },
];

/// Installs the packages of those needs that are not met.
pub(super) fn ensure(needs: &[Need], whose: &str) -> Outcome<()> {
    let missing: Vec<_> = needs
        .iter()
        .filter(|need| !need.is_met())
        .map(|need| need.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    step(
        &format!("install what {whose} need: {}", missing.join(", ")),
        "about a minute",
    );
    install(&missing)
}

impl Need {
    fn is_met(&self) -> bool {
        if self.found_by.starts_with('/') {
            Path::new(self.found_by).exists()
        } else {
            workspace::find_command(self.found_by).is_some()
        }
    }
}

/// Installs packages with apt. Nothing is ever removed for them.
pub(super) fn install(packages: &[&str]) -> Outcome<()> {
    let by_hand = format!(
        "install them by hand, then repeat the command: {}",
        packages.join(" ")
    );
    if workspace::find_command("apt-get").is_none() {
        return Err(Failure::new(
            "there is no apt-get here, and other package managers are not known to us",
            by_hand,
        ));
    }
    refresh_lists();
    exec(
        apt_get()?
            .args(["install", "--yes", "--no-install-recommends", "--no-remove"])
            .args(packages),
        &format!("install {}", packages.join(", ")),
        &format!("read apt's message above; or {by_hand}"),
    )
}

/// Whether apt knows a version of the package that can be installed.
pub(super) fn is_available(package: &str) -> bool {
    let policy = answer(
        Command::new("apt-cache")
            .args(["policy", package])
            .env("LC_ALL", "C"),
    )
    .unwrap_or_default();
    let candidate = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "));
    candidate.is_some_and(|version| version != "(none)")
}

/// Brings apt's lists up to date. Where that fails the lists that are there may still do.
pub(super) fn refresh_lists() {
    let update = apt_get().and_then(|mut apt| {
        exec(
            apt.args(["update", "--quiet"]),
            "bring the package lists up to date",
            "check the network",
        )
    });
    if let Err(failure) = update {
        note(&format!("{failure}"));
        note("going on with the package lists that are here");
    }
}

fn apt_get() -> Outcome<Command> {
    let mut apt = if workspace::is_root() {
        Command::new("apt-get")
    } else if workspace::find_command("sudo").is_some() {
        let mut sudo = Command::new("sudo");
        sudo.args(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        sudo
    } else {
        return Err(Failure::new(
            "installing packages needs root, and there is no sudo",
            "repeat the command as root",
        ));
    };
    // Another apt that is at work is waited for.
    apt.args(["-o", "DPkg::Lock::Timeout=300"])
        .env("DEBIAN_FRONTEND", "noninteractive");
    Ok(apt)
}
