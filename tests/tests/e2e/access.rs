//! Keys, grants, the admin address and the audit.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use motet_proto::inference::{ModelReadyRequest, RepositoryIndexRequest};
use motet_proto::v1::{DescribeRequest, ListRequest, LoadRequest, UnloadRequest};
use motet_runtime::status;
use motet_tests::connection::Connection;
use motet_tests::http::get;
use motet_tests::program::{Process, Ready};
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{raw, texts};
use serde_json::Value;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};

use crate::motet;

/// Two pipelines that need no model, and a model.
const CONFIGURATION: &str = r#"
server:
  grpc: 127.0.0.1:0
  http: 127.0.0.1:0
  admin: 127.0.0.1:0
  auth: { keys: ./keys.yaml }
  audit: { path: ./audit.jsonl, required: true }
models:
  chunker: { task: preprocess, tokenizer: "builtin:all-minilm-l6-v2" }
pipelines:
  - pipeline: open
    inputs: { text: string }
    nodes: { chunks: { model: chunker, in: { text: $text } } }
    outputs: { text: $chunks.text }
  - pipeline: closed
    inputs: { text: string }
    nodes: { chunks: { model: chunker, in: { text: $text } } }
    outputs: { text: $chunks.text }
"#;

/// A server with keys, in a folder of its own.
struct Guarded {
    folder: TempDir,
    process: Process,
    ready: Ready,
    admin: SocketAddr,
    caller: String,
    operator: String,
}

impl Guarded {
    async fn start() -> Self {
        let folder = TempDir::new();
        let caller = new_key(folder.path(), "caller", &["call:open"]).await;
        let operator = new_key(folder.path(), "operator", &["admin", "metrics"]).await;
        let file = folder.file("motet.yaml", CONFIGURATION);
        let mut process = motet(["up"]).args([&file]).env("RUST_LOG", "trace").start();
        let line = process.prints("ready grpc=").await;
        let ready = process.ready().await;
        let (_, admin) = line.split_once(" admin=").expect("an admin address");
        let admin = admin.split_whitespace().next().expect("an address");
        Self {
            admin: admin.parse().expect("an address"),
            folder,
            process,
            ready,
            caller,
            operator,
        }
    }

    async fn grpc(&self) -> Connection {
        Connection::open(self.ready.grpc).await
    }

    async fn admin(&self) -> Connection {
        Connection::open(self.admin).await
    }

    fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("audit.jsonl"));
        let text = text.expect("the audit");
        let lines = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        lines.collect()
    }
}

/// Makes a key with the command, and returns it.
async fn new_key(folder: &Path, name: &str, grants: &[&str]) -> String {
    let grants = grants.iter().flat_map(|grant| ["--may", grant]);
    let made = motet(["keys", "new", name])
        .args(grants)
        .folder(folder)
        .run()
        .await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    made.stdout.trim().to_owned()
}

fn with<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value: MetadataValue<_> = format!("Bearer {key}").parse().expect("a header");
    request.metadata_mut().insert("authorization", value);
    request
}

fn reason(error: Status) -> (Code, String) {
    (error.code(), status::read(&error).reason)
}

fn refused<T>(answer: Result<T, Status>) -> (Code, String) {
    match answer {
        Ok(_) => panic!("it was answered"),
        Err(error) => reason(error),
    }
}

fn not_authenticated() -> (Code, String) {
    (Code::Unauthenticated, "NOT_AUTHENTICATED".to_owned())
}

fn not_permitted() -> (Code, String) {
    (Code::PermissionDenied, "NOT_PERMITTED".to_owned())
}

#[tokio::test]
async fn a_key_may_do_what_its_grants_say_and_nothing_else() {
    let server = Guarded::start().await;
    let connection = server.grpc().await;
    let mut oip = connection.inference();
    let call = |name: &str| raw(name, &[("text", texts(&["one two three four"]))]);
    let (caller, operator) = (&server.caller, &server.operator);

    assert_eq!(
        refused(oip.model_infer(call("open")).await),
        not_authenticated()
    );
    assert_eq!(
        refused(oip.model_infer(with("wrong", call("open"))).await),
        not_authenticated()
    );
    oip.model_infer(with(caller, call("open")))
        .await
        .expect("granted");
    for name in ["closed", "chunker", "no_such_name"] {
        let answer = oip.model_infer(with(caller, call(name))).await;
        assert_eq!(refused(answer), not_permitted(), "{name}");
        let ready = ModelReadyRequest {
            name: name.to_owned(),
            ..ModelReadyRequest::default()
        };
        let answer = oip.model_ready(with(caller, ready)).await;
        assert_eq!(refused(answer), not_permitted(), "{name}");
    }
    assert_eq!(
        refused(oip.model_infer(with(operator, call("open"))).await),
        not_permitted()
    );

    // Lists have what may be called, or changed.
    let names = async |key: &str| {
        let mut oip = connection.inference();
        let answer = oip
            .repository_index(with(key, RepositoryIndexRequest::default()))
            .await;
        let models = answer.expect("a list").into_inner().models;
        models
            .into_iter()
            .map(|model| model.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(caller).await, ["open"]);
    assert_eq!(names(operator).await, ["closed", "open", "chunker"]);
    let mut pipelines = connection.pipelines();
    let list = pipelines
        .list(with(caller, ListRequest {}))
        .await
        .expect("a list")
        .into_inner();
    assert_eq!(list.pipelines.len(), 1);
    let describe = |name: &str| DescribeRequest {
        name: name.to_owned(),
    };
    pipelines
        .describe(with(caller, describe("open")))
        .await
        .expect("granted");
    let answer = pipelines.describe(with(caller, describe("closed"))).await;
    assert_eq!(refused(answer), not_permitted());
}

#[tokio::test]
async fn a_server_is_changed_at_its_admin_address_by_those_who_may() {
    let server = Guarded::start().await;
    let (public, admin) = (server.grpc().await, server.admin().await);
    let yaml = "{ pipeline: new, inputs: { a: int }, outputs: { a: $a } }".to_owned();
    let load = || LoadRequest { yaml: yaml.clone() };
    let unload = || UnloadRequest {
        name: "new".to_owned(),
    };
    let elsewhere = (Code::PermissionDenied, "ADMIN_ELSEWHERE".to_owned());
    let answer = public
        .pipelines()
        .load(with(&server.operator, load()))
        .await;
    assert_eq!(refused(answer), elsewhere);
    let answer = public
        .pipelines()
        .unload(with(&server.operator, unload()))
        .await;
    assert_eq!(refused(answer), elsewhere);
    assert_eq!(
        refused(admin.pipelines().load(load()).await),
        not_authenticated()
    );
    let answer = admin.pipelines().load(with(&server.caller, load())).await;
    assert_eq!(refused(answer), not_permitted());
    admin
        .pipelines()
        .load(with(&server.operator, load()))
        .await
        .expect("granted");
    admin
        .pipelines()
        .unload(with(&server.operator, unload()))
        .await
        .expect("granted");

    let changes = server.audit();
    let changes = changes.iter().filter(|line| {
        let method = line["method"].as_str().unwrap_or_default();
        method.ends_with("Load") || method.ends_with("Unload")
    });
    let changes: Vec<String> = changes
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
            let method = text("method");
            let method = method.rsplit('/').next().unwrap_or_default().to_owned();
            format!(
                "{} {} {method} {}",
                text("event"),
                text("principal"),
                text("code")
            )
        })
        .collect();
    assert_eq!(
        changes,
        [
            "begin - Load -",
            "call - Load PERMISSION_DENIED",
            "begin - Unload -",
            "call - Unload PERMISSION_DENIED",
            "begin - Load -",
            "call - Load UNAUTHENTICATED",
            "begin - Load -",
            "call caller Load PERMISSION_DENIED",
            "begin - Load -",
            "call operator Load OK",
            "begin - Unload -",
            "call operator Unload OK",
        ]
    );
}

#[tokio::test]
async fn commands_send_the_key_of_the_environment_or_of_a_file() {
    let server = Guarded::start().await;
    let address = server.ready.grpc.to_string();
    let call = |name: &str| motet(["call", name, "text=one two three four", "-a", &address]);
    let answered = call("open")
        .env("MOTET_API_KEY", &server.caller)
        .run()
        .await;
    assert_eq!((answered.code, answered.stderr.as_str()), (Some(0), ""));
    let file = server.folder.file("key", format!("{}\n", server.caller));
    let answered = call("open")
        .args(["--api-key-file"])
        .args([&file])
        .run()
        .await;
    assert_eq!(answered.code, Some(0), "{}", answered.stderr);
    for (program, expected) in [
        (
            call("open"),
            "UNAUTHENTICATED: credentials are missing or not accepted",
        ),
        (
            call("open").env("MOTET_API_KEY", ""),
            "the API key of MOTET_API_KEY is empty",
        ),
        (
            call("closed").env("MOTET_API_KEY", &server.caller),
            "the grant `call:closed` is missing",
        ),
    ] {
        let ended = program.run().await;
        assert_eq!(ended.code, Some(1));
        assert!(
            ended.stderr.contains(expected),
            "{expected}: {}",
            ended.stderr
        );
    }
    let list = motet(["list", "-a", &address])
        .env("MOTET_API_KEY", &server.caller)
        .run()
        .await;
    assert!(
        list.stdout.contains("open") && !list.stdout.contains("closed"),
        "{}",
        list.stdout
    );
    let health = motet(["health", "-a", &address]).run().await;
    assert_eq!(health.stdout, "SERVING\n");
}

#[tokio::test]
async fn metrics_are_for_those_who_may_read_them_and_health_for_everyone() {
    let server = Guarded::start().await;
    let http = server.ready.http.expect("HTTP is on");
    assert_eq!(get(http, "/healthz").await.expect("an answer").0, 200);
    assert_eq!(get(http, "/readyz").await.expect("an answer").0, 200);
    assert_eq!(get(http, "/metrics").await.expect("an answer").0, 401);
    for (key, expected) in [(&server.caller, 403), (&server.operator, 200)] {
        // The path of the request line is followed by headers.
        let path = format!("/metrics HTTP/1.1\r\nAuthorization: Bearer {key}\r\nX-Rest:");
        assert_eq!(get(http, &path).await.expect("an answer").0, expected);
    }
}

#[tokio::test]
async fn secrets_are_in_no_output() {
    let server = Guarded::start().await;
    let http = server.ready.http.expect("HTTP is on");
    let connection = server.grpc().await;
    let mut oip = connection.inference();
    let call = |name: &str| raw(name, &[("text", texts(&["a planted input"]))]);
    let wrong = "motet_planted_key_that_is_wrong";
    let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJwbGFudGVkIn0.cGxhbnRlZA";
    let mut seen = String::new();
    for key in [server.caller.as_str(), wrong, token] {
        for name in ["open", "closed"] {
            match oip.model_infer(with(key, call(name))).await {
                Ok(answer) => seen += &format!("{:?}", answer.metadata()),
                Err(error) => seen += &format!("{error:?}"),
            }
        }
    }
    let path = format!(
        "/metrics HTTP/1.1\r\nAuthorization: Bearer {}\r\nX-Rest:",
        server.operator
    );
    let (status, metrics) = get(http, &path).await.expect("an answer");
    assert_eq!(status, 200);
    seen += &metrics;
    let file = server.folder.path().join("motet.yaml");
    let key = &server.caller;
    for command in ["config", "check", "models", "schema"] {
        let files: &[&Path] = if command == "schema" { &[] } else { &[&file] };
        let ended = motet([command])
            .args(files)
            .env("MOTET_API_KEY", key)
            .run()
            .await;
        assert_eq!(ended.code, Some(0), "{command}: {}", ended.stderr);
        seen += &(ended.stdout + &ended.stderr);
    }
    for arguments in [&["call", "--help"][..], &["keys", "new", "--help"]] {
        seen += &motet(arguments)
            .env("MOTET_API_KEY", key)
            .run()
            .await
            .stdout;
    }
    let audit = server.folder.path().join("audit.jsonl");
    seen += &std::fs::read_to_string(audit).expect("the audit");
    seen += &std::fs::read_to_string(server.folder.path().join("keys.yaml")).expect("the keys");
    let Guarded {
        process,
        caller,
        operator,
        ..
    } = server;
    process.signal("TERM");
    let ended = process.end().await;
    assert!(
        ended.stderr.contains("credentials were not accepted"),
        "{}",
        ended.stderr
    );
    seen += &(ended.stdout + &ended.stderr);
    for planted in [&*caller, &*operator, wrong, token, "a planted input"] {
        let found = seen.find(planted);
        let around = found.map(|at| &seen[at.saturating_sub(300)..at]);
        assert_eq!(found, None, "{planted} is after {around:?}");
    }
}

#[tokio::test]
async fn a_required_audit_that_cannot_be_written_stops_answers() {
    let folder = TempDir::new();
    let inner = folder.path().join("inner");
    let configuration = "\
server:
  audit: { path: ./inner/audit.jsonl, required: true, max_bytes: 4KiB }
pipelines:
  - { pipeline: same, inputs: { a: int }, outputs: { a: $a } }
";
    let file = folder.file("motet.yaml", configuration);
    let start = || motet(["up"]).args([&file]).on_free_ports();
    let ended = start().run().await;
    assert_eq!(ended.code, Some(1));
    let expected = "inner/audit.jsonl cannot be written: ";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);

    std::fs::create_dir(&inner).expect("a folder");
    let mut process = start().start();
    let connection = process.connect().await;
    let mut oip = connection.inference();
    let mut ask = async || {
        let ready = ModelReadyRequest {
            name: "same".to_owned(),
            ..ModelReadyRequest::default()
        };
        oip.model_ready(ready).await.map(drop)
    };
    ask().await.expect("the audit can be written");
    std::fs::remove_dir_all(&inner).expect("the folder");
    // The file is renamed once it is full, and a new one begun.
    let mut refusals = Vec::new();
    for _ in 0..40 {
        refusals.extend(ask().await.err().map(reason));
    }
    let expected = (Code::Unavailable, "AUDIT_UNAVAILABLE".to_owned());
    assert_eq!(refusals.first(), Some(&expected), "nothing was refused");
    std::fs::create_dir(&inner).expect("a folder");
    ask().await.expect("the audit can be written again");
}

/// Writes a configuration with this key `server`, and returns what `motet check` says of it.
async fn check(folder: &TempDir, server: &str) -> (Option<i32>, String) {
    let pipeline = "pipelines:\n  - { pipeline: a, inputs: { a: int }, outputs: { a: $a } }\n";
    let file: PathBuf = folder.file("motet.yaml", format!("server: {server}\n{pipeline}"));
    let ended = motet(["check"]).args([&file]).run().await;
    (ended.code, ended.stdout + &ended.stderr)
}

#[tokio::test]
async fn mistakes_are_told_before_the_start() {
    let folder = TempDir::new();
    folder.file(
        "bad_keys.yaml",
        "- { name: a, sha256: a-key-itself, may: [fly] }\n",
    );
    folder.file("bad.json", "{ not json");
    folder.file(
        "secret.json",
        r#"{ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }] }"#,
    );
    for (server, expected) in [
        (
            "{ auth: {} }",
            &["`auth` needs `keys`, a keys file, or `jwt`"][..],
        ),
        (
            "{ auth: { keys: ./none.yaml } }",
            &["`auth` cannot be used", "none.yaml"],
        ),
        (
            "{ auth: { keys: ./bad_keys.yaml } }",
            &["`sha256` must be the SHA-256 of a key", "`fly` is no grant"],
        ),
        (
            "{ auth: { jwt: { audience: a } } }",
            &["`jwt` needs the key `jwks`"],
        ),
        (
            "{ auth: { jwt: { jwks: ./bad.json, audience: a } } }",
            &["bad.json cannot be used: it is no JSON web key set"],
        ),
        (
            "{ auth: { jwt: { jwks: ./secret.json, audience: a } } }",
            &["it has a symmetric key"],
        ),
        (
            "{ auth: { jwt: { jwks: \"http://issuer.example/keys\", audience: a } } }",
            &["keys fetched without TLS could be anyone's"],
        ),
        (
            "{ audit: { required: true } }",
            &["`audit` needs the key `path`"],
        ),
        (
            "{ admin: here }",
            &["`admin` must be an IP address and a port"],
        ),
        (
            "{ grpc: { address: 127.0.0.1:1, reflexion: off } }",
            &[
                "unknown key `reflexion` in `grpc`",
                "did you mean `reflection`?",
            ],
        ),
    ] {
        let (code, output) = check(&folder, server).await;
        assert_eq!(code, Some(2), "{server}: {output}");
        for part in expected {
            assert!(output.contains(part), "{server}\nlacks: {part}\n{output}");
        }
    }
    let (code, output) = check(&folder, "{ admin: 127.0.0.1:7, http: off }").await;
    assert_eq!(code, Some(0), "{output}");
    for line in [
        "gRPC   127.0.0.1:50051  calls, health, reflection; for everyone; plain text",
        "admin  127.0.0.1:7      calls, load and unload, health, reflection; for everyone; plain",
    ] {
        assert!(output.contains(line), "{output}");
    }
}

#[tokio::test]
async fn a_keys_file_grows_by_whole_entries() {
    let folder = TempDir::new();
    let one = new_key(folder.path(), "one", &["call:*"]).await;
    let two = new_key(folder.path(), "two", &["admin"]).await;
    assert_ne!(one, two);
    let path = folder.path().join("keys.yaml");
    let before = std::fs::read_to_string(&path).expect("the file");
    for (arguments, expected) in [
        (
            &["one", "--may", "admin"][..],
            "has a key of the name `one` already",
        ),
        (&["a b", "--may", "admin"], "is no name"),
    ] {
        let ended = motet(["keys", "new"])
            .args(arguments)
            .folder(folder.path())
            .run()
            .await;
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
    let wrong = motet(["keys", "new", "x", "--may", "fly"])
        .folder(folder.path())
        .run()
        .await;
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
    assert!(
        wrong.stderr.contains("`fly` is no grant"),
        "{}",
        wrong.stderr
    );
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), before);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path)
            .expect("the file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "others can read it");
    }
}

#[test]
fn the_threat_model_names_tests_that_exist() {
    let root = motet_tests::repository();
    let page = root.join("services/runtime/docs/threat_model.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && line.ends_with("` |"));
    let cells = rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    let names = cells
        .flat_map(|cell| cell.split(", "))
        .map(|name| name.trim_matches('`'));
    let names: Vec<&str> = names.collect();
    assert!(names.len() > 20, "{names:?}");
    let mut sources = String::new();
    let mut folders: Vec<PathBuf> = ["services", "gateway", "models", "tests"]
        .map(|folder| root.join(folder))
        .into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources += &std::fs::read_to_string(path).expect("a source");
            }
        }
    }
    for name in names {
        assert!(
            sources.contains(&format!("fn {name}(")),
            "there is no test {name}"
        );
    }
}
