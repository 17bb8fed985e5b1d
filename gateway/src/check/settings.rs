//! `with`: settings against the parameters of what a node calls.

use motet_config::{Diagnostic, Span, Spanned, list_of, nearest, truncated};
use motet_proto::signature::Parameter;
use motet_proto::types::ElementType;

use super::callee::Callee;
use super::checked::{Setting, SettingValue};
use super::checker::Checker;
use super::checker::DraftSource;
use super::graph::Target;
use super::literal::scalar;
use super::value::one_of;
use crate::scalar::Scalar;
use crate::syntax::{LiteralSpec, NodeSpec, Reference, Value};

impl Checker<'_> {
    /// The settings of a node: for a model those that are given, for an op all, in the order of
    /// its parameters.
    pub(crate) fn settings(&mut self, node: &NodeSpec, callee: &Callee) -> Vec<Setting> {
        let names: Vec<&str> = callee.parameters.iter().map(|p| p.name.as_str()).collect();
        for setting in &node.settings {
            let name = &setting.name.value;
            if names.contains(&name.as_str()) {
                continue;
            }
            self.incomplete = true;
            let mut diagnostic = Diagnostic::error(
                setting.name.span,
                format!("{} has no parameter `{}`", callee.name, truncated(name)),
            );
            diagnostic = if callee.inputs.iter().any(|p| p.name == *name) {
                diagnostic.help(format!("`{name}` is an input: put it under `in:`"))
            } else if names.is_empty() {
                diagnostic.help("it has no parameters at all")
            } else {
                diagnostic.suggest(name, names.iter().copied())
            };
            self.diagnostics.push(diagnostic);
        }
        let mut settings = Vec::new();
        for parameter in &callee.parameters {
            let given = node
                .settings
                .iter()
                .find(|s| s.name.value == parameter.name);
            let value = match given {
                Some(setting) => self.setting(parameter, &setting.value),
                None => self.unset(node, callee, parameter),
            };
            settings.extend(value.map(|value| Setting {
                name: parameter.name.clone(),
                element: parameter.ty.element,
                value,
            }));
        }
        settings
    }

    /// Returns the value of a parameter that is not set: a model has its own default, an op needs
    /// every value.
    fn unset(
        &mut self,
        node: &NodeSpec,
        callee: &Callee,
        parameter: &Parameter,
    ) -> Option<SettingValue> {
        if !callee.fills_parameters {
            return None;
        }
        let default = parameter.default.as_ref().and_then(of_json);
        if default.is_none() {
            self.incomplete = true;
            let slip = node
                .settings
                .iter()
                .any(|s| nearest(&s.name.value, [parameter.name.as_str()]).is_some());
            if !slip && !node.unreadable {
                self.diagnostics.push(
                    Diagnostic::error(
                        callee.span,
                        format!("{} needs the parameter `{}`", callee.name, parameter.name),
                    )
                    .help(format!(
                        "add `with: {{ {}: {} }}`",
                        parameter.name,
                        example(parameter)
                    )),
                );
            }
        }
        default.map(SettingValue::Literal)
    }

    fn setting(&mut self, parameter: &Parameter, value: &Spanned<Value>) -> Option<SettingValue> {
        let setting = match &value.value {
            Value::Broken => None,
            Value::Literal(literal) => self
                .literal_setting(parameter, literal, value.span)
                .map(SettingValue::Literal),
            Value::Reference(reference) => self.reference_setting(parameter, reference, value.span),
        };
        self.incomplete |= setting.is_none();
        setting
    }

    fn literal_setting(
        &mut self,
        parameter: &Parameter,
        literal: &LiteralSpec,
        span: Span,
    ) -> Option<Scalar> {
        let name = format!("`{}`", parameter.name);
        let [value] = literal.values.as_slice() else {
            self.single(parameter, span);
            return None;
        };
        if literal.list {
            self.single(parameter, span);
            return None;
        }
        let value = scalar(value, parameter.ty.element, &name, self.diagnostics)?;
        self.in_range(parameter, &value, span, &name)
            .then_some(value)
    }

    fn single(&mut self, parameter: &Parameter, span: Span) {
        self.diagnostics.push(Diagnostic::error(
            span,
            format!(
                "`{}` must be a single {}, not a list",
                parameter.name, parameter.ty
            ),
        ));
    }

    /// Checks that a value is within the range, or one of the words, of a parameter.
    fn in_range(&mut self, parameter: &Parameter, value: &Scalar, span: Span, what: &str) -> bool {
        if !value.is_within(parameter.ty.element, parameter.min, parameter.max) {
            self.diagnostics.push(Diagnostic::error(
                span,
                format!("{what} is {value}, but must be {}", range(parameter)),
            ));
            return false;
        }
        if let Scalar::String(word) = value
            && !parameter.one_of.is_empty()
            && !parameter.one_of.contains(word)
        {
            let mut diagnostic = Diagnostic::error(
                span,
                format!(
                    "{what} must be one of {}, not `{}`",
                    list_of(&parameter.one_of),
                    truncated(word)
                ),
            );
            if let Some(near) = nearest(word, parameter.one_of.iter().map(String::as_str)) {
                diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
            }
            self.diagnostics.push(diagnostic);
            return false;
        }
        true
    }

    fn reference_setting(
        &mut self,
        parameter: &Parameter,
        reference: &Reference,
        span: Span,
    ) -> Option<SettingValue> {
        let input = match self.target(reference) {
            Err(_) => return None,
            Ok(Target::Input(input)) => input,
            Ok(Target::Node { .. } | Target::Element { .. }) => {
                self.diagnostics.push(
                    Diagnostic::error(span, "a setting cannot come from a node")
                        .help("write a value, or refer to an input of the pipeline"),
                );
                return None;
            }
        };
        if !parameter.one_of.is_empty() {
            self.diagnostics.push(
                Diagnostic::error(span, format!("`{}` must be written out", parameter.name))
                    .help(format!("write {}", one_of(&parameter.one_of))),
            );
            return None;
        }
        let spec = self.spec;
        let spec_input = &spec.inputs[input];
        let ty = self.inputs[input].ty.clone()?;
        if !ty.dims.is_empty() || !setting_takes(parameter.ty.element, ty.element) {
            let shown = self.show(&ty);
            let mut diagnostic = Diagnostic::error(
                span,
                format!(
                    "`{}` takes a single {}, not {shown}",
                    parameter.name, parameter.ty
                ),
            )
            .label(format!("this is {shown}"));
            if let Some(ty) = &spec_input.ty {
                diagnostic = diagnostic.also(ty.span, "the input");
            }
            self.diagnostics.push(diagnostic);
            return None;
        }
        if !self.input_range(parameter, input, span) {
            return None;
        }
        let flow = self.flow(&Spanned::new(reference.clone(), span))?;
        let what = format!("the parameter `{}`", parameter.name);
        self.is_present(&flow, &reference.to_string(), span, &what)
            .then_some(())?;
        let DraftSource::Input(seen_as) = flow.source else {
            return None;
        };
        Some(SettingValue::Input {
            input: seen_as,
            name: spec_input.name.value.clone(),
            min: parameter.min,
            max: parameter.max,
        })
    }

    /// A range or default of an input that the parameter never takes.
    fn input_range(&mut self, parameter: &Parameter, input: usize, span: Span) -> bool {
        let spec = self.spec;
        let written = &spec.inputs[input];
        let Some(checked) = self.inputs[input].input.clone() else {
            return false;
        };
        let number = |s: &Scalar| match s {
            #[allow(clippy::cast_precision_loss)]
            Scalar::Int(n) => Some(*n as f64),
            Scalar::Float(x) => Some(*x),
            _ => None,
        };
        #[allow(clippy::cast_precision_loss)]
        let outside = |low: Option<f64>, high: Option<f64>| {
            parameter
                .max
                .is_some_and(|max| low.is_some_and(|low| low > max as f64))
                || parameter
                    .min
                    .is_some_and(|min| high.is_some_and(|high| high < min as f64))
        };
        let (low, high) = (
            checked.min.as_ref().and_then(number),
            checked.max.as_ref().and_then(number),
        );
        if outside(low, high) {
            self.diagnostics.push(
                Diagnostic::error(
                    span,
                    format!(
                        "no value of the input `{}` can be `{}`, which must be {}",
                        checked.name,
                        parameter.name,
                        range(parameter)
                    ),
                )
                .also(written.name.span, "the input, with its own limits"),
            );
            return false;
        }
        if let (Some(default), Some(at)) = (&checked.default, &written.default)
            && let Some(value) = default.values.first()
        {
            let value_number = number(value);
            if outside(value_number, value_number) {
                self.diagnostics.push(
                    Diagnostic::error(
                        at.span,
                        format!(
                            "the default {value} of `{}` cannot be `{}`, which must be {}",
                            checked.name,
                            parameter.name,
                            range(parameter)
                        ),
                    )
                    .also(span, "used here"),
                );
                return false;
            }
        }
        true
    }
}

/// Returns `true` if an input of one type can set a parameter of another: any integer an `int`, any
/// number a `float`.
fn setting_takes(parameter: ElementType, input: ElementType) -> bool {
    parameter == input
        || parameter.is_integer() && input.is_integer()
        || parameter.is_float() && input.is_number()
}

fn range(parameter: &Parameter) -> String {
    match (parameter.min, parameter.max) {
        (Some(min), Some(max)) => format!("between {min} and {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "anything".to_owned(),
    }
}

fn example(parameter: &Parameter) -> String {
    match (parameter.one_of.first(), parameter.ty.element) {
        (Some(word), _) => word.clone(),
        (None, e) if e.is_number() => "10".to_owned(),
        (None, ElementType::Bool) => "true".to_owned(),
        _ => "\"\"".to_owned(),
    }
}

fn of_json(value: &serde_json::Value) -> Option<Scalar> {
    match value {
        serde_json::Value::Bool(b) => Some(Scalar::Bool(*b)),
        serde_json::Value::Number(n) => n
            .as_i64()
            .map(Scalar::Int)
            .or_else(|| n.as_f64().map(Scalar::Float)),
        serde_json::Value::String(s) => Some(Scalar::String(s.clone())),
        _ => None,
    }
}
