//! Batches whose server is away for a while.

use motet_tests::wait::until;

use super::{Place, ends};
use crate::motet;

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back_costs_no_row() {
    let place = Place::new(1000);
    let yaml = place.path("best.yaml");
    let up = |address: &str| {
        let args = [
            "up",
            "-f",
            &yaml.display().to_string(),
            "--http",
            "off",
            "--grpc",
            address,
        ];
        motet(args.map(str::to_owned))
    };
    let mut server = up("127.0.0.1:0").start();
    let address = server.ready().await.grpc.to_string();
    let args = format!("best --to {address} --in rows.jsonl --id id --unit 100 --out");
    ends(place.batch(&format!("{args} whole")), 0).await;
    let batch = place.batch(&format!("{args} out --rate 1000/s")).start();
    let is_there = |number: usize| {
        let path = place.path(&format!("out/part-{number:05}.jsonl"));
        move || {
            let path = path.clone();
            async move { path.exists().then_some(()) }
        }
    };
    until("the first part", is_there(0)).await;
    server.kill().await;
    let mut server = up(&address).start();
    server.ready().await;
    let ended = batch.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(super::files(&place.path("out")) == super::files(&place.path("whole")));
    server.kill().await;
    let ended = ends(place.batch(&format!("{args} away --retry-for 100ms")), 75).await;
    assert!(
        ended.stderr.contains("nothing answers at"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn a_server_that_stays_away_ends_a_batch_that_can_go_on() {
    let place = Place::new(1000);
    let yaml = place.path("best.yaml").display().to_string();
    let up = ["up", "-f", &yaml, "--http", "off", "--grpc", "127.0.0.1:0"];
    let mut server = motet(up).start();
    let address = server.ready().await.grpc;
    let args = format!("best --to {address} --in rows.jsonl --unit 100 --out out --rate 1000/s");
    let batch = place.batch(&format!("{args} --retry-for 1s")).start();
    until("the first part", || async {
        place.path("out/part-00000.jsonl").exists().then_some(())
    })
    .await;
    server.kill().await;
    let ended = batch.end().await;
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("no answer within 1s of trying"),
        "{}",
        ended.stderr
    );
    // Elsewhere, with the models of this process, it is another batch: they say more of themselves.
    let ended = ends(place.best("--unit 100 --out out"), 42).await;
    assert!(
        ended
            .stderr
            .contains("the models of pipeline `best` changed"),
        "{}",
        ended.stderr
    );
}
