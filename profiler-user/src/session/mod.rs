//! A run, from its target to its summary: plan, load, attach, loop, stop.
//!
//! [`setup`] finds the target's functions and makes the plan; [`attachment`] holds the links; [`reader`] drains the rings
//! on a thread of its own; [`counters`] reads what the kernel counted; [`governor`] keeps the cost within its budget;
//! [`outcome`] says how it went.
pub mod attachment;
pub mod counters;
pub mod error;
pub mod governor;
pub mod outcome;
pub mod reader;
pub mod setup;
pub mod summary_json;

mod display;
mod live;
mod start;
mod state;

use std::process::ExitStatus;
use std::time::Instant;

use crate::cli::config::{Action, AttachConfig, RunConfig, SessionConfig};
use crate::target::command::HeldCommand;
use crate::target::process::Process;
use crate::ui::{View, plan_table};

pub use error::SessionError;
pub use outcome::Outcome;

use live::Target;

/// Profiles running processes until they end, the time is over, or a signal comes.
pub fn attach(config: &AttachConfig) -> Result<Outcome, SessionError> {
    let processes: Vec<Process> = config
        .pids
        .iter()
        .map(|pid| Process::open(*pid))
        .collect::<Result<_, _>>()?;
    let started = Instant::now();
    if config.session.action == Action::DryRun {
        return dry_run(&processes, &config.session);
    }
    let session = start::start(&processes, &config.session, started)?;
    session.run(Target::Processes)
}

/// Starts a command and profiles it to its end.
pub fn run(config: &RunConfig) -> Result<Outcome, SessionError> {
    setup::check_permissions()?;
    let started = Instant::now();
    let held = HeldCommand::start(&config.program, &config.arguments)?;
    let prepared = Process::open(held.pid())
        .map_err(SessionError::from)
        .and_then(|process| {
            if config.session.action == Action::DryRun {
                return dry_run(std::slice::from_ref(&process), &config.session).map(Prepared::Planned);
            }
            start::start(std::slice::from_ref(&process), &config.session, started)
                .map(|session| Prepared::Attached(Box::new(session)))
        });
    match prepared {
        Ok(Prepared::Attached(session)) => session.run(Target::Command(held.release()?)),
        Ok(Prepared::Planned(outcome)) => {
            held.kill();
            Ok(outcome)
        }
        Err(error) => {
            held.kill();
            Err(error)
        }
    }
}

enum Prepared {
    Planned(Outcome),
    Attached(Box<live::Session>),
}

fn dry_run(processes: &[Process], config: &SessionConfig) -> Result<Outcome, SessionError> {
    let setup = setup::plan(processes, config)?;
    let view = View {
        style: display::stdout_style(config),
        ..View::default()
    };
    let lines = setup.lines_wanted(&config.symbols).read();
    display::print(&plan_table::render(&setup.plan, &lines, &view))?;
    setup.warn();
    Ok(Outcome {
        command: None::<ExitStatus>,
        ..Outcome::default()
    })
}
