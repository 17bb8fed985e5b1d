//! Names of tables.

use super::columns::quoted;

/// The end of the name of the table that has what is needed of a batch.
const STATE: &str = "_motet";
/// Most bytes of a name; a server cuts longer ones.
pub(super) const BYTES_MAX: usize = 63;

/// The name of a table, with its schema where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableName {
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

impl TableName {
    /// Reads `NAME` or `SCHEMA.NAME`.
    ///
    /// # Errors
    /// A name that no table has beside which there can be another one.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, text),
        };
        let longest = BYTES_MAX - STATE.len();
        for (part, most) in [(schema.unwrap_or(name), BYTES_MAX), (name, longest)] {
            if part.is_empty() || part.contains('\0') || part.len() > most {
                return Err(format!(
                    "`{}` is no name of a table: write NAME or SCHEMA.NAME, of {BYTES_MAX} bytes \
                     at most for a schema, and {longest} for a name",
                    text.escape_debug()
                ));
            }
        }
        Ok(Self {
            schema: schema.map(str::to_owned),
            name: name.to_owned(),
        })
    }

    /// Returns the name of the table beside it that has what is needed of the batch.
    pub(super) fn state(&self) -> Self {
        Self {
            schema: self.schema.clone(),
            name: format!("{}{STATE}", self.name),
        }
    }

    /// Returns it as an identifier of SQL.
    pub(super) fn quoted(&self) -> String {
        let name = quoted(&self.name);
        match &self.schema {
            Some(schema) => format!("{}.{name}", quoted(schema)),
            None => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_or_refused() {
        let longest = "x".repeat(57);
        for (text, expected) in [
            ("Answers", Some("\"Answers\"")),
            ("s.a.b", Some("\"s\".\"a.b\"")),
            ("a\"; DROP TABLE b; --", Some("\"a\"\"; DROP TABLE b; --\"")),
            (&longest, Some(&*format!("\"{longest}\""))),
            (&format!("{longest}x"), None),
            (&format!("{}.a", "s".repeat(64)), None),
            ("", None),
            (".a", None),
            ("s.", None),
            ("a\0", None),
        ] {
            let read = TableName::parse(text).ok();
            assert_eq!(
                read.map(|name| name.quoted()).as_deref(),
                expected,
                "{text}"
            );
        }
        let name = TableName::parse("s.a").unwrap();
        assert_eq!(name.state().quoted(), "\"s\".\"a_motet\"");
    }
}
