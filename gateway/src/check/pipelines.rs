//! The pipelines of a configuration, which may call each other.

use std::collections::HashMap;
use std::sync::Arc;

use motet_config::{Diagnostic, Diagnostics, Span};
use motet_proto::signature::Signature;
use prost_reflect::ServiceDescriptor;

use super::{CheckedPipeline, SignatureError, SignatureSource, run};
use crate::grpc::ServiceLookupError;
use crate::syntax::{CallTarget, EndpointRef, PipelineSpec};

/// Checks pipelines that may call each other; those that hold, each after those that it calls.
/// With `offline`, a model whose signature cannot be had is a warning.
pub fn check_all(
    specs: &[PipelineSpec],
    signatures: &dyn SignatureSource,
    offline: bool,
    diagnostics: &mut Diagnostics,
) -> Vec<CheckedPipeline> {
    let mut all = All {
        specs,
        calls: specs.iter().map(calls).collect(),
        states: vec![State::New; specs.len()],
        path: Vec::new(),
        known: PipelineSignatures {
            models: signatures,
            pipelines: HashMap::new(),
            names: specs.iter().map(|s| s.name.value.clone()).collect(),
        },
        offline,
        diagnostics,
        checked: Vec::new(),
    };
    for spec in 0..specs.len() {
        all.visit(spec);
    }
    all.checked
}

/// Returns the pipelines that a pipeline calls, with the places of the calls.
fn calls(spec: &PipelineSpec) -> Vec<(&str, Span)> {
    let mut found = Vec::new();
    for node in &spec.nodes {
        node.visit_targets(&mut |target, span| {
            if let CallTarget::Pipeline(name) = target {
                found.push((name, span));
            }
        });
    }
    found
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    OnPath,
    Done,
}

struct All<'a> {
    specs: &'a [PipelineSpec],
    calls: Vec<Vec<(&'a str, Span)>>,
    states: Vec<State>,
    path: Vec<usize>,
    known: PipelineSignatures<'a>,
    offline: bool,
    diagnostics: &'a mut Diagnostics,
    checked: Vec<CheckedPipeline>,
}

impl All<'_> {
    /// Checks a pipeline after those that it calls. The depth is at most the number of pipelines,
    /// which is limited.
    fn visit(&mut self, spec: usize) {
        if self.states[spec] != State::New {
            return;
        }
        self.states[spec] = State::OnPath;
        self.path.push(spec);
        for (name, at) in self.calls[spec].clone() {
            let Some(called) = self.specs.iter().position(|s| s.name.value == name) else {
                continue;
            };
            if self.states[called] == State::OnPath {
                self.report_cycle(called, at);
            } else {
                self.visit(called);
            }
        }
        self.path.pop();
        self.states[spec] = State::Done;
        let checked = run(
            &self.specs[spec],
            &self.known,
            self.offline,
            self.diagnostics,
        );
        let name = self.specs[spec].name.value.clone();
        let entry = checked.as_ref().map(|checked| Arc::new(checked.clone()));
        self.known.pipelines.entry(name).or_insert(entry);
        self.checked.extend(checked);
    }

    fn report_cycle(&mut self, called: usize, at: Span) {
        let from = self.path.iter().position(|s| *s == called).unwrap_or(0);
        let name = |spec: &usize| self.specs[*spec].name.value.as_str();
        let mut names: Vec<&str> = self.path[from..].iter().map(name).collect();
        names.push(name(&called));
        let message = match names.as_slice() {
            [only, _] => format!("pipeline `{only}` calls itself"),
            _ => format!("these pipelines call each other: {}", names.join(" -> ")),
        };
        self.diagnostics.push(Diagnostic::error(at, message));
    }
}

/// The models, and the pipelines checked so far: `None` for one with mistakes.
struct PipelineSignatures<'a> {
    models: &'a dyn SignatureSource,
    pipelines: HashMap<String, Option<Arc<CheckedPipeline>>>,
    names: Vec<String>,
}

impl SignatureSource for PipelineSignatures<'_> {
    fn model(&self, name: &str) -> Result<Arc<Signature>, SignatureError> {
        self.models.model(name)
    }

    fn service(
        &self,
        endpoint: &EndpointRef,
        service: &str,
    ) -> Result<ServiceDescriptor, ServiceLookupError> {
        self.models.service(endpoint, service)
    }

    fn pipeline(&self, name: &str) -> Result<Arc<CheckedPipeline>, SignatureError> {
        match self.pipelines.get(name) {
            Some(Some(pipeline)) => Ok(pipeline.clone()),
            None if !self.names.iter().any(|n| n == name) => Err(SignatureError::Unknown {
                known: self.names.clone(),
            }),
            // One of a cycle is not there yet; the cycle was reported.
            Some(None) | None => Err(SignatureError::Mistaken),
        }
    }
}
