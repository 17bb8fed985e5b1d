//! Arguments that name the files a command reads.

use std::path::PathBuf;

use clap::Args;
use clap::error::ErrorKind;

use crate::configuration::Files;

/// The environment variable of `--file`.
const FILE_VARIABLE: &str = "MOTET_FILE";

/// The files of a command, as flags.
#[derive(Debug, Clone, Default, Args)]
pub struct FileFlags {
    /// A configuration or a single pipeline; the built-in configuration if there is none
    #[arg(short, long, value_name = "FILE", env = FILE_VARIABLE)]
    pub file: Option<PathBuf>,
    /// For a file of pipelines: the configuration with the models that they call [default: the
    /// built-in one]
    #[arg(long, value_name = "FILE")]
    pub models: Option<PathBuf>,
}

/// The files of a command: one file as an argument or a flag.
#[derive(Debug, Clone, Default, Args)]
pub struct FileArgs {
    /// A configuration or a single pipeline, as with --file; `-` is standard input
    #[arg(value_name = "FILE")]
    pub argument: Option<PathBuf>,
    /// The file as a flag.
    #[command(flatten)]
    pub flags: FileFlags,
}

/// A pipeline and the files of a command.
#[derive(Debug, Clone, Args)]
pub struct PipelineAndFile {
    /// A pipeline, and a file as with --file; a word with a dot or a slash is a file, and so is
    /// `-`. The pipeline may be left out if there is only one
    #[arg(value_name = "PIPELINE|FILE", num_args = 0..=2)]
    pub words: Vec<String>,
    /// The file as a flag.
    #[command(flatten)]
    pub flags: FileFlags,
}

impl FileFlags {
    /// Returns the files that these flags name.
    pub fn files(self) -> Files {
        Files {
            file: self.file,
            models: self.models,
        }
    }

    /// Returns the files, with one that is given as an argument.
    fn with_argument(self, argument: Option<PathBuf>) -> Result<Files, clap::Error> {
        let Some(argument) = argument else {
            return Ok(self.files());
        };
        // An argument takes precedence over the variable, but not over the flag.
        let variable = std::env::var_os(FILE_VARIABLE);
        if let Some(flag) = self
            .file
            .filter(|f| Some(f.as_os_str()) != variable.as_deref())
        {
            return Err(conflict(&format!(
                "two files are given, {} and {}: give one",
                argument.display(),
                flag.display()
            )));
        }
        Ok(Files {
            file: Some(argument),
            models: self.models,
        })
    }
}

impl FileArgs {
    /// Returns the files that these arguments name.
    ///
    /// # Errors
    /// When a file is given both as an argument and as a flag.
    pub fn files(self) -> Result<Files, clap::Error> {
        self.flags.with_argument(self.argument)
    }
}

impl PipelineAndFile {
    /// Returns the pipeline, if one is named, and the files.
    ///
    /// # Errors
    /// When two pipelines or two files are given.
    pub fn split(self) -> Result<(Option<String>, Files), clap::Error> {
        let (files, names): (Vec<_>, Vec<_>) = self.words.into_iter().partition(|w| is_file(w));
        if files.len() > 1 || names.len() > 1 {
            let words = [files, names].concat().join(" and ");
            let message = format!("{words}: give one pipeline and one file at most");
            return Err(conflict(&message));
        }
        let argument = files.into_iter().next().map(PathBuf::from);
        Ok((
            names.into_iter().next(),
            self.flags.with_argument(argument)?,
        ))
    }
}

/// Returns whether a word names a file: a pipeline's name has neither dots nor slashes.
fn is_file(word: &str) -> bool {
    word == "-" || word.contains(['.', '/', '\\'])
}

fn conflict(message: &str) -> clap::Error {
    clap::Error::raw(ErrorKind::ArgumentConflict, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(file: Option<&str>) -> FileFlags {
        FileFlags {
            file: file.map(PathBuf::from),
            models: None,
        }
    }

    #[test]
    fn a_file_is_given_as_an_argument_or_as_a_flag_but_not_twice() {
        let files = |argument: Option<&str>, flag| {
            let argument = argument.map(PathBuf::from);
            let flags = flags(flag);
            FileArgs { argument, flags }.files().map(|files| files.file)
        };
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(files(None, None).unwrap(), None);
        assert_eq!(files(Some("a.yaml"), None).unwrap(), path("a.yaml"));
        assert_eq!(files(Some("-"), None).unwrap(), path("-"));
        assert_eq!(files(None, Some("a.yaml")).unwrap(), path("a.yaml"));
        let error = files(Some("a.yaml"), Some("b.yaml")).unwrap_err();
        assert!(error.to_string().contains("a.yaml and b.yaml"), "{error}");
    }

    #[test]
    fn words_are_told_apart_by_dots_and_slashes() {
        for (words, expected) in [
            (&[][..], Some((None, None))),
            (&["rag"], Some((Some("rag"), None))),
            (&["my.yaml"], Some((None, Some("my.yaml")))),
            (&["-"], Some((None, Some("-")))),
            (&["rag", "./my"], Some((Some("rag"), Some("./my")))),
            (&["my.yaml", "rag"], Some((Some("rag"), Some("my.yaml")))),
            (&["rag", "digest"], None),
            (&["a.yaml", "b.yaml"], None),
        ] {
            let words = words.iter().map(|w| (*w).to_owned()).collect();
            let flags = flags(None);
            let split = PipelineAndFile { words, flags }.split().ok();
            let expected = expected.map(|(pipeline, file): (Option<&str>, Option<&str>)| {
                (pipeline.map(str::to_owned), file.map(PathBuf::from))
            });
            assert_eq!(split.map(|(p, files)| (p, files.file)), expected);
        }
    }
}
