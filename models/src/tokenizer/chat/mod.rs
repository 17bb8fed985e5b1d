//! Texts as messages of a chat: a language model that judges a query and a document is asked by
//! the text that its own template makes of them.
//!
//! * `template`: the template; `rows`: its text as a row, of which only the document is cut.

mod rows;
mod template;

use minijinja::Value;
use minijinja::value::Serde;
use serde_json::{Map, json};

use super::{TokenizerError, added};
use crate::config::{ChatSettings, ModelConfig};
use crate::error::LoadError;
use crate::source::JsonFiles;
use template::ChatTemplate;

const TEMPLATE: &str = "chat_template.jinja";
const TOKENIZER: &str = "tokenizer_config.json";
/// Roles of the messages of a pair.
const PAIR: [&str; 2] = ["query", "document"];
/// Role of a single text.
const SINGLE: [&str; 1] = ["user"];
/// Special tokens that templates know by their roles.
const SPECIAL: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];
/// Signs of a template by which sentence-transformers tells that it takes lists of contents.
const STRUCTURED: [&str; 6] = [
    "content[0]",
    ".type",
    "'type'",
    "\"type\"",
    "item.type",
    "message.content[",
];

/// The template that the model card of Qwen3-Reranker describes; its first files have none for a
/// query and a document.
const QWEN3_RERANKER: &str = include_str!("qwen3_reranker.jinja");

/// A model's template, and how texts become its messages.
#[derive(Debug)]
pub(crate) struct Chat {
    template: ChatTemplate,
    is_structured: bool,
    /// Values beside the messages.
    values: Map<String, serde_json::Value>,
    /// `true` if single texts are messages, too.
    has_single: bool,
}

impl Chat {
    /// Returns the template of a model whose texts are messages, if they are.
    ///
    /// # Errors
    /// A model whose files say that texts are messages, without a template that says what becomes
    /// of a query and a document.
    pub(crate) fn of_model(
        json: &JsonFiles<'_>,
        config: &ModelConfig,
    ) -> Result<Option<Self>, LoadError> {
        let Some(settings) = &config.chat else {
            return Ok(None);
        };
        let own = source(json)?;
        let refused = match &own {
            None => (
                TEMPLATE,
                "is missing: modality_config has `message`".to_owned(),
            ),
            Some((file, source)) => match Self::new(json, settings, source)? {
                Ok(chat) => return Ok(Some(chat)),
                Err(why) => (
                    *file,
                    format!("the template takes no query and document: {why}"),
                ),
            },
        };
        if settings.is_stated {
            let (file, reason) = refused;
            return Err(json.unsupported(file, reason));
        }
        let known = is_qwen3_reranker(json)?.then(|| Self::new(json, settings, QWEN3_RERANKER));
        Ok(known.transpose()?.and_then(Result::ok))
    }

    /// Reads a template; the inner error is what it lacks.
    fn new(
        json: &JsonFiles<'_>,
        settings: &ChatSettings,
        source: &str,
    ) -> Result<Result<Self, String>, LoadError> {
        let mut values = settings.variables.clone();
        for role in SPECIAL {
            if let Some(token) = added::token_of_role(json, role)? {
                values.entry(role).or_insert(token.into());
            }
        }
        let looks_structured = || STRUCTURED.iter().any(|sign| source.contains(sign));
        let chat = ChatTemplate::new(source).map(|template| Self {
            template,
            is_structured: settings.is_structured.unwrap_or_else(looks_structured),
            values,
            has_single: settings.is_stated,
        });
        Ok(chat.and_then(|chat| chat.check().map(|()| chat)))
    }

    /// Checks that both texts of a pair are in what the template makes of them: it may know other
    /// roles only.
    fn check(&self) -> Result<(), String> {
        let render = |texts: [&str; 2]| self.render("", &texts).map_err(|error| error.reason);
        let first = render(["alpha", "bravo"])?;
        for (role, texts) in PAIR
            .iter()
            .zip([["charlie", "bravo"], ["alpha", "foxtrot"]])
        {
            if render(texts)? == first {
                return Err(format!("it leaves out the message of the role `{role}`"));
            }
        }
        Ok(())
    }

    /// Returns whether a single text is a message, too.
    pub(super) fn has_single(&self) -> bool {
        self.has_single
    }

    /// Returns the text of a conversation: the prompt of a call, if it is not empty, as that of the
    /// system, then a query and a document, or one text.
    fn render(&self, prompt: &str, texts: &[&str]) -> Result<String, TokenizerError> {
        let content = |text: &str| match self.is_structured {
            true => json!([{ "type": "text", "text": text }]),
            false => json!(text),
        };
        let message =
            |(role, text): (&&str, &&str)| json!({ "role": role, "content": content(text) });
        let roles: &[&str] = if texts.len() == 1 { &SINGLE } else { &PAIR };
        let system = (!prompt.is_empty()).then_some((&"system", &prompt));
        let messages = system.into_iter().chain(roles.iter().zip(texts));
        let messages: Vec<_> = messages.map(message).collect();
        let mut values = self.values.clone();
        values.insert("messages".to_owned(), messages.into());
        values
            .entry("add_generation_prompt")
            .or_insert(false.into());
        let values = Value::from(Serde(&values));
        self.template.render(&values).map_err(TokenizerError::new)
    }
}

/// Returns the model's own template, and its file.
fn source(json: &JsonFiles<'_>) -> Result<Option<(&'static str, String)>, LoadError> {
    if let Some(bytes) = (json.read)(TEMPLATE)? {
        let source = String::from_utf8(bytes.into_owned());
        let source = source.map_err(|_| json.unsupported(TEMPLATE, "it is not UTF-8"))?;
        return Ok(Some((TEMPLATE, source)));
    }
    let keys: Map<String, serde_json::Value> = json.optional(TOKENIZER)?.unwrap_or_default();
    let template = keys.get("chat_template");
    // Several have names.
    let named = template.and_then(|template| template.as_array());
    let default = named.and_then(|all| all.iter().find(|one| one["name"] == "default"));
    let source = default.map(|default| &default["template"]).or(template);
    let source = source.and_then(|source| source.as_str());
    Ok(source.map(|source| (TOKENIZER, source.to_owned())))
}

/// Returns the tokens whose logits are compared in the answer of a language model that is asked for
/// the score of a pair without a file that says so, if it is one: its texts are messages, and `yes`
/// and `no` are tokens.
///
/// # Errors
/// Files that do not parse.
pub(crate) fn yes_and_no(
    json: &JsonFiles<'_>,
    config: &ModelConfig,
) -> Result<Option<[u32; 2]>, LoadError> {
    let is_guessed = config.chat.as_ref().is_some_and(|chat| !chat.is_stated);
    if !is_guessed || Chat::of_model(json, config)?.is_none() {
        return Ok(None);
    }
    let tokens = added::ids_of(json, &["yes", "no"])?;
    let [Some(yes), Some(no)] = tokens[..] else {
        return Ok(None);
    };
    Ok(Some([yes, no]))
}

/// Returns whether a language model without files of its own for it is one that the template of
/// Qwen3-Reranker fits: of its family, with the tokens of the template.
fn is_qwen3_reranker(json: &JsonFiles<'_>) -> Result<bool, LoadError> {
    #[derive(serde::Deserialize)]
    struct Config {
        model_type: String,
    }
    let Config { model_type } = json.required(crate::family::CONFIG)?;
    if model_type != "qwen3" {
        return Ok(false);
    }
    let signs = ["<|im_start|>", "<|im_end|>", "<think>", "</think>"];
    Ok(added::ids_of(json, &signs)?.iter().all(Option::is_some))
}

#[cfg(test)]
mod tests;
