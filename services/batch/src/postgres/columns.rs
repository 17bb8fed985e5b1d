//! Columns of a query, by the types that the server describes.

use motet_rows::{Element, Mistake, Port, hint};
use serde::{Deserialize, Serialize};
use tokio_postgres::Statement;
use tokio_postgres::types::{Kind, Type};

/// A column of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) form: Form,
    /// Its values are arrays.
    pub(super) is_list: bool,
    declared: String,
}

/// The name and type of a column, as a plan has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ColumnType {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) declared: String,
}

/// Form of the values of a column, or of the elements of its arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Bytes,
    Json,
    /// A text, or what becomes one.
    Text,
}

/// Returns the columns of a query.
///
/// # Errors
/// Every column of a type that is not known, and every name that two columns have.
pub(super) fn columns(statement: &Statement) -> Result<Vec<Column>, Vec<String>> {
    let (mut columns, mut mistakes): (Vec<Column>, _) = (Vec::new(), Vec::new());
    for described in statement.columns() {
        let (name, declared) = (described.name(), declared(described.type_()));
        if columns.iter().any(|column| column.name == name) {
            mistakes.push(format!("column `{name}`: two columns have this name"));
            continue;
        }
        match form(described.type_()) {
            Some((form, is_list)) => columns.push(Column {
                name: name.to_owned(),
                form,
                is_list,
                declared,
            }),
            None => mistakes.push(format!(
                "column `{name}`: is of type {declared}, which is none of rows; leave it out, or \
                 cast it in the query, such as {name}::text"
            )),
        }
    }
    match mistakes.is_empty() {
        true => Ok(columns),
        false => Err(mistakes),
    }
}

/// Returns the name of a type, as queries have it.
pub(super) fn declared(kind: &Type) -> String {
    match kind.kind() {
        Kind::Array(element) => format!("{}[]", declared(element)),
        _ => kind.name().to_owned(),
    }
}

/// Returns the form of the values of a type, and whether they are arrays of such.
fn form(kind: &Type) -> Option<(Form, bool)> {
    if let Some(form) = scalar(kind) {
        return Some((form, false));
    }
    match kind.kind() {
        Kind::Array(element) => Some((scalar(element)?, true)),
        // A vector of pgvector.
        Kind::Simple if kind.name() == "vector" => Some((Form::Float4, true)),
        _ => None,
    }
}

fn scalar(kind: &Type) -> Option<Form> {
    match *kind {
        Type::BOOL => Some(Form::Bool),
        Type::INT2 => Some(Form::Int2),
        Type::INT4 => Some(Form::Int4),
        Type::INT8 => Some(Form::Int8),
        Type::FLOAT4 => Some(Form::Float4),
        Type::FLOAT8 => Some(Form::Float8),
        Type::BYTEA => Some(Form::Bytes),
        Type::JSON | Type::JSONB => Some(Form::Json),
        Type::TEXT
        | Type::VARCHAR
        | Type::BPCHAR
        | Type::CHAR
        | Type::NAME
        | Type::UUID
        | Type::NUMERIC
        | Type::DATE
        | Type::TIME
        | Type::TIMETZ
        | Type::TIMESTAMP
        | Type::TIMESTAMPTZ
        | Type::INTERVAL
        | Type::INET
        | Type::CIDR => Some(Form::Text),
        _ => match kind.kind() {
            Kind::Enum(_) => Some(Form::Text),
            Kind::Domain(base) => scalar(base),
            _ => None,
        },
    }
}

impl Column {
    /// Returns its name and type.
    pub(super) fn described(&self) -> ColumnType {
        ColumnType {
            name: self.name.clone(),
            declared: self.declared.clone(),
        }
    }

    /// Returns the expression that selects it from `q`, in its form.
    pub(super) fn selected(&self) -> String {
        let name = quoted(&self.name);
        let cast = match self.form {
            Form::Text | Form::Json => "::text",
            _ if self.declared == "vector" => return format!("q.{name}::real[]"),
            _ => return format!("q.{name}"),
        };
        let list = if self.is_list { "[]" } else { "" };
        format!("q.{name}{cast}{list}")
    }

    /// Returns why its values do not fit an input, by their type.
    fn misfit(&self, port: &Port) -> Option<String> {
        let element = match self.form {
            // JSON may have anything.
            Form::Json => return None,
            Form::Bool => port.kind.element == Element::Bool,
            Form::Int2 | Form::Int4 | Form::Int8 => {
                matches!(port.kind.element, Element::Whole { .. } | Element::Number)
            }
            Form::Float4 | Form::Float8 => port.kind.element == Element::Number,
            Form::Bytes => port.kind.element == Element::Bytes,
            // Bytes in base64 are a text.
            Form::Text => matches!(port.kind.element, Element::Text | Element::Bytes),
        };
        // One value where a list is wanted is a list of one.
        let rank = match self.is_list {
            true => port.kind.rank > 0,
            false => port.kind.rank < 2,
        };
        if element && rank {
            return None;
        }
        let (declared, name) = (&self.declared, &self.name);
        let mut reason = format!("is of type {declared}, where {} is wanted", port.kind);
        if declared.starts_with("numeric") && port.kind.element == Element::Number {
            let list = if self.is_list { "[]" } else { "" };
            reason.push_str(&format!("; cast it in the query: {name}::float8{list}"));
        }
        Some(reason)
    }
}

/// Returns the mistakes of inputs: columns that are not there, and those of other types.
pub(super) fn mistakes(
    columns: &[Column],
    ports: &[Port],
    map: &[(String, String)],
) -> Vec<String> {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let found = ports.iter().filter_map(|port| {
        let mapped = map.iter().find(|(input, _)| *input == port.name);
        let name = mapped.map_or(&port.name, |(_, column)| column);
        let path = name.strip_prefix("$.").unwrap_or(name);
        let root = path.split('.').next().unwrap_or_default();
        let whole = columns.iter().find(|column| column.name == *name);
        let reason = match whole.or_else(|| columns.iter().find(|c| c.name == root)) {
            None if mapped.is_none() && !port.required => None,
            None => Some(format!("no such column; {}", hint(name, &names))),
            Some(column) if whole.is_some() => column.misfit(port),
            Some(column) if column.form == Form::Json => None,
            Some(column) => Some(format!(
                "`{}` is of type {}, which has no parts",
                column.name, column.declared
            )),
        };
        let mistake = Mistake {
            input: port.name.clone(),
            column: Some(name.clone()),
            reason: reason?,
        };
        Some(mistake.to_string())
    });
    found.collect()
}

/// Returns a name as an identifier of SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: &Type) -> Column {
        let (form, is_list) = form(kind).unwrap();
        Column {
            name: name.to_owned(),
            form,
            is_list,
            declared: declared(kind),
        }
    }

    #[test]
    fn a_column_fits_an_input_by_its_type_or_the_reason_is_told() {
        for (kind, input, expected) in [
            (Type::TEXT, "string", None),
            (Type::VARCHAR, "string[N]", None),
            (Type::TEXT_ARRAY, "string[N]", None),
            (Type::INT4, "i32", None),
            (Type::INT8, "float", None),
            (Type::FLOAT4_ARRAY, "float[N]", None),
            (Type::FLOAT4_ARRAY, "float[N,2]", None),
            (Type::BYTEA, "bytes", None),
            (Type::JSONB, "float[N,2]", None),
            (Type::UUID, "string", None),
            (
                Type::TEXT,
                "float",
                Some("is of type text, where float is wanted"),
            ),
            (
                Type::FLOAT8,
                "i32",
                Some("is of type float8, where i32 is wanted"),
            ),
            (
                Type::NUMERIC,
                "float",
                Some("is of type numeric, where float is wanted; cast it in the query: a::float8"),
            ),
            (
                Type::TEXT_ARRAY,
                "string",
                Some("is of type text[], where string is wanted"),
            ),
            (
                Type::BYTEA,
                "string",
                Some("is of type bytea, where string is wanted"),
            ),
            (
                Type::INT4,
                "float[N,2]",
                Some("is of type int4, where float[N,2] is wanted"),
            ),
        ] {
            let port = Port {
                name: "in".to_owned(),
                kind: input.parse().unwrap(),
                required: true,
            };
            let misfit = column("a", &kind).misfit(&port);
            assert_eq!(misfit.as_deref(), expected, "{kind} {input}");
        }
        assert_eq!(form(&Type::POINT), None);
        assert_eq!(form(&Type::BYTEA_ARRAY), Some((Form::Bytes, true)));
    }

    #[test]
    fn a_column_is_selected_in_its_form() {
        for (name, kind, expected) in [
            ("a", Type::INT4, "q.\"a\""),
            ("A \"b\"", Type::TEXT, "q.\"A \"\"b\"\"\"::text"),
            ("a", Type::UUID_ARRAY, "q.\"a\"::text[]"),
            ("a", Type::JSONB, "q.\"a\"::text"),
            ("a", Type::FLOAT8_ARRAY, "q.\"a\""),
        ] {
            assert_eq!(column(name, &kind).selected(), expected);
        }
    }
}
