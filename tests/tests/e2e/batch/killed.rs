//! Batches that are killed, and end in the same bytes as one that is not.

use std::time::Duration;

use motet_tests::in_process::shared;
use motet_tests::program::Program;
use serde_json::json;

use super::{Place, ends, files, jsonl};

/// Kills of a batch, unless the variable says otherwise.
const KILLS: usize = 10;
const KILLS_VARIABLE: &str = "MOTET_BATCH_KILLS";

pub(super) fn kills() -> usize {
    let variable = std::env::var(KILLS_VARIABLE).ok();
    variable.map_or(KILLS, |kills| kills.parse().expect("a number"))
}

/// Kills a batch at moments up to `longest` after its start, again and again; then lets it end.
/// Returns how many were killed before their end.
pub(super) async fn killed(batch: impl Fn() -> Program, rest: Program, longest: Duration) -> usize {
    let mut killed = 0;
    for number in 0..kills() {
        let mut process = batch().start();
        // Spread evenly, in an order that looks random.
        let part = (number as f64 * 0.618_033_988_749_895).fract();
        tokio::time::sleep(longest.mul_f64(part)).await;
        killed += usize::from(!process.has_ended());
        match process.has_ended() {
            true => drop(process.end().await),
            false => process.kill().await,
        }
    }
    // Whatever is left goes as fast as it can.
    ends(rest, 0).await;
    killed
}

#[tokio::test]
async fn a_batch_that_is_killed_again_and_again_ends_in_the_same_bytes() {
    // So many that the last kill, too, finds something left to do.
    let count = (100 * kills()).max(1000);
    let place = Place::new(count);
    let mut rows = std::fs::read_to_string(place.path("rows.jsonl")).expect("rows");
    rows.push_str(&format!(
        "broken\n{}\n",
        json!({ "id": 2001, "score": "x" })
    ));
    place.0.file("rows.jsonl", rows);
    for (errors, format) in [("rows", "jsonl"), ("file", "csv"), ("rows", "parquet")] {
        let args = format!("--id id --unit 25 --errors {errors} --format {format}");
        let whole = format!("whole-{format}");
        ends(place.best(&format!("{args} --out {whole}")), 0).await;
        // Slow enough that no try ends before it is killed.
        let slow = format!("{args} --rate 800/s --out parts-{format}");
        let rest = place.best(&format!("{args} --out parts-{format}"));
        let count = killed(|| place.best(&slow), rest, Duration::from_millis(300)).await;
        assert!(count * 2 > kills(), "only {count} were killed");
        println!("{count} of {} were killed before their end", kills());
        let parts = files(&place.path(&format!("parts-{format}")));
        let whole = files(&place.path(&whole));
        assert_eq!(
            parts.keys().collect::<Vec<_>>(),
            whole.keys().collect::<Vec<_>>()
        );
        assert!(parts == whole, "{format}: files differ");
        assert_eq!(
            place
                .0
                .path()
                .join("parts-jsonl/_motet/tmp")
                .read_dir()
                .unwrap()
                .count(),
            0
        );
    }
}

#[tokio::test]
async fn so_does_one_whose_answers_a_model_computes() {
    let place = Place::new(0);
    let rows = (0..120).map(|n| {
        let words = "how do vaccines work and why ".repeat(1 + n % 9);
        json!({ "id": n, "query": words, "documents": [format!("text {n}"), words] })
    });
    place.0.file("rows.jsonl", jsonl(rows));
    let args = format!(
        "rag --to {} --in rows.jsonl --id id --unit 10 --out",
        shared().grpc
    );
    ends(place.batch(&format!("{args} whole")), 0).await;
    let parts = || place.batch(&format!("{args} parts --in-flight 4"));
    killed(parts, parts(), Duration::from_millis(400)).await;
    assert!(files(&place.path("parts")) == files(&place.path("whole")));
}

#[tokio::test]
async fn a_signal_gives_the_unit_back() {
    let place = Place::new(2000);
    let args = "--id id --unit 100 --out out";
    let process = place.best(&format!("{args} --rate 1000/s")).start();
    motet_tests::wait::until("a part", || async {
        place.path("out/part-00000.jsonl").exists().then_some(())
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
    assert_eq!(
        std::fs::read_dir(place.path("out/_motet/tmp"))
            .unwrap()
            .count(),
        0
    );
    let before = files(&place.path("out"));
    ends(place.best(args), 0).await;
    let after = files(&place.path("out"));
    for (name, bytes) in before {
        assert!(after[&name] == bytes, "{name}");
    }
}
