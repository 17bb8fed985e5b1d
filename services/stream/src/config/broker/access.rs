//! The server of a broker, and the credentials for it.

use std::path::Path;

use motet_config::values::non_empty;
use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Spanned};
use motet_runtime::config::{ClientTlsSpec, Secret};
use motet_runtime::tls::ClientTls;

/// A server and how it is spoken to.
#[derive(Debug, Clone, PartialEq)]
pub struct Access {
    /// Its address, which may hold credentials.
    pub url: Secret,
    /// The address without these, for messages.
    pub shown: String,
    /// Name of a user.
    pub user: Option<Secret>,
    /// Password of the user.
    pub password: Option<Secret>,
    /// Token (NATS).
    pub token: Option<Secret>,
    /// Contents of a credentials file (NATS).
    pub creds: Option<Secret>,
    /// TLS.
    pub tls: Option<Spanned<ClientTlsSpec>>,
}

impl Access {
    /// Reads the address and the credentials that all brokers have.
    pub(super) fn read(
        map: &mut MapReader<'_>,
        url: &Entry,
        schemes: &[&str],
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let (user, password) = (map.get("user"), map.get("password"));
        let tls = map.get("tls");
        let written = non_empty(url, diagnostics)?;
        let first = written.value.split_once("://").map(|(scheme, _)| scheme);
        if !first.is_some_and(|scheme| schemes.contains(&scheme)) {
            let broker = &url.key.value;
            let message = format!("`{broker}` must be an address such as `{broker}://host:port`");
            diagnostics.push(Diagnostic::error(written.span, message));
            return None;
        }
        if holds_password(&written.value) {
            let message = "the address has a password, which the file must not hold";
            let help = "write `user` and `password: ${file:PATH}`, or `${env:NAME}` in the address";
            diagnostics.push(Diagnostic::error(written.span, message).help(help));
        }
        let tls = tls.and_then(|entry| {
            let tls = ClientTlsSpec::read(entry, diagnostics)?;
            if tls.server_name.is_some() {
                let message = "`server_name` is not for brokers: their address has the name";
                diagnostics.push(Diagnostic::error(entry.key.span, message));
            }
            for (plain, help) in [
                ("redis://", "write `rediss://`"),
                ("kafka://", "write `tls://`"),
            ] {
                if written.value.starts_with(plain) {
                    let message = "`tls` is for addresses with TLS";
                    diagnostics.push(Diagnostic::error(entry.key.span, message).help(help));
                }
            }
            Some(Spanned::new(tls, entry.key.span))
        });
        Some(Self {
            url: Secret::read_text(url, diagnostics)?,
            shown: without_credentials(&written.value),
            user: user.and_then(|entry| Secret::read_text(entry, diagnostics)),
            password: password.and_then(|entry| Secret::read(entry, diagnostics)),
            token: None,
            creds: None,
            tls,
        })
    }

    /// Returns the secrets.
    fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let more = [&self.user, &self.password, &self.token, &self.creds];
        [&self.url].into_iter().chain(more.into_iter().flatten())
    }

    pub(super) fn start_from(&mut self, folder: &Path) {
        if let Some(tls) = &mut self.tls {
            tls.value.start_from(folder);
        }
        let more = [
            &mut self.user,
            &mut self.password,
            &mut self.token,
            &mut self.creds,
        ];
        let more = more.into_iter().flatten();
        for secret in [&mut self.url].into_iter().chain(more) {
            secret.start_from(folder);
        }
    }

    /// Reports files and variables that cannot be read.
    pub(in crate::config) fn check(&self, diagnostics: &mut Diagnostics) {
        self.secrets().for_each(|secret| secret.check(diagnostics));
        let Some(tls) = &self.tls else {
            return;
        };
        for problem in ClientTls::check(&tls.value) {
            let path = problem.path.display();
            let message = format!("`{}` {path} {}", problem.key, problem.reason);
            diagnostics.push(Diagnostic::error(tls.span, message));
        }
    }
}

/// Returns the addresses of a list, each without its user.
fn without_credentials(url: &str) -> String {
    let hosts = url.split(',').map(|url| match url.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{host}")
        }
        None => url
            .rsplit_once('@')
            .map_or(url, |(_, host)| host)
            .to_owned(),
    });
    hosts.collect::<Vec<_>>().join(",")
}

/// Returns whether an address has a password that is no reference.
fn holds_password(url: &str) -> bool {
    url.split(',').any(|url| {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let user = rest.rsplit_once('@').map(|(user, _)| user);
        user.is_some_and(|user| !user.is_empty() && !user.contains("${"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_neither_written_nor_shown() {
        for (url, shown, holds) in [
            ("nats://broker:4222", "nats://broker:4222", false),
            ("nats://a:1,nats://b:2", "nats://a:1,nats://b:2", false),
            ("nats://me:secret@b:1", "nats://b:1", true),
            ("redis://:secret@b:1/2", "redis://b:1/2", true),
            ("nats://${env:TOKEN}@b:1", "nats://b:1", false),
            ("nats://a:1,nats://x@b:2", "nats://a:1,nats://b:2", true),
        ] {
            assert_eq!(without_credentials(url), shown);
            assert_eq!(holds_password(url), holds, "{url}");
        }
    }
}
