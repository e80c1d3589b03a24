//! A run, from its target to its summary: plan, load, attach, loop, stop.
//!
//! [`setup`] finds the target's functions and makes the plan; [`attachment`] holds the links; [`reader`] drains the rings
//! on a thread of its own; [`counters`] reads what the kernel counted; [`governor`] keeps the cost within its budget;
//! [`outcome`] says how it went.
pub mod attachment;
pub mod counters;
pub mod error;
pub mod governor;
pub mod memory;
pub mod outcome;
mod outputs;
pub mod reader;
pub mod setup;
pub mod summary_json;

mod ahead;
mod catalog;
mod census;
mod changes;
mod display;
mod follow;
mod groups;
mod growth;
mod live;
mod names;
mod roster;
mod safety;
mod start;
mod state;
mod summary;
mod targets;
mod twins;
mod watch;

use std::process::ExitStatus;
use std::time::Instant;

use crate::cli::config::{Action, AttachConfig, RunConfig, SessionConfig};
use crate::kernel::capability;
use crate::target::command::HeldCommand;
use crate::target::process::Process;
use crate::ui::{View, plan_table};

pub use error::SessionError;
pub use outcome::Outcome;

use live::Target;
use targets::Targets;

/// Profiles running processes until they end, the time is over, or a signal comes.
pub fn attach(config: &AttachConfig) -> Result<Outcome, SessionError> {
    let started = Instant::now();
    let targets = Targets::find(&config.selector, config.wait)?;
    if config.session.action == Action::DryRun {
        return dry_run(&targets, &config.session);
    }
    let session = start::start(targets, &config.session, started)?;
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
            let targets = Targets::of_command(process, config.children);
            if config.session.action == Action::DryRun {
                return dry_run(&targets, &config.session).map(Prepared::Planned);
            }
            start::start(targets, &config.session, started)
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

fn dry_run(targets: &Targets, config: &SessionConfig) -> Result<Outcome, SessionError> {
    let mode = capability::choose_mode(config.probing.attach_mode)?;
    let reach = targets.reach(mode, config.probing.isolate);
    let setup = setup::plan(&targets.processes, config, mode, reach)?;
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
