//! A plan made, or compared with one that is there.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use motet_rows::{Binding, Port};
use sha2::{Digest as _, Sha256};

use crate::binding::bind;
use crate::error::BatchError;
use crate::files::{Digest, FileBytes, InputFile};
use crate::folder::Folder;
use crate::hash::hex;
use crate::input::{InputFormat, Origin, Place, RowReader, expand_names, format_of, keep_stdin};
use crate::output::Lines;
use crate::plan::{Input, PipelineParts, Plan, Unit};
use crate::settings::{QueryText, Settings};

/// The name of standard input.
const STDIN: &str = "-";

/// Request for a batch.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Files, also in buckets (`s3://BUCKET/KEY`), patterns of files, `-` for standard input, or
    /// the address of a database (`postgres://USER@HOST/DATABASE`).
    pub inputs: Vec<String>,
    /// The query of that database.
    pub query: Option<QueryText>,
    /// Their format; without it, what their names say.
    pub format: Option<InputFormat>,
    /// Settings, which decide what is written.
    pub settings: Settings,
    /// The pipeline.
    pub pipeline: PipelineParts,
    /// Its inputs.
    pub ports: Vec<Port>,
    /// Its outputs in their order, parts of one as `results.score`.
    pub outputs: Vec<Port>,
}

/// A batch that can be worked on: its columns fit the pipeline, and it has a plan.
#[derive(Debug)]
pub struct Batch {
    pub(crate) folder: Folder,
    pub(crate) plan: Plan,
    pub(crate) binding: Binding,
    pub(crate) lines: Lines,
    /// The inputs, in the order of the plan.
    pub(crate) origins: Vec<Origin>,
}

impl Batch {
    /// Returns the plan.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns its folder.
    pub const fn folder(&self) -> &Folder {
        &self.folder
    }
}

/// Prepares a batch in a folder: checks columns against the pipeline, and writes a plan, unless
/// there is one, which must be of the same inputs, pipeline and settings. `stdin` is read if it is
/// an input and not kept yet.
///
/// # Errors
/// Every mistake of columns; every difference to the plan; files that cannot be read or written.
pub fn prepare(folder: Folder, asked: &Asked, stdin: impl Read) -> Result<Batch, BatchError> {
    folder.open()?;
    let planned = planned(&folder)?;
    let origins = origins(&folder, asked, planned.is_some(), stdin)?;
    if let Some(plan) = &planned {
        compare(&folder, plan, asked, &origins)?;
    }
    let pipeline = &asked.pipeline.name;
    let (ports, outputs) = (&asked.ports, &asked.outputs);
    let bound = bind(pipeline, ports, outputs, &asked.settings, &origins)?;
    let is_typed = origins.iter().all(|origin| origin.format().is_typed());
    let lines = Lines::new(&asked.settings, pipeline, outputs, &bound.sample, is_typed);
    #[cfg(feature = "postgres")]
    let lines = {
        let mut lines = lines;
        folder.declare(&mut lines)?;
        lines
    };
    let plan = match planned {
        Some(plan) => plan,
        None => {
            let plan = scan(asked, &origins)?;
            match folder.create(&folder.plan(), &plan)? {
                true => plan,
                // Another worker was faster.
                false => {
                    let plan = Plan::of(&folder)?;
                    compare(&folder, &plan, asked, &origins)?;
                    plan
                }
            }
        }
    };
    Ok(Batch {
        folder,
        lines,
        plan,
        binding: bound.binding,
        origins,
    })
}

/// Returns the plan of a folder; `None` if it has none, nor parts.
fn planned(folder: &Folder) -> Result<Option<Plan>, BatchError> {
    if let Some(plan) = Plan::read(folder)? {
        return Ok(Some(plan));
    }
    if !folder.names()?.iter().any(|name| name.starts_with("part-")) {
        return Ok(None);
    }
    // Another worker may have planned, and written them, since then.
    Plan::read(folder)?.map(Some).ok_or_else(|| {
        BatchError::cannot(format!(
            "{} has parts, but no plan: they are of something else; name another folder",
            folder.path().display()
        ))
    })
}

fn compare(
    folder: &Folder,
    plan: &Plan,
    asked: &Asked,
    origins: &[Origin],
) -> Result<(), BatchError> {
    let differences = plan.differences(&asked.pipeline, &asked.settings, origins);
    if differences.is_empty() {
        return Ok(());
    }
    let mut message = format!("{} has a plan of another batch:", folder.path().display());
    for difference in differences {
        message.push_str("\n  ");
        message.push_str(&difference);
    }
    message.push_str("\nname another folder, or ask for what was planned");
    Err(BatchError::cannot(message))
}

/// Returns the name of a file in a plan.
fn name(file: &InputFile) -> String {
    file.path().to_string_lossy().into_owned()
}

/// Returns the inputs.
fn origins(
    folder: &Folder,
    asked: &Asked,
    is_planned: bool,
    stdin: impl Read,
) -> Result<Vec<Origin>, BatchError> {
    let query = asked.query.as_ref();
    if query.is_some() && asked.format.is_some() {
        let message = "a query has no format: leave --in-format and --format openai out";
        return Err(BatchError::cannot(message));
    }
    if let Some(origin) = Origin::of_query(folder.files(), &asked.inputs, query)? {
        return Ok(vec![origin]);
    }
    if asked.inputs.iter().any(|name| name == STDIN) {
        if asked.inputs.len() > 1 {
            return Err(BatchError::cannot(
                "standard input is an input by itself: name no other beside `-`",
            ));
        }
        let path = folder.stdin();
        if !is_planned {
            keep_stdin(stdin, folder, &path)?;
        }
        let file = InputFile::find(folder.files(), &path)?;
        let format = asked.format.unwrap_or(InputFormat::Jsonl);
        return Ok(vec![Origin::File(file, format)]);
    }
    let files = expand_names(folder.files(), &asked.inputs)?;
    let origin = |file: InputFile| {
        let format = match asked.format {
            Some(format) => format,
            None => format_of(file.path())?,
        };
        Ok(Origin::File(file, format))
    };
    files.into_iter().map(origin).collect()
}

/// Reads all inputs once, and divides their rows into units.
fn scan(asked: &Asked, origins: &[Origin]) -> Result<Plan, BatchError> {
    let (mut inputs, mut units) = (Vec::new(), Vec::new());
    for origin in origins {
        let (index, unit) = (inputs.len(), asked.settings.unit);
        let (input, mut of_input) = match origin {
            Origin::File(file, format) => scan_file(file, *format, index, unit)?,
            #[cfg(feature = "postgres")]
            Origin::Query(query) => crate::postgres::scan(query, index, unit)?,
        };
        inputs.push(input);
        units.append(&mut of_input);
    }
    let (pipeline, settings) = (asked.pipeline.clone(), asked.settings.clone());
    Ok(Plan::new(pipeline, settings, inputs, units))
}

fn scan_file(
    file: &InputFile,
    format: InputFormat,
    index: usize,
    unit: u64,
) -> Result<(Input, Vec<Unit>), BatchError> {
    if format == InputFormat::Parquet {
        return scan_parquet(file, index, unit);
    }
    let seen = Seen::default();
    let mut reader = RowReader::open(file, format, |bytes| seen.reader(bytes))?;
    let mut units: Vec<Unit> = Vec::new();
    while let Some(place) = reader.next_place()? {
        let first = reader.number() - 1;
        match units.last_mut() {
            Some(last) if last.rows < unit => last.rows += 1,
            _ => units.push(Unit {
                input: index,
                first,
                rows: 1,
                place,
                #[cfg(feature = "postgres")]
                keys: None,
            }),
        }
    }
    let rows = reader.number();
    drop(reader);
    let (bytes, sha256) = seen.finish();
    // All of it was read: nothing is saved by a tag, but workers compare tags without reading.
    let (bytes, digest) = match file.etag() {
        Some(etag) => (file.bytes(), etag),
        None => (bytes, Digest::Sha256(sha256)),
    };
    let input = Input {
        path: name(file),
        format,
        bytes,
        digest,
        rows,
        #[cfg(feature = "postgres")]
        query: None,
    };
    Ok((input, units))
}

/// Divides the rows of a file that says how many it has.
fn scan_parquet(
    file: &InputFile,
    index: usize,
    unit: u64,
) -> Result<(Input, Vec<Unit>), BatchError> {
    let rows = RowReader::rows_of_parquet(file)?;
    let units = (0..rows.div_ceil(unit)).map(|at| Unit {
        input: index,
        first: at * unit,
        rows: unit.min(rows - at * unit),
        place: Place::of_row(at * unit),
        #[cfg(feature = "postgres")]
        keys: None,
    });
    let (bytes, digest) = file.identity()?;
    let input = Input {
        path: name(file),
        format: InputFormat::Parquet,
        bytes,
        digest,
        rows,
        #[cfg(feature = "postgres")]
        query: None,
    };
    Ok((input, units.collect()))
}

/// The bytes of a file that were read: their number and digest.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<(u64, Sha256)>>);

impl Seen {
    fn reader(&self, bytes: FileBytes) -> SeenReader {
        SeenReader {
            bytes,
            seen: self.clone(),
        }
    }

    fn finish(self) -> (u64, String) {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.0, hex(seen.1.clone()))
    }
}

struct SeenReader {
    bytes: FileBytes,
    seen: Seen,
}

impl Read for SeenReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buf)?;
        let mut seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.0 += read as u64;
        seen.1.update(&buf[..read]);
        Ok(read)
    }
}
