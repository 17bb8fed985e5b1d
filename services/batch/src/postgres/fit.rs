//! A table that is there, against the answers.

use motet_rows::hint;

use super::copy::{Form, TableColumns};
use super::declare::declared;
use crate::binding::ROW;
use crate::columns::{Node, Scalar};

/// A column of a table that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct There {
    pub(super) name: String,
    /// Its type, as the server writes it.
    pub(super) declared: String,
    /// The name of its type, that of elements where it has arrays, and below a domain.
    pub(super) kind: String,
    /// It has arrays.
    pub(super) is_array: bool,
    /// Every row must have a value.
    pub(super) is_required: bool,
    /// It gets one by itself, where none is given.
    pub(super) has_default: bool,
    /// It always gets one by itself.
    pub(super) is_generated: bool,
    /// The user may give it values.
    pub(super) is_granted: bool,
}

/// Returns the columns of a table that is there, with the forms of the values that they get.
///
/// # Errors
/// Every column that is missing, of another type, or must have a value that nothing gives.
/// `has_gaps` says that rows with errors are written, which have no outputs.
pub(super) fn fit(
    there: &[There],
    columns: &[(String, Node)],
    has_gaps: bool,
) -> Result<TableColumns, Vec<String>> {
    let names: Vec<&str> = there.iter().map(|column| column.name.as_str()).collect();
    let (mut found, mut mistakes) = (Vec::new(), Vec::new());
    let row = (ROW.to_owned(), Node::Scalar(Scalar::Int64));
    for (name, node) in std::iter::once(&row).chain(columns) {
        let declared = declared(node, false);
        let mut mistake = |reason: String| mistakes.push(format!("column `{name}`: {reason}"));
        let Some(column) = there.iter().find(|column| column.name == *name) else {
            let hint = hint(name, &names);
            mistake(format!("the table has none; add it ({declared}); {hint}"));
            continue;
        };
        match form(&column.kind, column.is_array, node).filter(|_| numbers_rows(column)) {
            Some(form) => found.push((name.clone(), form)),
            None => mistake(format!(
                "is of type {}, and answers take {declared}",
                column.declared
            )),
        }
        if column.is_generated {
            mistake("is generated, and takes no values".to_owned());
        } else if !column.is_granted {
            mistake("the user may not INSERT values into it".to_owned());
        }
        if column.is_required && name != ROW && has_gaps {
            mistake(
                "is NOT NULL, and rows with errors or without it have none; --errors file leaves \
                 rows with errors out"
                    .to_owned(),
            );
        }
    }
    for column in there {
        let is_written = column.name == ROW || columns.iter().any(|(n, _)| *n == column.name);
        if column.is_required && !column.has_default && !is_written {
            mistakes.push(format!(
                "column `{}`: is NOT NULL without a default, and nothing gives it a value",
                column.name
            ));
        }
    }
    match mistakes.is_empty() {
        true => Ok(TableColumns(found)),
        false => Err(mistakes),
    }
}

/// Returns whether a column takes the numbers of rows, where it is the one that gets them.
fn numbers_rows(column: &There) -> bool {
    column.name != ROW || ["int4", "int8", "numeric"].contains(&column.kind.as_str())
}

/// Returns the form of values in a column of this type; `None` where they do not fit.
fn form(kind: &str, is_array: bool, node: &Node) -> Option<Form> {
    if is_array {
        // Postgres does not say how many dimensions an array has.
        let mut element = node;
        while let Node::List(inner, _) = element {
            element = inner;
        }
        let is_list = matches!(node, Node::List(..));
        let is_plain = is_list && form(kind, false, element)? == Form::Plain;
        return is_plain.then_some(Form::Array);
    }
    match (kind, node) {
        ("json", _) => Some(Form::Json),
        ("jsonb", _) => Some(Form::Jsonb),
        ("text" | "varchar", Node::List(..) | Node::Struct(_)) => Some(Form::Json),
        ("vector" | "halfvec", Node::List(inner, _)) => match &**inner {
            Node::List(innermost, _) => is_number(innermost).then_some(Form::Vector),
            inner => is_number(inner).then_some(Form::Vector),
        },
        ("bytea", Node::Scalar(Scalar::Bytes)) => Some(Form::Bytes),
        (kind, Node::Scalar(scalar)) => takes(kind, *scalar).then_some(Form::Plain),
        (_, Node::List(..) | Node::Struct(_)) => None,
    }
}

/// Returns whether a type takes the texts of such values. Servers round numbers as the type says,
/// and refuse those that are out of its range.
fn takes(kind: &str, scalar: Scalar) -> bool {
    let is_text = ["text", "varchar", "bpchar"].contains(&kind);
    let has_fractions = ["numeric", "float4", "float8"].contains(&kind);
    match scalar {
        // Texts that are kept may be what the column has: the server reads them.
        Scalar::Text => kind != "bytea",
        Scalar::Bytes => is_text,
        Scalar::Bool => is_text || kind == "bool",
        Scalar::Int32 | Scalar::Int64 | Scalar::UInt64 => {
            is_text || has_fractions || ["int2", "int4", "int8"].contains(&kind)
        }
        Scalar::Float | Scalar::Double => is_text || has_fractions,
    }
}

fn is_number(node: &Node) -> bool {
    match node {
        Node::Scalar(scalar) => !matches!(scalar, Scalar::Text | Scalar::Bytes | Scalar::Bool),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOAT: Node = Node::Scalar(Scalar::Float);

    #[test]
    fn values_fit_a_column_that_is_there_or_they_do_not() {
        let floats = || Node::list(FLOAT);
        for (declared, node, expected) in [
            ("text", Node::TEXT, Some(Form::Plain)),
            ("varchar", Node::TEXT, Some(Form::Plain)),
            ("timestamptz", Node::TEXT, Some(Form::Plain)),
            ("uuid", Node::TEXT, Some(Form::Plain)),
            ("text", floats(), Some(Form::Json)),
            ("varchar[]", floats(), Some(Form::Array)),
            ("text", Node::Scalar(Scalar::Bytes), Some(Form::Plain)),
            ("jsonb", floats(), Some(Form::Jsonb)),
            ("json", Node::error(), Some(Form::Json)),
            ("float4[]", floats(), Some(Form::Array)),
            ("float8[]", Node::list(floats()), Some(Form::Array)),
            ("jsonb[]", floats(), None),
            ("text[]", Node::list(Node::error()), None),
            ("vector", floats(), Some(Form::Vector)),
            ("vector", Node::list(floats()), Some(Form::Vector)),
            ("halfvec", floats(), Some(Form::Vector)),
            ("vector", Node::list(Node::list(floats())), None),
            ("vector", Node::TEXT, Some(Form::Plain)),
            ("vector", Node::list(Node::TEXT), None),
            ("vector", FLOAT, None),
            ("int4[]", floats(), None),
            ("int4", FLOAT, None),
            ("numeric", FLOAT, Some(Form::Plain)),
            ("int2", Node::Scalar(Scalar::Int64), Some(Form::Plain)),
            ("bool", Node::Scalar(Scalar::Int64), None),
            ("bytea", Node::Scalar(Scalar::Bytes), Some(Form::Bytes)),
            ("bytea", Node::TEXT, None),
            ("bool", Node::Scalar(Scalar::Bool), Some(Form::Plain)),
            ("text[]", Node::TEXT, None),
            ("int4", Node::error(), None),
        ] {
            let (kind, is_array) = match declared.strip_suffix("[]") {
                Some(kind) => (kind, true),
                None => (declared, false),
            };
            assert_eq!(form(kind, is_array, &node), expected, "{declared} {node:?}");
        }
    }

    #[test]
    fn every_mistake_of_a_table_is_told() {
        let there = |name: &str, kind: &str, is_required, has_default| There {
            name: name.to_owned(),
            declared: format!("the {kind}"),
            kind: kind.to_owned(),
            is_array: false,
            is_required,
            has_default,
            is_generated: name == "made",
            is_granted: name != "name",
        };
        let table = [
            there("motet_row", "float8", true, false),
            there("best", "int4", false, false),
            there("name", "text", true, false),
            there("made", "timestamptz", true, true),
            there("lang", "text", true, false),
        ];
        let columns = [
            ("best".to_owned(), Node::list(FLOAT)),
            ("name".to_owned(), Node::TEXT),
            ("made".to_owned(), Node::TEXT),
            ("eror".to_owned(), Node::error()),
        ];
        let mistakes = fit(&table, &columns, true).unwrap_err();
        let expected = [
            "column `motet_row`: is of type the float8, and answers take bigint",
            "column `best`: is of type the int4, and answers take real[]",
            "column `name`: the user may not INSERT values into it",
            "column `name`: is NOT NULL, and rows with errors or without it have none",
            "column `made`: is generated, and takes no values",
            "column `made`: is NOT NULL, and rows with errors",
            "column `eror`: the table has none; add it (jsonb)",
            "column `lang`: is NOT NULL without a default",
        ];
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:?}");
        for (mistake, expected) in mistakes.iter().zip(expected) {
            assert!(mistake.starts_with(expected), "{mistake}");
        }
    }
}
