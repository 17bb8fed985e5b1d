//! [`Settings`]: what the environment says of hubs, by the variables that other programs read.

use std::path::PathBuf;
use std::time::Duration;

use crate::token::Token;

/// The hub that is asked unless the environment names another.
pub const ENDPOINT_DEFAULT: &str = "https://huggingface.co";

/// Time that the hub has to answer, and that a download may go without a byte.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// The hub that repositories come from, and the cache that they are kept in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The folder of all repositories: `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else
    /// `huggingface/hub` in `XDG_CACHE_HOME`, else in `~/.cache`.
    pub cache: PathBuf,
    /// The address of the hub, without a slash at its end: `HF_ENDPOINT`.
    pub endpoint: String,
    /// `HF_TOKEN`, else the content of the file `HF_TOKEN_PATH`, else that of `token` in `HF_HOME`.
    pub token: Option<Token>,
    /// `HF_HUB_OFFLINE`: nothing is fetched, and no connection made.
    pub offline: bool,
    /// Time that the hub has to answer: `HF_HUB_ETAG_TIMEOUT`, in seconds.
    pub answer_timeout: Duration,
    /// Time that a download may go without a byte: `HF_HUB_DOWNLOAD_TIMEOUT`, in seconds.
    pub download_timeout: Duration,
    /// The wait before a request is made again the first time; it doubles with each.
    pub retry_wait: Duration,
}

impl Settings {
    /// Reads the environment.
    pub fn from_env() -> Self {
        let read = |name: &str| std::env::var(name).ok();
        Self::read(&read, std::env::home_dir())
    }

    /// Reads an environment in which `~` is `home`.
    fn read(read: &dyn Fn(&str) -> Option<String>, home: Option<PathBuf>) -> Self {
        let home = home.unwrap_or_default();
        let var = |names: &[&str]| {
            let values = names.iter().filter_map(|name| read(name));
            values
                .map(|value| value.trim().to_owned())
                .find(|value| !value.is_empty())
        };
        let path = |names: &[&str]| var(names).map(|text| expand(&text, read, &home));
        let seconds = |name: &str| {
            let value = var(&[name]).and_then(|text| text.parse().ok());
            value
                .filter(|s| *s > 0)
                .map_or(TIMEOUT_DEFAULT, Duration::from_secs)
        };
        let is_set = |names: &[&str]| var(names).is_some_and(|value| is_true(&value));
        let hf_home = path(&["HF_HOME"]).unwrap_or_else(|| {
            let caches = path(&["XDG_CACHE_HOME"]).unwrap_or_else(|| home.join(".cache"));
            caches.join("huggingface")
        });
        let cache = path(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"]);
        let token = || {
            let path = path(&["HF_TOKEN_PATH"]).unwrap_or_else(|| hf_home.join("token"));
            let text = var(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
                .or_else(|| std::fs::read_to_string(path).ok());
            Token::new(&text?)
        };
        let endpoint = var(&["HF_ENDPOINT"]).unwrap_or_else(|| ENDPOINT_DEFAULT.to_owned());
        Self {
            cache: cache.unwrap_or_else(|| hf_home.join("hub")),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: match is_set(&["HF_HUB_DISABLE_IMPLICIT_TOKEN"]) {
                true => None,
                false => token(),
            },
            offline: is_set(&["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]),
            answer_timeout: seconds("HF_HUB_ETAG_TIMEOUT"),
            download_timeout: seconds("HF_HUB_DOWNLOAD_TIMEOUT"),
            retry_wait: Duration::from_secs(1),
        }
    }
}

fn is_true(value: &str) -> bool {
    matches!(
        value.to_ascii_uppercase().as_str(),
        "1" | "ON" | "YES" | "TRUE"
    )
}

/// Returns the path of a text that may begin with `~` and name variables: `$NAME`, `${NAME}`.
fn expand(text: &str, read: &dyn Fn(&str) -> Option<String>, home: &std::path::Path) -> PathBuf {
    let text = match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            format!("{}{rest}", home.display())
        }
        _ => text.to_owned(),
    };
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, end) = match after
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'))
        {
            Some((name, end)) => (name, end),
            None => {
                let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let len = after.find(|c| !is_word(c)).unwrap_or(after.len());
                after.split_at(len)
            }
        };
        match read(name).filter(|_| !name.is_empty()) {
            Some(value) => out.push_str(&value),
            // A name that is not set stays as it is written.
            None => out.push_str(&rest[before.len()..rest.len() - end.len()]),
        }
        rest = end;
    }
    out.push_str(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        let read = |name: &str| variables.get(name).map(|value| (*value).to_owned());
        Settings::read(&read, Some("/home/me".into()))
    }

    #[test]
    fn the_cache_is_where_other_programs_have_theirs() {
        for (variables, expected) in [
            (&[][..], "/home/me/.cache/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")], "/h/hub"),
            (&[("HF_HOME", "~/h")], "/home/me/h/hub"),
            (&[("HF_HOME", "~other/h")], "~other/h/hub"),
            (&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")], "/c"),
            (
                &[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HOME", "/h")],
                "/old",
            ),
            (
                &[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/c")],
                "/c",
            ),
            (
                &[
                    ("HF_HUB_CACHE", "$ROOT/${DIR}x/$NONE"),
                    ("ROOT", "/r"),
                    ("DIR", "d"),
                ],
                "/r/dx/$NONE",
            ),
            (&[("HF_HUB_CACHE", ""), ("HF_HOME", "/h")], "/h/hub"),
        ] {
            assert_eq!(
                settings(variables).cache,
                PathBuf::from(expected),
                "{variables:?}"
            );
        }
    }

    #[test]
    fn switches_times_and_addresses_are_read() {
        let default = settings(&[]);
        assert_eq!(default.endpoint, ENDPOINT_DEFAULT);
        assert!(!default.offline && default.token.is_none());
        assert_eq!(default.answer_timeout, TIMEOUT_DEFAULT);
        let other = settings(&[
            ("HF_ENDPOINT", "http://mirror:80/hub//"),
            ("HF_HUB_ETAG_TIMEOUT", "3"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "0"),
        ]);
        assert_eq!(other.endpoint, "http://mirror:80/hub");
        assert_eq!(other.answer_timeout, Duration::from_secs(3));
        assert_eq!(other.download_timeout, TIMEOUT_DEFAULT);
        for (value, expected) in [("1", true), ("yes", true), ("True", true), ("0", false)] {
            assert_eq!(
                settings(&[("HF_HUB_OFFLINE", value)]).offline,
                expected,
                "{value}"
            );
        }
        assert!(settings(&[("TRANSFORMERS_OFFLINE", "on")]).offline);
    }

    #[test]
    fn the_token_is_that_of_the_environment_or_of_a_file() {
        let folder = std::env::temp_dir().join(format!("motet-token-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("token"), "of_home\n").unwrap();
        std::fs::write(folder.join("other"), "of_path\n").unwrap();
        let (home, other) = (folder.display().to_string(), folder.join("other"));
        let other = other.display().to_string();
        let home = ("HF_HOME", home.as_str());
        let path = ("HF_TOKEN_PATH", other.as_str());
        for (variables, expected) in [
            (&[home][..], Some("of_home")),
            (&[home, path], Some("of_path")),
            (&[home, path, ("HF_TOKEN", "of_env")], Some("of_env")),
            (&[home, ("HUGGING_FACE_HUB_TOKEN", "old")], Some("old")),
            (&[home, ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")], None),
            (&[("HF_HOME", "/absent")], None),
        ] {
            let token = settings(variables).token;
            assert_eq!(token, expected.and_then(Token::new), "{variables:?}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
