//! Checks a parsed pipeline against the signatures of what it calls, all mistakes at once.
//!
//! Names lead somewhere, nothing waits for itself, element types and shapes fit, lengths that
//! must be one are one ([`Symbol`]), settings and defaults are within their ranges. What comes
//! out is a [`CheckedPipeline`]: plain data for a planner and an executor, with indices in place
//! of names. Nothing here calls a model or keeps a clock.
//!
//! The steps, in order: `inputs`, `graph` (references, cycles, order), then for each node `value`
//! (its values), its kind (its callee or its arms, see `CheckKind`), `node` and `ports`
//! (arguments and results), `settings`, `policy`, `on_error`; then `outputs`, `usage` and `build`.
//! Bodies of nodes (`arms`, `bodies`) go through the same steps, as a scope that sees what is
//! around it.

mod arms;
pub(crate) mod bodies;
pub(crate) mod build;
pub(crate) mod callee;
mod checked;
pub(crate) mod checker;
mod composition;
pub(crate) mod condition;
mod deadlines;
pub(crate) mod dims;
mod graph;
mod inputs;
pub(crate) mod join;
mod kind;
pub(crate) mod literal;
mod names;
mod node;
mod on_error;
pub(crate) mod origins;
mod outputs;
mod pipelines;
pub(crate) mod policy;
mod ports;
mod references;
mod settings;
mod signatures;
mod usage;
mod value;

use std::collections::HashMap;

use motet_config::{Diagnostic, Diagnostics};

pub use checked::{
    Argument, Body, CheckedPipeline, Column, Condition, DeadlineLimits, Input, Length, Literal,
    Node, NodeOutput, OnError, Operand, Output, OutputKind, Setting, SettingValue, Source,
    Substitute, Symbol, SymbolId, ValueType,
};
pub use composition::{
    CALL_DEPTH_MAX, Composition, CompositionError, NESTING_MAX, REQUEST_NODES_MAX,
};
pub use inputs::{MAX_BYTES_DEFAULT, MAX_ITEMS_DEFAULT};
pub use kind::NodeKind;
pub(crate) use kind::{BuildKind, CheckKind, CheckedKind, IndexFree, KindDraft};
pub use names::{check_names, pascal_case, shared_symbol};
pub use origins::Origin;
pub use pipelines::check_all;
pub use signatures::{SignatureError, SignatureSource};

use crate::syntax::PipelineSpec;
use checker::Checker;

/// Checks a pipeline. A model whose signature cannot be had is an error.
///
/// `None` when the pipeline cannot run. `Some` says only that the check itself found no error:
/// the diagnostics may still hold errors of parsing, so ask [`Diagnostics::has_errors`] too.
pub fn check(
    spec: &PipelineSpec,
    signatures: &dyn SignatureSource,
    diagnostics: &mut Diagnostics,
) -> Option<CheckedPipeline> {
    run(spec, signatures, false, diagnostics)
}

fn run(
    spec: &PipelineSpec,
    signatures: &dyn SignatureSource,
    offline: bool,
    diagnostics: &mut Diagnostics,
) -> Option<CheckedPipeline> {
    let errors_before = diagnostics.errors();
    let mut input_names = HashMap::with_capacity(spec.inputs.len());
    for (i, input) in spec.inputs.iter().enumerate() {
        input_names.entry(input.name.value.as_str()).or_insert(i);
    }
    let mut checker = Checker {
        spec,
        signatures,
        offline,
        diagnostics,
        dims: dims::DimTable::default(),
        inputs: Vec::with_capacity(spec.inputs.len()),
        input_names,
        scopes: vec![checker::Scope::new(&spec.nodes)],
        outputs: Vec::with_capacity(spec.outputs.len()),
        expected: HashMap::new(),
        incomplete: false,
    };
    names::within_pipeline(spec, checker.diagnostics);
    checker.check_inputs();
    let of_outputs = checker.output_references();
    checker.check_targets(of_outputs);
    let order = checker.order();
    for node in &order {
        checker.check_node(*node);
    }
    checker.check_outputs();
    let usage = checker.usage();
    let drafts = std::mem::take(&mut checker.scope_mut().drafts);
    checker.check_substitutes(&spec.nodes, &drafts, &usage);
    checker.scope_mut().drafts = drafts;
    checker.incomplete |= checker.diagnostics.errors() > errors_before || spec.outputs.is_empty();
    if !checker.incomplete {
        checker.warn_unused_inputs();
        checker.warn_unused_nodes(&spec.nodes, &usage);
        checker.warn_of_deadlines();
    }
    let checked = checker.build(&order, &usage)?;
    composed(checked, spec, signatures, diagnostics)
}

/// The pipeline with its composition; `None` where that is too much for one request.
fn composed(
    checked: CheckedPipeline,
    spec: &PipelineSpec,
    signatures: &dyn SignatureSource,
    diagnostics: &mut Diagnostics,
) -> Option<CheckedPipeline> {
    let called = |name: &str| Some(signatures.pipeline(name).ok()?.composition.clone());
    match Composition::of(&checked.name, &checked.nodes, called) {
        Ok(composition) => Some(CheckedPipeline {
            composition,
            ..checked
        }),
        Err(error) => {
            let diagnostic = Diagnostic::error(spec.name.span, error.to_string())
                .help("call fewer pipelines, or put what they do into one");
            diagnostics.push(diagnostic);
            None
        }
    }
}
