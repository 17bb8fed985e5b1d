//! The server's own tables: columns of tables, and rights of the user.

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql, Type};

use super::fit::There;
use super::name::TableName;
use super::server::Server;
use crate::error::BatchError;

/// The condition of a table with a name and a schema, `''` for one that needs none.
const NAMED: &str = "c.relname::text = $1 AND CASE WHEN $2 = '' THEN pg_table_is_visible(c.oid) \
                     ELSE n.nspname::text = $2 END";
/// Kinds of relations that take rows: tables, partitioned ones, and foreign ones.
const KINDS: [&str; 3] = ["r", "p", "f"];

/// A use of a table that needs a right.
pub(super) type Right = &'static str;

/// Returns the columns of a table; none if it is not there.
pub(super) fn columns(server: &Server, table: &TableName) -> Result<Vec<There>, BatchError> {
    let text = format!(
        "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), \
         coalesce(e.typname, b.typname)::text, e.oid IS NOT NULL, \
         a.attnotnull OR t.typnotnull, a.atthasdef OR a.attidentity <> '', a.attgenerated <> '', \
         has_column_privilege(c.oid, a.attnum, 'INSERT') \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         JOIN pg_type t ON t.oid = a.atttypid \
         JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END \
         LEFT JOIN pg_type e ON e.oid = b.typelem AND b.typcategory = 'A' \
         WHERE {NAMED} ORDER BY a.attnum"
    );
    let rows = ask(server, text, named(table))?;
    let column = |row: &Row| {
        Ok(There {
            name: value(server, row, 0)?,
            declared: value(server, row, 1)?,
            kind: value(server, row, 2)?,
            is_array: value(server, row, 3)?,
            is_required: value(server, row, 4)?,
            has_default: value(server, row, 5)?,
            is_generated: value(server, row, 6)?,
            is_granted: value(server, row, 7)?,
        })
    };
    rows.iter().map(column).collect()
}

/// Returns whether the database has pgvector.
pub(super) fn has_vectors(server: &Server) -> Result<bool, BatchError> {
    let text = "SELECT to_regtype('vector') IS NOT NULL";
    let rows = ask(server, text.to_owned(), Vec::new())?;
    rows.first().map_or(Ok(false), |row| value(server, row, 0))
}

/// Adds the reasons for which a table cannot be used to `mistakes`: what it is, and the rights that
/// the user lacks, or lacks to make it. Returns whether it is there.
pub(super) fn check(
    server: &Server,
    table: &TableName,
    rights: &[Right],
    mistakes: &mut Vec<String>,
) -> Result<bool, BatchError> {
    let may = |right: &&str| match *right {
        // Of a table, not of columns.
        "DELETE" => "has_table_privilege(c.oid, 'DELETE')".to_owned(),
        right => format!("has_any_column_privilege(c.oid, '{right}')"),
    };
    let may: Vec<String> = rights.iter().map(may).collect();
    let text = format!(
        "SELECT c.relkind::text, row_security_active(c.oid), \
         has_schema_privilege(n.oid, 'USAGE'), {} \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {NAMED}",
        may.join(", ")
    );
    let name = table.quoted();
    let found = ask(server, text, named(table))?;
    let Some(row) = found.first() else {
        check_schema(server, table, mistakes)?;
        return Ok(false);
    };
    let kind: String = value(server, row, 0)?;
    if !KINDS.contains(&kind.as_str()) {
        mistakes.push(format!("{name} is no table"));
    }
    if value(server, row, 1)? {
        mistakes.push(format!(
            "{name} has row-level security, which COPY does not pass"
        ));
    }
    if !value::<bool>(server, row, 2)? {
        mistakes.push(format!(
            "the user lacks the right USAGE of the schema of {name}"
        ));
    }
    for (at, right) in rights.iter().enumerate() {
        if !value::<bool>(server, row, 3 + at)? {
            mistakes.push(format!("the user lacks the right {right} of {name}"));
        }
    }
    Ok(true)
}

/// Adds the reasons for which a table cannot be made.
fn check_schema(
    server: &Server,
    table: &TableName,
    mistakes: &mut Vec<String>,
) -> Result<(), BatchError> {
    let text = "SELECT n.nspname::text, has_schema_privilege(n.oid, 'CREATE') \
                FROM pg_namespace n \
                WHERE n.nspname::text = coalesce(nullif($1, ''), current_schema()::text)";
    let schema = table.schema.clone().unwrap_or_default();
    let found = ask(server, text.to_owned(), vec![schema.clone()])?;
    let name = table.quoted();
    let Some(row) = found.first() else {
        mistakes.push(match schema.is_empty() {
            true => format!("{name} is not there, and has no schema to be made in"),
            false => format!("there is no schema `{schema}`"),
        });
        return Ok(());
    };
    if !value::<bool>(server, row, 1)? {
        let schema: String = value(server, row, 0)?;
        mistakes.push(format!(
            "{name} is not there, and the user lacks the right CREATE of schema `{schema}`"
        ));
    }
    Ok(())
}

fn named(table: &TableName) -> Vec<String> {
    vec![table.name.clone(), table.schema.clone().unwrap_or_default()]
}

/// Returns what a statement with texts as parameters gives.
fn ask(server: &Server, text: String, values: Vec<String>) -> Result<Vec<Row>, BatchError> {
    server.until("read", move |client| {
        let (text, values) = (text.clone(), values.clone());
        async move {
            let values = values
                .iter()
                .map(|v| (v as &(dyn ToSql + Sync), Type::TEXT));
            let values: Vec<_> = values.collect();
            Ok(client.query_typed(&text, &values).await?)
        }
    })
}

/// Returns a value of a row.
pub(super) fn value<'r, T: FromSql<'r>>(
    server: &Server,
    row: &'r Row,
    at: usize,
) -> Result<T, BatchError> {
    let name = server.name();
    let got = row.try_get(at);
    got.map_err(|error| BatchError::cannot(format!("{name} cannot be read: {error}")))
}
