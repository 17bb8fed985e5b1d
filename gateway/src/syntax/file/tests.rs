use std::fs;

use motet_config::Colour;

use super::*;

fn read(text: &str) -> (Option<ConfigFile>, String) {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let file = ConfigFile::from_text("motet.yaml", text, &mut sources, &mut diagnostics);
    (file, diagnostics.render(&sources, Colour::Never))
}

#[test]
fn endpoints_and_names_of_models_are_read() {
    let (file, report) = read(
        "\
server: { grpc: 0.0.0.0:6000 }
models:
  minilm: { task: embed }
  vision: 5
endpoints:
  ocr: { url: \"grpc://ocr:50051\", descriptor: ./ocr.binpb }
  lang-id: \"grpc://lang:50052\"
pipelines:
  - pipeline: a
",
    );
    assert_eq!(report, "");
    let file = file.unwrap();
    assert!(file.server.is_some() && !file.lone_pipeline);
    assert_eq!(file.pipelines.len(), 1);
    let models: Vec<&str> = file.model_names().map(|name| name.value.as_str()).collect();
    assert_eq!(models, ["minilm", "vision"]);
    let endpoints: Vec<_> = file
        .endpoints
        .iter()
        .map(|e| {
            let url = e.url.as_ref().unwrap().value.to_string();
            let descriptor = e.descriptor.as_ref().map(|d| d.value.clone());
            (e.name.value.as_str(), url, descriptor)
        })
        .collect();
    let ocr = (
        "ocr",
        "grpc://ocr:50051".to_owned(),
        Some("./ocr.binpb".into()),
    );
    let lang = ("lang-id", "grpc://lang:50052".to_owned(), None);
    assert_eq!(endpoints, [ocr, lang]);
}

#[test]
fn a_lone_pipeline_is_a_configuration() {
    let (file, report) = read("pipeline: a\nnodes: {}\n");
    assert_eq!(report, "");
    let file = file.unwrap();
    assert!(file.lone_pipeline);
    assert_eq!(file.pipelines.len(), 1);
    assert!(file.server.is_none());
}

#[test]
fn every_mistake_is_reported() {
    for (text, expected) in [
        (
            "endpoints: [a]\n",
            &["`endpoints` must be a map of names and servers, not a list"][..],
        ),
        (
            "models: { m: { endpoint: \"grpc://h:1\" } }\nendpoints: { a: ocr:50051, B: \"grpc://h:1\", c: {}, d: { url: \"ftp://h:1\", descriptor: 3 }, e: { url: \"grpc://h:1\", descriptor: \"\", descripto: x }, m: \"grpc://h:1\", n: 4 }\n",
            &[
                "`a` must look like `grpc://host:port`",
                "`B` cannot be the name of an endpoint",
                "endpoint `c` needs the key `url`",
                "`url` must look like `grpc://host:port`",
                "`descriptor` must be a string, not an integer",
                "`descriptor` is empty",
                "unknown key `descripto` in endpoint `e`",
                "a model and an endpoint are both named `m`",
                "endpoint `n` must be a map of keys and values, not an integer",
            ],
        ),
        (
            "- a\n",
            &["a configuration must be a map of keys and values, not a list"],
        ),
        (
            "pipelines: a\n",
            &["`pipelines` must be a list, not a string"],
        ),
        (
            "pipelines: [5]\n",
            &["an item of `pipelines` must be a pipeline or the path of a file"],
        ),
        (
            "pipelines: [no/such.yaml]\n",
            &[
                "cannot read `no/such.yaml`: no such file",
                "motet.yaml:1:13",
            ],
        ),
        (
            "server: {}\npipeline: a\n",
            &[
                "unknown key `pipeline` in a configuration",
                "did you mean `pipelines`?",
            ],
        ),
    ] {
        let (_, report) = read(text);
        for part in expected {
            assert!(report.contains(part), "{text}\nlacks: {part}\n{report}");
        }
    }
}

#[test]
fn pipelines_are_read_from_files_beside_the_configuration() {
    let folder = std::env::temp_dir().join(format!("motet-config-{}", std::process::id()));
    fs::create_dir_all(folder.join("more")).unwrap();
    fs::write(folder.join("more/a.yaml"), "pipeline: a\n").unwrap();
    fs::write(folder.join("models.yaml"), "models: {}\n").unwrap();
    fs::write(folder.join("broken.yaml"), "pipeline: [\n").unwrap();
    fs::write(
        folder.join("motet.yaml"),
        "pipelines:\n- more/a.yaml\n- models.yaml\n- broken.yaml\n- { pipeline: b }\n",
    )
    .unwrap();
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let config = ConfigFile::load(&folder.join("motet.yaml"), &mut sources, &mut diagnostics);
    let missing = ConfigFile::load(&folder.join("no.yaml"), &mut sources, &mut diagnostics);
    fs::remove_dir_all(&folder).unwrap();
    assert!(missing.is_none());
    assert_eq!(config.unwrap().pipelines.len(), 2);
    assert_eq!(diagnostics.errors(), 3);
    let report = diagnostics.render(&sources, Colour::Never);
    for part in [
        "motet.yaml:3:3",
        "the file does not hold a pipeline",
        "broken.yaml:1:",
        "no.yaml`: no such file",
    ] {
        assert!(report.contains(part), "{part}\n{report}");
    }
}
