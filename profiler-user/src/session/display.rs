//! Where tables go: standard output, unless records or a command own it.
use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;

use crate::cli::config::{DisplayConfig, SessionConfig, StdoutUse};
use crate::ui::live::LiveScreen;
use crate::ui::{Style, Summary, View, table, terminal};

use super::SessionError;

/// Who else writes to the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Company {
    /// Nobody.
    Alone,
    /// A command that was started.
    Command,
}

/// The table of a session.
pub(super) struct Display {
    output: Output,
    view: View,
    live: Option<LiveScreen<File>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Stdout,
    Stderr,
}

impl Display {
    /// Decides where the table goes, and whether it is shown while running: only on a terminal that is ours alone.
    pub(super) fn new(config: &DisplayConfig, company: Company) -> Self {
        let output = match (company, config.stdout) {
            (Company::Alone, StdoutUse::Table) => Output::Stdout,
            (Company::Command, _) | (Company::Alone, StdoutUse::Records) => Output::Stderr,
        };
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let (style, shown_live) = match output {
            Output::Stdout => (terminal::style(&stdout, config.style), stdout.is_terminal()),
            Output::Stderr => (
                terminal::style(&stderr, config.style),
                stderr.is_terminal() && !stdout.is_terminal(),
            ),
        };
        let descriptor = match output {
            Output::Stdout => stdout.as_fd().try_clone_to_owned(),
            Output::Stderr => stderr.as_fd().try_clone_to_owned(),
        };
        let live = descriptor
            .ok()
            .filter(|_| shown_live)
            .map(|fd| LiveScreen::new(File::from(fd)));
        let view = View {
            width: None,
            height: None,
            style,
            sort: config.sort,
            top: config.top,
        };
        Self { output, view, live }
    }

    /// How the table is shown.
    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// Whether the table is shown while running.
    pub(super) fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// Shows the table of now.
    pub(super) fn refresh(&mut self, summary: &Summary) -> Result<(), SessionError> {
        self.live
            .as_mut()
            .map_or(Ok(()), |live| written(live.show(summary, &self.view)))
    }

    /// Shows a text of now.
    pub(super) fn refresh_text(&mut self, render: &dyn Fn(&View) -> String) -> Result<(), SessionError> {
        self.live
            .as_mut()
            .map_or(Ok(()), |live| written(live.show_text(render, &self.view)))
    }

    /// Prints the last table.
    pub(super) fn conclude(self, summary: &Summary) -> Result<(), SessionError> {
        self.conclude_text(&|view| table::render(summary, view))
    }

    /// Prints the last text.
    pub(super) fn conclude_text(mut self, render: &dyn Fn(&View) -> String) -> Result<(), SessionError> {
        if let Some(mut live) = self.live.take() {
            // The last table takes the place of the live one.
            written(live.draw("", None))?;
        }
        let text = render(&self.view);
        written(match self.output {
            Output::Stdout => io::stdout().write_all(text.as_bytes()),
            Output::Stderr => io::stderr().write_all(text.as_bytes()),
        })
    }
}

/// The style of standard output.
pub(super) fn stdout_style(config: &SessionConfig) -> Style {
    terminal::style(&io::stdout(), config.display.style)
}

/// Prints to standard output. A reader that has gone is no failure.
pub(super) fn print(text: &str) -> Result<(), SessionError> {
    written(io::stdout().write_all(text.as_bytes()))
}

fn written(result: io::Result<()>) -> Result<(), SessionError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(SessionError::Print(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
