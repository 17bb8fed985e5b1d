//! Stores that are away, busy or broken, and those that refuse.

use motet_tests::certificates::Authority;
use motet_tests::object_store::{Fault, ObjectStore};
use motet_tests::wait::until;

use super::{Place, Stored, ends, jsonl, row};

/// A request in seven goes wrong, in each of the ways in which one can.
#[tokio::test]
async fn what_a_store_fails_at_is_asked_for_again() {
    let stored = Stored::new(400).await;
    let args = "--id id --unit 50 --out";
    ends(stored.place.best(&format!("{args} out")), 0).await;
    for (scheme, fault) in [
        ("s3", Fault::Busy),
        ("s3", Fault::Lost),
        ("s3", Fault::Cut),
        ("gs", Fault::Lost),
    ] {
        let out = format!("{scheme}-{fault:?}");
        stored
            .store
            .fault(move |_, number| (number % 7 == 3).then_some(fault));
        let args = format!("{args} {scheme}://answers/{out}");
        let rows = format!("best -f best.yaml --in {scheme}://rows/rows.jsonl");
        ends(stored.batch(&format!("{rows} {args}")), 0).await;
        stored.is_as(&out, "out");
        assert!(
            stored.store.asked().len() > 60,
            "{}",
            stored.store.asked().len()
        );
    }
}

#[tokio::test]
async fn a_store_that_stays_away_ends_a_batch_that_can_go_on() {
    let stored = Stored::new(400).await;
    let args = "--id id --unit 50 --out s3://answers/out --retry-for 1s";
    let busy = |line: &'static str| {
        let fault = move |asked: &motet_tests::object_store::Asked, _| {
            asked.line.starts_with(line).then_some(Fault::Busy)
        };
        stored.store.fault(fault);
    };
    for line in [
        "GET /rows/",
        "HEAD /rows/",
        "PUT /answers/out/_motet/units",
        "GET /answers",
    ] {
        busy(line);
        let ended = ends(stored.best(args), 75).await;
        let why = match line.starts_with("HEAD") {
            true => "503 Service Unavailable",
            false => "SlowDown: Please reduce.",
        };
        let expected = format!("the store answers {why} (it was tried for 1s)");
        assert!(ended.stderr.contains(&expected), "{line}: {}", ended.stderr);
    }
    stored.store.fault(|_, _| None);
    let nobody = motet_tests::brokers::free_address();
    let away = stored
        .best(args)
        .env("AWS_ENDPOINT_URL", format!("http://{nobody}"));
    let ended = ends(away, 75).await;
    let expected = format!("{nobody} does not answer");
    assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
    ends(stored.best(args), 0).await;
    ends(stored.place.best("--id id --unit 50 --out out"), 0).await;
    stored.is_as("out", "out");
}

/// Whoever waits for a store that is away is told to stop, and does.
#[tokio::test]
async fn a_signal_ends_the_wait_for_a_store() {
    let stored = Stored::new(400).await;
    let args = "--id id --unit 50 --out s3://answers/out --retry-for 1h";
    stored.store.fault(|asked, _| {
        asked
            .line
            .starts_with("PUT /answers/out/_motet/units")
            .then_some(Fault::Busy)
    });
    let process = stored.best(args).start();
    until("a unit that waits for its record", || async {
        let asked = stored.store.asked();
        let records = asked
            .iter()
            .filter(|asked| asked.line.contains("_motet/units/0"));
        (records.count() > 2).then_some(())
    })
    .await;
    process.signal("TERM");
    let ended = process.end().await;
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("stopped by a signal"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn what_cannot_succeed_is_refused_before_the_first_call() {
    let stored = Stored::new(10).await;
    let refused = async |program, parts: &[&str]| {
        let ended = ends(program, 42).await;
        for part in parts {
            assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
        }
        assert_eq!(stored.answers("out").len(), 0);
    };
    let best =
        |rows: &str, out: &str| stored.batch(&format!("best -f best.yaml --in {rows} --out {out}"));
    let (rows, out) = ("s3://rows/rows.jsonl", "s3://answers/out");
    for (rows, out, parts) in [
        (
            rows,
            "s3://absent/out",
            &["s3://absent/out", "NoSuchBucket"][..],
        ),
        (
            "s3://absent/rows.jsonl",
            out,
            &["s3://absent/rows.jsonl", "NoSuchBucket"],
        ),
        (
            "gs://absent/*.jsonl",
            out,
            &["gs://absent/", "NoSuchBucket"],
        ),
        (
            "s3://rows/no.jsonl",
            out,
            &["s3://rows/no.jsonl cannot be read: it is not there"],
        ),
        (
            "s3://rows/no*.jsonl",
            out,
            &["no file fits `s3://rows/no*.jsonl`"],
        ),
        ("s3://rows/", out, &["s3://rows/ is a folder"]),
        (
            "s3://",
            out,
            &["s3:// has no bucket: write s3://BUCKET/KEY"],
        ),
        (
            "s3://rows/a//b.jsonl",
            out,
            &["s3://rows/a//b.jsonl is no object"],
        ),
    ] {
        refused(best(rows, out), parts).await;
    }
    let stranger = best(rows, out).env("AWS_ACCESS_KEY_ID", "stranger");
    refused(stranger, &["s3://answers/out/", "InvalidAccessKeyId"]).await;
    let stranger = best(rows, "gs://answers/out").env("GOOGLE_BEARER_TOKEN", "stranger");
    refused(stranger, &["gs://answers/out/", "AuthenticationRequired"]).await;
    // Without any, except on a machine of a cloud that has some: those are a stranger's.
    let nobody = stored
        .place
        .batch(&format!("best -f best.yaml --in {rows} --out {out}"));
    let url = format!("http://{}", stored.store.address);
    refused(nobody.env("AWS_ENDPOINT_URL", url), &["s3://answers/out"]).await;
    // Rows that changed since they were planned.
    ends(
        stored.batch(&format!("plan best -f best.yaml --in {rows} --out {out}")),
        0,
    )
    .await;
    stored
        .store
        .put("rows", "rows.jsonl", jsonl((1..11).map(row)));
    refused(
        best(rows, out),
        &["s3://rows/rows.jsonl changed since it was planned", "ETag"],
    )
    .await;
    // A store in which of two workers both would win.
    stored.store.ignore_conditions();
    let expected = ["s3://answers/new/_motet/plan.json", "If-None-Match"];
    refused(best(rows, "s3://answers/new"), &expected).await;
}

#[tokio::test]
async fn a_store_is_known_by_its_certificate() {
    let (authority, stranger) = (Authority::new("stores"), Authority::new("strangers"));
    let identity = authority.server(&["127.0.0.1"]);
    let store = ObjectStore::start_tls(&["rows", "answers"], &identity).await;
    let place = Place::new(10);
    store.put("rows", "rows.jsonl", jsonl((0..10).map(row)));
    place.0.file("stores.pem", authority.pem());
    place.0.file("strangers.pem", stranger.pem());
    let url = format!("https://{}", store.address);
    let batch = |trusted: &str| {
        let args = "best -f best.yaml --in s3://rows/rows.jsonl --id id --out s3://answers/out";
        let program = store.with(place.batch(args));
        let program = program.env("SSL_CERT_FILE", place.path(trusted));
        program.env("AWS_ENDPOINT_URL", &url)
    };
    let ended = ends(batch("strangers.pem"), 42).await;
    let expected = "invalid peer certificate: UnknownIssuer";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    ends(batch("stores.pem"), 0).await;
    ends(place.best("--id id --out out"), 0).await;
    let parts = store.objects("answers", "out");
    let part = std::fs::read(place.path("out/part-00000.jsonl")).expect("a part");
    assert!(parts["part-00000.jsonl"] == part);
}

#[tokio::test]
async fn a_store_whose_name_no_machine_has_is_a_mistake() {
    let stored = Stored::new(3).await;
    // Longer than a part of a name may be: no server of names is asked.
    let url = format!("http://{}.invalid", "x".repeat(64));
    for args in ["--out s3://answers/out", "--out out"] {
        let batch = stored.best(&format!("{args} --retry-for 1h"));
        let ended = ends(batch.env("AWS_ENDPOINT_URL", &url), 42).await;
        let expected = "does not answer: client error (Connect): dns error";
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}
