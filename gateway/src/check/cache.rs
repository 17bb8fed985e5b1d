//! The policy `cache`: a model must answer row by row.

use motet_config::{Diagnostic, Spanned};
use motet_proto::types::{Dim, TensorType};

use super::callee::{Callee, CalleePort};
use super::checker::Checker;
use crate::policy::settings::{Cache, CacheSettings, CachedOutput};

impl Checker<'_> {
    /// Resolves `cache` against the signature of the model that a node calls; `None` if the model
    /// does not answer row by row, which is reported.
    pub(crate) fn cache(
        &mut self,
        terms: &Spanned<CacheSettings>,
        callee: &Callee,
    ) -> Option<Cache> {
        match rowwise(callee) {
            Ok((row_inputs, outputs)) => Some(Cache {
                ttl: terms.value.ttl,
                max_bytes: terms.value.max_bytes,
                row_inputs,
                outputs,
            }),
            Err(why) => {
                self.diagnostics.push(
                    Diagnostic::error(terms.span, "`cache` keeps answers row by row")
                        .label(format!("{} does not answer so", callee.name))
                        .note(why),
                );
                None
            }
        }
    }
}

/// The inputs that have one element for each row, and the outputs.
///
/// # Errors
/// Why the model's rows are not answered each for itself.
fn rowwise(callee: &Callee) -> Result<(Vec<String>, Vec<CachedOutput>), String> {
    let rows = callee.inputs.iter().find_map(|port| {
        let rows = port.ty.as_ref().and_then(row_symbol)?;
        let answered = |o: &CalleePort| o.ty.as_ref().and_then(row_symbol) == Some(rows);
        callee.outputs.iter().any(answered).then_some(rows)
    });
    let Some(rows) = rows else {
        return Err("no output has as many rows as an input".to_owned());
    };
    let mut row_inputs = Vec::new();
    for port in &callee.inputs {
        let Some(ty) = &port.ty else { continue };
        let by_row = row_symbol(ty) == Some(rows);
        if ty
            .dims
            .iter()
            .skip(usize::from(by_row))
            .any(|d| is(d, rows))
        {
            return Err(format!(
                "its input `{}` is {ty}, where each row meets every other",
                port.name
            ));
        }
        if by_row {
            row_inputs.push(port.name.clone());
        }
    }
    let mut outputs = Vec::with_capacity(callee.outputs.len());
    for port in &callee.outputs {
        let Some(ty) = &port.ty else { continue };
        if row_symbol(ty) != Some(rows) {
            return Err(format!(
                "its output `{}` is {ty}, which is not one for each of the {rows} rows of `{}`",
                port.name,
                row_inputs.join("`, `")
            ));
        }
        let inner = ty.dims[1..].iter().map(|dim| match dim {
            Dim::Fixed(n) => Ok(*n),
            Dim::Symbol(_) => Err(format!(
                "its output `{}` is {ty}, whose rows may differ in shape",
                port.name
            )),
        });
        outputs.push(CachedOutput {
            name: port.name.clone(),
            element: ty.element,
            inner: inner.collect::<Result<_, _>>()?,
        });
    }
    Ok((row_inputs, outputs))
}

/// The symbol of the first dimension.
fn row_symbol(ty: &TensorType) -> Option<&str> {
    match ty.dims.first() {
        Some(Dim::Symbol(name)) => Some(name),
        _ => None,
    }
}

fn is(dim: &Dim, symbol: &str) -> bool {
    matches!(dim, Dim::Symbol(name) if name == symbol)
}
