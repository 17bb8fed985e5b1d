//! Rows with their answers, as lines of a part.

use std::io;

use motet_rows::{Answer, Port, Row, RowError};
use serde_json::{Map, Value, json};

#[cfg(feature = "postgres")]
use crate::binding::ROW;
use crate::binding::{DEGRADED, ERROR, top_level};
#[cfg(any(feature = "parquet", feature = "postgres"))]
use crate::columns::Node;
use crate::path::selected;
#[cfg(feature = "postgres")]
use crate::postgres::TableColumns;
use crate::settings::{ErrorPlace, OutputFormat, Settings};

/// Column of the id of requests of OpenAI's batch files.
const CUSTOM_ID: &str = "custom_id";

/// Writes rows in the form of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    settings: Settings,
    /// Columns of the answers.
    columns: Vec<String>,
    /// Name of the pipeline.
    model: String,
    /// All columns of a part, with their types.
    #[cfg(any(feature = "parquet", feature = "postgres"))]
    typed: Vec<(String, Node)>,
    /// The columns of the table that they go to.
    #[cfg(feature = "postgres")]
    table: TableColumns,
}

/// A row with what became of it.
pub(crate) struct Done<'r> {
    /// Values of the row by column.
    pub(crate) values: &'r Map<String, Value>,
    /// Number of the row in the batch, for names of requests.
    pub(crate) number: u64,
    /// Its answer, or its error.
    pub(crate) answer: Result<&'r Answer, &'r RowError>,
}

impl Lines {
    /// Returns the form of a batch of a pipeline. `sample` has some rows of its input; `is_typed`
    /// says that their columns have types.
    pub(crate) fn new(
        settings: &Settings,
        pipeline: &str,
        outputs: &[Port],
        sample: &[Row],
        is_typed: bool,
    ) -> Self {
        #[cfg(not(any(feature = "parquet", feature = "postgres")))]
        let _ = (sample, is_typed);
        let settings = settings.clone();
        let columns = match settings.columns.is_empty() {
            true => top_level(outputs).into_iter().map(str::to_owned).collect(),
            false => settings.columns.clone(),
        };
        Self {
            #[cfg(any(feature = "parquet", feature = "postgres"))]
            typed: typed(&settings, &columns, outputs, is_typed.then_some(sample)),
            settings,
            columns,
            model: pipeline.to_owned(),
            #[cfg(feature = "postgres")]
            table: TableColumns::default(),
        }
    }

    /// Returns the form of parts.
    pub(crate) const fn format(&self) -> OutputFormat {
        self.settings.format
    }

    /// Returns the column that says which row it is.
    pub(crate) fn id(&self) -> Option<&str> {
        match self.settings.format {
            OutputFormat::Openai => Some(CUSTOM_ID),
            _ => self.settings.id.as_deref(),
        }
    }

    /// Returns the columns of parts with their types.
    #[cfg(any(feature = "parquet", feature = "postgres"))]
    pub(crate) fn typed(&self) -> Vec<(String, Node)> {
        self.typed.clone()
    }

    /// Sets the columns of the table that they go to.
    #[cfg(feature = "postgres")]
    pub(crate) fn go_to(&mut self, table: TableColumns) {
        self.table = table;
    }

    /// Returns whether rows with errors are among the answers, without outputs.
    #[cfg(feature = "postgres")]
    pub(crate) fn has_gaps(&self) -> bool {
        self.settings.errors == ErrorPlace::Rows
    }

    /// Returns the beginning of a part.
    ///
    /// # Errors
    /// None that a program meets: bytes are written to memory.
    pub(crate) fn header(&self) -> io::Result<Vec<u8>> {
        if self.settings.format != OutputFormat::Csv {
            return Ok(Vec::new());
        }
        let columns = self.columns.iter().map(String::as_str);
        let error = (self.settings.errors == ErrorPlace::Rows).then_some(ERROR);
        record(self.settings.kept().chain(columns).chain(error))
    }

    /// Returns the line of a row in a part.
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData): a value that no table takes. A row with an
    /// error has none.
    pub(crate) fn line(&self, row: &Done<'_>) -> io::Result<Vec<u8>> {
        match self.settings.format {
            #[cfg(feature = "postgres")]
            OutputFormat::Postgres => self.copied(row),
            OutputFormat::Jsonl | OutputFormat::Parquet => self.object(row),
            #[cfg(not(feature = "postgres"))]
            OutputFormat::Postgres => self.object(row),
            OutputFormat::Csv => self.cells(row),
            OutputFormat::Openai => line(&self.response(row)),
        }
    }

    /// Returns the line of a row with an error in a file of such rows: the whole row, with its
    /// error. Columns that it lacks are null: rows that are tried again must have some columns, and
    /// perhaps all that failed lack one.
    ///
    /// # Errors
    /// As those of [`header`](Self::header).
    pub(crate) fn whole(
        &self,
        values: &Map<String, Value>,
        error: &RowError,
    ) -> io::Result<Vec<u8>> {
        let mut values = values.clone();
        let fed = self.settings.map.iter().map(|(_, column)| column.as_str());
        for name in self
            .settings
            .kept()
            .chain(fed.filter(|name| !name.contains('.')))
        {
            values.entry(name).or_insert(Value::Null);
        }
        values.insert(ERROR.to_owned(), serde_json::to_value(error)?);
        line(&Value::Object(values))
    }

    fn object(&self, row: &Done<'_>) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut entry = |name: &str, value: &dyn erased::Json| {
            out.push(if out.is_empty() { b'{' } else { b',' });
            serde_json::to_writer(&mut out, name)?;
            out.push(b':');
            value.write(&mut out)
        };
        for name in self.settings.kept() {
            entry(name, row.values.get(name).unwrap_or(&Value::Null))?;
        }
        match row.answer {
            Ok(answer) => {
                for column in &self.columns {
                    entry(column, &*selected(&answer.outputs, column))?;
                }
                if !answer.degraded.is_empty() {
                    entry(DEGRADED, &answer.degraded)?;
                }
            }
            Err(error) => entry(ERROR, error)?,
        }
        if out.is_empty() {
            out.push(b'{');
        }
        out.extend_from_slice(b"}\n");
        Ok(out)
    }

    /// Returns a row as the text of COPY.
    #[cfg(feature = "postgres")]
    fn copied(&self, row: &Done<'_>) -> io::Result<Vec<u8>> {
        use std::borrow::Cow;
        let is_kept = |name: &str| self.settings.kept().any(|kept| kept == name);
        let (mut degraded, mut failed) = (None, None);
        match row.answer {
            Ok(answer) if answer.degraded.is_empty() => {}
            Ok(answer) => degraded = Some(json!(answer.degraded)),
            Err(error) => {
                let message = error.message.replace('\0', "\u{fffd}");
                let error = RowError {
                    message,
                    ..error.clone()
                };
                failed = Some(serde_json::to_value(error)?);
            }
        }
        let text = self.table.line(|name| match (name, row.answer) {
            (ROW, _) => Some(Cow::Owned(row.number.into())),
            (DEGRADED, _) => degraded.as_ref().map(Cow::Borrowed),
            (ERROR, _) => failed.as_ref().map(Cow::Borrowed),
            (name, answer) if is_kept(name) => {
                let value = row.values.get(name)?;
                // An error may be that of this very value.
                let is_taken = answer.is_ok() || self.table.takes(name, value);
                is_taken.then_some(Cow::Borrowed(value))
            }
            (name, Ok(answer)) => Some(selected(&answer.outputs, name)),
            (_, Err(_)) => None,
        });
        text.map(String::into_bytes)
            .map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))
    }

    fn cells(&self, row: &Done<'_>) -> io::Result<Vec<u8>> {
        let kept = self.settings.kept();
        let mut cells: Vec<String> = kept
            .map(|name| row.values.get(name).map(cell).unwrap_or_default())
            .collect();
        let (columns, error) = match row.answer {
            Ok(answer) => {
                let columns = self.columns.iter();
                let columns = columns.map(|column| cell(&selected(&answer.outputs, column)));
                (columns.collect(), String::new())
            }
            Err(error) => (
                vec![String::new(); self.columns.len()],
                serde_json::to_string(error)?,
            ),
        };
        cells.extend::<Vec<String>>(columns);
        if self.settings.errors == ErrorPlace::Rows {
            cells.push(error);
        }
        record(cells.iter().map(String::as_str))
    }

    /// Returns the answer of a request for embeddings.
    fn response(&self, row: &Done<'_>) -> Value {
        let id = format!("batch_req_{}", row.number);
        let custom_id = row.values.get(CUSTOM_ID).unwrap_or(&Value::Null);
        let answer = match row.answer {
            Ok(answer) => answer,
            Err(error) => {
                let code = error.code.name().to_lowercase();
                return json!({
                    "id": id,
                    "custom_id": custom_id,
                    "response": null,
                    "error": { "code": code, "message": error.message },
                });
            }
        };
        let output = self.columns.first().map(String::as_str).unwrap_or_default();
        let vectors = selected(&answer.outputs, output);
        let vectors = vectors.as_array().map(Vec::as_slice).unwrap_or_default();
        let vectors = vectors.iter().enumerate();
        let data: Vec<Value> = vectors.map(|(at, vector)| embedding(at, vector)).collect();
        let (model, tokens) = (&self.model, answer.tokens);
        json!({
            "id": id,
            "custom_id": custom_id,
            "response": {
                "status_code": 200,
                "request_id": id,
                "body": {
                    "object": "list",
                    "data": data,
                    "model": model,
                    "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
                },
            },
            "error": null,
        })
    }
}

/// Returns all columns of a part with their types. Kept columns are texts, but for those of files
/// that have types, of which `sample` is.
#[cfg(any(feature = "parquet", feature = "postgres"))]
fn typed(
    settings: &Settings,
    columns: &[String],
    outputs: &[Port],
    sample: Option<&[Row]>,
) -> Vec<(String, Node)> {
    let kept = |name: &str| {
        let rows = sample.unwrap_or_default().iter();
        let values = rows.filter_map(|row| row.values.get(name));
        (name.to_owned(), Node::of_values(values))
    };
    let mut typed: Vec<(String, Node)> = settings.kept().map(kept).collect();
    typed.extend(crate::columns::columns(outputs, columns));
    typed.push((DEGRADED.to_owned(), Node::list(Node::TEXT)));
    if settings.errors == ErrorPlace::Rows {
        typed.push((ERROR.to_owned(), Node::error()));
    }
    typed
}

fn embedding(index: usize, vector: &Value) -> Value {
    json!({ "object": "embedding", "index": index, "embedding": vector })
}

/// Values that become JSON, of several types.
mod erased {
    use std::io;

    use serde::Serialize;

    pub(super) trait Json {
        fn write(&self, out: &mut Vec<u8>) -> io::Result<()>;
    }

    impl<T: Serialize> Json for T {
        fn write(&self, out: &mut Vec<u8>) -> io::Result<()> {
            serde_json::to_writer(out, self).map_err(io::Error::from)
        }
    }
}

fn line(value: &Value) -> io::Result<Vec<u8>> {
    let mut out = serde_json::to_vec(value)?;
    out.push(b'\n');
    Ok(out)
}

fn record<'c>(cells: impl IntoIterator<Item = &'c str>) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells).map_err(io::Error::from)?;
    writer.into_inner().map_err(|error| error.into_error())
}

/// Returns the text of a value in a cell: texts as they are, nothing for null, else JSON.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use motet_rows::{Code, Failure};

    use super::*;

    fn lines(format: OutputFormat, errors: ErrorPlace, columns: &[&str]) -> Lines {
        let settings = Settings {
            map: Vec::new(),
            id: Some("id".to_owned()),
            keep: vec!["lang".to_owned(), "id".to_owned()],
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
            format,
            errors,
            unit: 1,
        };
        let port = |name: &str| Port {
            name: name.to_owned(),
            kind: "i32".parse().unwrap(),
            required: false,
        };
        Lines::new(&settings, "rag", &[port("results"), port("n")], &[], false)
    }

    fn check(lines: &Lines, expected: [&str; 3]) {
        let values = json!({ "id": 7, "lang": "en, \"us\"", "text": "t" });
        let values = values.as_object().unwrap();
        let outputs = json!({ "results": [{ "score": 0.5 }, { "score": 1.0 }], "n": 2 });
        let answer = Answer {
            outputs: outputs.as_object().unwrap().clone(),
            ..Answer::default()
        };
        let error = Failure::new(Code::OutOfRange, "no").after(1);
        let text = |answer| {
            let (number, values) = (0, values);
            let line = lines.line(&Done {
                values,
                number,
                answer,
            });
            String::from_utf8(line.unwrap()).unwrap()
        };
        let header = String::from_utf8(lines.header().unwrap()).unwrap();
        assert_eq!([header, text(Ok(&answer)), text(Err(&error))], expected);
    }

    #[test]
    fn rows_are_lines_of_each_form() {
        check(
            &lines(OutputFormat::Jsonl, ErrorPlace::Rows, &[]),
            [
                "",
                "{\"id\":7,\"lang\":\"en, \\\"us\\\"\",\"results\":[{\"score\":0.5},\
                 {\"score\":1.0}],\"n\":2}\n",
                "{\"id\":7,\"lang\":\"en, \\\"us\\\"\",\"error\":{\"code\":\"OUT_OF_RANGE\",\
                 \"message\":\"no\",\"attempts\":1}}\n",
            ],
        );
        let columns = ["n", "results.score"];
        check(
            &lines(OutputFormat::Csv, ErrorPlace::Rows, &columns),
            [
                "id,lang,n,results.score,error\n",
                "7,\"en, \"\"us\"\"\",2,\"[0.5,1.0]\",\n",
                "7,\"en, \"\"us\"\"\",,,\"{\"\"code\"\":\"\"OUT_OF_RANGE\"\",\
                 \"\"message\"\":\"\"no\"\",\"\"attempts\"\":1}\"\n",
            ],
        );
    }
}
