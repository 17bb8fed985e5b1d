//! Checks a parsed pipeline against the signatures of what it calls, all mistakes at once.
//!
//! Names lead somewhere, nothing waits for itself, element types and shapes fit, lengths that
//! must be one are one ([`Symbol`]), settings and defaults are within their ranges. What comes
//! out is a [`CheckedPipeline`]: plain data for a planner and an executor, with indices in place
//! of names. Nothing here calls a model or keeps a clock.
//!
//! The steps, in order: `inputs`, `graph` (references, cycles, order), then for each node `flow`
//! (its values), `callee` (what it calls), `node` and `ports` (arguments and results), `settings`,
//! `policy`, `on_error`; then
//! `outputs`, `usage` and `build`.

mod build;
mod callee;
mod checked;
mod dims;
mod flow;
mod graph;
mod inputs;
mod literal;
mod names;
mod node;
mod on_error;
mod outputs;
mod policy;
mod ports;
mod rowwise;
mod settings;
mod signatures;
mod state;
mod usage;

use motet_runtime::config::Diagnostics;

pub use crate::spec::Scalar;
pub use checked::{
    Argument, Cache, CachedOutput, CheckedPipeline, Column, Deadline, Input, Length, Literal, Node,
    NodeKind, OnError, Output, OutputKind, Policies, Produced, Setting, SettingValue, Source,
    Substitute, Symbol, SymbolId, ValueType,
};
pub use inputs::{MAX_BYTES_DEFAULT, MAX_ITEMS_DEFAULT};
pub use names::{check_names, service_name, shared_symbol};
pub use signatures::{SignatureError, SignatureSource};

use crate::spec::PipelineSpec;
use state::Checker;

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

/// As [`check`], but a model whose signature cannot be had is a warning, and all that does not
/// hang on it is still checked. `None` then, since such a pipeline cannot be planned.
pub fn check_offline(
    spec: &PipelineSpec,
    signatures: &dyn SignatureSource,
    diagnostics: &mut Diagnostics,
) -> Option<CheckedPipeline> {
    run(spec, signatures, true, diagnostics)
}

fn run(
    spec: &PipelineSpec,
    signatures: &dyn SignatureSource,
    offline: bool,
    diagnostics: &mut Diagnostics,
) -> Option<CheckedPipeline> {
    let errors_before = diagnostics.errors();
    let mut checker = Checker {
        spec,
        signatures,
        offline,
        diagnostics,
        names: state::Names::new(spec),
        dims: dims::DimTable::default(),
        inputs: Vec::with_capacity(spec.inputs.len()),
        nodes: spec.nodes.iter().map(|_| None).collect(),
        outputs: Vec::with_capacity(spec.outputs.len()),
        incomplete: false,
    };
    names::within_pipeline(spec, checker.diagnostics);
    checker.check_inputs();
    checker.check_targets();
    let order = checker.order();
    for node in &order {
        checker.check_node(*node);
    }
    checker.check_outputs();
    let usage = checker.usage();
    checker.check_substitutes(&usage);
    checker.incomplete |= checker.diagnostics.errors() > errors_before || spec.outputs.is_empty();
    if !checker.incomplete {
        checker.warn_unused(&usage);
    }
    checker.build(&order, &usage)
}
