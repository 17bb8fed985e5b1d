//! The texts that the rows of a call are made of.

use super::windowed_text::WindowedText;

/// The texts that the rows of a call are made of, where these are not one for each.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowOrigins {
    /// The texts of a task with windows, whose rows follow each other.
    pub(crate) windows: Vec<WindowedText>,
    /// The labels of a task with hypotheses: each text has a row with each of them, in their order.
    pub(crate) labels: Vec<String>,
}

impl RowOrigins {
    /// Adds those of rows that follow. Labels are the same for all rows of a call.
    pub(super) fn append(&mut self, other: Self) {
        self.windows.extend(other.windows);
        if self.labels.is_empty() {
            self.labels = other.labels;
        }
    }

    /// Returns the number of the text that a row is of.
    pub(super) fn text_of(&self, row: usize) -> usize {
        let mut end = 0;
        let window = self.windows.iter().position(|text| {
            end += text.rows();
            row < end
        });
        window.unwrap_or(row / self.labels.len().max(1))
    }
}
