//! Templates of hypotheses: a text with a place for a label.

use crate::text::PROMPT_BYTES_MAX;

/// The place of the label.
const PLACE: &str = "{}";

/// A text with a place for a label, such as `This example is {}.`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HypothesisTemplate {
    before: String,
    after: String,
}

impl Default for HypothesisTemplate {
    fn default() -> Self {
        Self {
            before: "This example is ".to_owned(),
            after: ".".to_owned(),
        }
    }
}

impl HypothesisTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// A text that is too long, or without exactly one place for the label.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > PROMPT_BYTES_MAX {
            let bytes = text.len();
            return Err(format!(
                "has {bytes} bytes; a template has at most {PROMPT_BYTES_MAX}"
            ));
        }
        let places = text.matches(PLACE).count();
        match text.split_once(PLACE) {
            Some((before, after)) if places == 1 => Ok(Self {
                before: before.to_owned(),
                after: after.to_owned(),
            }),
            _ => Err(format!(
                "has `{PLACE}` {places} times; it must have it once, where the label goes, as \
                 `{}` has it",
                Self::default().text()
            )),
        }
    }

    /// Returns the text.
    pub(crate) fn text(&self) -> String {
        self.with(PLACE)
    }

    /// Returns the hypothesis that a label makes.
    pub(crate) fn with(&self, label: &str) -> String {
        [&self.before, label, &self.after].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_stands_where_the_template_has_its_place() {
        for (template, label, expected) in [
            ("This example is {}.", "sports", "This example is sports."),
            ("{}", "sports", "sports"),
            ("{} it is", "", " it is"),
            ("{x} {} {", "{}", "{x} {} {"),
        ] {
            let read = HypothesisTemplate::parse(template).unwrap();
            assert_eq!(read.text(), template);
            assert_eq!(read.with(label), expected);
        }
        let default = HypothesisTemplate::parse("This example is {}.");
        assert_eq!(default.unwrap(), HypothesisTemplate::default());
    }

    #[test]
    fn a_template_without_exactly_one_place_is_refused() {
        for (template, times) in [("", "0 times"), ("It is.", "0 times"), ("{} {}", "2 times")] {
            let error = HypothesisTemplate::parse(template).unwrap_err();
            assert!(error.contains(times), "{error}");
        }
        let long = format!("{{}}{}", "a".repeat(PROMPT_BYTES_MAX));
        let error = HypothesisTemplate::parse(&long).unwrap_err();
        assert!(error.contains("4098 bytes"), "{error}");
    }
}
