//! `template`: a text with places for values.

use motet_proto::tensor::{StringsBuilder, Tensor};
use motet_proto::types::ElementType;

use super::cast::cast;
use super::{OUTPUT_BYTES_MAX, OpError};

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'t> {
    /// Text as it is.
    Text(&'t str),
    /// A place for a value, by name.
    Place(&'t str),
}

/// The pieces of a template: `{name}` is a place, `{{` and `}}` are braces.
///
/// # Errors
/// The byte at which a brace is not closed, or not opened.
pub fn pieces(template: &str) -> Result<Vec<Piece<'_>>, usize> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while let Some(found) = template[at..].find(['{', '}']) {
        let brace = at + found;
        let sign = &template[brace..=brace];
        pieces.push(Piece::Text(&template[start..brace]));
        if template[brace + 1..].starts_with(sign) {
            pieces.push(Piece::Text(sign));
            at = brace + 2;
        } else if sign == "{" {
            let length = template[brace..].find('}').ok_or(brace)?;
            pieces.push(Piece::Place(template[brace + 1..brace + length].trim()));
            at = brace + length + 1;
        } else {
            return Err(brace);
        }
        start = at;
    }
    pieces.push(Piece::Text(&template[start..]));
    pieces.retain(|piece| *piece != Piece::Text(""));
    Ok(pieces)
}

/// Fills a template whose places are the indices of `values`: a text, or a list of texts where
/// one of the values is a list; single values stand in each then.
pub(super) fn fill(template: &str, values: &[Tensor]) -> Result<Tensor, OpError> {
    let pieces = pieces(template).map_err(|_| OpError::Parameter(0))?;
    let texts = values
        .iter()
        .map(|value| cast(value, ElementType::String))
        .collect::<Result<Vec<_>, _>>()?;
    let lists: Vec<Vec<&str>> = texts
        .iter()
        .map(|text| Ok(text.as_strings()?.texts().collect()))
        .collect::<Result<_, OpError>>()?;
    let rows = values
        .iter()
        .find(|v| !v.shape().is_empty())
        .map(Tensor::rows);
    let mut out = StringsBuilder::default();
    let mut bytes = 0usize;
    for row in 0..rows.unwrap_or(1) {
        let mut filled = String::new();
        for piece in &pieces {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Place(place) => {
                    let at: usize = place.parse().map_err(|_| OpError::Parameter(0))?;
                    let (Some(value), Some(list)) = (values.get(at), lists.get(at)) else {
                        return Err(OpError::Parameter(0));
                    };
                    let index = if value.shape().is_empty() { 0 } else { row };
                    filled.push_str(list.get(index).copied().unwrap_or_default());
                }
            }
        }
        bytes = bytes.saturating_add(filled.len());
        if bytes > OUTPUT_BYTES_MAX {
            return Err(OpError::TooLarge);
        }
        out.push(filled.as_bytes());
    }
    let shape = rows.map_or_else(Vec::new, |n| vec![n]);
    Ok(Tensor::from_raw(ElementType::String, shape, out.finish())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled() {
        let one = Tensor::scalar_string("x");
        let many = Tensor::strings(["a", "b"]);
        let number = Tensor::scalar(2i64);
        for (template, values, expected) in [
            (
                "{0}: {1}!",
                vec![one.clone(), number],
                Tensor::scalar_string("x: 2!"),
            ),
            ("{{{0}}}", vec![one.clone()], Tensor::scalar_string("{x}")),
            (
                "{1} {0}",
                vec![one.clone(), many],
                Tensor::strings(["a x", "b x"]),
            ),
            ("", vec![one], Tensor::scalar_string("")),
            (
                "{0}",
                vec![Tensor::strings::<&str>([])],
                Tensor::strings::<&str>([]),
            ),
        ] {
            assert_eq!(fill(template, &values), Ok(expected), "{template}");
        }
        assert_eq!(pieces("a {b"), Err(2));
        assert_eq!(pieces("a } b"), Err(2));
    }
}
