//! The special tokens that a tokenizer puts around a text, or around and between those of a pair.

use tokenizers::Encoding;

/// The special tokens around one text or two, and the types of all tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Template {
    before: Vec<Special>,
    /// Between the texts of a pair; empty for a single text.
    between: Vec<Special>,
    after: Vec<Special>,
    /// Type of the tokens of the first text, and of those of the second.
    types: [u32; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Special {
    id: u32,
    token_type: u32,
}

/// Text that every tokenizer makes tokens of.
const PROBE: &str = "a";

impl Template {
    /// Returns the template of a single text, found by tokenizing a probe.
    ///
    /// # Errors
    /// A tokenizer that does otherwise than to put special tokens around a text.
    pub(super) fn of_text(library: &tokenizers::Tokenizer) -> Result<Self, String> {
        let full = library.encode(PROBE, true).map_err(|e| e.to_string())?;
        Self::of(&full, 1).ok_or_else(|| {
            String::from("its post-processor does not merely put special tokens around a text")
        })
    }

    /// Returns the template of a pair, found by tokenizing a probe; `None` if the tokenizer does
    /// otherwise than to put special tokens around and between two texts.
    pub(super) fn of_pair(library: &tokenizers::Tokenizer) -> Option<Self> {
        let full = library.encode((PROBE, PROBE), true).ok()?;
        Self::of(&full, 2)
    }

    /// Returns the template with all tokens of type 0.
    pub(super) fn without_types(mut self) -> Self {
        let specials = [&mut self.before, &mut self.between, &mut self.after];
        for special in specials.into_iter().flatten() {
            special.token_type = 0;
        }
        self.types = [0; 2];
        self
    }

    /// Reads the template from the encoding of `texts` texts.
    fn of(full: &Encoding, texts: usize) -> Option<Self> {
        let sequences = full.get_sequence_ids();
        let of_text = |text: usize| {
            let is_of_it = |sequence: &Option<usize>| *sequence == Some(text);
            let first = sequences.iter().position(is_of_it)?;
            let last = sequences.iter().rposition(is_of_it)?;
            sequences[first..=last]
                .iter()
                .all(is_of_it)
                .then_some(first..last + 1)
        };
        let (first, last) = (of_text(0)?, of_text(texts - 1)?);
        let (ids, types) = (full.get_ids(), full.get_type_ids());
        let specials = |range: std::ops::Range<usize>| {
            let tokens = ids[range.clone()].iter().zip(&types[range]);
            tokens
                .map(|(&id, &token_type)| Special { id, token_type })
                .collect::<Vec<_>>()
        };
        let between = match texts {
            1 => 0..0,
            _ if first.end > last.start => return None,
            _ => first.end..last.start,
        };
        Some(Self {
            before: specials(0..first.start),
            between: specials(between),
            after: specials(last.end..ids.len()),
            types: [types[first.start], types[last.start]],
        })
    }

    /// Number of special tokens.
    pub(super) fn len(&self) -> usize {
        self.before.len() + self.between.len() + self.after.len()
    }

    /// Returns whether the last token of a row is a special one.
    pub(super) fn ends_with_special(&self) -> bool {
        !self.after.is_empty()
    }

    /// Appends the special tokens before a text.
    pub(super) fn begin(&self, ids: &mut Vec<u32>) {
        ids.extend(self.before.iter().map(|special| special.id));
    }

    /// Appends the special tokens between the texts of a pair.
    pub(super) fn separate(&self, ids: &mut Vec<u32>) {
        ids.extend(self.between.iter().map(|special| special.id));
    }

    /// Appends the special tokens at the end.
    pub(super) fn end(&self, ids: &mut Vec<u32>) {
        ids.extend(self.after.iter().map(|special| special.id));
    }

    /// Returns the type of each token of a row with this many tokens of each text; empty if all are
    /// of type 0.
    pub(super) fn token_types(&self, [first, second]: [usize; 2]) -> Vec<u32> {
        let all = [&self.before, &self.between, &self.after];
        let mut types = all.into_iter().flatten().map(|special| special.token_type);
        if self.types == [0; 2] && types.all(|token_type| token_type == 0) {
            return Vec::new();
        }
        let of = |specials: &[Special]| -> Vec<u32> {
            specials.iter().map(|special| special.token_type).collect()
        };
        let mut types = of(&self.before);
        types.resize(types.len() + first, self.types[0]);
        types.extend(of(&self.between));
        types.resize(types.len() + second, self.types[1]);
        types.extend(of(&self.after));
        types
    }
}
