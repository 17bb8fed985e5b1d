//! Columns of the files against the pipeline, before the first call.

use motet_config::list_of;
use motet_rows::{Binding, Element, Port, Row, columns_of, hint};

use crate::error::BatchError;
use crate::files::InputFile;
use crate::input::{InputFormat, RowReader};
use crate::settings::{OutputFormat, Settings};

/// Rows of each file that are looked at.
const ROWS: usize = 1000;
/// Bytes of each file's rows that are looked at.
const BYTES: usize = 4 << 20;
/// Column of the error of a row.
pub(crate) const ERROR: &str = "error";
/// Column of the nodes whose results are substitutes.
pub(crate) const DEGRADED: &str = "degraded";

/// Columns that fit a pipeline.
pub(crate) struct Bound {
    pub(crate) binding: Binding,
    /// The rows that were looked at.
    pub(crate) sample: Vec<Row>,
}

/// Binds the columns of the files to the inputs of the pipeline.
///
/// # Errors
/// Every mistake of columns, inputs and outputs.
pub(crate) fn bind(
    pipeline: &str,
    ports: &[Port],
    outputs: &[Port],
    settings: &Settings,
    files: &[(InputFile, InputFormat)],
) -> Result<Bound, BatchError> {
    if settings.format == OutputFormat::Parquet && !cfg!(feature = "parquet") {
        let message = "this build has no Parquet: build motet with its feature `parquet`";
        return Err(BatchError::cannot(message));
    }
    let mut mistakes = Vec::new();
    let is_openai = settings.format == OutputFormat::Openai;
    let mut map = settings.map.clone();
    if is_openai {
        match openai_port(ports) {
            Ok(port) => map = vec![(port.to_owned(), crate::input::OPENAI_INPUT.to_owned())],
            Err(mistake) => return Err(refused(pipeline, &[mistake])),
        }
    }
    let mut sample = Vec::new();
    for (file, format) in files {
        sample.extend(head(file, *format)?);
        mistakes.extend(bytes_for_texts(file, *format, ports, &map)?);
    }
    let known = (!sample.is_empty()).then_some(&sample[..]);
    let binding = Binding::new(ports, &map, known);
    if let Err(found) = &binding {
        mistakes.extend(found.0.iter().map(ToString::to_string));
    }
    let names = columns_of(&sample);
    for column in settings.kept() {
        if !sample.is_empty() && !names.contains(&column) {
            let hint = hint(column, &names);
            mistakes.push(format!("kept column `{column}`: no such column; {hint}"));
        }
    }
    mistakes.extend(output_mistakes(settings, outputs));
    match binding {
        Ok(binding) if mistakes.is_empty() => Ok(Bound { binding, sample }),
        _ => Err(refused(pipeline, &mistakes)),
    }
}

fn refused(pipeline: &str, mistakes: &[String]) -> BatchError {
    let mut message = format!("rows and pipeline `{pipeline}` do not fit:");
    for mistake in mistakes {
        message.push_str("\n  ");
        message.push_str(mistake);
    }
    BatchError::cannot(message)
}

/// Returns the one input of texts of a pipeline that answers requests for embeddings.
fn openai_port(ports: &[Port]) -> Result<&str, String> {
    let required: Vec<&Port> = ports.iter().filter(|port| port.required).collect();
    match required[..] {
        [port] if port.kind.element == Element::Text && port.kind.rank == 1 => Ok(&port.name),
        _ => {
            let types: Vec<String> = required
                .iter()
                .map(|port| format!("{}: {}", port.name, port.kind))
                .collect();
            Err(format!(
                "requests for embeddings take a pipeline with one required input, of type \
                 string[N]; it has {}",
                list_of(&types)
            ))
        }
    }
}

fn output_mistakes(settings: &Settings, outputs: &[Port]) -> Vec<String> {
    let mut mistakes = Vec::new();
    let whole = top_level(outputs);
    let paths = outputs.iter().map(|port| port.name.as_str());
    let known: Vec<&str> = paths.chain(whole.iter().copied()).collect();
    for column in &settings.columns {
        if !known.contains(&column.as_str()) {
            let hint = hint(column, &known);
            mistakes.push(format!("output `{column}`: the pipeline has none; {hint}"));
        }
    }
    let written: Vec<&str> = match settings.columns.is_empty() {
        true => whole,
        false => settings.columns.iter().map(String::as_str).collect(),
    };
    for column in settings.kept() {
        if written.contains(&column) || [ERROR, DEGRADED].contains(&column) {
            mistakes.push(format!(
                "kept column `{column}`: answers have a column of this name; do not keep it, or \
                 write other --columns"
            ));
        }
    }
    mistakes
}

/// Returns the outputs of which some have parts: `results` for `results.score`.
pub(crate) fn top_level(outputs: &[Port]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for output in outputs {
        let name = output.name.split('.').next().unwrap_or_default();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Returns the mistakes of inputs of text whose columns are bytes without a type, which are read as
/// base64: that is text, too, but not the one that was meant.
#[cfg(feature = "parquet")]
fn bytes_for_texts(
    file: &InputFile,
    format: InputFormat,
    ports: &[Port],
    map: &[(String, String)],
) -> Result<Vec<String>, BatchError> {
    if format != InputFormat::Parquet {
        return Ok(Vec::new());
    }
    let untyped = crate::parquet::columns_of_bytes(file);
    let untyped = untyped.map_err(|error| file.broken(0, &error))?;
    let texts = ports
        .iter()
        .filter(|port| port.kind.element == Element::Text);
    let mistakes = texts.filter_map(|port| {
        let mapped = map.iter().find(|(input, _)| *input == port.name);
        let column = mapped.map_or(&port.name, |(_, column)| column);
        let root = column.split('.').next().unwrap_or_default();
        untyped.iter().any(|name| name == root).then(|| {
            format!(
                "input `{}`, column `{column}` of {}: bytes without the type of text; write the \
                 column as strings (UTF-8)",
                port.name,
                file.path().display()
            )
        })
    });
    Ok(mistakes.collect())
}

#[cfg(not(feature = "parquet"))]
fn bytes_for_texts(
    _: &InputFile,
    _: InputFormat,
    _: &[Port],
    _: &[(String, String)],
) -> Result<Vec<String>, BatchError> {
    Ok(Vec::new())
}

/// Returns the first rows of a file, without broken ones.
fn head(file: &InputFile, format: InputFormat) -> Result<Vec<Row>, BatchError> {
    let mut reader = RowReader::open(file, format, |bytes| bytes)?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while rows.len() < ROWS && bytes < BYTES {
        let Some(row) = reader.next()? else {
            break;
        };
        bytes += row.bytes;
        rows.extend(row.row.ok());
    }
    Ok(rows)
}
