//! `bpf-linker`, built for an LLVM that understands the compiler's bitcode, below `target/tools`.

use std::path::{Path, PathBuf};

use super::packages;
use crate::{
    exec::{Failure, Outcome, answer, exec, step},
    workspace,
};

/// The series whose features are listed below.
const VERSION: &str = "^0.13";
/// The oldest and the newest LLVM that this series can be built against.
const LLVM: std::ops::RangeInclusive<u32> = 21..=23;

/// The linker's path for a compiler with this LLVM; builds it if need be.
pub(super) fn ensure(compiler_llvm: u32) -> Outcome<PathBuf> {
    let mut usable = (compiler_llvm.max(*LLVM.start())..=*LLVM.end()).map(Llvm);
    if let Some(linker) = usable.clone().map(Llvm::linker).find(|linker| works(linker)) {
        return Ok(linker);
    }
    if let Some(llvm) = usable.clone().find(|llvm| llvm.is_installed()) {
        return build(llvm);
    }
    packages::refresh_lists();
    if let Some(llvm) = usable.find(|llvm| packages::is_available(&llvm.package())) {
        step(
            &format!("install LLVM {}, which bpf-linker is built against", llvm.0),
            "1 to 3 minutes",
        );
        packages::install(&[&llvm.package()])?;
        return build(llvm);
    }
    Err(Failure::new(
        format!(
            "the compiler makes bitcode of LLVM {compiler_llvm}; bpf-linker {VERSION} needs an LLVM from that to {} \
             for it, and apt has no such llvm-NN-dev",
            LLVM.end()
        ),
        format!("install llvm-{compiler_llvm}-dev from apt.llvm.org, or an older Rust toolchain"),
    ))
}

/// Whether the linker is there and finds its libraries.
pub(super) fn works(linker: &Path) -> bool {
    linker.is_file() && answer(workspace::tool(linker).arg("--version")).is_some()
}

/// An LLVM by its major version, where Debian puts it.
#[derive(Clone, Copy)]
struct Llvm(u32);

impl Llvm {
    fn package(self) -> String {
        format!("llvm-{}-dev", self.0)
    }

    fn prefix(self) -> PathBuf {
        format!("/usr/lib/llvm-{}", self.0).into()
    }

    fn is_installed(self) -> bool {
        self.prefix().join("bin/llvm-config").exists() && self.prefix().join("include/llvm-c/Core.h").exists()
    }

    /// Each LLVM has its folder, so that the path says which one the linker was built against.
    fn tools(self) -> PathBuf {
        workspace::target().join(format!("tools/llvm-{}", self.0))
    }

    fn linker(self) -> PathBuf {
        self.tools().join("bin/bpf-linker")
    }
}

fn build(llvm: Llvm) -> Outcome<PathBuf> {
    step(
        &format!("build bpf-linker {VERSION} against LLVM {}", llvm.0),
        "about a minute on two cores",
    );
    exec(
        workspace::cargo()
            .env("LLVM_PREFIX", llvm.prefix())
            .args([
                "install",
                "bpf-linker",
                "--version",
                VERSION,
                "--locked",
                "--force",
                "--quiet",
            ])
            .args([
                "--no-default-features",
                "--features",
                &format!("llvm-{}", llvm.0),
                "--root",
            ])
            .arg(llvm.tools()),
        "build bpf-linker",
        "read cargo's message above; it needs the network, a C compiler (`cc`) and the LLVM named above",
    )?;
    let linker = llvm.linker();
    if works(&linker) {
        return Ok(linker);
    }
    Err(Failure::new(
        format!("`{} --version` fails though it was just built", linker.display()),
        "run it to see why: most likely it does not find libLLVM",
    ))
}
