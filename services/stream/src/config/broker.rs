//! The key `from` of a stream: where messages come from.

use std::path::Path;

use motet_config::schema::object_with;
use motet_config::values::non_empty;
use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Spanned};
use motet_runtime::config::{ClientTlsSpec, Secret};
use motet_runtime::tls::ClientTls;
use serde_json::{Value, json};

/// Consumer of a stream or a group, unless the file names one.
const CONSUMER: &str = "motet";

/// Source of messages.
#[derive(Debug, Clone, PartialEq)]
pub enum BrokerSpec {
    /// A stream of NATS JetStream.
    Nats(NatsSpec),
    /// A stream of Redis.
    Redis(RedisSpec),
}

/// A stream of NATS JetStream.
#[derive(Debug, Clone, PartialEq)]
pub struct NatsSpec {
    /// The server, and credentials.
    pub access: Access,
    /// The stream, which is there already.
    pub stream: String,
    /// The durable consumer, which is made if it is not there.
    pub consumer: String,
    /// Subjects of the stream, if not all.
    pub filter: Option<String>,
}

/// A stream of Redis.
#[derive(Debug, Clone, PartialEq)]
pub struct RedisSpec {
    /// The server, and credentials.
    pub access: Access,
    /// The key of the stream.
    pub key: String,
    /// The consumer group, which is made if it is not there.
    pub group: String,
    /// The name in the group, one for each process; `None` for that of the machine.
    pub consumer: Option<String>,
}

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

impl BrokerSpec {
    /// Reads the entry `from`. Mistakes are added to `diagnostics`.
    pub(super) fn read(
        entry: &Entry,
        folder: &Path,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let mut map = MapReader::new(&entry.node, "`from`", entry.key.span, diagnostics)?;
        let (nats, redis) = (map.get("nats"), map.get("redis"));
        match (nats, redis) {
            (Some(url), None) => {
                lacks_feature(url, "NATS", cfg!(feature = "nats"), diagnostics);
                Self::nats(map, url, folder, diagnostics)
            }
            (None, Some(url)) => {
                lacks_feature(url, "Redis", cfg!(feature = "redis"), diagnostics);
                Self::redis(map, url, folder, diagnostics)
            }
            (Some(_), Some(second)) => {
                let message = "`from` names two brokers, but a stream has one";
                diagnostics.push(Diagnostic::error(second.key.span, message));
                None
            }
            (None, None) => {
                let message = "`from` names no broker";
                let help = "write `nats: \"nats://HOST:4222\"` or `redis: \"redis://HOST:6379\"`";
                diagnostics.push(Diagnostic::error(entry.key.span, message).help(help));
                None
            }
        }
    }

    fn nats(
        mut map: MapReader<'_>,
        url: &Entry,
        folder: &Path,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let stream = map.required("stream", "the JetStream stream, such as `stream: TICKETS`");
        let (consumer, filter) = (map.get("consumer"), map.get("filter"));
        let (token, creds) = (map.get("token"), map.get("creds"));
        let access = Access::read(&mut map, url, &["nats", "tls"], diagnostics);
        map.finish(diagnostics);
        let mut access = access?;
        access.token = token.and_then(|entry| Secret::read(entry, diagnostics));
        access.creds = creds.and_then(|entry| Secret::read(entry, diagnostics));
        access.start_from(folder);
        let mut text = |entry: &Entry| Some(non_empty(entry, diagnostics)?.value);
        Some(Self::Nats(NatsSpec {
            stream: stream.and_then(&mut text)?,
            consumer: consumer.map_or_else(|| Some(CONSUMER.to_owned()), &mut text)?,
            filter: filter
                .map(&mut text)
                .map_or(Some(None), |filter| filter.map(Some))?,
            access,
        }))
    }

    fn redis(
        mut map: MapReader<'_>,
        url: &Entry,
        folder: &Path,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let key = map.required("key", "the key of the stream, such as `key: tickets`");
        let (group, consumer) = (map.get("group"), map.get("consumer"));
        let access = Access::read(&mut map, url, &["redis", "rediss"], diagnostics);
        map.finish(diagnostics);
        let mut access = access?;
        access.start_from(folder);
        let mut text = |entry: &Entry| Some(non_empty(entry, diagnostics)?.value);
        Some(Self::Redis(RedisSpec {
            key: key.and_then(&mut text)?,
            group: group.map_or_else(|| Some(CONSUMER.to_owned()), &mut text)?,
            consumer: consumer
                .map(&mut text)
                .map_or(Some(None), |name| name.map(Some))?,
            access,
        }))
    }

    /// Returns how its server is spoken to.
    pub const fn access(&self) -> &Access {
        match self {
            Self::Nats(nats) => &nats.access,
            Self::Redis(redis) => &redis.access,
        }
    }

    /// Returns the JSON schema of the key.
    pub(super) fn schema() -> Value {
        let text = || json!({ "type": "string" });
        let secret = || json!({ "type": "string", "pattern": "\\$\\{(file|env):" });
        let nats = object_with(
            &["nats", "stream"],
            json!({
                "nats": { "type": "string", "pattern": "^(nats|tls)://" },
                "stream": text(),
                "consumer": text(),
                "filter": text(),
                "user": text(),
                "password": secret(),
                "token": secret(),
                "creds": secret(),
                "tls": ClientTlsSpec::schema(),
            }),
        );
        let redis = object_with(
            &["redis", "key"],
            json!({
                "redis": { "type": "string", "pattern": "^rediss?://" },
                "key": text(),
                "group": text(),
                "consumer": text(),
                "user": text(),
                "password": secret(),
                "tls": ClientTlsSpec::schema(),
            }),
        );
        json!({ "anyOf": [nats, redis] })
    }
}

/// Reports a broker that this program cannot speak to.
fn lacks_feature(url: &Entry, broker: &str, has: bool, diagnostics: &mut Diagnostics) {
    if !has {
        let feature = &url.key.value;
        let message = format!("this program was built without {broker}");
        let help = format!("build motet with its feature `{feature}`");
        diagnostics.push(Diagnostic::error(url.key.span, message).help(help));
    }
}

impl Access {
    /// Reads the address and the credentials that all brokers have.
    fn read(
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
            if written.value.starts_with("redis://") {
                let message = "`tls` is for addresses with TLS";
                let help = "write `rediss://`";
                diagnostics.push(Diagnostic::error(entry.key.span, message).help(help));
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

    fn start_from(&mut self, folder: &Path) {
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
    pub(super) fn check(&self, diagnostics: &mut Diagnostics) {
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
