//! The key `auth` of a server: the sources that credentials are checked against.

use std::path::{Path, PathBuf};
use std::time::Duration;

use motet_config::values::{duration, non_empty};
use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, schema};
use serde_json::{Value, json};

use crate::auth::{KeysFile, Rights, read_rights};

/// Sources that credentials are checked against.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuthSpec {
    /// The keys file.
    pub keys: Option<PathBuf>,
    /// JSON web tokens.
    pub jwt: Option<JwtSpec>,
}

/// JSON web tokens that are accepted, and rights of their subjects.
#[derive(Debug, Clone, PartialEq)]
pub struct JwtSpec {
    /// The keys of their signatures.
    pub jwks: KeySetSource,
    /// The issuer that they must have; any if there is none.
    pub issuer: Option<String>,
    /// The audience that they must have; any if there is none.
    pub audience: Option<String>,
    /// Largest difference of clocks.
    pub leeway: Duration,
    /// The claim with grants, a text of words or a list.
    pub scope_claim: String,
    /// The rights of every subject, beside those of its scope.
    pub rights: Rights,
}

/// Place of a key set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySetSource {
    /// A file, read again when it changes.
    File(PathBuf),
    /// An `https` address (`http` on this machine), fetched again every few minutes and for a key
    /// that is not known.
    Url(String),
}

/// Default of [`JwtSpec::leeway`].
const LEEWAY: Duration = Duration::from_secs(60);

impl AuthSpec {
    /// Reads the entry `auth`.
    pub fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Self> {
        let at = entry.key.span;
        let mut map = MapReader::new(&entry.node, "`auth`", at, diagnostics)?;
        let keys = map.get("keys");
        let keys = keys.and_then(|entry| non_empty(entry, diagnostics));
        let jwt = map.get("jwt");
        let has_any = keys.is_some() || jwt.is_some();
        let jwt = jwt.and_then(|entry| JwtSpec::read(entry, diagnostics));
        if !has_any && !map.has_misspelling_of("keys") && !map.has_misspelling_of("jwt") {
            let message = "`auth` needs `keys`, a keys file, or `jwt`: else nobody could call";
            let help = "`motet keys new NAME --may call:PIPELINE` writes `keys.yaml`";
            diagnostics.push(Diagnostic::error(at, message).help(help));
        }
        map.finish(diagnostics);
        Some(Self {
            keys: keys.map(|path| PathBuf::from(path.value)),
            jwt,
        })
    }

    /// Makes relative paths start from `folder`.
    pub fn start_from(&mut self, folder: &Path) {
        if let Some(keys) = &mut self.keys {
            *keys = folder.join(&*keys);
        }
        if let Some(JwtSpec {
            jwks: KeySetSource::File(path),
            ..
        }) = &mut self.jwt
        {
            *path = folder.join(&*path);
        }
    }

    /// Reads the files that it names, and returns every mistake in them.
    pub fn problems(&self) -> Vec<String> {
        let keys = self.keys.as_deref().map(KeysFile::read);
        let keys = keys.and_then(Result::err).map(|error| error.to_string());
        let jwt = self.jwt.as_ref().and_then(crate::auth::key_set_problem);
        keys.into_iter().chain(jwt).collect()
    }

    /// Returns the JSON schema of the key, for editors.
    pub(super) fn schema() -> Value {
        let text = || json!({ "type": "string" });
        let mut rights = json!({
            "jwks": text(),
            "issuer": text(),
            "audience": text(),
            "leeway": text(),
            "scope_claim": text(),
            "may": { "type": "array", "items": { "type": "string" } },
            "share": { "type": "integer", "minimum": 1, "maximum": crate::auth::SHARE_MAX },
        });
        rights["limits"] = schema::object(json!({
            "requests_per_second": { "type": "number" },
            "tokens_per_second": { "type": "number" },
            "concurrency": { "type": "integer", "minimum": 1 },
        }));
        schema::object(json!({ "keys": text(), "jwt": schema::object(rights) }))
    }
}

impl JwtSpec {
    fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Self> {
        let at = entry.key.span;
        let mut map = MapReader::new(&entry.node, "`jwt`", at, diagnostics)?;
        let jwks = map.required(
            "jwks",
            "a file or an `https` address with the issuer's keys",
        );
        let jwks = jwks.and_then(|entry| key_set_source(entry, diagnostics));
        let mut text = |key| {
            let entry = map.get(key)?;
            non_empty(entry, diagnostics).map(|text| text.value)
        };
        let (issuer, audience) = (text("issuer"), text("audience"));
        let scope_claim = text("scope_claim");
        let leeway = map.get("leeway");
        let range = Duration::ZERO..=Duration::from_secs(3600);
        let leeway = leeway.and_then(|entry| duration(entry, range, diagnostics));
        let rights = read_rights(&mut map, diagnostics);
        if audience.is_none() && !map.has_misspelling_of("audience") {
            let message = "`jwt` names no `audience`: tokens for any other service are accepted";
            let help = "state the audience that the issuer puts into tokens for this server";
            diagnostics.push(Diagnostic::warning(at, message).help(help));
        }
        if cfg!(not(feature = "tls")) {
            let message = "this build has no signatures of tokens";
            let help = "build motet with the Cargo feature `tls`, or use `keys`";
            diagnostics.push(Diagnostic::error(at, message).help(help));
        }
        map.finish(diagnostics);
        Some(Self {
            jwks: jwks?,
            issuer,
            audience,
            leeway: leeway.map_or(LEEWAY, |leeway| leeway.value),
            scope_claim: scope_claim.unwrap_or_else(|| "scope".to_owned()),
            rights,
        })
    }
}

fn key_set_source(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<KeySetSource> {
    let text = non_empty(entry, diagnostics)?;
    let source = text.value;
    if source.starts_with("https://") {
        return Some(KeySetSource::Url(source));
    }
    let Some(rest) = source.strip_prefix("http://") else {
        return Some(KeySetSource::File(source.into()));
    };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        return Some(KeySetSource::Url(source));
    }
    let message = "keys fetched without TLS could be anyone's";
    let help = "use an `https` address; `http` is for this machine alone";
    diagnostics.push(Diagnostic::error(text.span, message).help(help));
    None
}
