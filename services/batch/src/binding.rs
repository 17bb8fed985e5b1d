//! Columns of the files against the pipeline, before the first call.

use motet_config::list_of;
use motet_rows::{Binding, Element, Port, Row, columns_of, hint};

use crate::error::BatchError;
#[cfg(feature = "parquet")]
use crate::input::InputFormat;
use crate::input::{InputRow, Origin, RowReader};
use crate::settings::{OutputFormat, Settings};

/// Rows of each file that are looked at.
const ROWS: usize = 1000;
/// Bytes of each file's rows that are looked at.
const BYTES: usize = 4 << 20;
/// Column of the error of a row.
pub(crate) const ERROR: &str = "error";
/// Column of a table with the numbers of rows.
pub(crate) const ROW: &str = "motet_row";
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
    origins: &[Origin],
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
    // Of a query, whose server describes it.
    let mut described: Vec<String> = Vec::new();
    let mut misfits: Vec<String> = Vec::new();
    for origin in origins {
        misfits.extend(origin.misfits(ports, &map));
        mistakes.extend(bytes_for_texts(origin, ports, &map)?);
        described.extend(origin.described());
        sample.extend(head(origin)?);
    }
    // Columns of other types are not told by their values as well.
    let known = (!sample.is_empty() && misfits.is_empty()).then_some(&sample[..]);
    mistakes.append(&mut misfits);
    let binding = Binding::new(ports, &map, known);
    if let Err(found) = &binding {
        mistakes.extend(found.0.iter().map(ToString::to_string));
    }
    let names: Vec<&str> = match described.is_empty() {
        true => columns_of(&sample),
        false => described.iter().map(String::as_str).collect(),
    };
    for column in settings.kept() {
        if !names.is_empty() && !names.contains(&column) {
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
    let own = match settings.format {
        OutputFormat::Postgres => &[ERROR, DEGRADED, ROW][..],
        _ => &[ERROR, DEGRADED],
    };
    for column in settings.kept() {
        if written.contains(&column) || own.contains(&column) {
            mistakes.push(format!(
                "kept column `{column}`: answers have a column of this name; do not keep it, or \
                 write other --columns"
            ));
        }
    }
    if settings.format == OutputFormat::Postgres {
        for output in written.iter().filter(|output| own.contains(output)) {
            mistakes.push(format!(
                "output `{output}`: a table of answers has a column of this name; write other \
                 --columns"
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
    origin: &Origin,
    ports: &[Port],
    map: &[(String, String)],
) -> Result<Vec<String>, BatchError> {
    let Origin::File(file, InputFormat::Parquet) = origin else {
        return Ok(Vec::new());
    };
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
    _: &Origin,
    _: &[Port],
    _: &[(String, String)],
) -> Result<Vec<String>, BatchError> {
    Ok(Vec::new())
}

/// Returns the first rows of an input, without broken ones.
fn head(origin: &Origin) -> Result<Vec<Row>, BatchError> {
    match origin {
        Origin::File(file, format) => {
            let mut reader = RowReader::open(file, *format, |bytes| bytes)?;
            first(|_| reader.next())
        }
        #[cfg(feature = "postgres")]
        Origin::Query(query) => {
            let mut rows = query.rows();
            first(|number| rows.next_input(number))
        }
    }
}

/// Returns the first of some rows, without broken ones. `next` gets the number of those before it.
fn first(
    mut next: impl FnMut(u64) -> Result<Option<InputRow>, BatchError>,
) -> Result<Vec<Row>, BatchError> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while rows.len() < ROWS && bytes < BYTES {
        let Some(row) = next(rows.len() as u64)? else {
            break;
        };
        bytes += row.bytes;
        rows.extend(row.row.ok());
    }
    Ok(rows)
}
