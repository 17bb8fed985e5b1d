//! A program with all commands of motet.

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches};
use motet_service::Tasks;
use motet_service::task::{Task, TaskNameError};

use crate::args::Cli;
use crate::commands;
use crate::exit::Exit;

/// The name of the program, unless it has one of its own.
const NAME: &str = "motet";

/// A program with all commands of motet: `up`, `serve`, `gateway`, `check`, `call` and the others.
///
/// The program `motet` is this and nothing else:
///
/// ```no_run
/// fn main() -> motet::Exit {
///     motet::App::new().run()
/// }
/// ```
///
/// A program of one's own has its own name in help texts, and its own version:
///
/// ```
/// let app = motet::App::new()
///     .name("my-models")
///     .about("The models of my team.")
///     .version(env!("CARGO_PKG_VERSION"));
/// assert_eq!(app.run_from(["my-models", "--version"]), motet::Exit::SUCCESS);
/// ```
///
/// So has one with tasks of its own, which models of a configuration may have beside those that
/// come with motet (`docs/own_model.md` of the package shows one):
///
/// ```ignore
/// motet::App::new().task::<Rank>().run()
/// ```
#[derive(Debug, Clone)]
#[must_use = "it does nothing until it is run"]
pub struct App {
    name: Option<String>,
    about: Option<String>,
    version: Option<String>,
    /// The first name that a task cannot have, if there is one.
    tasks: Result<Tasks, TaskNameError>,
}

impl Default for App {
    /// The program `motet`.
    fn default() -> Self {
        Self {
            name: None,
            about: None,
            version: None,
            tasks: Ok(Tasks::builtin()),
        }
    }
}

impl App {
    /// Returns the program `motet`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the name of the program. Help texts and examples have it in place of `motet`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the first lines of the help text.
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = Some(about.into());
        self
    }

    /// Sets the version that `--version` prints; motet's own if it is not called.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Adds a task, which models of a configuration may have: `task: NAME`. A name that another
    /// task has, or that is none, is reported by [`run`](Self::run).
    pub fn task<T: Task>(mut self) -> Self {
        self.tasks = self.tasks.and_then(Tasks::with::<T>);
        self
    }

    /// Runs the command of this process's command line, and returns when it has ended: a server
    /// ends by a signal. Errors are printed on standard error.
    ///
    /// It starts a tokio runtime, and must not be called inside of one. `up`, `serve` and `gateway`
    /// install a subscriber of `tracing` for the process.
    pub fn run(self) -> Exit {
        self.run_from(std::env::args_os())
    }

    /// Runs the command of a command line, as [`run`](Self::run). The first word is the program's
    /// own.
    ///
    /// ```
    /// use motet::{App, Exit};
    ///
    /// assert_eq!(App::new().run_from(["motet", "check", "absent.yaml"]), Exit::USAGE);
    /// ```
    pub fn run_from<I>(self, words: I) -> Exit
    where
        I: IntoIterator,
        I::Item: Into<OsString> + Clone,
    {
        let tasks = match &self.tasks {
            Ok(tasks) => tasks,
            Err(error) => {
                eprintln!("error: {error}");
                return Exit::FAILURE;
            }
        };
        let mut command = self.command();
        let parsed = command
            .try_get_matches_from_mut(words)
            .and_then(|matches| Cli::from_arg_matches(&matches));
        let name = self.name.as_deref().unwrap_or(NAME);
        match parsed.map(|cli| commands::run(cli, name, tasks)) {
            Ok(Ok(exit)) => exit,
            Ok(Err(usage)) => said(&usage.format(&mut command)),
            Err(usage) => said(&usage),
        }
    }

    /// Returns the command line, with the name and the texts of this program.
    fn command(&self) -> clap::Command {
        let mut command = Cli::command();
        if let Some(name) = &self.name {
            command = named(command, name).mut_subcommands(|command| named(command, name));
            command = command.name(name);
        }
        if let Some(about) = &self.about {
            command = command.about(about);
        }
        match &self.version {
            Some(version) => command.version(version),
            None => command,
        }
    }
}

/// Prints an error of the command line, or the help text or version that it asks for.
fn said(usage: &clap::Error) -> Exit {
    // Without an output nobody reads it.
    let _ = usage.print();
    match usage.use_stderr() {
        true => Exit::USAGE,
        false => Exit::SUCCESS,
    }
}

/// Puts the name of the program into the examples of a command.
fn named(command: clap::Command, name: &str) -> clap::Command {
    match command.get_after_help().map(ToString::to_string) {
        Some(help) => command.after_help(renamed(&help, name)),
        None => command,
    }
}

/// Returns `text` with `name` in place of each word `motet`. A file such as `motet.yaml` keeps its
/// name.
fn renamed(text: &str, name: &str) -> String {
    let in_word = |c: char| c.is_ascii_alphanumeric() || "._-=/".contains(c);
    let mut out = String::with_capacity(text.len());
    for (at, part) in text.split(NAME).enumerate() {
        if at > 0 {
            let is_word = !out.ends_with(in_word) && !part.starts_with(in_word);
            out.push_str(if is_word { name } else { NAME });
        }
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_stands_wherever_the_program_is_called() {
        for (text, expected) in [
            ("motet", "mine"),
            ("motet up my.yaml", "mine up my.yaml"),
            (
                "Without a sub-command: `motet up`.",
                "Without a sub-command: `mine up`.",
            ),
            ("motet config > motet.yaml", "mine config > motet.yaml"),
            ("$schema=motet.schema.json", "$schema=motet.schema.json"),
            ("/etc/motet", "/etc/motet"),
        ] {
            assert_eq!(renamed(text, "mine"), expected);
        }
    }

    #[test]
    fn a_program_of_ones_own_has_its_own_texts() {
        let app = App::new().name("mine").about("My models.").version("7.8.9");
        let mut command = app.command();
        command.build();
        assert_eq!(command.render_version(), "mine 7.8.9\n");
        let help = command.render_long_help().to_string();
        assert!(help.starts_with("My models."), "{help}");
        for command in command.get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            let is_call = |line: &&str| line.trim_start().starts_with("motet ");
            assert_eq!(help.lines().find(is_call), None, "{help}");
        }
    }

    #[test]
    fn without_a_name_nothing_is_changed() {
        let help = |command: clap::Command| command.clone().render_long_help().to_string();
        assert_eq!(help(App::new().command()), help(Cli::command()));
    }

    #[test]
    fn the_end_of_a_command_is_an_exit_code() {
        for (words, expected) in [
            (&["--help"][..], Exit::SUCCESS),
            (&["check", "--ops"], Exit::SUCCESS),
            (&["schema"], Exit::SUCCESS),
            (&["no-such-command"], Exit::USAGE),
            (&["check", "a.yaml", "-f", "b.yaml"], Exit::USAGE),
            (&["check", "absent.yaml"], Exit::USAGE),
            (&["graph", "absent"], Exit::FAILURE),
        ] {
            let words = [&["motet"][..], words].concat();
            assert_eq!(App::new().run_from(&words), expected, "{words:?}");
        }
    }
}
