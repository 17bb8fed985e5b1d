//! `cache`: answers of a model, cached row by row. [`model::cache`](crate::model) runs it, since it
//! takes the messages of models apart.

use std::time::Duration;

use motet_config::schema::{duration, object, size};
use motet_config::{Diagnostics, Entry, MapReader, Spanned, values};
use motet_proto::types::{Dim, ElementType, TensorType};
use serde_json::{Value, json};

use super::deadline::DEADLINE_RANGE;

/// `cache` as the file states it: how answers are cached, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSettings {
    /// Age at which a cached answer expires.
    pub ttl: Duration,
    /// Memory limit of the cached rows of the model, in bytes, keys and bookkeeping included.
    pub max_bytes: usize,
}

impl CacheSettings {
    /// Default of `ttl`.
    pub const TTL_DEFAULT: Duration = Duration::from_secs(60 * 60);
    /// Largest `ttl` that a file may ask for.
    pub const TTL_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
    /// Default of `max`.
    pub const BYTES_DEFAULT: usize = 64 << 20;
    /// Smallest and largest `max` that a file may ask for.
    pub const BYTES_RANGE: (usize, usize) = (64 << 10, 64 << 30);
}

/// `cache` as the check resolved it against the signature of the model, which must answer each row
/// independently of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Age at which a cached answer expires.
    pub ttl: Duration,
    /// Memory limit of the cached rows of the model, in bytes.
    pub max_bytes: usize,
    /// Names of the inputs with one element per row. All rows share the other inputs.
    pub row_inputs: Vec<String>,
    /// Outputs of the model, all with one element per row.
    pub outputs: Vec<CachedOutput>,
}

/// An output whose rows are cached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedOutput {
    /// Name of the output.
    pub name: String,
    /// Element type.
    pub element: ElementType,
    /// Shape of one row.
    pub inner: Vec<usize>,
}

/// Reads `cache: { ttl, max }`. The span is that of the key.
pub(super) fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<CacheSettings>> {
    let mut map = MapReader::new(&entry.node, "`cache`", entry.key.span, diagnostics)?;
    let ttl = map
        .get("ttl")
        .map_or(Some(CacheSettings::TTL_DEFAULT), |e| {
            values::duration(e, DEADLINE_RANGE.0..=CacheSettings::TTL_MAX, diagnostics)
                .map(|d| d.value)
        });
    let max_bytes = map
        .get("max")
        .map_or(Some(CacheSettings::BYTES_DEFAULT), |e| {
            let (least, most) = CacheSettings::BYTES_RANGE;
            values::size(e, least..=most, diagnostics).map(|b| b.value)
        });
    map.finish(diagnostics);
    let settings = CacheSettings {
        ttl: ttl?,
        max_bytes: max_bytes?,
    };
    Some(Spanned::new(settings, entry.key.span))
}

/// Returns the schema of `cache`.
pub(super) fn schema() -> Value {
    object(json!({ "ttl": duration(), "max": size() }))
}

impl Cache {
    /// Resolves the settings against the inputs and outputs of the model. Ports of unknown types
    /// are left out.
    ///
    /// # Errors
    /// The reason why the model does not answer each row independently of the others.
    pub(crate) fn resolve(
        settings: CacheSettings,
        inputs: &[(String, TensorType)],
        outputs: &[(String, TensorType)],
    ) -> Result<Self, String> {
        let has_rows = |rows| outputs.iter().any(|(_, ty)| row_symbol(ty) == Some(rows));
        let mut symbols = inputs.iter().filter_map(|(_, ty)| row_symbol(ty));
        let rows = symbols.find(|rows| has_rows(rows));
        let rows = rows.ok_or("no output has as many rows as an input")?;
        let row_inputs = row_inputs(inputs, rows)?;
        let outputs = outputs
            .iter()
            .map(|(name, ty)| cached_output(name, ty, rows, &row_inputs))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            ttl: settings.ttl,
            max_bytes: settings.max_bytes,
            row_inputs,
            outputs,
        })
    }
}

/// Returns the inputs that have one element for each row.
///
/// # Errors
/// When an input has the number of rows in another dimension.
fn row_inputs(inputs: &[(String, TensorType)], rows: &str) -> Result<Vec<String>, String> {
    let mut row_inputs = Vec::new();
    for (name, ty) in inputs {
        let by_row = row_symbol(ty) == Some(rows);
        let mut inner = ty.dims.iter().skip(usize::from(by_row));
        if inner.any(|dim| matches!(dim, Dim::Symbol(symbol) if symbol == rows)) {
            return Err(format!(
                "its input `{name}` is {ty}, where each row meets every other"
            ));
        }
        if by_row {
            row_inputs.push(name.clone());
        }
    }
    Ok(row_inputs)
}

/// Returns an output as one whose rows are cached.
///
/// # Errors
/// When it is not a row of one shape for each of the rows.
fn cached_output(
    name: &str,
    ty: &TensorType,
    rows: &str,
    row_inputs: &[String],
) -> Result<CachedOutput, String> {
    if row_symbol(ty) != Some(rows) {
        return Err(format!(
            "its output `{name}` is {ty}, which is not one for each of the {rows} rows of `{}`",
            row_inputs.join("`, `")
        ));
    }
    let inner = ty.dims[1..].iter().map(|dim| match dim {
        Dim::Fixed(n) => Ok(*n),
        Dim::Symbol(_) => Err(format!(
            "its output `{name}` is {ty}, whose rows may differ in shape"
        )),
    });
    Ok(CachedOutput {
        name: name.to_owned(),
        element: ty.element,
        inner: inner.collect::<Result<_, _>>()?,
    })
}

/// Returns the symbol of the first dimension.
fn row_symbol(ty: &TensorType) -> Option<&str> {
    match ty.dims.first() {
        Some(Dim::Symbol(name)) => Some(name),
        _ => None,
    }
}
