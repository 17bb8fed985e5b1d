//! Prompts that a model was trained with, to be put before texts
//! (config_sentence_transformers.json).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::token_vectors::{TextRole, TokenVectors};
use crate::error::LoadError;
use crate::source::JsonFiles;

const FILE: &str = "config_sentence_transformers.json";
/// Names of the prompts that sentence-transformers gives each model, empty unless its file fills
/// them.
const QUERY: &str = "query";
const DOCUMENT: &str = "document";

/// The prompts of a model by name, and which of them is used if nothing else is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompts {
    /// Each prompt's text by its name; an empty text is no prompt.
    pub by_name: BTreeMap<String, String>,
    /// Name of the prompt that is used by default; one of `by_name`.
    pub default: Option<String>,
}

#[derive(Default, Deserialize)]
struct File {
    prompts: Option<BTreeMap<String, Option<String>>>,
    default_prompt_name: Option<String>,
}

impl Prompts {
    /// Reads the prompts; there are none without the file.
    pub(super) fn read(json: &JsonFiles<'_>) -> Result<Self, LoadError> {
        let File {
            prompts,
            default_prompt_name: default,
        } = json.optional(FILE)?.unwrap_or_default();
        let prompts = prompts.unwrap_or_default().into_iter();
        let mut by_name: BTreeMap<String, String> = prompts
            .map(|(name, prompt)| (name, prompt.unwrap_or_default()))
            .collect();
        if let Some(name) = &default
            && !by_name.contains_key(name)
        {
            if ![QUERY, DOCUMENT].contains(&name.as_str()) {
                let reason = format!(
                    "default_prompt_name is `{name}`, which is not among its prompts: {}",
                    list(by_name.keys())
                );
                return Err(json.unsupported(FILE, reason));
            }
            by_name.insert(name.clone(), String::new());
        }
        Ok(Self { by_name, default })
    }

    /// Adds the names of the two roles of texts of a model of token vectors, and uses that of
    /// documents by default. A marker at the beginning of a prompt is left to the tokenizer.
    pub(super) fn add_roles(&mut self, token_vectors: &TokenVectors) {
        for (name, prompt) in &mut self.by_name {
            let marker = &token_vectors.of(TextRole::of_prompt(name)).marker;
            let marker = marker.as_ref().map_or("", |marker| &marker.text);
            if let Some(rest) = prompt.strip_prefix(marker) {
                *prompt = rest.to_owned();
            }
        }
        for name in [QUERY, DOCUMENT] {
            self.by_name.entry(name.to_owned()).or_default();
        }
        self.default.get_or_insert(DOCUMENT.to_owned());
    }

    /// Returns the text of the prompt of a role, empty if there is none.
    pub fn of_role(&self, role: TextRole) -> &str {
        let name = match role {
            TextRole::Query => QUERY,
            TextRole::Document => DOCUMENT,
        };
        self.by_name.get(name).map_or("", String::as_str)
    }

    /// Returns the text of the default prompt, empty if there is none.
    pub fn default_text(&self) -> &str {
        let prompt = self
            .default
            .as_ref()
            .and_then(|name| self.by_name.get(name));
        prompt.map_or("", String::as_str)
    }

    /// Returns the text of the prompt of this name.
    ///
    /// # Errors
    /// A name that the model does not have, with those that it has.
    pub fn named(&self, name: &str) -> Result<&str, UnknownPrompt> {
        let prompt = self.by_name.get(name).map(String::as_str);
        prompt.ok_or_else(|| UnknownPrompt {
            name: name.to_owned(),
            known: list(self.by_name.keys()),
        })
    }
}

/// A prompt that the model does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model has no prompt `{name}`; its prompts: {known}")]
pub struct UnknownPrompt {
    /// The name given.
    pub name: String,
    /// The names that there are.
    pub known: String,
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match &names[..] {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn read(file: Option<&'static str>) -> Result<Prompts, String> {
        let model = "file:/model".parse().unwrap();
        let content = file.map(|text| Cow::Borrowed(text.as_bytes()));
        let json = JsonFiles {
            model: &model,
            shapes: &|| Ok(crate::source::Shapes::new()),
            read: &|name| Ok(content.clone().filter(|_| name == FILE)),
        };
        Prompts::read(&json).map_err(|error| error.to_string())
    }

    #[test]
    fn prompts_are_read_by_name_and_the_default_is_one_of_them() {
        let check = |file: Option<&'static str>, names: &[&str], default: &str| {
            let prompts = read(file).unwrap();
            let found: Vec<&str> = prompts.by_name.keys().map(String::as_str).collect();
            assert_eq!(found, names, "{file:?}");
            assert_eq!(prompts.default_text(), default, "{file:?}");
        };
        check(None, &[], "");
        check(Some("{}"), &[], "");
        check(
            Some(r#"{"prompts": null, "default_prompt_name": null}"#),
            &[],
            "",
        );
        let both =
            r#"{"prompts": {"query": "query: ", "passage": null}, "similarity_fn_name": "dot"}"#;
        check(Some(both), &["passage", "query"], "");
        let default = r#"{"prompts": {"a": "A: ", "b": "B: "}, "default_prompt_name": "b"}"#;
        check(Some(default), &["a", "b"], "B: ");
        check(Some(r#"{"default_prompt_name": "query"}"#), &["query"], "");
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let prompts = read(Some(r#"{"prompts": {"a": "A: ", "b": "B: "}}"#)).unwrap();
        assert_eq!(prompts.named("b").unwrap(), "B: ");
        let unknown = prompts.named("c").unwrap_err().to_string();
        assert_eq!(
            unknown,
            "the model has no prompt `c`; its prompts: `a`, `b`"
        );
        let none = Prompts::default().named("c").unwrap_err().to_string();
        assert!(none.ends_with("its prompts: none"), "{none}");
        let bad = read(Some(
            r#"{"prompts": {"a": ""}, "default_prompt_name": "c"}"#,
        ))
        .unwrap_err();
        assert!(
            bad.contains("config_sentence_transformers.json: default_prompt_name is `c`")
                && bad.ends_with("its prompts: `a`"),
            "{bad}"
        );
        assert!(read(Some(r#"{"prompts": ["a"]}"#)).is_err());
    }
}
