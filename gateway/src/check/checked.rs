//! A pipeline that passed every check: plain data that a planner and an executor index.
//!
//! Nothing here refers to anything by name: a [`Source`] is a pair of indices, nodes are in an
//! order in which every node comes after all that it needs, and every list length is a
//! [`SymbolId`] into [`CheckedPipeline::symbols`]. Names remain for messages, wire requests and
//! reflection only.

mod condition;

use std::sync::Arc;
use std::time::Duration;

use motet_proto::types::{Dim, ElementType, TensorType};

use super::composition::Composition;
use super::kind::NodeKind;
use super::origins::Origin;
use crate::call::Policies;
use crate::scalar::Scalar;

pub use condition::{Condition, Operand};

/// A pipeline whose references, types, lengths and limits all hold.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedPipeline {
    /// The name, `[a-z][a-z0-9_]*`.
    pub name: String,
    /// The version; 1 by default.
    pub version: u32,
    /// Description for people.
    pub description: Option<String>,
    /// The inputs of a request, in the file's order.
    pub inputs: Vec<Input>,
    /// The nodes that the outputs need, each after all that it needs itself. Nodes that no
    /// output needs were reported and left out.
    pub nodes: Vec<Arc<Node>>,
    /// The outputs of a reply, in the file's order.
    pub outputs: Vec<Output>,
    /// Every length that is only known at run time. Two dimensions with one [`SymbolId`] have
    /// one length: an executor keeps one `Option<usize>` for each, starting from
    /// [`Symbol::fixed`], and checks or binds it with every tensor that it meets.
    pub symbols: Vec<Symbol>,
    /// How long a request may take.
    pub deadline: DeadlineLimits,
    /// The pipelines that it calls, and how many nodes they all have, as they were at the check.
    pub composition: Composition,
}

impl CheckedPipeline {
    /// Every value of the outputs under the name that it has as a tensor: an output's own, or
    /// `results.score` for a column of records.
    pub fn columns(&self) -> impl Iterator<Item = (String, &Column)> {
        self.outputs.iter().flat_map(|output| match &output.kind {
            OutputKind::Value(value) => vec![(output.name.clone(), value)],
            OutputKind::Records { columns, .. } => columns
                .iter()
                .map(|c| (format!("{}.{}", output.name, c.name), c))
                .collect(),
        })
    }

    /// Returns `true` if callers of this pipeline can call the other in its place: inputs and
    /// outputs have the same names and types.
    pub fn is_called_like(&self, other: &Self) -> bool {
        let inputs = |p: &Self| -> Vec<_> {
            let of = |i: &Input| {
                let required = i.default.is_none() && !i.optional;
                (i.name.clone(), p.tensor_type(&i.ty), required, i.optional)
            };
            p.inputs.iter().map(of).collect()
        };
        let outputs = |p: &Self| -> Vec<_> {
            p.columns()
                .map(|(name, c)| (name, p.tensor_type(&c.ty), c.optional))
                .collect()
        };
        inputs(self) == inputs(other) && outputs(self) == outputs(other)
    }

    /// Every value of the outputs, in the same order.
    pub fn values(&self) -> impl Iterator<Item = &Column> {
        self.outputs.iter().flat_map(Output::columns)
    }

    /// A type as others see it: a length that must prove to be one number is that number.
    pub fn tensor_type(&self, ty: &ValueType) -> TensorType {
        let mut shown = ty.to_tensor_type(&self.symbols);
        for (dim, length) in shown.dims.iter_mut().zip(&ty.dims) {
            if let Length::Symbol(id) = length
                && let Some(n) = self.symbols.get(id.0).and_then(|s| s.fixed)
            {
                *dim = Dim::Fixed(n);
            }
        }
        shown
    }
}

/// How long a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadlineLimits {
    /// Timeout of a request whose client states none.
    pub default: Duration,
    /// Longest timeout, whatever a client asks for.
    pub max: Duration,
}

/// One input of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The name.
    pub name: String,
    /// Element type and shape.
    pub ty: ValueType,
    /// Value of an input that a request leaves out; without it the input is required.
    pub default: Option<Literal>,
    /// The smallest number allowed, for every element.
    pub min: Option<Scalar>,
    /// The largest number allowed, for every element.
    pub max: Option<Scalar>,
    /// The most elements that the whole tensor may have.
    pub max_items: usize,
    /// The most bytes that one string or bytes element may have.
    pub max_bytes: usize,
    /// `true` if a request may leave it out, though it has no default.
    pub optional: bool,
}

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The name.
    pub name: String,
    /// The kind, with what it runs.
    pub kind: NodeKind,
    /// The arguments: for a model in the order of its signature, for an op in the order of the
    /// op's table, with named columns in the file's order.
    pub inputs: Vec<Argument>,
    /// The results, in the order of the signature.
    pub outputs: Vec<NodeOutput>,
    /// Settings. For a model, those that the file gives. For an op, every parameter of the op's
    /// table in its order, defaults filled in.
    pub parameters: Vec<Setting>,
    /// How long the node may take, and how often its call is made.
    pub policies: Policies,
    /// Substitutes for the results when the node fails.
    pub on_error: Option<OnError>,
    /// Condition under which the node runs. If it does not, its results are absent.
    pub when: Option<Condition<Source>>,
    /// The nodes whose results the arguments and `when` need: ascending, each once.
    pub dependencies: Vec<usize>,
}

/// Nodes inside a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    /// Its name in messages, such as `words[2]`.
    pub name: String,
    /// The nodes, each after all that it needs. Their [`Source::Input`] is the argument of that
    /// index of the node around them.
    pub nodes: Vec<Arc<Node>>,
    /// The results of the body; `None` where nothing reads one. For a node whose outputs are the
    /// results of an arm, in the order of these outputs.
    pub results: Vec<Option<Source>>,
}

/// One argument of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    /// The name of the port.
    pub port: String,
    /// The element type that the port takes. It differs from the value's only between `string`
    /// and `bytes`.
    pub element: ElementType,
    /// Where the value comes from.
    pub source: Source,
    /// The type of the value as it flows in the pipeline, without the dimension of a single row.
    pub ty: ValueType,
    /// The value is a scalar (or has one dimension less) for a list port: it is sent with a
    /// leading dimension of 1.
    pub single_row: bool,
    /// The value is `bytes` and the port wants `string`: it must prove to be UTF-8.
    pub check_utf8: bool,
    /// Where its content comes from.
    pub origin: Origin,
    /// `true` if the value may be absent. Only nodes with bodies, ops that declare it, optional
    /// inputs of a pipeline and fields of a request take such a value.
    pub optional: bool,
}

/// One result of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeOutput {
    /// The name of the port.
    pub name: String,
    /// The type of the value as it flows in the pipeline, after any dropping.
    pub ty: ValueType,
    /// `true` if the node takes a single row: the leading dimension of 1 of the model is dropped.
    pub single_row: bool,
    /// `true` if anything reads the result. Others need not be asked for.
    pub used: bool,
    /// `true` if the result may be absent.
    pub optional: bool,
}

/// A setting of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The name of the parameter.
    pub name: String,
    /// The type that the parameter has.
    pub element: ElementType,
    /// Its value.
    pub value: SettingValue,
}

/// The value of a setting.
#[derive(Debug, Clone, PartialEq)]
pub enum SettingValue {
    /// Written in the file; already of the parameter's type and within its range.
    Literal(Scalar),
    /// A scalar input of the pipeline. Its type fits; whether the value of a request
    /// is within the parameter's range is known only then.
    Input {
        /// The index of the input, as [`Source::Input`] counts.
        input: usize,
        /// Its name.
        name: String,
        /// The smallest number that the parameter takes.
        min: Option<i64>,
        /// The largest number that the parameter takes.
        max: Option<i64>,
    },
}

/// Substitutes for the results of a node that fails.
#[derive(Debug, Clone, PartialEq)]
pub struct OnError {
    /// For each of the node's outputs, in order, its substitute. `None` for
    /// outputs that nothing reads.
    pub values: Vec<Option<Substitute>>,
    /// `true` if the reply's receipt names the node as degraded.
    pub mark_degraded: bool,
    /// The nodes whose results `values` need: ascending, each once. They are needed only when
    /// the node fails.
    pub dependencies: Vec<usize>,
}

/// A value in place of a node's result: of the same type, except that `bytes` may substitute
/// `string` and the reverse. Lengths are those of the value: it is checked against the type of the
/// [`NodeOutput`] in whose place it is, as a result of the node itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Substitute {
    /// Where the value comes from.
    pub source: Source,
    /// The type of the value.
    pub ty: ValueType,
    /// The value is `bytes` and the result is `string`: it must prove to be UTF-8.
    pub check_utf8: bool,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// The pipeline's input of this index; inside a node, the node's argument of this index.
    Input(usize),
    /// A result of another node.
    Node {
        /// The index of the node.
        node: usize,
        /// The index of the node's output.
        output: usize,
    },
    /// A value written in the file.
    Literal(Literal),
}

/// One output of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The name.
    pub name: String,
    /// One value, or columns that make records.
    pub kind: OutputKind,
}

impl Output {
    /// Its values: one, or the columns of its records.
    pub fn columns(&self) -> &[Column] {
        match &self.kind {
            OutputKind::Value(value) => std::slice::from_ref(value),
            OutputKind::Records { columns, .. } => columns,
        }
    }
}

/// The form of an output.
#[derive(Debug, Clone, PartialEq)]
pub enum OutputKind {
    /// One tensor.
    Value(Column),
    /// Columns that have one leading length: record `i` has element `i` of each.
    Records {
        /// The fields of a record, in the file's order.
        columns: Vec<Column>,
        /// How many records there are.
        length: Length,
    },
}

/// A named value of an output. In [`OutputKind::Value`] the name is the output's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The name.
    pub name: String,
    /// Where the value comes from.
    pub source: Source,
    /// Its type. A column of records has at least one dimension, the first being the records.
    pub ty: ValueType,
    /// `true` if it may be absent; a record then lacks the field.
    pub optional: bool,
}

/// The index of a [`Symbol`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SymbolId(pub usize);

/// A length known at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// A name for people, unique in the pipeline: the pipeline's own symbols keep theirs, those
    /// that nodes bring in are named like `chunks.M`.
    pub name: String,
    /// The length that it must have, if something in the graph takes only one length.
    pub fixed: Option<usize>,
}

/// One dimension of a [`ValueType`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Length {
    /// Always this many.
    Fixed(usize),
    /// Known at run time.
    Symbol(SymbolId),
}

/// Element type and shape of a value in a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueType {
    /// The type of each element.
    pub element: ElementType,
    /// The dimensions, outermost first; none is a scalar.
    pub dims: Vec<Length>,
}

impl ValueType {
    /// A scalar of `element`.
    pub const fn scalar(element: ElementType) -> Self {
        Self {
            element,
            dims: Vec::new(),
        }
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// Returns `true` if this is a scalar.
    pub fn is_scalar(&self) -> bool {
        self.dims.is_empty()
    }

    /// The type with named symbols, as signatures and reflection show it.
    pub fn to_tensor_type(&self, symbols: &[Symbol]) -> TensorType {
        let dims = self.dims.iter().map(|dim| match *dim {
            Length::Fixed(n) => Dim::Fixed(n),
            Length::Symbol(SymbolId(i)) => match symbols.get(i) {
                Some(symbol) => Dim::Symbol(
                    symbol
                        .name
                        .replace(|c: char| !c.is_ascii_alphanumeric(), "_"),
                ),
                None => Dim::Symbol(format!("S{i}")),
            },
        });
        TensorType::new(self.element, dims.collect())
    }
}

/// A value written in a file: a scalar, or a list of scalars. Its scalars already have the form
/// of `element`: integers for integer types, floats for floating point types.
#[derive(Debug, Clone, PartialEq)]
pub struct Literal {
    /// The element type.
    pub element: ElementType,
    /// `true` for a list (one dimension), `false` for a scalar (none).
    pub list: bool,
    /// The elements: exactly one for a scalar.
    pub values: Vec<Scalar>,
}

impl Literal {
    /// The shape: `[]` for a scalar, `[length]` for a list.
    pub fn shape(&self) -> Vec<usize> {
        if self.list {
            vec![self.values.len()]
        } else {
            Vec::new()
        }
    }
}
