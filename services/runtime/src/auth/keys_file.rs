//! The keys file: who may call, by which credential, and what each may do.
//!
//! ```yaml
//! - name: web
//!   sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
//!   may: [call:rag, model:minilm]
//!   expires: 2027-06-30
//!   share: 2
//!   limits: { requests_per_second: 50, tokens_per_second: 20000, concurrency: 16 }
//! - name: indexer
//!   certificate: spiffe://example.org/indexer
//!   may: [call:*]
//! ```

use std::collections::HashMap;
use std::fmt::Write as _;
use std::num::NonZeroU16;
use std::path::Path;
use std::time::SystemTime;

use motet_config::values::{list, non_empty, number, string};
use motet_config::{
    Colour, Diagnostic, Diagnostics, Entry, MapReader, Node, Sources, Value, values,
};

use super::api_key::KeyDigest;
use super::grants::{Grant, Grants};
use super::quota::QuotaSpec;

/// Largest share of a principal.
pub const SHARE_MAX: u16 = 1000;

/// Rights of a principal, whatever its credential is.
#[derive(Debug, Clone, PartialEq)]
pub struct Rights {
    /// Its permissions.
    pub grants: Grants,
    /// Its share of a model's time under contention, in relation to others.
    pub share: NonZeroU16,
    /// Its limits.
    pub limits: QuotaSpec,
}

impl Default for Rights {
    fn default() -> Self {
        Self {
            grants: Grants::default(),
            share: NonZeroU16::MIN,
            limits: QuotaSpec::default(),
        }
    }
}

/// One entry of a keys file.
#[derive(Debug, Clone)]
pub struct KeysEntry {
    /// Name of the principal.
    pub name: String,
    /// Digests of its keys; several while one is replaced by the next.
    pub digests: Vec<KeyDigest>,
    /// A name of its client certificate: a URI, a DNS name or the common name.
    pub certificate: Option<String>,
    /// The moment from which its keys are not accepted.
    pub expires: Option<SystemTime>,
    /// Its rights.
    pub rights: Rights,
}

/// A keys file.
#[derive(Debug, Clone, Default)]
pub struct KeysFile {
    /// The entries, in the order of the file.
    pub entries: Vec<KeysEntry>,
}

/// Error of a keys file that cannot be used: the report of all mistakes in it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct KeysFileError(String);

impl KeysFile {
    /// Reads a keys file.
    ///
    /// # Errors
    /// The report of all mistakes. It shows lines of the file, which has no secrets: a digest of
    /// 256 random bits tells nothing.
    pub fn read(path: &Path) -> Result<Self, KeysFileError> {
        let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
        let file = sources.read(path);
        let file = file.map_err(|error| KeysFileError(error.to_string()))?;
        if sources.file(file).text().trim().is_empty() {
            return Ok(Self::default());
        }
        let keys = motet_config::parse(&sources, file, &mut diagnostics)
            .map(|root| Self::of(&root, &mut diagnostics))
            .unwrap_or_default();
        match diagnostics.has_errors() {
            true => Err(KeysFileError(diagnostics.render(&sources, Colour::Never))),
            false => Ok(keys),
        }
    }

    fn of(root: &Node, diagnostics: &mut Diagnostics) -> Self {
        let Some(items) = root.as_list() else {
            let message = format!("a keys file is a list of keys, not {}", root.kind());
            let help = "write `- name: web`, or let `motet keys new web --may call:rag` write it";
            diagnostics.push(Diagnostic::error(root.span, message).help(help));
            return Self::default();
        };
        let mut names = HashMap::new();
        let mut entries = Vec::new();
        for item in items {
            if let Some(entry) = read_entry(item, &mut names, diagnostics) {
                entries.push(entry);
            }
        }
        Self { entries }
    }
}

/// Returns the text that adds an entry to a keys file.
pub fn entry_text(entry: &KeysEntry, grants: &[Grant]) -> String {
    let mut text = format!("- name: {}\n", entry.name);
    for digest in &entry.digests {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  sha256: \"{digest}\"");
    }
    let words: Vec<String> = grants.iter().map(|grant| format!("\"{grant}\"")).collect();
    let _ = writeln!(text, "  may: [{}]", words.join(", "));
    if let Some(expires) = entry.expires {
        let _ = writeln!(
            text,
            "  expires: {}",
            humantime::format_rfc3339_seconds(expires)
        );
    }
    if entry.rights.share.get() != 1 {
        let _ = writeln!(text, "  share: {}", entry.rights.share);
    }
    let limits = entry.rights.limits;
    let limits: Vec<String> = [
        limits
            .requests_per_second
            .map(|n| format!("requests_per_second: {n}")),
        limits
            .tokens_per_second
            .map(|n| format!("tokens_per_second: {n}")),
        limits.concurrency.map(|n| format!("concurrency: {n}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !limits.is_empty() {
        let _ = writeln!(text, "  limits: {{ {} }}", limits.join(", "));
    }
    text
}

fn read_entry(
    node: &Node,
    names: &mut HashMap<String, motet_config::Span>,
    diagnostics: &mut Diagnostics,
) -> Option<KeysEntry> {
    let mut map = MapReader::new(node, "a key", node.span, diagnostics)?;
    let name = map.required("name", "name who holds it, such as `name: web`");
    let name = name.and_then(|entry| non_empty(entry, diagnostics));
    if let Some(name) = &name
        && let Some(before) = names.insert(name.value.clone(), name.span)
    {
        let message = format!("there are two keys of the name `{}`", name.value);
        let error = Diagnostic::error(name.span, message).also(before, "the other");
        diagnostics.push(error.help("`sha256` may be a list, while one key replaces another"));
    }
    let digests = map.get("sha256");
    let digests = digests.map(|entry| read_digests(entry, diagnostics).unwrap_or_default());
    let certificate = map.get("certificate");
    let certificate = certificate.and_then(|entry| non_empty(entry, diagnostics));
    let expires = map.get("expires");
    let expires = expires.and_then(|entry| read_time(entry, diagnostics));
    let rights = read_rights(&mut map, diagnostics);
    if digests.is_none() && certificate.is_none() {
        let message = "a key needs `sha256` (of an API key) or `certificate` (a name of one)";
        let help = "`motet keys new NAME --may call:PIPELINE` makes an API key";
        diagnostics.push(Diagnostic::error(node.span, message).help(help));
    }
    map.finish(diagnostics);
    Some(KeysEntry {
        name: name?.value,
        digests: digests.unwrap_or_default(),
        certificate: certificate.map(|name| name.value),
        expires,
        rights,
    })
}

/// Reads the keys `may`, `share` and `limits`.
pub(crate) fn read_rights(map: &mut MapReader<'_>, diagnostics: &mut Diagnostics) -> Rights {
    let grants = map.get("may");
    let grants = grants.map(|entry| read_grants(entry, diagnostics));
    let share = map.get("share");
    let share = share.and_then(|entry| {
        let share = values::count(entry, 1..=usize::from(SHARE_MAX), diagnostics)?;
        NonZeroU16::new(u16::try_from(share.value).ok()?)
    });
    let limits = map.get("limits");
    let limits = limits.and_then(|entry| read_limits(entry, diagnostics));
    Rights {
        grants: grants.unwrap_or_default(),
        share: share.unwrap_or(NonZeroU16::MIN),
        limits: limits.unwrap_or_default(),
    }
}

fn read_grants(entry: &Entry, diagnostics: &mut Diagnostics) -> Grants {
    let Some(items) = list(entry, diagnostics) else {
        return Grants::default();
    };
    let mut grants = Vec::new();
    for item in items {
        let grant = match item.as_str() {
            Some(word) => word.parse::<Grant>().map_err(|error| error.to_string()),
            None => Err(format!("a grant is a word, not {}", item.kind())),
        };
        match grant {
            Ok(grant) => grants.push(grant),
            Err(message) => diagnostics.push(Diagnostic::error(item.span, message)),
        }
    }
    grants.into_iter().collect()
}

fn read_digests(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Vec<KeyDigest>> {
    let nodes = match &entry.node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(&entry.node),
    };
    let mut digests = Vec::new();
    for node in nodes {
        match node.as_str().and_then(KeyDigest::parse) {
            Some(digest) => digests.push(digest),
            None => {
                let message = "`sha256` must be the SHA-256 of a key: 64 hexadecimal digits";
                let help = "`printf %s KEY | sha256sum` prints it; digits alone need quotes";
                // The text may be a key that was written here by mistake: it is not shown.
                diagnostics.push(Diagnostic::error(entry.key.span, message).help(help));
                return None;
            }
        }
    }
    Some(digests)
}

fn read_time(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<SystemTime> {
    let text = string(entry, diagnostics)?;
    let time = parse_time(&text.value);
    if time.is_none() {
        let message = "`expires` must be a date or a time in UTC";
        let help = "such as `2027-06-30` or `2027-06-30T12:00:00Z`";
        diagnostics.push(Diagnostic::error(text.span, message).help(help));
    }
    time
}

/// Reads a date, the first moment of which is meant, or a time.
fn parse_time(text: &str) -> Option<SystemTime> {
    let midnight = format!("{text}T00:00:00Z");
    let text = if text.len() == "2027-06-30".len() {
        &midnight
    } else {
        text
    };
    humantime::parse_rfc3339(text).ok()
}

fn read_limits(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<QuotaSpec> {
    const RATES: std::ops::RangeInclusive<f64> = 0.001..=1e12;
    let mut map = MapReader::new(&entry.node, "`limits`", entry.key.span, diagnostics)?;
    let requests = map.get("requests_per_second");
    let requests = requests.and_then(|entry| number(entry, RATES, diagnostics));
    let tokens = map.get("tokens_per_second");
    let tokens = tokens.and_then(|entry| number(entry, RATES, diagnostics));
    let concurrency = map.get("concurrency");
    let concurrency = concurrency.and_then(|e| values::count(e, 1..=1_000_000, diagnostics));
    map.finish(diagnostics);
    Some(QuotaSpec {
        requests_per_second: requests.map(|rate| rate.value),
        tokens_per_second: tokens.map(|rate| rate.value),
        concurrency: concurrency.map(|n| n.value),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DIGEST: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

    fn read(text: &str) -> Result<KeysFile, String> {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("motet-keys-{}-{number}.yaml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("a file");
        let read = KeysFile::read(&path).map_err(|error| error.to_string());
        std::fs::remove_file(path).expect("the file");
        read
    }

    #[test]
    fn every_key_is_read() {
        let file = read(&format!(
            "\
- name: web
  sha256: {DIGEST}
  may: [call:rag, model:minilm, admin]
  expires: 2027-06-30
  share: 2
  limits: {{ requests_per_second: 50, tokens_per_second: 0.5, concurrency: 16 }}
- {{ name: two, sha256: [{DIGEST}, \"{}\"] }}
- {{ name: indexer, certificate: \"spiffe://example.org/indexer\", may: [\"call:*\"] }}
",
            "0".repeat(64)
        ));
        let entries = file.expect("a keys file").entries;
        let web = &entries[0];
        assert_eq!((web.name.as_str(), web.digests.len()), ("web", 1));
        assert!(web.digests[0] == KeyDigest::of("foo"));
        let june_30 = SystemTime::UNIX_EPOCH + Duration::from_secs(1_814_313_600);
        assert_eq!(web.expires, Some(june_30));
        assert!(web.rights.grants.pipeline("rag") && web.rights.grants.has(&Grant::Admin));
        assert_eq!(web.rights.share.get(), 2);
        assert_eq!(
            web.rights.limits,
            QuotaSpec {
                requests_per_second: Some(50.0),
                tokens_per_second: Some(0.5),
                concurrency: Some(16),
            }
        );
        assert_eq!(entries[1].digests.len(), 2);
        assert_eq!(entries[1].rights, Rights::default());
        let certificate = entries[2].certificate.as_deref();
        assert_eq!(certificate, Some("spiffe://example.org/indexer"));
        assert!(read("").expect("no keys").entries.is_empty());
    }

    #[test]
    fn an_entry_is_read_as_it_is_written() {
        let grants: Vec<Grant> = ["call:rag-*", "admin"].map(|g| g.parse().expect(g)).into();
        let entry = KeysEntry {
            name: "web".to_owned(),
            digests: vec![KeyDigest::of("foo")],
            certificate: None,
            expires: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_814_313_600)),
            rights: Rights {
                grants: grants.iter().cloned().collect(),
                share: NonZeroU16::new(3).expect("not 0"),
                limits: QuotaSpec {
                    requests_per_second: Some(1.5),
                    tokens_per_second: None,
                    concurrency: Some(4),
                },
            },
        };
        let text = entry_text(&entry, &grants);
        let read = &read(&text).expect("a keys file").entries[0];
        assert_eq!(read.name, "web");
        assert!(read.digests == entry.digests);
        assert_eq!((read.expires, &read.rights), (entry.expires, &entry.rights));
    }

    #[test]
    fn every_mistake_is_reported() {
        for (text, expected) in [
            (
                "keys: {}\n",
                &["a keys file is a list of keys, not a map"][..],
            ),
            (
                "- { sha256: x }\n",
                &["a key needs the key `name`", "64 hexadecimal digits"],
            ),
            ("- { name: a }\n", &["a key needs `sha256`"]),
            (
                "- { name: a, certificate: x }\n- { name: a, certificate: y }\n",
                &["there are two keys of the name `a`"],
            ),
            (
                "- { name: a, certificate: x, may: [fly] }\n",
                &["`fly` is no grant"],
            ),
            (
                "- { name: a, certificate: x, may: fly }\n",
                &["`may` must be a list"],
            ),
            (
                "- { name: a, certificate: x, expires: soon }\n",
                &["must be a date or a time"],
            ),
            (
                "- { name: a, certificate: x, share: 0 }\n",
                &["`share` is 0, but must be between"],
            ),
            (
                "- { name: a, certificate: x, limits: { requests: 5 } }\n",
                &["unknown key `requests` in `limits`"],
            ),
        ] {
            let report = read(text).expect_err(text);
            for part in expected {
                assert!(report.contains(part), "{text}\nlacks: {part}\n{report}");
            }
        }
    }
}
