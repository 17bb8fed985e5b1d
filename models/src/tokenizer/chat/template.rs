//! A chat template: messages to one text. Templates are Jinja's, read by `minijinja`, with what
//! transformers gives them.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value};

/// Most steps of rendering, so that a template that never ends is an error. Loops over a few
/// messages need some hundred.
const STEPS_MAX: u64 = 100_000;
/// Name of the only template of an environment.
const NAME: &str = "chat_template";

/// A template, ready to render. It does nothing but that: it has no access to files or the clock.
#[derive(Debug)]
pub(super) struct ChatTemplate(Environment<'static>);

impl ChatTemplate {
    /// # Errors
    /// Mistake in the template.
    pub(super) fn new(source: &str) -> Result<Self, String> {
        let mut environment = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        let syntax = syntax.trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|cause| cause.to_string())?);
        environment.set_fuel(Some(STEPS_MAX));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise);
        environment.add_filter("tojson", to_json);
        let added = environment.add_template_owned(NAME, source.to_owned());
        added.map_err(|cause| cause.to_string())?;
        Ok(Self(environment))
    }

    /// Returns the text of these values.
    ///
    /// # Errors
    /// Message of the template about values that it refuses.
    pub(super) fn render(&self, values: &Value) -> Result<String, String> {
        let template = self.0.get_template(NAME);
        let text = template.and_then(|template| template.render(values));
        text.map_err(|cause| cause.to_string())
    }
}

/// Ends the rendering with a message, as templates do that do not take a conversation.
fn raise(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// Writes a value as JSON, without the signs that would be needed in HTML.
fn to_json(value: Value) -> Result<String, Error> {
    serde_json::to_string(&value)
        .map_err(|cause| Error::new(ErrorKind::BadSerialization, cause.to_string()))
}
