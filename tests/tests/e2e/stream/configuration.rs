//! Streams in configurations: what `motet check` says.

use motet_tests::temp_dir::TempDir;

use super::SHOUT;
use super::nats::stream_at;
use crate::motet;

/// Returns the exit code and the report of `motet check`.
async fn check(text: &str) -> (Option<i32>, String) {
    let folder = TempDir::new();
    let file = folder.file("streams.yaml", text);
    let ended = motet(["check", file.to_str().expect("ASCII")]).run().await;
    (ended.code, ended.stderr)
}

#[tokio::test]
async fn fields_are_checked_against_the_ports_before_anything_starts() {
    let good = stream_at("127.0.0.1:4222".parse().expect("an address"), "");
    let good = format!("{SHOUT}streams:\n{good}");
    let (code, report) = check(&good).await;
    assert_eq!(code, Some(0), "{report}");
    for (from, to, expected) in [
        (
            "pipeline: shout\n    from",
            "pipeline: shot\n    from",
            "did you mean `shout`?",
        ),
        (
            "    dead",
            "    read: { txt: $.body }\n    dead",
            "the pipeline has no such input; did you mean `text`?",
        ),
        (
            "    dead",
            "    chunk: { max: 8, within: 1ms }\n    dead",
            "`chunk` needs lists, but pipeline `shout` takes one `text` (string)",
        ),
        ("consumer: motet", "token: abc", "`token` is a secret"),
        (
            "consumer: motet",
            "creds: \"${file:./absent.creds}\"",
            "absent.creds cannot be read",
        ),
        (
            "consumer: motet",
            "password: \"${env:NO_SUCH}\"",
            "NO_SUCH is missing or empty",
        ),
        ("consumer: motet", "tls: { ca: ./absent.pem }", "absent.pem"),
    ] {
        assert!(good.contains(from), "{from}");
        let (code, report) = check(&good.replacen(from, to, 1)).await;
        assert_eq!(code, Some(2), "{to}: {report}");
        assert!(report.contains(expected), "{to}: {report}");
        assert!(report.contains("streams.yaml:"), "a position: {report}");
    }
}

#[tokio::test]
async fn a_file_of_streams_alone_is_for_a_server_or_the_built_in_pipelines() {
    let stream = stream_at("127.0.0.1:4222".parse().expect("an address"), "");
    let (code, report) = check(&format!("streams:\n{stream}")).await;
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("no pipeline is named `shout`"), "{report}");
    assert!(report.contains("motet stream --to HOST:PORT"), "{report}");
    let rag = stream.replace("pipeline: shout", "pipeline: rag");
    let (code, report) = check(&format!("streams:\n{rag}")).await;
    assert_eq!((code, report.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn without_streams_there_is_nothing_to_run() {
    let ended = motet(["stream", "--http", "off"]).run().await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("has no `streams`"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn the_examples_are_configurations() {
    let with_kafka = cfg!(feature = "kafka").then_some("kafka-streams.yaml");
    for example in ["streams.yaml"].into_iter().chain(with_kafka) {
        let example = motet_tests::repository()
            .join("deploy/examples")
            .join(example);
        let ended = motet(["check", example.to_str().expect("ASCII")])
            .run()
            .await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
}
