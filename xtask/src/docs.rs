//! `cargo xtask docs`: the parts of the documents that the program itself knows, the API's documentation, and links.

mod links;
mod sections;

use std::{fs, path::PathBuf, process::ExitCode};

use crate::{
    build::{self, Profile},
    exec::{Failure, Outcome, answer, exec, step},
    workspace,
};

/// Write or compare.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail where a generated section is out of date
    #[arg(long)]
    check: bool,
}

impl Args {
    pub(crate) fn run(self) -> Outcome<ExitCode> {
        let Self { check } = self;
        step(
            "generated sections of the documents",
            "a second, and a minute where the profiler must be built",
        );
        generate(check)?;
        step("links of the documents", "a second");
        links::check()?;
        step("the API's documentation", "a minute, less when repeated");
        exec(
            workspace::cargo()
                .args(["doc", "--workspace", "--no-deps"])
                .env("RUSTDOCFLAGS", "-D warnings"),
            "document the API",
            "mend what rustdoc names above",
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

fn generate(check: bool) -> Outcome<()> {
    let mut profiler = None;
    let mut stale = Vec::new();
    for path in workspace::files("md")? {
        let old = fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
        let new = sections::fill(&old, |name| describe(&mut profiler, name))
            .map_err(|failure| Failure::new(format!("{}: {failure}", path.display()), "mend the markers"))?;
        if new == old {
            continue;
        }
        stale.push(path.display().to_string());
        if !check {
            fs::write(&path, new).map_err(|error| Failure::file("write", &path, &error))?;
        }
    }
    match (stale.is_empty(), check) {
        (true, _) => Ok(()),
        (false, false) => {
            println!("brought up to date: {}", stale.join(", "));
            Ok(())
        }
        (false, true) => {
            let what = format!("generated sections are out of date in {}", stale.join(", "));
            Err(Failure::new(what, "run `cargo xtask docs` and commit the change"))
        }
    }
}

/// What the profiler says about itself; it is built when the first section asks.
fn describe(profiler: &mut Option<PathBuf>, name: &str) -> Outcome<String> {
    let binary = match profiler {
        Some(binary) => binary,
        None => profiler.insert(build::profiler(Profile::Release)?),
    };
    // Help is wrapped to the terminal's width; the document has its own.
    let mut command = workspace::tool(&*binary);
    command
        .args(["describe", name])
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1");
    answer(&mut command).ok_or_else(|| {
        Failure::new(
            format!("`{} describe {name}` fails", binary.display()),
            "use a name that `ebpf-prof describe` knows",
        )
    })
}
