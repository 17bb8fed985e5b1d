//! `split_text`: texts split into paragraphs, lines or at a separator.

use std::ops::Range;

use motet_proto::tensor::{StringsBuilder, Tensor};
use motet_proto::types::{Dim, ElementType};

use crate::compute::cancel::{Cancel, Meter};
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::{ArgumentId, OUTPUT_BYTES_MAX, OpError, OpErrorKind};
use crate::ops::op::{Op, OpCall, Outputs, outputs};
use crate::ops::ports::{Arguments, FormError, Signature, port, symbol, text, words};

pub(super) struct SplitText;
pub(super) const OP: SplitText = SplitText;

/// The index of the form by paragraphs or lines; the other is at a separator.
const BY: usize = 0;
const SEPARATOR: &str = "separator";

static DOCS: OpDocs = OpDocs {
    name: "split_text",
    aliases: &[],
    summary: "Splits texts into pieces.",
    forms: &[
        Form {
            inputs: "text: string[N]",
            outputs: "text: string[M], source: i32[M], start: i32[M], end: i32[M]",
            about: "A paragraph ends at a blank line. White space around a piece is left out, and \
                    so is a piece of nothing else. `source` is the text that a piece is from, \
                    `start` and `end` are its first character there and the one after its last, as \
                    for `task: preprocess`. A single `text: string` is split in the same way.",
            example: &[("text", "string[N]")],
            settings: &[("by", "lines")],
        },
        Form {
            inputs: "text: string[N]",
            outputs: "text: string[M], source: i32[M], start: i32[M], end: i32[M]",
            about: "At each `separator`, which belongs to no piece and must not be empty.",
            example: &[("text", "string[N]")],
            settings: &[(SEPARATOR, "\"---\"")],
        },
    ],
};

impl Op for SplitText {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        let single = matches!(arguments.type_of("text"), Some((_, 0)));
        let rows: Vec<Dim> = (!single).then(|| symbol("N")).into_iter().collect();
        let pieces = |name, element| port(name, element, vec![symbol("M")]);
        let at_separator = arguments.has_setting(SEPARATOR);
        Ok(Signature {
            form: if at_separator { BY + 1 } else { BY },
            inputs: vec![port("text", ElementType::String, rows)],
            outputs: vec![
                pieces("text", ElementType::String),
                pieces("source", ElementType::I32),
                pieces("start", ElementType::I32),
                pieces("end", ElementType::I32),
            ],
            parameters: vec![if at_separator {
                text(SEPARATOR, None)
            } else {
                words("by", &["paragraphs", "lines"])
            }],
        })
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        // Each byte is read a few times: for the boundaries, the characters and the UTF-8.
        (call.bytes() as u64).saturating_mul(2)
    }

    fn run(&self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError> {
        let setting = call.text(0)?;
        let border = match (call.form, setting) {
            (BY, "lines") => Border::Line,
            (BY, _) => Border::BlankLine,
            (_, "") => {
                let kind = OpErrorKind::Value("the separator must not be empty");
                return Err(kind.caused_by([ArgumentId::Setting(0)]));
            }
            (_, separator) => Border::Separator(separator),
        };
        let mut pieces = Pieces::default();
        let mut meter = cancel.meter();
        for (source, text) in (0i32..).zip(call.input(0)?.as_strings()?.texts()) {
            pieces.split(source, text, border, &mut meter)?;
        }
        pieces.finish()
    }
}

/// Separators of pieces.
#[derive(Debug, Clone, Copy)]
enum Border<'s> {
    Line,
    BlankLine,
    Separator(&'s str),
}

/// Pieces of all texts so far.
#[derive(Default)]
struct Pieces {
    text: StringsBuilder,
    source: Vec<i32>,
    start: Vec<i32>,
    end: Vec<i32>,
    bytes: usize,
}

impl Pieces {
    /// Splits one text.
    fn split(
        &mut self,
        source: i32,
        text: &str,
        border: Border<'_>,
        meter: &mut Meter<'_>,
    ) -> Result<(), OpError> {
        let mut counter = Characters {
            text,
            byte: 0,
            count: 0,
        };
        let mut push = |piece: Range<usize>| {
            meter.spend(piece.len() + 1)?;
            self.push(source, text, piece, &mut counter)
        };
        match border {
            Border::Line => lines(text).try_for_each(push),
            Border::BlankLine => {
                let mut paragraph = 0..0;
                for line in lines(text) {
                    if text[line.clone()].trim().is_empty() {
                        push(paragraph)?;
                        paragraph = line.end..line.end;
                    } else {
                        paragraph.end = line.end;
                    }
                }
                push(paragraph)
            }
            Border::Separator(separator) => {
                let mut start = 0;
                for (at, _) in text.match_indices(separator) {
                    push(start..at)?;
                    start = at + separator.len();
                }
                push(start..text.len())
            }
        }
    }

    /// Adds a piece without the white space around it; an empty piece is not added.
    fn push(
        &mut self,
        source: i32,
        text: &str,
        piece: Range<usize>,
        characters: &mut Characters<'_>,
    ) -> Result<(), OpError> {
        let kept = text[piece.clone()].trim();
        if kept.is_empty() {
            return Ok(());
        }
        let start = piece.end - text[piece].trim_start().len();
        self.bytes += kept.len() + 4 * size_of::<i32>();
        if self.bytes > OUTPUT_BYTES_MAX {
            return Err(OpErrorKind::OutputTooLarge.in_input(0));
        }
        self.text.push(kept.as_bytes());
        self.source.push(source);
        self.start.push(characters.before(start));
        self.end.push(characters.before(start + kept.len()));
        Ok(())
    }

    fn finish(self) -> Result<Outputs, OpError> {
        let count = self.source.len();
        outputs([
            Tensor::from_raw(ElementType::String, vec![count], self.text.finish())?,
            Tensor::from_values(vec![count], self.source)?,
            Tensor::from_values(vec![count], self.start)?,
            Tensor::from_values(vec![count], self.end)?,
        ])
    }
}

/// Counter of the characters of a text up to increasing positions.
struct Characters<'t> {
    text: &'t str,
    byte: usize,
    count: i32,
}

impl Characters<'_> {
    /// Returns the number of characters before a byte. Positions of successive calls must not
    /// decrease.
    fn before(&mut self, byte: usize) -> i32 {
        // No text is long enough to exceed an i32.
        let more = self.text[self.byte..byte].chars().count();
        self.count = self
            .count
            .saturating_add(i32::try_from(more).unwrap_or(i32::MAX));
        self.byte = byte;
        self.count
    }
}

/// Returns the lines of a text, with their ends.
fn lines(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    text.split_inclusive('\n').map(move |line| {
        let range = start..start + line.len();
        start = range.end;
        range
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{ints, run, text as word};

    /// Pieces with source, start and end.
    fn split(form: usize, setting: &str, texts: &[&str]) -> Vec<(String, i32, i32, i32)> {
        let out = run(&OP, form, &[Tensor::strings(texts)], &[word(setting)]).unwrap();
        let [source, start, end] = [1, 2, 3].map(|i| ints(&out[i]));
        let strings = out[0].as_strings().unwrap();
        let pieces = strings.texts().enumerate();
        pieces
            .map(|(i, piece)| (piece.to_owned(), source[i], start[i], end[i]))
            .collect()
    }

    #[test]
    fn texts_are_split_and_offsets_are_characters_of_the_source() {
        for (form, setting, texts, expected) in [
            (BY, "lines", &["a\nb\r\n\n c "][..], &["a", "b", "c"][..]),
            (BY, "lines", &["", "\n \n"], &[]),
            (BY, "lines", &["é ü\n日本", "x"], &["é ü", "日本", "x"]),
            (BY, "paragraphs", &["a\nb\n\nc"], &["a\nb", "c"]),
            (
                BY,
                "paragraphs",
                &["\r\n\r\na \r\n \t\r\n\r\nb\r\n"],
                &["a", "b"],
            ),
            (BY, "paragraphs", &["  "], &[]),
            (BY + 1, "--", &["a--b---- c--"], &["a", "b", "c"]),
            (BY + 1, "--", &["ab"], &["ab"]),
            (BY + 1, "日", &["é日本日"], &["é", "本"]),
            (BY + 1, "x", &[], &[]),
        ] {
            let pieces = split(form, setting, texts);
            let found: Vec<&str> = pieces.iter().map(|(piece, ..)| piece.as_str()).collect();
            assert_eq!(found, expected, "{texts:?}");
            for (piece, source, start, end) in &pieces {
                let characters = texts[*source as usize].chars();
                let length = (end - start) as usize;
                let from: String = characters.skip(*start as usize).take(length).collect();
                assert_eq!(from, *piece, "{texts:?}");
            }
        }
    }

    #[test]
    fn a_single_text_is_split_too() {
        let text = Tensor::scalar_string("a\n\nb");
        let out = run(&OP, BY, &[text], &[word("paragraphs")]).unwrap();
        assert_eq!(out[0], Tensor::strings(["a", "b"]));
        assert_eq!(ints(&out[1]), [0, 0]);
        assert_eq!(ints(&out[2]), [0, 3]);
    }

    #[test]
    fn an_empty_separator_is_refused() {
        let kind = OpErrorKind::Value("the separator must not be empty");
        assert_eq!(
            run(&OP, BY + 1, &[Tensor::strings(["a"])], &[word("")]),
            Err(kind.caused_by([ArgumentId::Setting(0)]))
        );
    }
}
