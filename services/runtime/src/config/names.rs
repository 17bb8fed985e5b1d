//! Rules for names in configuration files.

use motet_proto::oip::split_version;

use motet_config::{Diagnostic, Diagnostics, Spanned, truncated};

/// Most characters of a name.
pub const NAME_CHARS_MAX: usize = 63;

/// Rule for the characters of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// `[a-z][a-z0-9_-]*`, optionally with a version after `@`: models.
    Model,
    /// `[a-z][a-z0-9_-]*`: endpoints.
    Endpoint,
    /// `[a-z][a-z0-9_]*`: nodes, and names that become names of a .proto file.
    Identifier,
}

impl NameRule {
    /// Returns whether `name` follows the rule.
    pub fn allows(self, name: &str) -> bool {
        let (name, version) = match self {
            Self::Model => split_version(name),
            Self::Endpoint | Self::Identifier => (name, None),
        };
        version.is_none_or(is_version)
            && name.len() <= NAME_CHARS_MAX
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| {
                b.is_ascii_lowercase()
                    || b.is_ascii_digit()
                    || b == b'_'
                    || (b == b'-' && self != Self::Identifier)
            })
    }

    /// Describes the rule, for messages.
    pub fn text(self) -> String {
        let also = match self {
            Self::Model | Self::Endpoint => ", `_` and `-`",
            Self::Identifier => " and `_`",
        };
        let version = match self {
            Self::Model => "; a version may follow, as in `name@2`",
            Self::Endpoint | Self::Identifier => "",
        };
        format!(
            "a name starts with a lower-case letter, goes on with lower-case letters, \
             digits{also}, and has at most {NAME_CHARS_MAX} characters{version}"
        )
    }

    /// Reports a name that breaks the rule. Returns whether it follows the rule.
    pub fn check(self, what: &str, name: &Spanned<String>, diagnostics: &mut Diagnostics) -> bool {
        let fits = self.allows(&name.value);
        if !fits {
            let mut diagnostic = Diagnostic::error(
                name.span,
                format!("`{}` cannot be the name of {what}", truncated(&name.value)),
            )
            .note(self.text());
            let better = self.repair(&name.value);
            if self.allows(&better) {
                diagnostic = diagnostic.help(format!("`{better}` would do"));
            }
            diagnostics.push(diagnostic);
        }
        fits
    }

    /// Replaces the characters that the rule does not allow.
    fn repair(self, name: &str) -> String {
        name.chars()
            .flat_map(char::to_lowercase)
            .map(|c| match c {
                '-' if self != Self::Identifier => '-',
                c if c.is_ascii_alphanumeric() => c,
                _ => '_',
            })
            .collect()
    }
}

/// Most characters of a version.
const VERSION_CHARS_MAX: usize = 32;

fn is_version(version: &str) -> bool {
    version.len() <= VERSION_CHARS_MAX
        && version.starts_with(|c: char| c.is_ascii_alphanumeric())
        && version
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_their_rule() {
        let long = "a".repeat(NAME_CHARS_MAX + 1);
        for (name, model, identifier) in [
            ("a", true, true),
            ("mini-lm_2", true, false),
            ("mini_lm", true, true),
            ("2x", false, false),
            ("_x", false, false),
            ("MiniLM", false, false),
            ("größe", false, false),
            ("judge@4", true, false),
            ("judge@2026-11.b", true, false),
            ("judge@", false, false),
            ("judge@a b", false, false),
            ("judge@1@2", false, false),
            ("@4", false, false),
            ("", false, false),
            (long.as_str(), false, false),
        ] {
            assert_eq!(NameRule::Model.allows(name), model, "{name}");
            let endpoint = model && !name.contains('@');
            assert_eq!(NameRule::Endpoint.allows(name), endpoint, "{name}");
            assert_eq!(NameRule::Identifier.allows(name), identifier, "{name}");
        }
        assert_eq!(NameRule::Identifier.repair("Mini-LM"), "mini_lm");
    }
}
