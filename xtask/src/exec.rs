//! The only place that starts other programs: it shows each command, and explains a failure.

use std::{
    error::Error,
    ffi::OsStr,
    fmt, io,
    process::{Child, Command, ExitStatus, Stdio},
};

/// What every command ends in.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// What failed, why, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    next: String,
}

impl Failure {
    /// `next` is an instruction to the reader: "run …", "install …".
    pub(crate) fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            next: next.into(),
        }
    }

    /// A file that could not be read or written.
    pub(crate) fn file(verb: &str, path: &std::path::Path, error: &io::Error) -> Self {
        Self::new(
            format!("failed to {verb} `{}`: {error}", path.display()),
            "check the path and its permissions",
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, next } = self;
        write!(f, "{what}\n  next: {next}")
    }
}

impl Error for Failure {}

/// Announces a step that takes long enough to wonder about.
pub(crate) fn step(what: &str, takes: &str) {
    eprintln!("==> {what} (takes {takes})");
}

/// A remark on the step that runs.
pub(crate) fn note(text: &str) {
    eprintln!("    {text}");
}

/// Shows and runs a command; fails where it fails. `purpose` completes "failed to …".
pub(crate) fn exec(command: &mut Command, purpose: &str, next: &str) -> Outcome<()> {
    let status = exit_status(command, purpose, next)?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(
        format!("failed to {purpose}: `{}` ended with {status}", Shown(command)),
        next,
    ))
}

/// Like [`exec`], for a program whose exit status is the answer.
pub(crate) fn exit_status(command: &mut Command, purpose: &str, next: &str) -> Outcome<ExitStatus> {
    eprintln!("$ {}", Shown(command));
    command.status().map_err(|error| {
        let program = command.get_program().display();
        Failure::new(
            format!("failed to {purpose}: could not start `{program}`: {error}"),
            next,
        )
    })
}

/// The standard output of a question to another program, unseen; `None` where it has no answer.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Starts a command that runs beside us, unseen.
pub(crate) fn start(command: &mut Command, purpose: &str, next: &str) -> Outcome<Child> {
    command.spawn().map_err(|error| {
        let what = format!(
            "failed to {purpose}: could not start `{}`: {error}",
            Shown(command)
        );
        Failure::new(what, next)
    })
}

/// A command as one would type it, for a report.
pub(crate) fn shown(command: &Command) -> String {
    Shown(command).to_string()
}

/// A command as one would type it.
struct Shown<'a>(&'a Command);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(command) = self;
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                write!(f, "{}={} ", name.display(), quoted(value))?;
            }
        }
        write!(f, "{}", quoted(command.get_program()))?;
        command
            .get_args()
            .try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

fn quoted(text: &OsStr) -> String {
    let text = text.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%^~".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("cargo");
        command
            .args(["test", "a b", ""])
            .env("FLAGS", "--cfg=x=\"y\"")
            .env_remove("GONE");
        assert_eq!(
            Shown(&command).to_string(),
            "FLAGS='--cfg=x=\"y\"' cargo test 'a b' ''"
        );
    }

    #[test]
    fn a_failure_says_what_it_was_for_and_what_to_do_next() {
        let failure = exec(&mut Command::new("false"), "try", "give up").expect_err("false fails");
        let text = failure.to_string();
        assert!(
            text.starts_with("failed to try: `false` ended with exit status: 1"),
            "{text}"
        );
        assert!(text.ends_with("next: give up"), "{text}");
    }
}
