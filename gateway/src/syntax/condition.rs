//! Conditions: `caption != null`, `score > 0.5 and lang == "de"`, `length(texts) > 3`.
//!
//! From loose to tight: `or`, `and`, `not`, comparisons. `||`, `&&` and `!` are the same words.

mod reader;

use std::cmp::Ordering;

use motet_config::{Diagnostic, Diagnostics, Entry, Node, Span, Spanned, Value as Yaml};

use super::reference::Reference;
use crate::scalar::Scalar;
use reader::Reader;

/// The most bytes of a condition.
pub const CONDITION_BYTES_MAX: usize = 4096;
/// The deepest nesting of parentheses and negations in a condition.
const DEPTH_MAX: usize = 64;

/// A condition as written.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// A number, a string or a boolean.
    Literal(Scalar),
    /// `null`: what an optional value is when it is not there.
    Null,
    /// `name` or `node.port`, with or without `$`.
    Reference(Reference),
    /// `length(name)`: how many rows a list has.
    Length(Spanned<Reference>),
    /// `not a`.
    Not(Box<Spanned<Expression>>),
    /// `a and b`.
    And(Box<[Spanned<Expression>; 2]>),
    /// `a or b`.
    Or(Box<[Spanned<Expression>; 2]>),
    /// `a == b` and the like.
    Compare(Comparison, Box<[Spanned<Expression>; 2]>),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `==`.
    Equal,
    /// `!=`.
    Unequal,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
}

impl Comparison {
    /// Returns `true` if the comparison holds for two values of this order. Values without an order
    /// (NaN, an absent value) are unequal, and nothing else.
    pub fn holds(self, order: Option<Ordering>) -> bool {
        let Some(order) = order else {
            return self == Self::Unequal;
        };
        match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }

    /// The sign in a condition.
    pub fn sign(self) -> &'static str {
        let found = Self::ALL.into_iter().find(|(_, c)| *c == self);
        found.map_or("", |(sign, _)| sign)
    }

    const ALL: [(&'static str, Self); 6] = [
        ("==", Self::Equal),
        ("!=", Self::Unequal),
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
        ("<", Self::Less),
        (">", Self::Greater),
    ];
}

impl Expression {
    /// Every reference in it.
    pub fn references<'e>(&'e self, found: &mut Vec<&'e Reference>) {
        match self {
            Self::Literal(_) | Self::Null => {}
            Self::Reference(reference) => found.push(reference),
            Self::Length(reference) => found.push(&reference.value),
            Self::Not(inner) => inner.value.references(found),
            Self::And(sides) | Self::Or(sides) | Self::Compare(_, sides) => {
                for side in sides.iter() {
                    side.value.references(found);
                }
            }
        }
    }
}

/// Parses a condition whose text is at `span` in its file.
///
/// # Errors
/// The mistake.
pub(crate) fn parse_condition(
    text: &str,
    span: Span,
) -> Result<Spanned<Expression>, Box<Diagnostic>> {
    if text.len() > CONDITION_BYTES_MAX {
        let bytes = text.len();
        return Err(Box::new(Diagnostic::error(
            span,
            format!(
                "a condition of {bytes} bytes is longer than the limit of {CONDITION_BYTES_MAX}"
            ),
        )));
    }
    Reader::new(text, span).whole()
}

/// Reads a condition; `None` where it cannot be, which was reported.
pub(crate) fn condition(
    entry: &Entry,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<Expression>> {
    let node = &entry.node;
    match &node.value {
        Yaml::Bool(b) => Some(Spanned::new(
            Expression::Literal(Scalar::Bool(*b)),
            node.span,
        )),
        Yaml::String(text) => read(node, text, diagnostics),
        _ => {
            diagnostics.push(
                Diagnostic::error(
                    node.span,
                    format!(
                        "`{}` must be a condition, not {}",
                        entry.key.value,
                        node.kind()
                    ),
                )
                .help("write for example `when: \"score > 0.5\"` or `when: \"caption != null\"`"),
            );
            None
        }
    }
}

fn read(node: &Node, text: &str, diagnostics: &mut Diagnostics) -> Option<Spanned<Expression>> {
    match parse_condition(text, node.span) {
        Ok(expression) => Some(expression),
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            None
        }
    }
}
