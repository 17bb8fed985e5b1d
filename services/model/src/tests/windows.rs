//! When batches start, and rows that are waited for.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_response_and_the_metrics_state_why_a_batch_started() {
    const HOUR: Duration = Duration::from_secs(3600);
    let waits = |window| Options {
        max_batch_size: Some(2),
        max_queue_delay: HOUR,
        policy: Policy::Fixed(window),
        ..Options::default()
    };
    for (options, calls, cause) in [
        (greedy(), 1, "ready"),
        (waits(HOUR), 2, "size"),
        (waits(Duration::from_millis(50)), 1, "window"),
    ] {
        let test = TestModel::new(options, 1).await;
        for _ in 0..calls {
            test.let_run();
        }
        let calls: Vec<_> = (0..calls).map(|_| test.call(&["one"])).collect();
        let mut waits = Vec::new();
        for call in calls {
            let answer = call.await.unwrap().unwrap();
            let wait: i64 = parameter_of(&answer, cost::WINDOW_US).parse().unwrap();
            waits.push((parameter_of(&answer, cost::WINDOW_CAUSE), wait));
        }
        // An executor that polls after the window has passed does not wait.
        let late = cause == "window" && waits[0].1 == 0;
        let cause = if late { "ready" } else { cause };
        let page = test.drained_metrics().await;
        let has = |line: &str| assert!(page.contains(line), "{line}\n{page}");
        for (said, wait) in waits {
            assert_eq!(said, cause);
            assert!(wait >= 0 && (cause != "ready" || wait == 0), "{wait}");
            if wait > 0 {
                has("motet_window_chosen_seconds_count{model=\"m\"} 1\n");
            }
        }
        has(&format!(
            "motet_batch_starts_total{{cause=\"{cause}\",model=\"m\"}} 1\n"
        ));
        has("motet_batch_deliberate_wait_seconds_count{model=\"m\"} 1\n");
        has("motet_executor_alive{model=\"m\"} 1\n");
    }
}

/// Returns a batcher that waits an hour for a second row.
fn hour_window() -> Options {
    const HOUR: Duration = Duration::from_secs(3600);
    Options {
        max_batch_size: Some(2),
        max_queue_delay: HOUR,
        policy: Policy::Fixed(HOUR),
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_ends_in_time_for_a_deadline() {
    let test = TestModel::new(hour_window(), 1).await;
    // The batcher expects a batch to take 10 s and keeps 2 s in reserve, so this one must start
    // half a second from now.
    test.batcher.calibrate(&[Measurement {
        rows: 1,
        tokens: 3,
        duration: Duration::from_secs(10),
    }]);
    test.let_run();
    let call = test.call_with(&["one"], [("timeout", 12_500_000)]);
    let answer = call.await.unwrap().unwrap();
    assert_eq!(parameter_of(&answer, cost::WINDOW_CAUSE), "deadline");
    assert!(test.starts().await.contains(&("deadline".to_owned(), 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_waits_for_announced_rows() {
    const HOUR: Duration = Duration::from_secs(3600);
    let options = Options {
        max_queue_delay: HOUR,
        ..Options::default()
    };
    let test = TestModel::new(options, 1).await;
    // A batch takes two hours whatever its size, so an hour's wait for more rows pays.
    let run = |tokens| Measurement {
        rows: 1,
        tokens,
        duration: 2 * HOUR,
    };
    test.batcher.calibrate(&[run(1), run(1000)]);
    let announce = [
        ("motet.request", 7),
        ("motet.sequel_rows", 2),
        ("motet.sequel_us", 3_600_000_000),
    ];
    let first = test.call_with(&["one"], announce);
    test.expect_queued(1).await;
    let second = test.call_with(&["two", "three"], [("motet.request", 7)]);
    test.expect_batch(3);
    test.let_run();
    let answer = first.await.unwrap().unwrap();
    assert_eq!(parameter_of(&answer, cost::BATCH_ROWS), "3");
    assert_eq!(rows(second.await), 2);
    let refused = error(test.call_with(&["one"], [("motet.sequel_rows", -1)]).await);
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(
        status::read(&refused).violations,
        [(
            "motet.sequel_rows".to_owned(),
            "is -1, must be at least 0".to_owned()
        )]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_a_window() {
    let test = TestModel::new(hour_window(), 1).await;
    test.let_run();
    let call = test.call(&["one"]);
    test.expect_queued(1).await;
    test.model.drain().await;
    let answer = call.await.unwrap().unwrap();
    assert_eq!(parameter_of(&answer, cost::WINDOW_CAUSE), "drain");
    assert_eq!(test.starts().await, [("drain".to_owned(), 1)]);
}
