//! `select`: values as they are, under other names.

use motet_proto::types::TensorType;

use crate::compute::cancel::Cancel;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::OpError;
use crate::ops::op::{Op, OpCall, Outputs};
use crate::ops::ports::{Arguments, FormError, OpPort, Signature, port_like, symbols};

pub(super) struct Select;
pub(super) const OP: Select = Select;

static DOCS: OpDocs = OpDocs {
    name: "select",
    aliases: &[
        ("project", "For columns of records."),
        ("identity", "For an arm that only names a value."),
    ],
    summary: "Passes its inputs on under the names that `in` gives them: renames values, or puts \
              outputs of several nodes together.",
    forms: &[Form {
        inputs: "any names: any types",
        outputs: "the same",
        about: "Nothing is copied.",
        example: &[("title", "string"), ("body", "string[N]")],
        settings: &[],
    }],
};

impl Op for Select {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        if arguments.inputs.is_empty() {
            return Err(FormError::inputs("`select` needs at least one input"));
        }
        let ports = || -> Vec<OpPort> {
            let port = |argument: &crate::ops::ports::ArgumentType<'_>| {
                let prefix = format!("{}_", argument.name);
                let ty = argument
                    .ty
                    .map(|(element, rank)| TensorType::new(element, symbols(&prefix, 0..rank)));
                port_like(argument.name, ty)
            };
            arguments.inputs.iter().map(port).collect()
        };
        Ok(Signature {
            form: 0,
            inputs: ports(),
            outputs: ports(),
            parameters: Vec::new(),
        })
    }

    fn inputs_of(&self, output: usize, _: usize) -> Vec<usize> {
        vec![output]
    }

    fn work(&self, _: &OpCall<'_>) -> u64 {
        0
    }

    fn run(&self, call: &OpCall<'_>, _: &Cancel) -> Result<Outputs, OpError> {
        Ok(call.inputs.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use motet_proto::tensor::Tensor;

    use super::OP;
    use crate::ops::testing::run;

    #[test]
    fn values_are_given_on_as_they_are() {
        let same = [Tensor::strings(["a"]), Tensor::scalar(1i64)];
        assert_eq!(run(&OP, 0, &same, &[]), Ok(same.to_vec()));
    }
}
