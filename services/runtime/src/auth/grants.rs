//! Grants: what a principal may do.

use std::fmt;
use std::str::FromStr;

/// One permission, as it is written in a keys file or a token's scope.
///
/// ```
/// use motet_runtime::auth::Grant;
///
/// let grant: Grant = "call:rag".parse().unwrap();
/// assert_eq!(grant.to_string(), "call:rag");
/// assert!("fly".parse::<Grant>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// `call:NAME`: call and see pipelines.
    Call(NamePattern),
    /// `model:NAME`: call and see models by their own names.
    Model(NamePattern),
    /// `admin`: load and unload, and whatever else changes the server.
    Admin,
    /// `metrics`: read the metrics.
    Metrics,
    /// `flows`: state for whom a call is made (the header `motet-flow`), as a gateway does.
    Flows,
}

/// A name, or the beginning of names: `rag`, `rag-*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamePattern {
    start: String,
    is_prefix: bool,
}

/// Error of a text that is no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no grant: there are `call:PIPELINE`, `model:MODEL`, `admin`, `metrics` and `flows`; \
     a name may end in `*`"
)]
pub struct GrantError(String);

impl NamePattern {
    fn parse(text: &str) -> Option<Self> {
        let (start, is_prefix) = match text.strip_suffix('*') {
            Some(start) => (start, true),
            None => (text, false),
        };
        let fits = |c: char| c.is_alphanumeric() || "._-:/".contains(c);
        let is_name = start.chars().all(fits) && (is_prefix || !start.is_empty());
        is_name.then(|| Self {
            start: start.to_owned(),
            is_prefix,
        })
    }

    fn matches(&self, name: &str) -> bool {
        match self.is_prefix {
            true => name.starts_with(&self.start),
            false => name == self.start,
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.is_prefix { "*" } else { "" };
        write!(f, "{}{star}", self.start)
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let grant = match text.split_once(':') {
            Some(("call", name)) => NamePattern::parse(name).map(Self::Call),
            Some(("model", name)) => NamePattern::parse(name).map(Self::Model),
            Some(_) => None,
            None => match text {
                "admin" => Some(Self::Admin),
                "metrics" => Some(Self::Metrics),
                "flows" => Some(Self::Flows),
                _ => None,
            },
        };
        grant.ok_or_else(|| GrantError(motet_config::truncated(text)))
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(name) => write!(f, "call:{name}"),
            Self::Model(name) => write!(f, "model:{name}"),
            Self::Admin => f.write_str("admin"),
            Self::Metrics => f.write_str("metrics"),
            Self::Flows => f.write_str("flows"),
        }
    }
}

/// The permissions of a principal. The default permits nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants(Vec<Grant>);

impl Grants {
    /// Returns `true` if the pipeline may be called and seen.
    pub fn pipeline(&self, name: &str) -> bool {
        self.any(|grant| matches!(grant, Grant::Call(pattern) if pattern.matches(name)))
    }

    /// Returns `true` if the model may be called and seen by its own name. A grant for `m` is one
    /// for its versions `m:1`, `m:2`, too.
    pub fn model(&self, name: &str) -> bool {
        let base = name.split_once(':').map_or(name, |(base, _)| base);
        let fits = |pattern: &NamePattern| pattern.matches(name) || pattern.matches(base);
        self.any(|grant| matches!(grant, Grant::Model(pattern) if fits(pattern)))
    }

    /// Returns `true` if this grant, which has no name, is among them.
    pub fn has(&self, grant: &Grant) -> bool {
        self.0.contains(grant)
    }

    /// Returns these permissions and those of `other`.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        self.0.iter().chain(&other.0).cloned().collect()
    }

    fn any(&self, fits: impl Fn(&Grant) -> bool) -> bool {
        self.0.iter().any(fits)
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        Self(grants.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_read_as_they_print() {
        for text in [
            "call:rag",
            "call:rag-*",
            "call:*",
            "model:minilm",
            "model:org/name:2",
            "model:*",
            "admin",
            "metrics",
            "flows",
        ] {
            let grant: Grant = text.parse().expect(text);
            assert_eq!(grant.to_string(), text);
        }
        for text in [
            "", "call", "call:", "model:", "call:a b", "call:*a", "call:a**", "Admin", "admin:*",
            "call:a\n", "*", "read:rag",
        ] {
            assert!(text.parse::<Grant>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_grant_permits_what_it_names() {
        let of = |words: &[&str]| -> Grants {
            words.iter().map(|word| word.parse().expect(word)).collect()
        };
        for (words, pipeline, model, expected) in [
            (&["call:rag"][..], "rag", "rag", (true, false)),
            (&["call:rag"], "rag2", "rag", (false, false)),
            (&["call:rag*"], "rag2", "rag2", (true, false)),
            (&["call:*"], "anything", "anything", (true, false)),
            (&["model:*"], "anything", "anything", (false, true)),
            (&["model:m"], "m", "m:2", (false, true)),
            (&["model:m:1"], "m", "m:2", (false, false)),
            (&["model:minilm", "call:a"], "a", "minilm", (true, true)),
            (&["admin", "metrics", "flows"], "a", "a", (false, false)),
            (&[], "a", "a", (false, false)),
        ] {
            let grants = of(words);
            let found = (grants.pipeline(pipeline), grants.model(model));
            assert_eq!(found, expected, "{words:?}");
        }
        assert!(of(&["admin"]).has(&Grant::Admin));
        assert!(!of(&["call:*", "model:*"]).has(&Grant::Admin));
    }
}
