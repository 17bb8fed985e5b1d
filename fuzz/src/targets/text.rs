//! Texts that people write: each is read, checked, and its mistakes are rendered.

use std::sync::Arc;

use motet::Tasks;
use motet::config::Config;
use motet_config::{Colour, Diagnostics, Sources};
use motet_gateway::check::{self, SignatureError, SignatureSource};
use motet_gateway::syntax;
use motet_proto::signature::{Port, Signature};

/// Models of any name that map texts to numbers.
struct AnyModel;

impl SignatureSource for AnyModel {
    fn model(&self, name: &str) -> Result<Arc<Signature>, SignatureError> {
        let port = |name: &str, ty: &str| Some(Port::new(name, ty.parse().ok()?));
        let ports = (port("text", "string[N]"), port("size", "float[N]"));
        let (Some(text), Some(size)) = ports else {
            return Err(SignatureError::Unknown {
                known: vec![name.to_owned()],
            });
        };
        Ok(Arc::new(Signature {
            inputs: vec![text],
            outputs: vec![size],
            parameters: Vec::new(),
        }))
    }
}

/// Reads and checks a configuration.
pub(super) fn configuration(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let tasks = Tasks::builtin();
    let config = Config::from_text("fuzz.yaml", &text, &tasks, &mut sources, &mut diagnostics);
    if let Some(config) = config {
        let nodes = config.pipelines.iter();
        let specs: Vec<_> = nodes
            .filter_map(|n| syntax::parse(n, &mut diagnostics))
            .collect();
        check::check_all(&specs, &AnyModel, false, &mut diagnostics);
    }
    diagnostics.render(&sources, Colour::Never);
}

/// Reads and checks a pipeline.
pub(super) fn pipeline(input: &[u8]) {
    check_pipeline(&String::from_utf8_lossy(input));
}

fn check_pipeline(text: &str) {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let file = sources.add("fuzz.yaml", "", text);
    let root = motet_config::parse(&sources, file, &mut diagnostics);
    let spec = root.and_then(|root| syntax::parse(&root, &mut diagnostics));
    if let Some(spec) = spec {
        check::check(&spec, &AnyModel, &mut diagnostics);
    }
    diagnostics.render(&sources, Colour::Never);
}

/// Reads and checks the condition of a node, and that of an op's rows.
pub(super) fn condition(input: &[u8]) {
    let text = serde_json::Value::from(String::from_utf8_lossy(input));
    check_pipeline(&format!(
        "pipeline: fuzz\ninputs: {{ text: \"string[N]\", flag: bool, score: \"float[N]\" }}\n\
         nodes:\n  n: {{ when: {text}, model: m, in: {{ text: $text }} }}\n  \
         f: {{ op: filter, in: {{ text: $text, score: $score }}, with: {{ where: {text} }} }}\n\
         outputs: {{ size: $n.size, text: $f.text }}\n"
    ));
}

/// Reads and checks the text of a template.
pub(super) fn template(input: &[u8]) {
    let text = serde_json::Value::from(String::from_utf8_lossy(input));
    check_pipeline(&format!(
        "pipeline: fuzz\ninputs: {{ text: \"string[N]\", one: string }}\nnodes:\n  \
         n: {{ op: template, in: {{ text: $text, one: $one }}, with: {{ text: {text} }} }}\n\
         outputs: {{ out: $n.out }}\n"
    ));
}
