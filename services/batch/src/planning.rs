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
use crate::input::{InputFormat, Place, RowReader, expand_names, format_of, keep_stdin};
use crate::output::Lines;
use crate::plan::{Input, PipelineParts, Plan, Unit};
use crate::settings::Settings;

/// The name of standard input.
const STDIN: &str = "-";

/// Request for a batch.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Files, also in buckets (`s3://BUCKET/KEY`), patterns of files, or `-` for standard input.
    pub inputs: Vec<String>,
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
    let planned = Plan::read(&folder)?;
    let is_part = |name: &String| name.starts_with("part-");
    if planned.is_none() && folder.names()?.iter().any(is_part) {
        return Err(BatchError::cannot(format!(
            "{} has parts, but no plan: they are of something else; name another folder",
            folder.path().display()
        )));
    }
    let files = files(&folder, asked, planned.is_some(), stdin)?;
    let inputs: Vec<(String, InputFormat)> = files
        .iter()
        .map(|(file, format)| (name(file), *format))
        .collect();
    if let Some(plan) = &planned {
        compare(&folder, plan, asked, &inputs)?;
    }
    let pipeline = &asked.pipeline.name;
    let (ports, outputs) = (&asked.ports, &asked.outputs);
    let bound = bind(pipeline, ports, outputs, &asked.settings, &files)?;
    let plan = match planned {
        Some(plan) => plan,
        None => {
            let plan = scan(asked, &files)?;
            match folder.create(&folder.plan(), &plan)? {
                true => plan,
                // Another worker was faster.
                false => {
                    let plan = Plan::of(&folder)?;
                    compare(&folder, &plan, asked, &inputs)?;
                    plan
                }
            }
        }
    };
    Ok(Batch {
        folder,
        lines: Lines::new(&plan, &asked.outputs, &bound.sample),
        plan,
        binding: bound.binding,
    })
}

fn compare(
    folder: &Folder,
    plan: &Plan,
    asked: &Asked,
    inputs: &[(String, InputFormat)],
) -> Result<(), BatchError> {
    let differences = plan.differences(&asked.pipeline, &asked.settings, inputs);
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

/// Returns the files of the inputs, with their formats.
fn files(
    folder: &Folder,
    asked: &Asked,
    is_planned: bool,
    stdin: impl Read,
) -> Result<Vec<(InputFile, InputFormat)>, BatchError> {
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
        return Ok(vec![(file, asked.format.unwrap_or(InputFormat::Jsonl))]);
    }
    let files = expand_names(folder.files(), &asked.inputs)?;
    let format = |file: &InputFile| match asked.format {
        Some(format) => Ok(format),
        None => format_of(file.path()),
    };
    let formats: Result<Vec<_>, _> = files.iter().map(format).collect();
    Ok(files.into_iter().zip(formats?).collect())
}

/// Reads all files once, and divides their rows into units.
fn scan(asked: &Asked, files: &[(InputFile, InputFormat)]) -> Result<Plan, BatchError> {
    let (mut inputs, mut units) = (Vec::new(), Vec::new());
    for (file, format) in files {
        let (input, mut of_input) = scan_file(file, *format, inputs.len(), asked.settings.unit)?;
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
    });
    let (bytes, digest) = file.identity()?;
    let input = Input {
        path: name(file),
        format: InputFormat::Parquet,
        bytes,
        digest,
        rows,
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
