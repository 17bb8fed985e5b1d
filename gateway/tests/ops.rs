//! Checks that the documented examples of ops are valid nodes.

mod common;

use motet_gateway::ops::OPS;
use motet_gateway::ops::docs::Form;

/// Returns a pipeline whose only node is the example of a form.
fn pipeline(op: &str, form: &Form) -> String {
    let inputs: String = form
        .example
        .iter()
        .map(|(name, ty)| format!("  {name}: \"{ty}\"\n"))
        .collect();
    let output = form.outputs.split(':').next().unwrap_or_default();
    // The outputs of some ops have the names of the inputs, which the documentation describes.
    let output = match output.contains(' ') {
        true => form.example[0].0,
        false => output,
    };
    format!(
        "pipeline: example\ninputs:\n{inputs}nodes:\n  n: {}\noutputs: {{ out: $n.{output} }}\n",
        form.node(op)
    )
}

#[test]
fn every_documented_example_passes_the_check() {
    for op in OPS {
        let docs = op.docs();
        assert!(!docs.forms.is_empty());
        for form in docs.forms {
            let file = pipeline(docs.name, form);
            let (checked, report) = common::check(&file, false);
            assert_eq!(report, "", "{file}");
            assert_eq!(checked.len(), 1, "{file}");
        }
    }
}
