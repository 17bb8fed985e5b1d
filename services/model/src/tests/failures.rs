//! Failed batches, crashes and drains.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_batch_runs_again_in_halves() {
    let test = TestModel::new(greedy(), 1).await;
    let first = test.call(&["one"]);
    test.expect_batch(1);
    let (poison, good) = (test.call(&["poison"]), test.call(&["a", "b", "c"]));
    test.expect_queued(4).await;
    for _ in 0..6 {
        test.let_run();
    }
    assert_eq!(rows(first.await), 1);
    let answer = good.await.unwrap().unwrap();
    assert_eq!(parameter_of(&answer, cost::WINDOW_CAUSE), "retry");
    let failed = error(poison.await);
    assert_eq!(failed.code(), Code::Internal);
    assert_eq!(status::read(&failed).reason, "MODEL_FAILED");
    // The batch of four fails, then the half and the row with the poison; the other half and the
    // other row are answered.
    let starts = test.starts().await;
    assert_eq!(starts, [("ready".to_owned(), 1), ("retry".to_owned(), 2)]);
    let page = test.metrics.render().unwrap();
    assert!(page.contains("motet_batch_bisections_total{model=\"m\"} 2\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_row_fails_its_call_alone() {
    let test = TestModel::new(greedy(), 1).await;
    let first = test.call(&["one"]);
    test.expect_batch(1);
    let (bad, good) = (test.call(&["x", "bad", "y"]), test.call(&["a", "b"]));
    test.expect_queued(5).await;
    test.let_run();
    test.expect_batch(5);
    test.let_run();
    assert_eq!((rows(first.await), rows(good.await)), (1, 2));
    let status = error(bad.await);
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "text[1]: is bad");
    assert_eq!(status::read(&status).violations[0].0, "text[1]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_not_finite_fails_its_call_alone() {
    let test = TestModel::new(greedy(), 1).await;
    let first = test.call(&["one"]);
    test.expect_batch(1);
    let (broken, good) = (test.call(&["x", "nan"]), test.call(&["a", "b"]));
    test.expect_queued(4).await;
    test.let_run();
    test.expect_batch(4);
    test.let_run();
    assert_eq!((rows(first.await), rows(good.await)), (1, 2));
    let status = error(broken.await);
    assert_eq!(status.code(), Code::Internal);
    let message = "text[1]: the model's result for this row is not finite";
    assert_eq!(status.message(), message);
    let details = status::read(&status);
    assert_eq!(details.reason, "RESULT_NOT_FINITE");
    assert_eq!(details.metadata["model"], "m");
    assert_eq!(details.metadata["row"], "text[1]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_whose_batch_hangs_is_not_serving_until_it_ends() {
    let options = Options {
        stuck_after: Duration::from_millis(20),
        ..greedy()
    };
    let test = TestModel::new(options, 1).await;
    let hung = test.call(&["one"]);
    test.expect_batch(1);
    let queued = test.call(&["two"]);
    // Both are answered though the batch still runs.
    for call in [hung, queued] {
        let status = error(call.await);
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status::read(&status).reason, "MODEL_STUCK");
    }
    while test.health.is_serving("m") == Some(true) {
        tokio::task::yield_now().await;
    }
    assert!(!test.model.is_ready());
    let refused = error(test.call(&["three"]).await);
    assert_eq!(status::read(&refused).reason, "MODEL_STUCK");
    let page = test.metrics.render().unwrap();
    assert!(page.contains("motet_executor_alive{model=\"m\"} 0\n"));
    test.let_run();
    while test.health.is_serving("m") == Some(false) {
        tokio::task::yield_now().await;
    }
    assert!(test.model.is_ready());
    let next = test.call(&["four"]);
    test.expect_batch(1);
    test.let_run();
    assert_eq!(rows(next.await), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_fails_its_batch_and_the_model_survives_until_a_rebuild_fails() {
    let mut test = TestModel::new(greedy(), 2).await;
    drop(std::mem::replace(&mut test.permits, mpsc::channel().0));
    let crashed = error(test.call(&["a", "panic"]).await);
    assert_eq!(crashed.code(), Code::Unavailable);
    assert_eq!(status::read(&crashed).reason, "MODEL_CRASHED");
    assert_eq!(rows(test.call(&["a"]).await), 1);
    assert!(test.model.is_ready());
    let _ = test.call(&["panic"]).await;
    // The second rebuild fails, after the crash was answered.
    while test.model.is_ready() {
        tokio::task::yield_now().await;
    }
    let dead = error(test.call(&["a"]).await);
    assert_eq!(status::read(&dead).reason, "MODEL_DIED");
    while test.health.is_serving("m") == Some(true) {
        tokio::task::yield_now().await;
    }
    let page = test.metrics.render().unwrap();
    assert!(page.contains("motet_executor_alive{model=\"m\"} 0\n"));
    assert!(page.contains("motet_executor_crashes_total{model=\"m\"} 2\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_answers_every_admitted_call() {
    let test = TestModel::new(greedy(), 1).await;
    let running = test.call(&["one"]);
    test.expect_batch(1);
    let queued = test.call(&["two", "three"]);
    test.expect_queued(2).await;
    let draining = {
        let model = test.model.clone();
        tokio::spawn(async move { model.drain().await })
    };
    while test.model.is_ready() {
        tokio::task::yield_now().await;
    }
    assert_eq!(test.health.is_serving("m"), Some(false));
    let late = error(test.call(&["four"]).await);
    assert_eq!(
        (late.code(), &*status::read(&late).reason),
        (Code::Unavailable, "DRAINING")
    );
    assert!(!draining.is_finished());
    drop(test.permits);
    assert_eq!((rows(running.await), rows(queued.await)), (1, 2));
    draining.await.unwrap();
}
