//! The configuration as it is, served and called.

use motet::{Server, Tasks, Tensor};
use my_models::Rank;

#[tokio::test(flavor = "multi_thread")]
async fn the_best_candidate_has_the_highest_score() {
    let tasks = Tasks::builtin().with::<Rank>().expect("a name of its own");
    let server = Server::with_tasks(tasks).from_file("motet.yaml").await;
    let server = server.expect("a configuration without mistakes");
    server.ready().await.expect("a model");
    let rows = vec![1.0f32, 0.0, 0.0, 0.0, 2.0, 0.0, 0.5, 0.5, 0.0];
    let features = Tensor::from_values(vec![3, 3], rows).expect("three rows of three");
    let best = server
        .client()
        .infer("best", [("features", &features)])
        .await;
    let best = best.expect("an answer");
    assert_eq!(
        best["index"].values::<i32>().expect("numbers").to_vec(),
        [1]
    );
    assert_eq!(
        best["score"].values::<f32>().expect("numbers").to_vec(),
        [2.0]
    );
    server.drain().await;
}
