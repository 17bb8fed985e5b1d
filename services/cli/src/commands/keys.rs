//! `motet keys`: credentials of callers.

use std::fs::OpenOptions;
use std::io::{ErrorKind, IsTerminal, Write};
use std::num::NonZeroU16;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, bail};
use motet_runtime::auth::{ApiKey, KeysEntry, KeysFile, QuotaSpec, Rights, entry_text};

use crate::args::{KeysArgs, KeysCommand, NewKeyArgs};

pub(super) fn run(args: KeysArgs) -> anyhow::Result<()> {
    match args.command {
        KeysCommand::New(args) => new(args),
    }
}

fn new(args: NewKeyArgs) -> anyhow::Result<()> {
    let NewKeyArgs { name, file, .. } = &args;
    let fits = |c: char| c.is_alphanumeric() || "._-@".contains(c);
    if name.is_empty() || !name.starts_with(char::is_alphanumeric) || !name.chars().all(fits) {
        bail!("`{name}` is no name: write letters, digits, `.`, `_`, `-` and `@`");
    }
    let (key, text) = make(&args)?;
    let before = match file.exists() {
        true => KeysFile::read(file)?,
        false => KeysFile::default(),
    };
    if before.entries.iter().any(|entry| entry.name == *name) {
        bail!(
            "{} has a key of the name `{name}` already: choose another name, or remove its entry",
            file.display()
        );
    }
    append(file, &text).with_context(|| format!("{} cannot be written", file.display()))?;
    // The file may have had another form, such as a list in brackets.
    let added = KeysFile::read(file);
    let is_there = added.is_ok_and(|added| added.entries.len() == before.entries.len() + 1);
    if !is_there {
        bail!(
            "{} is not written as `motet keys new` adds to it: it needs one entry after another, \
             each beginning with `- name:` at the start of a line",
            file.display()
        );
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", key.reveal())?;
    if stdout.is_terminal() {
        eprintln!(
            "The key of {name}, which is shown only now. {} has its SHA-256. It is sent as \
             `authorization: Bearer KEY`, by motet's own commands from MOTET_API_KEY.",
            file.display()
        );
    }
    Ok(())
}

/// Makes a key and its entry in the file.
fn make(args: &NewKeyArgs) -> anyhow::Result<(ApiKey, String)> {
    let key = ApiKey::generate().context("the system has no random numbers")?;
    let expires = args.expires.map(|time| SystemTime::now() + time);
    let entry = KeysEntry {
        name: args.name.clone(),
        digests: vec![key.digest()],
        certificate: None,
        expires,
        rights: Rights {
            grants: args.may.iter().cloned().collect(),
            share: NonZeroU16::new(args.share).unwrap_or(NonZeroU16::MIN),
            limits: QuotaSpec {
                requests_per_second: args.requests_per_second,
                tokens_per_second: args.tokens_per_second,
                concurrency: args.concurrency,
            },
        },
    };
    let text = entry_text(&entry, &args.may);
    Ok((key, text))
}

/// Appends an entry to a file, which is made for its owner alone if it is not there. A file that
/// ends within a line gets its end first.
fn append(path: &Path, text: &str) -> std::io::Result<()> {
    let before = match std::fs::read(path) {
        Ok(before) => before,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let end = match before.last() {
        None | Some(b'\n') => "",
        Some(_) => "\n",
    };
    file.write_all(format!("{end}{text}").as_bytes())
}
