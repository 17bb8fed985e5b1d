//! A store of another make: moto, where it is installed.

use motet_tests::brokers::free_address;
use motet_tests::program::{Process, Program};
use motet_tests::wait::until;

use super::{Place, ends, files};
use crate::clients::find;

/// Starts a store with a bucket. `None`, with a line that says why, if there is none.
async fn start(bucket: &str) -> Option<(Process, String)> {
    let python = find("MOTET_PYTHON", "python3", &["-c", "import moto.server"])?;
    let address = free_address();
    let port = address.port().to_string();
    let args = ["-m", "moto.server", "-H", "127.0.0.1", "-p", &port];
    let process = Program::new(python).args(args).start();
    let url = format!("http://{address}");
    let make = format!("PUT /{bucket} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    until("the store", || async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
        stream.write_all(make.as_bytes()).await.ok()?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.ok()?;
        head.ends_with(b" 200").then_some(())
    })
    .await;
    Some((process, url))
}

#[tokio::test]
async fn moto_keeps_rows_and_answers() {
    let Some((_store, url)) = start("tests").await else {
        return;
    };
    let place = Place::new(300);
    let with = |args: &str| {
        place
            .batch(args)
            .env("AWS_ACCESS_KEY_ID", "any")
            .env("AWS_SECRET_ACCESS_KEY", "any")
            .env("AWS_ENDPOINT_URL", &url)
    };
    let args = "--id id --unit 40 --errors file";
    // Standard input becomes an object, parts of one batch rows of another.
    let out = "--out s3://tests/first --format parquet";
    let rows = std::fs::read(place.path("rows.jsonl")).expect("rows");
    let batch = || with(&format!("best -f best.yaml --in - {args} {out}"));
    ends(batch().stdin(rows), 0).await;
    let ended = ends(batch(), 0).await;
    assert!(
        ended.stdout.contains("complete: 300 rows"),
        "{}",
        ended.stdout
    );
    let local = "--out first --format parquet";
    ends(place.best(&format!("{args} {local}")), 0).await;
    let next = "best -f best.yaml --map score=best --id id --unit 70 --columns best,name";
    let local = format!("{next} --in first/*.parquet --out next");
    ends(place.batch(&local), 0).await;
    let there = format!("{next} --in s3://tests/first/*.parquet --out next-there");
    ends(with(&there), 0).await;
    let answers = |folder: &str| {
        let files = files(&place.path(folder));
        let parts = files
            .into_iter()
            .filter(|(name, _)| name.starts_with("part-"));
        parts.collect::<Vec<_>>()
    };
    assert!(answers("next") == answers("next-there"));
    let ended = ends(with("status s3://tests/first"), 0).await;
    assert!(
        ended.stdout.contains("8 of 8 units, 300 of 300 rows"),
        "{}",
        ended.stdout
    );
    ends(with("finish s3://tests/first"), 0).await;
    let absent = format!("{next} --in s3://absent/*.parquet --out no");
    let ended = ends(with(&absent), 42).await;
    assert!(ended.stderr.contains("NoSuchBucket"), "{}", ended.stderr);
}
