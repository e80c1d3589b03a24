//! The program: it parses, runs, reports, and is the only place that decides the exit status.
use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use ebpf_prof::cli::config::{Command, ReplayConfig};
use ebpf_prof::cli::mem_config::MemConfig;
use ebpf_prof::cli::{self, Stop};
use ebpf_prof::event::EventFileReader;
use ebpf_prof::list::{self, ListError};
use ebpf_prof::session::{self, SessionError, memory};
use ebpf_prof::ui::terminal;
use ebpf_prof::{describe, doctor, plot, recorder};

/// The command line was wrong.
const USAGE: u8 = 2;
/// It failed.
const FAILURE: u8 = 1;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(Stop::Print(text)) => {
            // A reader that has gone is no failure.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(Stop::Wrong(text)) => return fail(&text, USAGE),
    };
    start_log(log_level(&command));
    match execute(&command) {
        Ok(status) => ExitCode::from(status),
        Err(error) if reader_has_gone(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            let usage = error.downcast_ref().is_some_and(SessionError::is_usage)
                || error.downcast_ref().is_some_and(ListError::is_usage);
            fail(
                &format!("error: {}\n", chain(&*error)),
                if usage { USAGE } else { FAILURE },
            )
        }
    }
}

/// A closed pipe is the reader's wish, and no failure.
fn reader_has_gone(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn execute(command: &Command) -> Result<u8, Box<dyn Error>> {
    match command {
        Command::Attach(config) => Ok(session::attach(config)?.exit_status()),
        Command::Run(config) => Ok(session::run(config)?.exit_status()),
        Command::Mem(MemConfig::Attach(config)) => Ok(session::attach(config)?.exit_status()),
        Command::Mem(MemConfig::Run(config)) => Ok(session::run(config)?.exit_status()),
        Command::Mem(MemConfig::Diff {
            before,
            after,
            shown,
            style,
        }) => {
            let style = terminal::style(&std::io::stdout(), *style);
            std::io::stdout().write_all(memory::diff::text((before, after), shown, style)?.as_bytes())?;
            Ok(0)
        }
        Command::List(config) => list::print(config, &mut std::io::stdout().lock())
            .map(|()| 0)
            .map_err(Into::into),
        Command::Plot(config) => Ok(plot::draw(config).map(|()| 0)?),
        Command::Doctor => Ok(doctor::report(&mut std::io::stdout())?),
        Command::Replay(config) => replay(config).map(|()| 0),
        Command::Describe(table) => {
            std::io::stdout().write_all(describe::text(*table).as_bytes())?;
            Ok(0)
        }
    }
}

fn replay(config: &ReplayConfig) -> Result<(), Box<dyn Error>> {
    let events = EventFileReader::open(&config.file)?;
    let recorder = config.recording.kind.open(&config.recording.output)?;
    recorder::replay(events, config.monitor.form, recorder)?;
    Ok(())
}

/// The error and its causes, in one line; a cause that its effect names already is not repeated.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

fn fail(text: &str, status: u8) -> ExitCode {
    // Nobody is left to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(status)
}

fn log_level(command: &Command) -> log::LevelFilter {
    match command {
        Command::Attach(config) => config.session.display.log_level,
        Command::Run(config) => config.session.display.log_level,
        Command::Mem(config) => config.log_level(),
        Command::List(_) | Command::Plot(_) | Command::Doctor | Command::Replay(_) | Command::Describe(_) => {
            log::LevelFilter::Warn
        }
    }
}

fn start_log(level: log::LevelFilter) {
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Warn.min(level))
        .filter_module("ebpf_prof", level)
        .format(|formatter, record| {
            let level = record.level().as_str().to_ascii_lowercase();
            writeln!(formatter, "ebpf-prof: {level}: {}", record.args())
        })
        .init();
}
