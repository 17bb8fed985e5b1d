//! The manifests of batches: against the schemas of Kubernetes, and their pods as processes.

use futures::future::join_all;
use motet_tests::temp_dir::TempDir;
use motet_tests::{in_process, repository};
use serde_json::{Value, json};

use super::{files, lines};
use crate::clients::{find, run};
use crate::motet;

const MODULES: &str = "import kubernetes_validate, yaml";
const ROWS: usize = 40;

#[tokio::test]
async fn pods_of_the_manifests_answer_all_rows_together() {
    let Some(python) = find("MOTET_PYTHON", "python3", &["-c", MODULES]) else {
        return;
    };
    let script = repository().join("tests/clients/manifests.py");
    let folder = repository().join("deploy/kubernetes");
    let names = ["batch-job.yaml", "batch-cronjob.yaml"];
    let manifests = names.map(|name| folder.join(name).display().to_string());
    let script = script.display().to_string();
    let printed = run(&python, &[&script, &manifests[0], &manifests[1]]);
    let documents: Vec<Value> = lines(printed.as_bytes());
    assert_eq!(documents.len(), 2, "{printed}");
    for document in documents {
        let job = match document["kind"].as_str() {
            Some("CronJob") => document["spec"]["jobTemplate"]["spec"].clone(),
            _ => document["spec"].clone(),
        };
        answers(&job).await;
    }
}

/// Runs the pods of a job on rows of a folder, against a gateway.
async fn answers(job: &Value) {
    let data = TempDir::new();
    let row = |number: usize| {
        let row = json!({
            "ticket_id": number,
            "question": "how do tides work",
            "passages": ["The moon raises tides.", format!("Bread number {number}.")],
        });
        format!("{row}\n")
    };
    std::fs::create_dir(data.path().join("tickets")).expect("a folder");
    data.file("tickets/one.jsonl", (0..ROWS).map(row).collect::<String>());
    let container = &job["template"]["spec"]["containers"][0];
    assert_eq!(container["name"], "motet", "the name in the failure policy");
    let gateway = in_process::shared().grpc.to_string();
    let arguments = container["args"].as_array().expect("arguments");
    let arguments: Vec<String> = arguments
        .iter()
        .map(|argument| {
            let argument = argument.as_str().expect("a string");
            let argument = argument.replace("/data", &data.path().display().to_string());
            let argument = argument.replace("$(JOB)", "nightly-1");
            argument.replace("motet-gateway:50051", &gateway)
        })
        .collect();
    let variables = container["env"].as_array().expect("variables");
    let shards = variables.iter().find(|v| v["name"] == "MOTET_SHARDS");
    let shards = shards.expect("the variable")["value"].as_str();
    let pods = job["completions"].as_u64().expect("a number");
    assert_eq!(shards, Some(&*pods.to_string()));
    let pod = |index: u64| {
        let program = motet(&arguments).args(["--unit=3"]);
        let program = program.env("JOB_COMPLETION_INDEX", index.to_string());
        program.env("MOTET_SHARDS", pods.to_string()).run()
    };
    for ended in join_all((0..pods).map(pod)).await {
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    let out = arguments.iter().find_map(|a| a.strip_prefix("--out="));
    let files = files(std::path::Path::new(out.expect("a folder")));
    assert!(files.contains_key("_SUCCESS"), "{:?}", files.keys());
    let parts = files.iter().filter(|(name, _)| name.starts_with("part-"));
    let answers: Vec<Value> = parts.flat_map(|(_, text)| lines(text)).collect();
    let ids: Vec<&Value> = answers.iter().map(|answer| &answer["ticket_id"]).collect();
    assert_eq!(json!(ids), json!((0..ROWS).collect::<Vec<_>>()));
    for answer in answers {
        assert_eq!(answer["results"][0]["index"], 0, "{answer}");
    }
}
