//! Reads a condition, sign by sign.

use motet_config::{Diagnostic, Span, Spanned};

use super::{Comparison, DEPTH_MAX, Expression};
use crate::scalar::Scalar;
use crate::syntax::reference::{Reference, part_span, reference_in};

/// A place in the text of a condition.
pub(super) struct Reader<'t> {
    text: &'t str,
    span: Span,
    at: usize,
    depth: usize,
}

pub(super) type Read = Result<Spanned<Expression>, Box<Diagnostic>>;

impl<'t> Reader<'t> {
    pub(super) const fn new(text: &'t str, span: Span) -> Self {
        Self {
            text,
            span,
            at: 0,
            depth: 0,
        }
    }

    /// The whole text as one condition.
    pub(super) fn whole(&mut self) -> Read {
        let expression = self.any()?;
        self.blank();
        if self.rest().is_empty() {
            Ok(expression)
        } else {
            Err(self.wrong("`and`, `or` or the end of the condition"))
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn blank(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn place(&self, start: usize) -> Span {
        let end = start + self.text[start..self.at].trim_end().len();
        part_span(self.span, self.text, start, end.max(start) - start)
    }

    /// Takes a sign if it comes next.
    fn sign(&mut self, sign: &str) -> bool {
        self.blank();
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    /// Takes a word if it comes next.
    fn word(&mut self, word: &str) -> bool {
        self.blank();
        let rest = self.rest();
        let found = rest.starts_with(word)
            && !rest[word.len()..].starts_with(|c: char| is_name(c) || c == '.' || c == '(');
        if found {
            self.at += word.len();
        }
        found
    }

    fn wrong(&self, wanted: &str) -> Box<Diagnostic> {
        let rest = self.rest();
        let length = rest
            .find(|c: char| c.is_whitespace() || c == ')')
            .unwrap_or(rest.len())
            .max(rest.chars().next().map_or(0, char::len_utf8));
        let message = if rest.is_empty() {
            format!("the condition ends where {wanted} should be")
        } else {
            format!(
                "`{}` stands where {wanted} should be",
                motet_config::truncated(&rest[..length])
            )
        };
        Box::new(Diagnostic::error(
            part_span(self.span, self.text, self.at, length),
            message,
        ))
    }

    fn any(&mut self) -> Read {
        self.blank();
        let start = self.at;
        let mut left = self.all()?;
        while self.word("or") || self.sign("||") {
            let right = self.all()?;
            left = Spanned::new(Expression::Or(Box::new([left, right])), self.place(start));
        }
        Ok(left)
    }

    fn all(&mut self) -> Read {
        self.blank();
        let start = self.at;
        let mut left = self.negated()?;
        while self.word("and") || self.sign("&&") {
            let right = self.negated()?;
            left = Spanned::new(Expression::And(Box::new([left, right])), self.place(start));
        }
        Ok(left)
    }

    fn negated(&mut self) -> Read {
        self.blank();
        let start = self.at;
        let negated = self.word("not") || (!self.rest().starts_with("!=") && self.sign("!"));
        if !negated {
            return self.compared();
        }
        let inner = self.deeper(Self::negated)?;
        Ok(Spanned::new(
            Expression::Not(Box::new(inner)),
            self.place(start),
        ))
    }

    fn deeper(&mut self, read: fn(&mut Self) -> Read) -> Read {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Box::new(Diagnostic::error(
                self.span,
                format!("a condition nests more than {DEPTH_MAX} deep"),
            )));
        }
        let inner = read(self);
        self.depth -= 1;
        inner
    }

    fn compared(&mut self) -> Read {
        self.blank();
        let start = self.at;
        let left = self.operand()?;
        for (sign, comparison) in Comparison::ALL {
            if self.sign(sign) {
                let right = self.operand()?;
                return Ok(Spanned::new(
                    Expression::Compare(comparison, Box::new([left, right])),
                    self.place(start),
                ));
            }
        }
        if self.rest().starts_with('=') {
            return Err(Box::new(*self.wrong("`==`")));
        }
        Ok(left)
    }

    fn operand(&mut self) -> Read {
        self.blank();
        let start = self.at;
        if self.sign("(") {
            let inner = self.deeper(Self::any)?;
            if !self.sign(")") {
                return Err(self.wrong("`)`"));
            }
            return Ok(inner);
        }
        for (word, value) in [
            ("null", Expression::Null),
            ("true", Expression::Literal(Scalar::Bool(true))),
            ("false", Expression::Literal(Scalar::Bool(false))),
        ] {
            if self.word(word) {
                return Ok(Spanned::new(value, self.place(start)));
            }
        }
        if let Some(quote) = self
            .rest()
            .chars()
            .next()
            .filter(|c| matches!(c, '"' | '\''))
        {
            return self.quoted(quote);
        }
        if self
            .rest()
            .starts_with(|c: char| c.is_ascii_digit() || c == '-')
        {
            return self.number();
        }
        for word in ["length(", "len("] {
            if self.sign(word) {
                let reference = self.reference()?;
                if !self.sign(")") {
                    return Err(self.wrong("`)`"));
                }
                return Ok(Spanned::new(
                    Expression::Length(reference),
                    self.place(start),
                ));
            }
        }
        let reference = self.reference()?;
        Ok(Spanned::new(
            Expression::Reference(reference.value),
            reference.span,
        ))
    }

    fn quoted(&mut self, quote: char) -> Read {
        let start = self.at;
        let inner = &self.rest()[1..];
        let Some(length) = inner.find(quote) else {
            return Err(Box::new(Diagnostic::error(
                part_span(self.span, self.text, start, self.text.len() - start),
                format!("the text is not closed by {quote}"),
            )));
        };
        self.at += length + 2;
        Ok(Spanned::new(
            Expression::Literal(Scalar::String(inner[..length].to_owned())),
            self.place(start),
        ))
    }

    fn number(&mut self) -> Read {
        let start = self.at;
        let rest = self.rest();
        let length = rest
            .char_indices()
            .find(|(i, c)| {
                let after_exponent = *i > 0 && matches!(rest.as_bytes()[i - 1], b'e' | b'E');
                !(c.is_ascii_alphanumeric()
                    || matches!(c, '.' | '_')
                    || *c == '-' && (*i == 0 || after_exponent)
                    || *c == '+' && after_exponent)
            })
            .map_or(rest.len(), |(i, _)| i);
        let digits = rest[..length].replace('_', "");
        let value = digits.parse().map(Scalar::Int).or_else(|_| {
            digits
                .parse()
                .ok()
                .filter(|x: &f64| x.is_finite())
                .map(Scalar::Float)
                .ok_or_else(|| self.wrong("a number"))
        })?;
        self.at += length;
        Ok(Spanned::new(Expression::Literal(value), self.place(start)))
    }

    fn reference(&mut self) -> Result<Spanned<Reference>, Box<Diagnostic>> {
        self.blank();
        let start = self.at;
        let rest = self.rest();
        let name = rest.strip_prefix('$').unwrap_or(rest);
        let length = name
            .find(|c: char| !(is_name(c) || matches!(c, '.' | '/' | ':' | '-')))
            .unwrap_or(name.len());
        let found = (length > 0)
            .then(|| {
                let at = start + (rest.len() - name.len());
                reference_in(self.span, self.text, at, length)
            })
            .flatten();
        match found {
            Some(reference) => {
                self.at += rest.len() - name.len() + length;
                Ok(Spanned::new(reference, self.place(start)))
            }
            None => Err(self.wrong("a value")),
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
