//! A configuration file with every key read: `server` by the runtime, `models` by the model
//! service, `endpoints` and `pipelines` by the gateway, `streams` by the crate of streams.

use std::path::Path;

use motet_config::{Diagnostics, Entry, Node, Sources, Span};
use motet_gateway::schema::json_schema;
use motet_gateway::syntax::{ConfigFile, EndpointSpec};
use motet_runtime::config::ServerSpec;
use motet_service::Tasks;
use motet_service::spec::{self, ModelSpec};
use motet_stream::config::{self as streams, StreamSpec};
use serde_json::Value;

/// A configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses and limits of the process.
    pub server: ServerSpec,
    /// The entry of these, for the places of their mistakes.
    pub server_entry: Option<Entry>,
    /// The models, in the order of the file.
    pub models: Vec<ModelSpec>,
    /// Place of the key `models` with its value, if there is one.
    pub models_at: Option<Span>,
    /// The gRPC servers whose methods pipelines call, in the order of the file.
    pub endpoints: Vec<EndpointSpec>,
    /// The pipelines, in the order of the file: inline ones and those of other files.
    pub pipelines: Vec<Node>,
    /// The streams, in the order of the file.
    pub streams: Vec<StreamSpec>,
    /// `true` if the file is one pipeline and nothing else.
    pub lone_pipeline: bool,
}

impl Config {
    /// Reads a configuration, or a file with one pipeline, and every pipeline file that it names.
    ///
    /// Mistakes are added to `diagnostics`, and the rest is still read, so that further checks
    /// can report theirs in the same run. `None` when nothing useful could be read.
    pub fn load(
        path: &Path,
        tasks: &Tasks,
        sources: &mut Sources,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let file = ConfigFile::load(path, sources, diagnostics)?;
        Some(Self::of_file(file, tasks, sources, diagnostics))
    }

    /// Reads a configuration from a text, as [`Config::load`]. Messages call it `name`; relative
    /// paths in it start from the current folder.
    pub fn from_text(
        name: &str,
        text: &str,
        tasks: &Tasks,
        sources: &mut Sources,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let file = ConfigFile::from_text(name, text, sources, diagnostics)?;
        Some(Self::of_file(file, tasks, sources, diagnostics))
    }

    fn of_file(
        file: ConfigFile,
        tasks: &Tasks,
        sources: &Sources,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let server = file.server.as_ref().map(|entry| {
            let folder = sources.file(entry.key.span.file).folder();
            ServerSpec::read(entry, folder, diagnostics)
        });
        let models_at = file.models.as_ref().map(|entry| Span {
            end: entry.node.span.end,
            ..entry.key.span
        });
        let models = file.models.map(|entry| {
            let folder = sources.file(entry.key.span.file).folder();
            let mut models = spec::read(&entry, tasks, diagnostics);
            for model in &mut models {
                model.access.start_from(folder);
            }
            models
        });
        let streams = file.streams.map(|entry| {
            let folder = sources.file(entry.key.span.file).folder();
            streams::read(&entry, folder, diagnostics)
        });
        Self {
            server: server.unwrap_or_default(),
            server_entry: file.server,
            models: models.unwrap_or_default(),
            models_at,
            endpoints: file.endpoints,
            pipelines: file.pipelines,
            streams: streams.unwrap_or_default(),
            lone_pipeline: file.lone_pipeline,
        }
    }

    /// Returns the JSON schema of a configuration, or of a file with one pipeline.
    pub fn schema(tasks: &Tasks) -> Value {
        json_schema(ServerSpec::schema(), spec::schema(tasks), streams::schema())
    }
}

#[cfg(test)]
mod tests {
    use motet_config::Colour;

    use super::*;

    fn read(text: &str) -> (Option<Config>, String) {
        let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
        let tasks = Tasks::builtin();
        let config = Config::from_text("motet.yaml", text, &tasks, &mut sources, &mut diagnostics);
        for pipeline in config.iter().flat_map(|config| &config.pipelines) {
            motet_gateway::syntax::parse(pipeline, &mut diagnostics);
        }
        (config, diagnostics.render(&sources, Colour::Never))
    }

    #[test]
    fn every_key_is_read_by_its_crate() {
        let (config, report) = read(
            "\
server:
  grpc: 0.0.0.0:6000
models:
  chunker: { task: preprocess, tokenizer: minilm }
  minilm: { task: embed, source: \"builtin:all-minilm-l6-v2\" }
endpoints:
  ocr: { url: \"grpc://ocr:50051\", descriptor: ./ocr.binpb }
pipelines:
  - pipeline: a
    inputs: { text: string }
    outputs: { text: $text }
",
        );
        assert_eq!(report, "");
        let config = config.unwrap();
        assert_eq!(config.server.grpc.to_string(), "0.0.0.0:6000");
        let models: Vec<&str> = config
            .models
            .iter()
            .map(|m| m.name.value.as_str())
            .collect();
        assert_eq!(models, ["chunker", "minilm"]);
        assert_eq!(config.endpoints.len(), 1);
        assert_eq!(config.pipelines.len(), 1);
        assert!(!config.lone_pipeline);
    }

    #[test]
    fn a_lone_pipeline_is_a_configuration() {
        let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
        let text = "pipeline: a\nnodes: {}\n";
        let tasks = Tasks::builtin();
        let config = Config::from_text("t", text, &tasks, &mut sources, &mut diagnostics).unwrap();
        assert!(diagnostics.is_empty());
        assert!(config.lone_pipeline);
        assert_eq!(config.pipelines.len(), 1);
        assert_eq!(config.server, ServerSpec::default());
    }

    #[test]
    fn mistakes_of_all_keys_are_reported_together() {
        let (_, report) = read(
            "sever: {}\nserver: { gprc: x }\nmodels: { m: 5, n: { task: embed } }\n\
             endpoints: { e: 5 }\npipelines: 5\n",
        );
        for part in [
            "unknown key `sever` in a configuration",
            "did you mean `server`?",
            "unknown key `gprc` in `server`",
            "did you mean `grpc`?",
            "model `m` must be a map",
            "model `n` needs `source`",
            "endpoint `e` must be a map",
            "`pipelines` must be a list",
            "6 errors",
        ] {
            assert!(report.contains(part), "{part}\n{report}");
        }
    }

    /// Whatever the schema offers, the readers know.
    #[test]
    fn every_key_of_the_schema_is_read() {
        let schema = Config::schema(&Tasks::builtin());
        let definitions = &schema["$defs"];
        let configuration = &definitions["configuration"]["properties"];
        let model = &configuration["models"]["additionalProperties"];
        let node = &definitions["node"]["properties"];
        let pipeline = |node: &str| {
            format!(
                "pipelines: [ {{ pipeline: p, nodes: {{ n: {{ model: m, {node} }} }}, \
                 outputs: {{}} }} ]"
            )
        };
        let check = |keys: &Value, file: &dyn Fn(&str) -> String| {
            let keys = keys["properties"].as_object().unwrap();
            assert!(!keys.is_empty());
            for key in keys.keys() {
                let text = file(&format!("{{ {key}: x }}"));
                let (_, report) = read(&text);
                assert!(!report.contains("unknown key"), "{text}\n{report}");
            }
        };
        check(&configuration["streams"]["items"], &|map| {
            format!("streams: [ {map} ]")
        });
        check(&configuration["server"], &|map| format!("server: {map}"));
        check(model, &|map| format!("models: {{ m: {map} }}"));
        check(&model["properties"]["batcher"], &|map| {
            format!("models: {{ m: {{ batcher: {map} }} }}")
        });
        for policy in ["retry", "hedge", "cache"] {
            check(&node[policy], &|map| pipeline(&format!("{policy}: {map}")));
        }
    }
}
