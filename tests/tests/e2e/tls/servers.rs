//! TLS to other servers: of a gateway to model services and endpoints, and of the commands.

use std::path::Path;

use motet_tests::certificates::{Authority, Pair};
use motet_tests::connection::Connection;
use motet_tests::program::Ended;
use motet_tests::proxy::Proxy;
use motet_tests::reflected::Service;
use motet_tests::temp_dir::TempDir;
use motet_tests::wait::until;
use serde_json::json;
use tonic::Request;

use super::{ECHO, Served};
use crate::motet;

impl Served {
    /// Runs `motet list` against the gRPC port, in the folder of the certificates.
    async fn list(&self, scheme: &str, flags: &[&str]) -> Ended {
        let address = format!("{scheme}localhost:{}", self.ready.grpc.port());
        motet(["list", "-a", &address])
            .args(flags)
            .folder(self.folder.path())
            .run()
            .await
    }
}

fn write(pair: &Pair, folder: &TempDir, name: &str) {
    pair.write(&folder.path().join(name));
}

#[tokio::test]
async fn commands_speak_tls_and_say_why_they_cannot() {
    let served = Served::start(", client_ca: ./ca.crt", "").await;
    let stranger = Authority::new("a stranger");
    served.folder.file("other/ca.crt", stranger.pem());
    served.folder.file("mine/ca.crt", served.authority.pem());
    let mine = served.authority.client("spiffe://motet/tests", "tests");
    write(&mine, &served.folder, "mine");
    write(
        &stranger.client("spiffe://motet/tests", "tests"),
        &served.folder,
        "other",
    );
    let ca = ["--ca", "ca.crt"];
    let mine = ["--cert", "mine/tls.crt", "--key", "mine/tls.key"];
    let other = ["--cert", "other/tls.crt", "--key", "other/tls.key"];
    for (scheme, flags, expected) in [
        ("grpcs://", [&ca[..], &mine].concat(), Ok("echo")),
        // A file is enough to say it.
        ("", [&ca[..], &mine].concat(), Ok("echo")),
        (
            "grpcs://",
            [&ca[..], &mine, &["--server-name", "localhost"]].concat(),
            Ok("echo"),
        ),
        (
            "grpcs://",
            ca.to_vec(),
            Err("it asks for a certificate: name yours"),
        ),
        (
            "grpcs://",
            [&ca[..], &other].concat(),
            Err("does not accept the certificate"),
        ),
        (
            "grpcs://",
            [&["--ca", "other/ca.crt"][..], &mine].concat(),
            Err("of no authority that is trusted: name the authority with `ca`"),
        ),
        (
            "grpcs://",
            [&ca[..], &mine, &["--server-name", "elsewhere"]].concat(),
            Err("its certificate is not for `elsewhere`"),
        ),
        (
            "grpc://",
            Vec::new(),
            Err("speaks TLS: write grpcs://localhost:"),
        ),
        (
            "grpcs://",
            vec!["--ca", "no.crt"],
            Err("no.crt cannot be read: no such file"),
        ),
        (
            "grpcs://",
            vec![
                "--ca",
                "ca.crt",
                "--cert",
                "mine/tls.crt",
                "--key",
                "other/tls.key",
            ],
            Err("is not the key of the certificate"),
        ),
    ] {
        let ended = served.list(scheme, &flags).await;
        match expected {
            Ok(name) => {
                assert_eq!(ended.code, Some(0), "{flags:?} {}", ended.stderr);
                assert!(ended.stdout.contains(name), "{flags:?} {}", ended.stdout);
            }
            Err(why) => {
                assert_eq!(ended.code, Some(1), "{flags:?} {}", ended.stderr);
                assert!(
                    ended.stderr.contains(why),
                    "{flags:?} {why}\n{}",
                    ended.stderr
                );
            }
        }
    }
    let plain = motet(["up", "-"]).stdin(ECHO).on_free_ports();
    let mut plain = plain.start();
    let address = format!("grpcs://localhost:{}", plain.ready().await.grpc.port());
    let ca = served.folder.path().join("ca.crt");
    let list = motet(["list", "-a", &address]).env("MOTET_CA", ca);
    let ended = list.run().await;
    let why = "does not speak TLS: write grpc://localhost:";
    assert!(ended.stderr.contains(why), "{}", ended.stderr);
}

/// A gateway that reaches a model service and an endpoint, each with its own certificate, which
/// change while it runs.
#[tokio::test]
async fn a_gateway_speaks_tls_to_model_services_and_endpoints() {
    let served = Served::start(", client_ca: ./ca.crt", "").await;
    let folder = TempDir::new();
    folder.file("ca.crt", served.authority.pem());
    served
        .authority
        .client("spiffe://motet/gateway", "gateway")
        .write(folder.path());
    let address = format!("localhost:{}", served.ready.grpc.port());
    let tls = "tls: { ca: ./ca.crt, cert: ./tls.crt, key: ./tls.key }";
    let text = format!(
        "models:\n  echo: {{ endpoint: \"grpcs://{address}\", {tls} }}\nendpoints:\n  there: {{ url: \
         \"grpcs://{address}\", {tls} }}\npipelines:\n  - pipeline: both\n    inputs: {{ text: \
         string }}\n    nodes:\n      a: {{ model: echo, in: {{ text: $text }} }}\n      b: {{ grpc: \
         motet.pipeline.Echo/Run, endpoint: there, in: {{ text: $text }} }}\n    outputs: {{ a: \
         $a.text, b: $b.text }}\n"
    );
    let file = folder.file("motet.yaml", &text);
    let check = motet([Path::new("check"), &file]).run().await;
    assert_eq!(check.code, Some(0), "{}", check.stderr);
    let mut gateway = motet([Path::new("gateway"), &file]).on_free_ports().start();
    let connection = gateway.connect().await;
    let both = Service::learn(&connection, "motet.pipeline.Both")
        .await
        .expect("it is there");
    let call = async || both.call("Run", json!({"text": "hello"})).await;
    let answer = call().await.expect("an answer");
    assert_eq!(
        (&answer["a"], &answer["b"]),
        (&json!("hello"), &json!("hello"))
    );
    // The model service is another one, of another authority: the gateway's files follow.
    let authority = Authority::new("the next");
    let next = authority.client("spiffe://motet/gateway", "gateway");
    next.write(folder.path());
    folder.file("ca.crt", authority.pem());
    served.folder.file("ca.crt", authority.pem());
    authority.server(&["localhost"]).write(served.folder.path());
    served.process.signal("HUP");
    until("a new connection of the gateway", async || {
        // Ends the connections from before.
        let ended = motet(["list", "-a", &format!("grpcs://{address}")])
            .args(["--ca", "ca.crt", "--cert", "tls.crt", "--key", "tls.key"])
            .folder(folder.path())
            .run();
        (ended.await.code == Some(0)).then_some(())
    })
    .await;
    assert!(call().await.is_ok());
}

#[tokio::test]
async fn mistakes_in_the_tls_of_a_model_or_an_endpoint_are_told() {
    let folder = TempDir::new();
    let authority = Authority::new("the tests");
    folder.file("ca.crt", authority.pem());
    let pair = authority.client("spiffe://motet/tests", "tests");
    pair.write(folder.path());
    let other = authority.client("spiffe://motet/tests", "tests");
    folder.file("other.key", &other.key);
    for (tls, expected) in [
        ("{ ca: ./no.crt }", "no.crt cannot be read: no such file"),
        ("{ ca: ./tls.key }", "has no certificate in PEM"),
        (
            "{ cert: ./tls.crt }",
            "`tls` needs both `cert` and `key`, or neither",
        ),
        (
            "{ ca: ./ca.crt, server_name: \"a b\" }",
            "`server_name` must be a host name",
        ),
        ("{ caa: ./ca.crt }", "did you mean `ca`?"),
        (
            "{ ca: ./ca.crt, cert: ./tls.crt, key: ./other.key }",
            "other.key",
        ),
    ] {
        for text in [
            format!("models: {{ m: {{ endpoint: \"grpc://a:1\", tls: {tls} }} }}\n"),
            format!("endpoints: {{ m: {{ url: \"grpcs://a:1\", tls: {tls} }} }}\n"),
        ] {
            let file = folder.file("motet.yaml", text + ECHO);
            let ended = motet([Path::new("check"), &file]).run().await;
            assert_eq!(ended.code, Some(2), "{tls} {}", ended.stderr);
            assert!(
                ended.stderr.contains(expected),
                "{tls} {expected}\n{}",
                ended.stderr
            );
            assert!(ended.stderr.contains("motet.yaml:1:"), "{}", ended.stderr);
        }
    }
}

/// Headers of a caller that go along, and those that a configuration adds, reach a model service,
/// and no value of them is printed.
#[tokio::test]
async fn headers_go_along_only_by_name_and_secrets_are_nowhere() {
    const SECRETS: [&str; 4] = ["s3cret-one", "s3cret-two", "s3cret-env", "s3cret-caller"];
    let rows = ECHO.replace("text: string", "text: \"string[N]\"");
    let mut service = motet(["up", "-"]).stdin(rows).on_free_ports().start();
    let proxy = Proxy::start(service.connect().await).await;
    let folder = TempDir::new();
    let token = folder.file("token", format!("{}\n", SECRETS[0]));
    let text = format!(
        "server: {{ forward: [x-tenant] }}\nmodels:\n  echo:\n    endpoint: \"grpc://{}\"\n    \
         headers: {{ authorization: \"Bearer ${{file:./token}}\", x-key: \"${{env:E2E_KEY}}\", \
         x-team: \"${{env:E2E_TEAM:-search}}\" }}\n    forward: [x-user]\npipelines:\n  - \
         pipeline: one\n    inputs: {{ text: \"string[N]\" }}\n    nodes: {{ a: {{ model: echo, in: {{ \
         text: $text }}, cache: {{ ttl: 1h }} }} }}\n    outputs: {{ a: $a.text }}\n",
        proxy.address
    );
    let file = folder.file("motet.yaml", &text);
    let program = |words: &[&str]| {
        let file = file.display().to_string();
        motet(words.iter().copied().chain([&*file])).env("RUST_LOG", "trace")
    };
    let ended = program(&["check"]).run().await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let why = "the environment variable E2E_KEY is missing or empty";
    assert!(ended.stderr.contains(why), "{}", ended.stderr);

    let program = |words: &[&str]| program(words).env("E2E_KEY", SECRETS[2]);
    let mut printed = String::new();
    for command in ["check", "config"] {
        let ended = program(&[command]).run().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        printed += &(ended.stdout + &ended.stderr);
    }
    let mut gateway = program(&["gateway"]).on_free_ports().start();
    let ready = gateway.ready().await;
    let connection = Connection::open(ready.grpc).await;
    let service = Service::learn(&connection, "motet.pipeline.One")
        .await
        .expect("it is there");
    let call = async |tenant: Option<&'static str>| {
        let message = service.message("Run", &json!({"text": ["hello"]}));
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        for name in ["authorization", "cookie", "x-other"] {
            metadata.insert(name, SECRETS[3].parse().expect("text"));
        }
        if let Some(tenant) = tenant {
            metadata.insert("x-tenant", tenant.parse().expect("text"));
            metadata.insert("x-user", "me".parse().expect("text"));
        }
        service.request("Run", request).await.expect("an answer");
    };
    let header = |headers: &http::HeaderMap, name: &str| {
        let value = headers.get(name)?;
        Some(value.to_str().expect("text").to_owned())
    };
    call(Some("a")).await;
    let calls = proxy.inferences();
    let headers = calls.last().expect("a call");
    for (name, expected) in [
        ("x-tenant", Some("a")),
        ("x-user", Some("me")),
        ("x-team", Some("search")),
        ("x-key", Some(SECRETS[2])),
        ("authorization", Some("Bearer s3cret-one")),
        ("cookie", None),
        ("x-other", None),
    ] {
        assert_eq!(header(headers, name).as_deref(), expected, "{name}");
    }
    // Another caller, with the same text: not out of the cache.
    call(Some("b")).await;
    let calls = proxy.inferences();
    assert_eq!(
        header(calls.last().expect("a call"), "x-tenant").as_deref(),
        Some("b")
    );
    assert_eq!(calls.len(), 2);
    // Those without such headers share it.
    call(None).await;
    call(None).await;
    assert_eq!(proxy.inferences().len(), 3);
    // The file is read again.
    std::fs::write(&token, SECRETS[1]).expect("the folder can be written to");
    until("the new token", async || {
        call(Some("c")).await;
        let calls = proxy.inferences();
        let found = header(calls.last()?, "authorization")?;
        (found == "Bearer s3cret-two").then_some(())
    })
    .await;
    let metrics = motet_tests::http::get(ready.http.expect("HTTP is on"), "/metrics").await;
    printed += &metrics.expect("a page").1;
    gateway.signal("TERM");
    let ended = gateway.end().await;
    printed += &(ended.stdout + &ended.stderr);
    for secret in SECRETS {
        let at = printed.lines().find(|line| line.contains(secret));
        assert_eq!(at, None, "{secret}");
    }
}

#[tokio::test]
async fn headers_that_cannot_be_are_told() {
    for (keys, expected) in [
        (
            "headers: { authorization: \"Bearer abc\" }",
            "is a secret, which the file must not hold",
        ),
        (
            "headers: { grpc-timeout: 1S }",
            "`grpc-timeout` cannot be set",
        ),
        (
            "headers: { x: \"${file:./no}\" }",
            "no cannot be read: no such file",
        ),
        (
            "headers: { x: \"${nothing}\" }",
            "neither `${file:PATH}` nor `${env:NAME}`",
        ),
        (
            "headers: [x]",
            "`headers` must be a map of names and values",
        ),
        ("forward: [\"a b\"]", "`a b` is no name of a header"),
        ("forward: [te]", "`te` cannot be forwarded"),
    ] {
        let text = format!("endpoints: {{ m: {{ url: \"grpc://a:1\", {keys} }} }}\n{ECHO}");
        let ended = motet(["check", "-"]).stdin(text).run().await;
        assert_eq!(ended.code, Some(2), "{keys} {}", ended.stderr);
        assert!(
            ended.stderr.contains(expected),
            "{keys} {expected}\n{}",
            ended.stderr
        );
    }
}
