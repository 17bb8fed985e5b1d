//! Inputs: defaults and limits against types.

use std::collections::HashMap;

use motet_config::{Diagnostic, Spanned};
use motet_proto::limits::TEXT_BYTES_MAX;
use motet_proto::types::{Dim, ElementType, TensorType};

use super::checked::{Input, Literal, ValueType};
use super::checker::{Checker, FlowType, InputDraft};
use super::dims::{DimId, FactOrigin};
use super::literal::{fit, scalar};
use crate::scalar::Scalar;
use crate::syntax::InputSpec;

/// Default of `max_items`.
pub const MAX_ITEMS_DEFAULT: usize = 1 << 20;
/// Maximum bytes of one `bytes` element of an input that sets no `max_bytes`. A `string` has at
/// most [`TEXT_BYTES_MAX`] then, which is also what a model takes.
pub const MAX_BYTES_DEFAULT: usize = 16 << 20;

fn max_bytes_default(element: ElementType) -> usize {
    match element {
        ElementType::String => TEXT_BYTES_MAX,
        _ => MAX_BYTES_DEFAULT,
    }
}

impl Checker<'_> {
    pub(crate) fn check_inputs(&mut self) {
        let mut symbols = HashMap::new();
        for spec in &self.spec.inputs {
            let draft = match &spec.ty {
                Some(ty) => self.input(spec, ty, &mut symbols),
                None => {
                    self.incomplete = true;
                    InputDraft {
                        ty: None,
                        input: None,
                        used: false,
                    }
                }
            };
            self.inputs.push(draft);
        }
    }

    fn input(
        &mut self,
        spec: &InputSpec,
        ty: &Spanned<TensorType>,
        symbols: &mut HashMap<String, DimId>,
    ) -> InputDraft {
        let origin = FactOrigin {
            span: ty.span,
            words: format!("`{}` is {}", spec.name.value, ty.value),
        };
        let mut dims = Vec::with_capacity(ty.value.rank());
        for dim in &ty.value.dims {
            dims.push(match dim {
                Dim::Fixed(n) => self.dims.fixed(*n, origin.clone()),
                Dim::Symbol(name) => *symbols
                    .entry(name.clone())
                    .or_insert_with(|| self.dims.rigid(name.clone(), origin.clone())),
            });
        }
        let element = ty.value.element;
        let (min, max) = self.bounds(spec, element);
        self.limits(spec, &ty.value);
        let max_items = spec.max_items.map_or(MAX_ITEMS_DEFAULT, |m| m.value);
        let max_bytes = spec
            .max_bytes
            .map_or_else(|| max_bytes_default(element), |m| m.value);
        let default = self.default_value(spec, &ty.value, (&min, &max), (max_items, max_bytes));
        InputDraft {
            ty: Some(FlowType { element, dims }),
            input: Some(Input {
                name: spec.name.value.clone(),
                ty: ValueType::scalar(element),
                default,
                min,
                max,
                max_items,
                max_bytes,
                optional: spec.optional.is_some(),
            }),
            used: false,
        }
    }

    fn bounds(
        &mut self,
        spec: &InputSpec,
        element: ElementType,
    ) -> (Option<Scalar>, Option<Scalar>) {
        let mut bound = |key: &str, bound: &Option<Spanned<Scalar>>| {
            let bound = bound.as_ref()?;
            if element.is_number() {
                return scalar(bound, element, &format!("`{key}`"), self.diagnostics);
            }
            self.diagnostics.push(
                Diagnostic::error(
                    bound.span,
                    format!("`{key}` is for numbers, not for {element}"),
                )
                .help("`max_bytes` bounds a string, `max_items` a list"),
            );
            None
        };
        let (min, max) = (bound("min", &spec.min), bound("max", &spec.max));
        if let (Some(low), Some(high)) = (&min, &max)
            && low.exceeds(high, element)
            && let (Some(low_at), Some(high_at)) = (&spec.min, &spec.max)
        {
            self.diagnostics.push(
                Diagnostic::error(
                    low_at.span,
                    format!("`min` ({low}) is greater than `max` ({high})"),
                )
                .also(high_at.span, "`max`"),
            );
        }
        (min, max)
    }

    /// Limits that a type has no use for.
    fn limits(&mut self, spec: &InputSpec, ty: &TensorType) {
        if let Some(items) = &spec.max_items
            && ty.is_scalar()
        {
            self.diagnostics.push(Diagnostic::error(
                items.span,
                format!(
                    "`max_items` is for lists, but `{}` is a single {ty}",
                    spec.name.value
                ),
            ));
        }
        if let Some(bytes) = &spec.max_bytes
            && !is_text(ty.element)
        {
            self.diagnostics.push(Diagnostic::error(
                bytes.span,
                format!(
                    "`max_bytes` is for string and bytes, but `{}` is {ty}",
                    spec.name.value
                ),
            ));
        }
    }

    fn default_value(
        &mut self,
        spec: &InputSpec,
        ty: &TensorType,
        (min, max): (&Option<Scalar>, &Option<Scalar>),
        (max_items, max_bytes): (usize, usize),
    ) -> Option<Literal> {
        let default = spec.default.as_ref()?;
        let form = match (default.value.list, ty.rank()) {
            (false, 0) | (true, 1) => None,
            (false, _) => Some(format!("a list, since the type is {ty}")),
            (true, 0) => Some(format!("a single {ty}")),
            (true, _) => {
                Some("left out: a default of more than one dimension is not supported".to_owned())
            }
        };
        if let Some(form) = form {
            self.diagnostics.push(Diagnostic::error(
                default.span,
                format!("`default` must be {form}"),
            ));
            return None;
        }
        let literal = fit(&default.value, ty.element, "`default`", self.diagnostics)?;
        if let Some(Dim::Fixed(n)) = ty.dims.first()
            && literal.values.len() != *n
        {
            self.diagnostics.push(Diagnostic::error(
                default.span,
                format!(
                    "`default` has {} elements, but the type is {ty}",
                    literal.values.len()
                ),
            ));
        }
        if literal.values.len() > max_items {
            self.diagnostics.push(Diagnostic::error(
                default.span,
                format!(
                    "`default` has {} elements, more than `max_items` ({max_items})",
                    literal.values.len()
                ),
            ));
        }
        for (value, written) in literal.values.iter().zip(&default.value.values) {
            let problem = match (min, max, value) {
                (Some(min), _, value) if min.exceeds(value, ty.element) => {
                    Some(format!("`default` ({value}) is less than `min` ({min})"))
                }
                (_, Some(max), value) if value.exceeds(max, ty.element) => {
                    Some(format!("`default` ({value}) is greater than `max` ({max})"))
                }
                (_, _, Scalar::String(s)) if s.len() > max_bytes => Some(format!(
                    "`default` has {} bytes, more than `max_bytes` ({max_bytes})",
                    s.len()
                )),
                _ => None,
            };
            if let Some(problem) = problem {
                self.diagnostics
                    .push(Diagnostic::error(written.span, problem));
            }
        }
        Some(literal)
    }
}

/// Returns `true` if elements have lengths of their own.
fn is_text(element: ElementType) -> bool {
    element.size().is_none()
}
