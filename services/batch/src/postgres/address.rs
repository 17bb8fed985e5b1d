//! Addresses of databases: `postgres://USER@HOST:PORT/DATABASE?NAME=VALUE&...`.

use std::fmt::{self, Debug, Formatter};
use std::net::IpAddr;
use std::path::PathBuf;

use crate::database::{SCHEMES, shown};
use crate::error::BatchError;

/// The port of an address that has none.
const PORT: u16 = 5432;
/// The shape of an address, for messages.
const SHAPE: &str = "write postgres://USER@HOST:PORT/DATABASE";

/// Trust in the server of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SslMode {
    /// No TLS.
    Disable,
    /// TLS with whoever answers.
    Require,
    /// TLS with a server that has a certificate of a known issuer.
    VerifyCa,
    /// TLS with a server that has one for the name of the host.
    VerifyFull,
}

/// Files that a connection needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct ConnectionFiles {
    /// Passwords of servers.
    pub(super) passwords: Option<PathBuf>,
    /// Certificates of issuers.
    pub(super) issuers: Option<PathBuf>,
    /// The certificate of this client, and its key.
    pub(super) own: Option<(PathBuf, PathBuf)>,
}

/// The address of a database, and how it is reached.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) user: String,
    /// The password, where the address has it. No name and no message does.
    pub(super) password: Option<String>,
    /// The host; the folder of the socket where it begins with `/`.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    /// The table that answers go to.
    pub(super) table: Option<String>,
    pub(super) ssl: SslMode,
    pub(super) files: ConnectionFiles,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// The first thing that is wrong with it. The message has no password.
    pub(super) fn parse(text: &str) -> Result<Self, BatchError> {
        read(text).map_err(|reason| BatchError::cannot(format!("{}: {reason}", shown(text))))
    }

    /// Returns the database in words: the address without password and settings.
    pub(super) fn name(&self) -> String {
        let (user, database) = (encoded(&self.user), encoded(&self.database));
        let port = self.port;
        match self.host.starts_with('/') {
            true => format!("postgres://{user}@:{port}/{database}?host={}", self.host),
            false if self.host.contains(':') => {
                format!("postgres://{user}@[{}]:{port}/{database}", self.host)
            }
            false => format!("postgres://{user}@{}:{port}/{database}", self.host),
        }
    }

    /// Returns the address of its table without password and settings, where it has one.
    pub(super) fn of_table(&self) -> Option<String> {
        let (name, table) = (self.name(), encoded(self.table.as_deref()?));
        let sign = if name.contains('?') { '&' } else { '?' };
        Some(format!("{name}{sign}table={table}"))
    }
}

impl Debug for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.name()).finish()
    }
}

fn read(text: &str) -> Result<Address, String> {
    let rest = SCHEMES.iter().find_map(|s| text.strip_prefix(s));
    let rest = rest.ok_or_else(|| format!("is no address of a database: {SHAPE}"))?;
    let (place, settings) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = place.split_once('/').unwrap_or((place, ""));
    let (login, host) = authority
        .rsplit_once('@')
        .ok_or_else(|| format!("it has no user: {SHAPE}"))?;
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(decoded(password)?)),
        None => (login, None),
    };
    let (host, port) = host_and_port(host)?;
    let mut address = Address {
        user: decoded(user)?,
        password,
        host,
        port,
        database: decoded(database)?,
        table: None,
        ssl: SslMode::Disable,
        files: ConnectionFiles::default(),
    };
    let ssl = set(&mut address, settings)?;
    for (part, name) in [
        (&address.user, "user"),
        (&address.host, "host"),
        (&address.database, "database"),
    ] {
        if part.is_empty() {
            return Err(format!("it has no {name}: {SHAPE}"));
        }
    }
    let is_near = is_near(&address.host);
    address.ssl = ssl.unwrap_or(match is_near {
        true => SslMode::Disable,
        false => SslMode::VerifyFull,
    });
    Ok(address)
}

/// Returns whether a host is this machine.
fn is_near(host: &str) -> bool {
    let ip: Option<IpAddr> = host.parse().ok();
    host == "localhost" || host.starts_with('/') || ip.is_some_and(|ip| ip.is_loopback())
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest
                .split_once(']')
                .ok_or_else(|| "its host has no `]`".to_owned())?;
            (host.to_owned(), port.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (decoded(host)?, Some(port)),
            None => (decoded(text)?, None),
        },
    };
    let port = match port {
        None => PORT,
        Some(port) => port.parse().map_err(|_| {
            "its port is no number from 0 to 65535; `:`, `/`, `?` and `@` in a password are \
             written as %3A, %2F, %3F and %40"
                .to_owned()
        })?,
    };
    Ok((host, port))
}

/// Sets what the settings of an address say; returns their mode of TLS.
fn set(address: &mut Address, settings: &str) -> Result<Option<SslMode>, String> {
    let mut ssl = None;
    let (mut certificate, mut key) = (None, None);
    for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        let value = decoded(value)?;
        if value.is_empty() {
            return Err(format!("its setting `{name}` has no value"));
        }
        match name {
            "host" => address.host = value,
            "table" => address.table = Some(value),
            "sslmode" => ssl = Some(ssl_mode(&value)?),
            "sslrootcert" => address.files.issuers = Some(value.into()),
            "sslcert" => certificate = Some(PathBuf::from(value)),
            "sslkey" => key = Some(PathBuf::from(value)),
            "passfile" => address.files.passwords = Some(value.into()),
            "query" => return Err("say the query with --query, not in the address".to_owned()),
            _ => {
                return Err(format!(
                    "its setting `{name}` is not known; there are: table, host, passfile, sslmode, \
                     sslrootcert, sslcert and sslkey"
                ));
            }
        }
    }
    address.files.own = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err("sslcert and sslkey go together".to_owned()),
    };
    Ok(ssl)
}

fn ssl_mode(value: &str) -> Result<SslMode, String> {
    match value {
        "disable" => Ok(SslMode::Disable),
        "require" => Ok(SslMode::Require),
        "verify-ca" => Ok(SslMode::VerifyCa),
        "verify-full" => Ok(SslMode::VerifyFull),
        _ => Err(format!(
            "its sslmode is `{value}`; there are: disable, require, verify-ca and verify-full"
        )),
    }
}

/// Returns a text with its `%XX` as the bytes that they are.
fn decoded(text: &str) -> Result<String, String> {
    // The text itself may be a password.
    let refused = || "a `%` in it is not followed by two hexadecimal digits: write %25".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(refused)?;
        let digits = std::str::from_utf8(digits).map_err(|_| refused())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| refused())?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| "its `%XX` are no UTF-8".to_owned())
}

/// Returns a text as a part of an address.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_or_the_reason_is_told() {
        for (text, expected) in [
            ("postgres://app@db/t", Ok("postgres://app@db:5432/t")),
            (
                "postgresql://a%40b:p%3Aw@127.0.0.1:5433/t",
                Ok("postgres://a%40b@127.0.0.1:5433/t"),
            ),
            ("postgres://app@[::1]:1/t", Ok("postgres://app@[::1]:1/t")),
            (
                "postgres://app@/t?host=/run/pg",
                Ok("postgres://app@:5432/t?host=/run/pg"),
            ),
            ("postgres://db/t", Err("it has no user")),
            ("postgres://app@db", Err("it has no database")),
            ("postgres://app@/t", Err("it has no host")),
            ("postgres://app@db:x/t", Err("its port is no number")),
            (
                "postgres://app@db/t?sslmode=prefer",
                Err("there are: disable"),
            ),
            ("postgres://app@db/t?user=x", Err("`user` is not known")),
            ("postgres://app@db/t?query=x", Err("with --query")),
            ("postgres://app@db/t?sslkey=x", Err("go together")),
            ("postgres://app@db/t?table=", Err("has no value")),
            ("postgres://app@db/50%", Err("write %25")),
        ] {
            match (Address::parse(text), expected) {
                (Ok(read), Ok(name)) => {
                    assert_eq!(read.name(), name);
                    // The name is an address itself.
                    assert_eq!(Address::parse(name).unwrap().name(), name);
                }
                (Err(error), Err(part)) => assert!(error.message.contains(part), "{error}"),
                (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
            }
        }
        let read = Address::parse("postgres://a:p%3Aw@db/t?table=s.t").unwrap();
        assert_eq!(read.password.as_deref(), Some("p:w"));
        assert_eq!(read.table.as_deref(), Some("s.t"));
        for (text, expected) in [
            ("postgres://a:p@db/t", None),
            (
                "postgres://a:p@db/t?table=s.T&sslmode=disable",
                Some("postgres://a@db:5432/t?table=s.T"),
            ),
            (
                "postgres://a@/t?host=/run&table=a%26/b?",
                Some("postgres://a@:5432/t?host=/run&table=a%26%2Fb%3F"),
            ),
        ] {
            let address = Address::parse(text).unwrap().of_table();
            assert_eq!(address.as_deref(), expected);
            if let Some(address) = address {
                assert_eq!(Address::parse(&address).unwrap().of_table(), Some(address));
            }
        }
    }

    #[test]
    fn tls_is_verified_but_on_this_machine() {
        for (text, expected) in [
            ("postgres://a@db.example/t", SslMode::VerifyFull),
            ("postgres://a@localhost/t", SslMode::Disable),
            ("postgres://a@127.0.0.9/t", SslMode::Disable),
            ("postgres://a@[::1]/t", SslMode::Disable),
            ("postgres://a@/t?host=/run", SslMode::Disable),
            ("postgres://a@db/t?sslmode=disable", SslMode::Disable),
            ("postgres://a@localhost/t?sslmode=require", SslMode::Require),
        ] {
            assert_eq!(Address::parse(text).unwrap().ssl, expected, "{text}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for text in [
            "postgres://app:secret@db/t",
            "postgres://app:secret@db/t?nothing=1",
            "postgres://app:secret@db:port/t",
            "postgres://app:sec/secret@db/t",
            "postgres://app:se?secret@db/t",
            "postgres://app:se@secret@db/t?x=1",
            "postgres://app:secret@",
            "postgres://app:secret%@db/t",
        ] {
            let shown = shown(text);
            assert!(!shown.contains("sec"), "{shown}");
            if let Err(error) = Address::parse(text) {
                assert!(!error.message.contains("sec"), "{error}");
            }
            let read = Address::parse(text);
            assert!(!format!("{read:?}").contains("sec"), "{read:?}");
        }
    }
}
