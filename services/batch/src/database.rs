//! Names of databases, also where this program reaches none.

use std::path::Path;

/// Beginnings of addresses of databases.
pub(crate) const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
/// The error of a program that reaches none.
#[cfg(not(feature = "postgres"))]
pub(crate) const ABSENT: &str =
    "this build has no Postgres: build motet with its feature `postgres`";

/// Returns whether a name is the address of a database.
pub fn is_database(name: &Path) -> bool {
    let name = name.to_str().unwrap_or_default();
    SCHEMES.iter().any(|scheme| name.starts_with(scheme))
}

/// Returns an address without its password, also one that is none.
pub(crate) fn shown(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    // A password with a character that should have been encoded may have any of them.
    let end = rest.rfind('@').unwrap_or(0).max(end);
    let (authority, more) = rest.split_at(end);
    let Some((user, host)) = authority.rsplit_once('@') else {
        let user = authority
            .split(':')
            .next()
            .filter(|_| more.starts_with('@'));
        return match user {
            Some(user) => format!("{scheme}://{user}{more}"),
            None => text.to_owned(),
        };
    };
    let user = user.split(':').next().unwrap_or_default();
    format!("{scheme}://{user}@{host}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_that_it_is_a_database() {
        for (name, expected) in [
            ("postgres://app@db/t", true),
            ("postgresql://x", true),
            ("postgres:/app@db/t", false),
            ("rows/postgres://x", false),
            ("s3://postgres", false),
        ] {
            assert_eq!(is_database(Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        for (text, expected) in [
            ("postgres://app:secret@db/t?x=1", "postgres://app@db/t?x=1"),
            (
                "postgres://app:secret@db:port/t",
                "postgres://app@db:port/t",
            ),
            ("postgres://app:sec/secret@db/t", "postgres://app@db/t"),
            ("postgres://app:se?secret@db/t", "postgres://app@db/t"),
            (
                "postgres://app:se@secret@db/t?x=1",
                "postgres://app@db/t?x=1",
            ),
            ("postgres://app:secret@", "postgres://app@"),
            ("postgres://app@db/t", "postgres://app@db/t"),
            ("postgres://db/t", "postgres://db/t"),
            ("s3://bucket/key@1", "s3://bucket/key@1"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }
}
