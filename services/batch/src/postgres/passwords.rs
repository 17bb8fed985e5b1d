//! Passwords: of the address, of the environment, and of files as libpq has them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::address::Address;

/// Variable with a password.
const VARIABLE: &str = "PGPASSWORD";
/// Variable with the name of a file of passwords.
const FILE_VARIABLE: &str = "PGPASSFILE";
/// That file in the home of a user.
const FILE: &str = ".pgpass";

/// Returns the password of an address; `None` if nobody says one.
///
/// # Errors
/// A file of passwords that is named and cannot be read, or that others may read.
pub(super) fn find(address: &Address) -> Result<Option<String>, String> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(password) = address.password.clone().or_else(|| variable(VARIABLE)) {
        return Ok(Some(password));
    }
    let named = address.files.passwords.clone();
    let named = named.or_else(|| variable(FILE_VARIABLE).map(PathBuf::from));
    let (path, is_named) = match (named, variable("HOME")) {
        (Some(path), _) => (path, true),
        (None, Some(home)) => (Path::new(&home).join(FILE), false),
        (None, None) => return Ok(None),
    };
    match read(&path) {
        Ok(text) => Ok(of_file(&text, address)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => Ok(None),
        Err(error) => Err(format!("its passwords, {}: {error}", path.display())),
    }
}

/// Reads a file that nobody else may read.
fn read(path: &Path) -> io::Result<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
            let message = "others may read the file: chmod 600";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
    }
    fs::read_to_string(path)
}

/// Returns the password that a file has for an address: that of the first line that fits, of
/// `HOST:PORT:DATABASE:USER:PASSWORD`, in which `*` is any.
fn of_file(text: &str, address: &Address) -> Option<String> {
    let host = match address.host.starts_with('/') {
        true => "localhost",
        false => &address.host,
    };
    let port = address.port.to_string();
    let wanted = [host, &port, &address.database, &address.user];
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut fitting = lines.filter_map(|line| {
        let mut fields = fields(line);
        let password = (fields.len() == 5).then(|| fields.pop())??;
        let mut pairs = fields.iter().zip(wanted);
        let fits = pairs.all(|((field, is_any), wanted)| *is_any || field == wanted);
        fits.then_some(password.0)
    });
    fitting.next()
}

/// Returns the fields of a line, at most five, each with whether it was `*`. `\` is before `:` and
/// `\` that are of a field.
fn fields(line: &str) -> Vec<(String, bool)> {
    let mut fields = vec![String::new()];
    let mut is_escaped = vec![false];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let last = fields.len() - 1;
        match character {
            ':' if last < 4 => {
                fields.push(String::new());
                is_escaped.push(false);
            }
            '\\' => {
                fields[last].extend(characters.next());
                is_escaped[last] = true;
            }
            other => fields[last].push(other),
        }
    }
    let pairs = fields.into_iter().zip(is_escaped);
    pairs
        .map(|(field, is_escaped)| {
            let is_any = field == "*" && !is_escaped;
            (field, is_any)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let file = "# comment\n\
                    other:5432:t:app:no\n\
                    db:5432:t:app:first\n\
                    db:*:*:app:sec\\:ond\\\\:third\n\
                    localhost:*:*:*:near\n\
                    broken line\n";
        for (address, expected) in [
            ("postgres://app@db/t", Some("first")),
            ("postgres://app@db:1/t", Some("sec:ond\\:third")),
            ("postgres://app@db/other", Some("sec:ond\\:third")),
            ("postgres://bob@db/t", None),
            ("postgres://bob@/t?host=/run", Some("near")),
        ] {
            let address = Address::parse(address).unwrap();
            let found = of_file(file, &address);
            assert_eq!(found.as_deref(), expected, "{address:?}");
        }
    }
}
