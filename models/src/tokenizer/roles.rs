//! Rows of queries and documents for late interaction: markers, expansion, and the tokens that give
//! no vector.

use tokenizers::AddedToken;

use super::{TokenIds, Tokenizer, TokenizerError, TruncationSide, added};
use crate::config::{Expansion, RowRules, TextRole, TokenVectors};
use crate::error::LoadError;
use crate::source::JsonFiles;

/// Rules by which texts of both roles become rows.
#[derive(Clone, Debug)]
pub(super) struct Roles {
    query: Role,
    document: Role,
}

/// Rules by which texts of one role become rows.
#[derive(Clone, Debug, Default)]
struct Role {
    /// Text before each prompt and text.
    marker: String,
    /// The token that the marker is, if it is one.
    marker_token: Option<u32>,
    max_tokens: Option<usize>,
    expansion: Option<ResolvedExpansion>,
    /// Tokens that give no vector, ascending.
    skipped: Vec<u32>,
    /// The only tokens that give one.
    only: Option<Vec<u32>>,
}

/// Expansion of short rows, with the token's id.
#[derive(Clone, Copy, Debug)]
struct ResolvedExpansion {
    token: u32,
    /// Fewest tokens of a row.
    tokens: usize,
    attended: bool,
}

impl Roles {
    /// Finds the tokens of a model's rules, and makes markers tokens of their own in `library`
    /// where the vocabulary has them.
    ///
    /// # Errors
    /// A marker that has to be a token and is none, and an expansion without its token.
    pub(super) fn new(
        library: &mut tokenizers::Tokenizer,
        json: &JsonFiles<'_>,
        rules: &TokenVectors,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            query: Role::new(library, json, &rules.query)?,
            document: Role::new(library, json, &rules.document)?,
        })
    }

    fn of(&self, role: TextRole) -> &Role {
        match role {
            TextRole::Query => &self.query,
            TextRole::Document => &self.document,
        }
    }
}

impl Role {
    fn new(
        library: &mut tokenizers::Tokenizer,
        json: &JsonFiles<'_>,
        rules: &RowRules,
    ) -> Result<Self, LoadError> {
        let (marker, marker_token) = match &rules.marker {
            None => (String::new(), None),
            Some(marker) => {
                let token = token_of_marker(library, &marker.text);
                if let (None, Some((file, key))) = (token, marker.token_of) {
                    let reason = format!(
                        "{key} `{}` is no token of the tokenizer",
                        marker.text.trim_end()
                    );
                    return Err(json.unsupported(file, reason));
                }
                (marker.text.clone(), token)
            }
        };
        let expansion = rules.expansion.as_ref();
        let expansion = expansion.map(|expansion| ResolvedExpansion::new(library, json, expansion));
        // A word that is no token cannot be found as one.
        let skipped = rules.skipped.iter();
        let skipped = skipped.filter_map(|word| library.token_to_id(word));
        let mut skipped: Vec<u32> = skipped.collect();
        skipped.sort_unstable();
        Ok(Self {
            marker,
            marker_token,
            max_tokens: rules.max_tokens,
            expansion: expansion.transpose()?,
            skipped,
            only: rules.only.clone(),
        })
    }

    fn is_dropped(&self, id: u32) -> bool {
        let is_other = |only: &Vec<u32>| !only.contains(&id);
        self.skipped.binary_search(&id).is_ok() || self.only.as_ref().is_some_and(is_other)
    }
}

impl ResolvedExpansion {
    fn new(
        library: &tokenizers::Tokenizer,
        json: &JsonFiles<'_>,
        expansion: &Expansion,
    ) -> Result<Self, LoadError> {
        let token = match &expansion.token {
            Some(token) => library.token_to_id(token),
            None => {
                let of_role = |role| added::token_of_role(json, role);
                let named = [of_role("mask_token")?, of_role("eos_token")?];
                let usual = ["[MASK]", "<mask>"].map(|token| Some(token.to_owned()));
                let mut all = named.into_iter().chain(usual).flatten();
                all.find_map(|token| library.token_to_id(&token))
            }
        };
        let token = token.ok_or_else(|| {
            let token = expansion.token.as_deref();
            let token = token.map_or("a mask".to_owned(), |token| format!("`{token}`"));
            let reason = format!("queries are expanded by {token}, which the tokenizer has not");
            json.unsupported(expansion.file, reason)
        })?;
        Ok(Self {
            token,
            tokens: expansion.tokens,
            attended: expansion.attended,
        })
    }
}

/// Returns the token that a marker is: all of it, or its first word. One that the vocabulary has
/// and that a text is not searched for becomes a special token.
fn token_of_marker(library: &mut tokenizers::Tokenizer, marker: &str) -> Option<u32> {
    let first = marker.split_whitespace().next()?;
    let known = |token: &&str| library.token_to_id(token).is_some();
    let token = [marker, first].into_iter().find(known)?;
    let id = library.token_to_id(token)?;
    let found = library.encode_fast(token, false);
    let is_found = found.is_ok_and(|found| found.get_ids() == [id]);
    if !is_found {
        // It cannot be refused: it has an id.
        let _ = library.add_special_tokens([AddedToken::from(token, true)]);
    }
    Some(id)
}

impl Tokenizer {
    /// Returns whether rows of queries differ from those of documents.
    pub fn has_roles(&self) -> bool {
        self.roles.is_some()
    }

    /// Like [`encode_prompted`](Self::encode_prompted), for late interaction: with the marker of
    /// the role before the prompt, which is never cut, within the limit of the role, filled up
    /// where the role's rows are, and with the tokens that give no vector. Without such rules, it
    /// is the same as that.
    ///
    /// # Errors
    /// Only what the tokenizer library refuses.
    pub fn encode_role(
        &self,
        role: TextRole,
        prompt: &str,
        text: &str,
        max_tokens: usize,
        side: TruncationSide,
    ) -> Result<TokenIds, TokenizerError> {
        let Some(roles) = &self.roles else {
            return self.encode_prompted(prompt, text, max_tokens, side);
        };
        let role = roles.of(role);
        let most = max_tokens.min(self.max_tokens);
        let limit = role.max_tokens.map_or(most, |limit| limit.min(most));
        let marked;
        let prompt = match role.marker.as_str() {
            "" => prompt,
            marker => {
                marked = [marker, prompt].concat();
                &marked
            }
        };
        let mut row = self.encode_marked(role.marker_token, prompt, text, limit, side)?;
        if let Some(filling) = role.expansion {
            let missing = filling.tokens.min(most).saturating_sub(row.ids.len());
            row.ids.resize(row.ids.len() + missing, filling.token);
            if !row.types.is_empty() {
                row.types.resize(row.ids.len(), 0);
            }
            if !filling.attended {
                row.unattended = missing;
            }
        }
        let places = row.ids.iter().zip(0u32..);
        let dropped = places.filter(|(id, _)| role.is_dropped(**id));
        row.dropped = dropped.map(|(_, at)| at).collect();
        Ok(row)
    }
}
