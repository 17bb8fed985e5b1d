//! Calls in the queue.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_leaves_the_queue() {
    let test = TestModel::new(greedy(), 1).await;
    let first = test.call(&["one"]);
    test.expect_batch(1);
    let (leaving, staying) = (test.call(&["a", "b", "c"]), test.call(&["d"]));
    test.expect_queued(4).await;
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    assert_eq!(test.queued(), 1);
    test.let_run();
    test.expect_batch(1);
    test.let_run();
    assert_eq!((rows(first.await), rows(staying.await)), (1, 1));
    let statistics = test.model.statistics();
    let totals = statistics.inference_stats.unwrap();
    assert_eq!(totals.success.unwrap().count, 2);
    assert_eq!(totals.fail.unwrap().count, 1);
    let page = test.drained_metrics().await;
    assert!(page.contains(r#"motet_model_requests_total{code="CANCELLED",model="m"} 1"#));
    assert!(
        page.contains(r#"motet_queue_cancelled_total{model="m"} 3"#),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_call_leaves_the_queue() {
    let test = TestModel::new(greedy(), 1).await;
    let first = test.call(&["one"]);
    test.expect_batch(1);
    let mut late = request(&["two"]);
    late.parameters = [("timeout".to_owned(), parameter(20_000i64))].into();
    let status = infer(&test.model, late).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status::read(&status).metadata["model"], "m");
    assert_eq!(test.queued(), 0);
    test.let_run();
    assert_eq!(rows(first.await), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn interactive_calls_run_before_bulk_ones() {
    // The priorities of two calls in the queue, the bulk share, and which call runs first.
    for (priorities, bulk_share, first) in [
        ([0, 0], 0.0, 0),
        ([0, 1], 0.0, 0),
        ([1, 0], 0.0, 0),
        ([2, 0], 0.0, 1),
        ([2, 1], 0.0, 1),
        ([i64::MAX, 1], 0.0, 1),
        ([0, 2], 0.0, 0),
        ([2, 3], 0.0, 0),
    ] {
        let options = Options {
            max_batch_size: Some(1),
            bulk_share,
            ..greedy()
        };
        let test = TestModel::new(options, 1).await;
        let running = test.call(&["one"]);
        test.expect_batch(1);
        let mut queued = Vec::new();
        for priority in priorities {
            queued.push(test.call_with(&["two"], [("priority", priority)]));
            test.expect_queued(queued.len()).await;
        }
        test.let_run();
        test.expect_batch(1);
        test.let_run();
        // The third batch has started, so only the second can have been answered.
        test.expect_batch(1);
        let early = queued.remove(first);
        assert_eq!(rows(early.await), 1, "{priorities:?}");
        let late = queued.remove(0);
        assert!(!late.is_finished(), "{priorities:?}");
        test.let_run();
        assert_eq!((rows(running.await), rows(late.await)), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_rows_is_in_no_batch() {
    let test = TestModel::new(greedy(), 1).await;
    let answer = test.call(&[]).await.unwrap().unwrap();
    assert_eq!(parameter_of(&answer, cost::BATCH_ROWS), "0");
    assert!(!answer.parameters.contains_key(cost::WINDOW_CAUSE));
    assert!(!answer.parameters.contains_key(cost::WINDOW_US));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_suggests_a_retry_delay() {
    let options = Options {
        max_batch_size: Some(1),
        max_queue_size: 1,
        ..greedy()
    };
    let test = TestModel::new(options, 1).await;
    let first = test.call(&["one"]);
    test.expect_batch(1);
    let second = test.call(&["two"]);
    test.expect_queued(1).await;
    let refused = error(test.call(&["three"]).await);
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let details = status::read(&refused);
    assert_eq!(details.reason, "QUEUE_FULL");
    assert!(details.retry_after.is_some());
    assert_eq!(
        (
            &*details.metadata["model"],
            &*details.metadata["max_queue_size"]
        ),
        ("m", "1")
    );
    drop(test.permits);
    assert_eq!((rows(first.await), rows(second.await)), (1, 1));
}
