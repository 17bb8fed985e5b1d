//! The table of answers, made.

use super::columns::quoted;
use super::name::TableName;
use crate::binding::ROW;
use crate::columns::{Node, Scalar};

/// Most numbers of a vector of pgvector.
const VECTOR_MAX: usize = 16_000;

/// Returns the statement that makes a table of these columns. `has_vectors` says that the database
/// has pgvector.
pub(super) fn created(table: &TableName, columns: &[(String, Node)], has_vectors: bool) -> String {
    let mut text = format!(
        "CREATE TABLE IF NOT EXISTS {} (\n  {ROW} bigint PRIMARY KEY",
        table.quoted()
    );
    for (name, node) in columns {
        let declared = declared(node, has_vectors);
        text.push_str(&format!(",\n  {} {declared}", quoted(name)));
    }
    text.push_str("\n)");
    text
}

/// Returns the type of a column of a table that is made.
pub(super) fn declared(node: &Node, has_vectors: bool) -> String {
    match node {
        Node::Scalar(scalar) => match scalar {
            Scalar::Text => "text",
            Scalar::Bytes => "bytea",
            Scalar::Bool => "boolean",
            Scalar::Int32 => "integer",
            Scalar::Int64 => "bigint",
            Scalar::UInt64 => "numeric(20)",
            Scalar::Float => "real",
            Scalar::Double => "double precision",
        }
        .to_owned(),
        Node::List(inner, length) => match (&**inner, length) {
            (Node::Scalar(Scalar::Float), Some(length @ 1..=VECTOR_MAX)) if has_vectors => {
                format!("vector({length})")
            }
            // Bytes in arrays would be base64.
            (Node::Scalar(Scalar::Bytes), _) => "jsonb".to_owned(),
            (inner @ Node::Scalar(_), _) => format!("{}[]", declared(inner, has_vectors)),
            // Arrays of Postgres have rows of one length.
            (Node::List(..) | Node::Struct(_), _) => "jsonb".to_owned(),
        },
        Node::Struct(_) => "jsonb".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_made_of_the_types_of_answers() {
        let vector = |length| Node::List(Box::new(Node::Scalar(Scalar::Float)), Some(length));
        let columns = [
            ("id".to_owned(), Node::Scalar(Scalar::Int64)),
            (
                "a \"b\"".to_owned(),
                Node::list(Node::Scalar(Scalar::Float)),
            ),
            ("vector".to_owned(), vector(384)),
            ("longer".to_owned(), vector(16_001)),
            (
                "numbers".to_owned(),
                Node::list(Node::Scalar(Scalar::UInt64)),
            ),
            ("bytes".to_owned(), Node::list(Node::Scalar(Scalar::Bytes))),
            ("vectors".to_owned(), Node::list(vector(384))),
            ("results".to_owned(), Node::list(Node::Struct(Vec::new()))),
            ("error".to_owned(), Node::error()),
        ];
        let table = TableName::parse("s.Answers").unwrap();
        let expected = "CREATE TABLE IF NOT EXISTS \"s\".\"Answers\" (\n  \
                        motet_row bigint PRIMARY KEY,\n  \"id\" bigint,\n  \
                        \"a \"\"b\"\"\" real[],\n  \"vector\" vector(384),\n  \
                        \"longer\" real[],\n  \"numbers\" numeric(20)[],\n  \
                        \"bytes\" jsonb,\n  \"vectors\" jsonb,\n  \"results\" jsonb,\n  \
                        \"error\" jsonb\n)";
        assert_eq!(created(&table, &columns, true), expected);
        let expected = expected.replace("vector(384)", "real[]");
        assert_eq!(created(&table, &columns, false), expected);
    }
}
