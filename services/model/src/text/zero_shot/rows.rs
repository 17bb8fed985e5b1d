//! Rows of texts with hypotheses: each text with that of each label. A text is tokenized once for
//! all of its rows, a hypothesis once for the rows of a slice.

use motet_models::{PairError, TruncationSide};
use motet_runtime::status::{Reason, invalid_argument, resource_exhausted};
use tonic::Status;

use super::HypothesisTemplate;
use crate::request::Inputs;
use crate::text::call_settings::{CallSettings, Truncate};
use crate::text::ports::LABELS;
use crate::text::row_origins::RowOrigins;
use crate::text::text_codec::{TextCodec, Tokenized};

/// Most bytes of a label: it is never cut, and counts for each text.
const LABEL_BYTES_MAX: usize = 4096;

impl TextCodec {
    /// Returns the rows of some texts, given by their numbers, with the hypotheses that the labels
    /// of a call make.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for a call without labels, a hypothesis that leaves no room for a text, and
    /// a text that is longer than the limit where the call wants no text to be cut;
    /// RESOURCE_EXHAUSTED for more rows than a call may have, and for a label that is too long.
    pub(in crate::text) fn tokenize_hypotheses<'t>(
        &self,
        inputs: &Inputs,
        texts: impl Iterator<Item = (usize, &'t str)>,
        template: &HypothesisTemplate,
        settings: &CallSettings,
    ) -> Result<Tokenized, Status> {
        let labels = inputs.texts(LABELS);
        self.check_labels(inputs.texts(super::TEXT).len(), &labels)?;
        let ids = |field: String, text: &str| {
            let ids = self.tokenizer.ids(text);
            ids.map_err(|error| Status::from(invalid_argument(field, error.to_string())))
        };
        let label_field = |number: usize| format!("{LABELS}[{number}]");
        let hypothesis = |(number, label): (usize, &&str)| {
            let text = template.with(label);
            ids(label_field(number), &text)
        };
        let hypotheses = labels.iter().enumerate().map(hypothesis);
        let hypotheses = hypotheses.collect::<Result<Vec<_>, Status>>()?;
        let &CallSettings {
            max_tokens,
            truncate,
            ..
        } = settings;
        let side = match truncate {
            Truncate::Error => TruncationSide::Right,
            Truncate::Cut(side) => side,
        };
        let mut rows = Vec::new();
        for (row, text) in texts {
            let field = || self.tasks.first().field(row);
            let text = ids(field(), text)?;
            for (number, hypothesis) in hypotheses.iter().enumerate() {
                let joined = self
                    .tokenizer
                    .join_pair(&text, hypothesis, max_tokens, side);
                let joined = joined.map_err(|error| {
                    let field = match error {
                        PairError::SecondTooLong { .. } => label_field(number),
                        _ => field(),
                    };
                    invalid_argument(field, error.to_string()).build()
                })?;
                if truncate == Truncate::Error && joined.truncated() {
                    let message = format!(
                        "makes a row of {} tokens with `{LABELS}[{number}]`, special tokens \
                         included; the limit is {max_tokens}, and `truncate` is `error`",
                        joined.len() + joined.cut()
                    );
                    return Err(invalid_argument(field(), message).into());
                }
                rows.push(joined);
            }
        }
        Ok(Tokenized {
            rows,
            origins: RowOrigins {
                labels: labels.into_iter().map(str::to_owned).collect(),
                ..RowOrigins::default()
            },
        })
    }

    fn check_labels(&self, texts: usize, labels: &[&str]) -> Result<(), Status> {
        if labels.is_empty() {
            let message = "has no label; there must be one at least";
            return Err(invalid_argument(LABELS, message).into());
        }
        let long = labels
            .iter()
            .position(|label| label.len() > LABEL_BYTES_MAX);
        if let Some(number) = long {
            let (field, bytes) = (format!("{LABELS}[{number}]"), labels[number].len());
            let message = format!("{field}: {bytes} bytes; a label has at most {LABEL_BYTES_MAX}");
            return Err(resource_exhausted(message, None)
                .reason(Reason::TextTooLong)
                .field(field, format!("{bytes} bytes"))
                .with("limit", LABEL_BYTES_MAX.to_string())
                .into());
        }
        let (rows, limit) = (texts * labels.len(), self.limits.rows);
        if rows <= limit {
            return Ok(());
        }
        let message = format!(
            "{texts} texts with {} labels each are {rows} rows; a call takes at most {limit}, send \
             several calls",
            labels.len()
        );
        Err(resource_exhausted(message, None)
            .reason(Reason::TooManyRows)
            .field(LABELS, format!("{rows} rows"))
            .with("limit", limit.to_string())
            .into())
    }
}
