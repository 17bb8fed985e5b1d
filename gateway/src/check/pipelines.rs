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
        positions: HashMap::new(),
        known: PipelineSignatures {
            models: signatures,
            pipelines: HashMap::new(),
            names: specs.iter().map(|s| s.name.value.clone()).collect(),
        },
        offline,
        diagnostics,
        checked: Vec::new(),
    };
    for (at, spec) in specs.iter().enumerate() {
        all.positions.entry(&spec.name.value).or_insert(at);
    }
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
    /// From the name of a pipeline to its index.
    positions: HashMap<&'a str, usize>,
    known: PipelineSignatures<'a>,
    offline: bool,
    diagnostics: &'a mut Diagnostics,
    checked: Vec<CheckedPipeline>,
}

impl All<'_> {
    /// Checks a pipeline after those that it calls. Without recursion: a file may hold a chain of
    /// any length, which the check refuses.
    fn visit(&mut self, spec: usize) {
        // The pipelines on the way, each with the number of its calls that were followed.
        let mut path = Vec::new();
        self.enter(spec, &mut path);
        while let Some((spec, followed)) = path.last_mut() {
            let spec = *spec;
            if let Some((name, at)) = self.calls[spec].get(*followed).copied() {
                *followed += 1;
                match self.positions.get(name).copied() {
                    Some(called) if self.states[called] == State::OnPath => {
                        self.report_cycle(&path, called, at);
                    }
                    Some(called) => self.enter(called, &mut path),
                    None => {}
                }
            } else {
                path.pop();
                self.check(spec);
            }
        }
    }

    fn enter(&mut self, spec: usize, path: &mut Vec<(usize, usize)>) {
        if self.states[spec] == State::New {
            self.states[spec] = State::OnPath;
            path.push((spec, 0));
        }
    }

    fn check(&mut self, spec: usize) {
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

    fn report_cycle(&mut self, path: &[(usize, usize)], called: usize, at: Span) {
        let from = path.iter().position(|(s, _)| *s == called).unwrap_or(0);
        let name = |spec: &usize| self.specs[*spec].name.value.as_str();
        let mut names: Vec<&str> = path[from..].iter().map(|(spec, _)| name(spec)).collect();
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
