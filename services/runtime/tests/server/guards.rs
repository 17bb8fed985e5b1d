//! Authentication, limits of principals, and the audit.

use std::path::{Path, PathBuf};
use std::time::Duration;

use motet_runtime::audit::Audit;
#[cfg(feature = "tls")]
use motet_runtime::auth::Rights;
use motet_runtime::auth::{Authenticator, KeyDigest};
use motet_runtime::config::{AuditSpec, AuthSpec};
#[cfg(feature = "tls")]
use motet_runtime::config::{JwtSpec, KeySetSource};
use motet_runtime::layers::Guards;
use motet_runtime::limits::Admission;
use motet_runtime::listener::ListenerServices;
use motet_runtime::serve::ServeOptions;
use motet_runtime::status;
use serde_json::Value;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{TestServer, start_guarded};

/// A folder of one test, which goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("motet-guards-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write_keys(&self, keys: &[(&str, &str, &str)]) -> PathBuf {
        let entry = |(name, key, rest): &(&str, &str, &str)| {
            format!(
                "- {{ name: {name}, sha256: \"{}\", {rest} }}\n",
                KeyDigest::of(key)
            )
        };
        let text: String = keys.iter().map(entry).collect();
        let path = self.file("keys.yaml");
        std::fs::write(&path, text).expect("a file");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn start(keys: Option<PathBuf>, audit: Option<AuditSpec>) -> TestServer {
    let auth = keys.map(|keys| AuthSpec {
        keys: Some(keys),
        jwt: None,
    });
    start_with(auth, audit).await
}

async fn start_with(auth: Option<AuthSpec>, audit: Option<AuditSpec>) -> TestServer {
    let options = ServeOptions::default();
    start_guarded(Admission::new(100), options, async |metrics| {
        let auth = match auth {
            Some(spec) => {
                let auth = Authenticator::new(&spec, metrics.server())
                    .await
                    .expect("keys");
                drop(tokio::spawn(auth.clone().watch()));
                Some(auth)
            }
            None => None,
        };
        let audit = audit.map(|spec| Audit::open(&spec, metrics.server()).expect("a file"));
        Guards {
            services: ListenerServices::default(),
            auth,
            audit,
        }
    })
    .await
}

fn reason(error: &Status) -> (Code, String) {
    (error.code(), status::read(error).reason)
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    lines.collect()
}

#[tokio::test]
async fn only_keys_of_the_file_are_accepted_and_callers_learn_no_more() {
    let scratch = Scratch::new("keys");
    let keys = scratch.write_keys(&[
        ("web", "right", "may: [\"call:*\"]"),
        ("old", "expired", "may: [\"call:*\"], expires: 2020-01-01"),
    ]);
    let server = start(Some(keys), None).await;
    let client = server.client().await;
    let mut messages = Vec::new();
    for (header, label) in [
        (None, "missing"),
        (Some("Bearer wrong"), "unknown_key"),
        (Some("Bearer a.b.c"), "unknown_key"),
        (Some("Bearer expired"), "expired_key"),
        (Some("Basic cmlnaHQ6"), "malformed"),
        (Some("right"), "malformed"),
        (Some("Bearer "), "malformed"),
    ] {
        let line = format!("motet_auth_refused_total{{reason=\"{label}\"}}");
        let before = server.metric(&line);
        let answer = match header {
            None => client.say("hello").await,
            Some(header) => client.say_with("hello", "authorization", header).await,
        };
        let error = answer.expect_err(label);
        let expected = (Code::Unauthenticated, "NOT_AUTHENTICATED".to_owned());
        assert_eq!(reason(&error), expected, "{header:?}");
        assert_eq!(server.metric(&line), before + 1, "{header:?}");
        messages.push(error.message().to_owned());
    }
    messages.dedup();
    assert_eq!(
        messages.len(),
        1,
        "a caller does not learn why: {messages:?}"
    );
    for header in ["Bearer right", "bearer  right", "BEARER right"] {
        let answer = client.say_with("x", "authorization", header).await;
        assert_eq!(answer.expect(header), "hello x");
    }
    let mut health = HealthClient::new(server.channel().await);
    health
        .check(HealthCheckRequest::default())
        .await
        .expect("health asks nobody who they are");
}

#[tokio::test]
async fn the_keys_file_is_read_again_and_a_broken_one_changes_nothing() {
    let scratch = Scratch::new("again");
    let keys = scratch.write_keys(&[("web", "one", "may: []")]);
    let server = start(Some(keys.clone()), None).await;
    let client = server.client().await;
    let accepts = async |key: &str| {
        let header = format!("Bearer {key}");
        client.say_with("x", "authorization", &header).await.is_ok()
    };
    let until_accepted = async |key: &str| {
        let accepted = async {
            while !accepts(key).await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), accepted).await;
        waited.unwrap_or_else(|_| panic!("{key} is never accepted"));
    };
    assert!(accepts("one").await && !accepts("two").await);
    std::fs::write(&keys, "- { name: web, sha256: oops }\n").expect("written");
    let line = "motet_auth_reload_errors_total{file=\"keys\"}";
    server
        .until("the broken file is seen", |server| server.metric(line) == 1)
        .await;
    assert!(accepts("one").await, "the keys of before stay");
    scratch.write_keys(&[("web", "two", "may: []")]);
    until_accepted("two").await;
    assert!(!accepts("one").await);
}

#[tokio::test]
async fn a_principal_has_its_limits_and_is_a_flow_of_its_own() {
    let scratch = Scratch::new("limits");
    let keys = scratch.write_keys(&[
        (
            "slow",
            "slow",
            "may: [], limits: { requests_per_second: 0.001 }",
        ),
        ("web", "web", "may: [], share: 4"),
        ("gateway", "gateway", "may: [flows]"),
    ]);
    let server = start(Some(keys), None).await;
    let (one, other) = (server.client().await, server.client().await);
    let say = async |client: &crate::harness::Client, key: &str, text: &str| {
        let header = format!("Bearer {key}");
        client.say_with(text, "authorization", &header).await
    };
    say(&one, "slow", "x").await.expect("the first");
    let error = say(&other, "slow", "x").await.expect_err("the second");
    assert_eq!(
        reason(&error),
        (Code::ResourceExhausted, "QUOTA_EXCEEDED".to_owned())
    );
    let details = status::read(&error);
    assert_eq!(details.metadata["requests_per_second"], "0.001");
    assert!(
        details
            .retry_after
            .is_some_and(|after| after > Duration::from_secs(900))
    );
    let line = "motet_server_refused_total{reason=\"principal_requests_per_second\"}";
    assert_eq!(server.metric(line), 1);

    let flow = say(&one, "web", "flow").await.expect("answers");
    let (web, connection) = flow.split_once('/').expect("a principal and a connection");
    assert!(web.ends_with("*4"), "{flow}");
    let again = say(&other, "web", "flow").await.expect("answers");
    let (same, another) = again.split_once('/').expect("a principal and a connection");
    assert_eq!(web, same);
    assert_ne!(connection, another);
    let gateway = say(&one, "gateway", "flow").await.expect("answers");
    let (gateway, _) = gateway
        .split_once('/')
        .expect("a principal and a connection");
    assert_ne!(gateway, web);
}

#[tokio::test]
async fn every_call_is_written_with_who_what_and_how_it_ended() {
    let scratch = Scratch::new("audit");
    let keys = scratch.write_keys(&[("web", "right", "may: []")]);
    let path = scratch.file("audit.jsonl");
    let spec = AuditSpec {
        path: path.clone(),
        required: true,
        ..AuditSpec::default()
    };
    let server = start(Some(keys), Some(spec)).await;
    let client = server.client().await;
    let secret = "an input that nobody may read";
    client
        .say_with(secret, "authorization", "Bearer right")
        .await
        .expect("answers");
    client
        .say_with(secret, "authorization", "Bearer wrong")
        .await
        .expect_err("refused");
    client.say(&"x".repeat(2000)).await.expect_err("refused");
    let mut health = HealthClient::new(server.channel().await);
    health
        .check(HealthCheckRequest::default())
        .await
        .expect("an answer");
    // An answer is sent once its line is in the file.
    let found = lines(&path);
    let summary: Vec<_> = found
        .iter()
        .map(|line| {
            (
                line["principal"].as_str(),
                line["code"].as_str().unwrap_or("none"),
            )
        })
        .collect();
    let expected = [
        (Some("web"), "OK"),
        (None, "UNAUTHENTICATED"),
        (None, "UNAUTHENTICATED"),
    ];
    assert_eq!(summary, expected, "{found:?}");
    assert_eq!(found[0]["credential"], "key");
    assert_eq!(found[0]["event"], "call");
    assert!(
        found[0]["peer"]
            .as_str()
            .is_some_and(|peer| peer.starts_with("127.0.0.1:"))
    );
    let text = std::fs::read_to_string(&path).expect("the audit");
    for planted in [secret, "right", "wrong"] {
        assert!(!text.contains(planted), "{planted:?} is in {text}");
    }
}

#[tokio::test]
async fn nothing_is_answered_that_cannot_be_written() {
    let scratch = Scratch::new("required");
    let folder = scratch.file("inner");
    std::fs::create_dir(&folder).expect("a folder");
    let spec = AuditSpec {
        path: folder.join("audit.jsonl"),
        required: true,
        max_bytes: 1,
        max_files: 2,
    };
    let server = start(None, Some(spec)).await;
    let client = server.client().await;
    assert_eq!(
        client.say("x").await.expect("the audit is there"),
        "hello x"
    );
    // Every line begins a file, which is renamed into a folder that is gone.
    std::fs::remove_dir_all(&folder).expect("the folder");
    let error = client.say("x").await.expect_err("the audit is gone");
    assert_eq!(
        reason(&error),
        (Code::Unavailable, "AUDIT_UNAVAILABLE".to_owned())
    );
    assert_eq!(server.metric("motet_audit_lost_total"), 1);
    std::fs::create_dir(&folder).expect("a folder");
    assert_eq!(
        client.say("y").await.expect("the audit is there again"),
        "hello y"
    );
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tokens_of_an_issuer_are_accepted_and_its_keys_are_fetched_again() {
    let issuer = crate::issuer::Issuer::start().await;
    let spec = AuthSpec {
        keys: None,
        jwt: Some(JwtSpec {
            jwks: KeySetSource::Url(issuer.url()),
            issuer: None,
            audience: Some("motet".to_owned()),
            leeway: Duration::from_secs(60),
            scope_claim: "scope".to_owned(),
            rights: Rights::default(),
        }),
    };
    let server = start_with(Some(spec), None).await;
    let client = server.client().await;
    let say = async |token: &str| {
        let header = format!("Bearer {token}");
        client.say_with("x", "authorization", &header).await
    };
    let token = issuer.token("alice", 600);
    assert_eq!(say(&token).await.expect("a token of the issuer"), "hello x");
    assert_eq!(say(&token).await.expect("the same again"), "hello x");
    for (token, label) in [
        (issuer.token("alice", -600), "expired_token"),
        (format!("{token}A"), "bad_token"),
        ("motet_key".to_owned(), "unknown_key"),
    ] {
        let error = say(&token).await.expect_err(label);
        assert_eq!(
            reason(&error),
            (Code::Unauthenticated, "NOT_AUTHENTICATED".to_owned())
        );
        let line = format!("motet_auth_refused_total{{reason=\"{label}\"}}");
        assert_eq!(server.metric(&line), 1, "{label}");
    }
    // A token of a key that is not known makes the server ask again.
    issuer.change_key();
    let renewed = issuer.token("alice", 600);
    let accepted = async {
        while say(&renewed).await.is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), accepted)
        .await
        .expect("accepted in the end");
    say(&token)
        .await
        .expect_err("the key of before was withdrawn");
}
