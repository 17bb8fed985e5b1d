//! Tests of the CPU pool.

use futures::FutureExt;

use super::*;

#[tokio::test]
async fn a_panicking_job_is_an_error_and_the_pool_lives_on() {
    let pool = CpuPool::new().unwrap();
    let failed = pool.run(Span::none(), || panic!("no")).await;
    let failed: Result<Timed<()>, PoolError> = failed;
    assert_eq!(failed.unwrap_err(), PoolError::Panicked("no".to_owned()));
    assert_eq!(pool.run(Span::none(), || 7).await.unwrap().value, 7);
    let failed: Result<Timed<()>, PoolError> = run_inline(&Span::none(), || panic!("nor here"));
    assert_eq!(
        failed.unwrap_err(),
        PoolError::Panicked("nor here".to_owned())
    );
    assert_eq!(run_inline(&Span::none(), || 7).unwrap().value, 7);
}

#[tokio::test]
async fn a_job_whose_caller_left_does_not_run() {
    let pool = CpuPool::new().unwrap();
    // Every thread is occupied, so that the next job has to wait for one.
    let (release, blocker) = blocker();
    let holders: Vec<_> = (0..pool.threads.current_num_threads())
        .map(|_| {
            let (pool, blocker) = (pool.clone(), blocker.clone());
            tokio::spawn(async move {
                let wait = move || blocker.lock().unwrap().recv().is_err();
                pool.run(Span::none(), wait).await.unwrap().value
            })
        })
        .collect();
    while pool.slots.available_permits() > JOBS_MAX - holders.len() {
        tokio::task::yield_now().await;
    }
    let (ran, has_run) = std::sync::mpsc::channel::<()>();
    {
        let abandoned = pool.run(Span::none(), move || ran.send(()));
        let mut abandoned = std::pin::pin!(abandoned);
        assert!(futures::poll!(abandoned.as_mut()).is_pending());
    }
    drop(release);
    for holder in holders {
        assert!(holder.await.unwrap());
    }
    // The job owned the channel's sender and was dropped without running.
    assert!(has_run.recv().is_err());
}

type Blocker = Arc<std::sync::Mutex<std::sync::mpsc::Receiver<()>>>;

/// Jobs block on the second half until the first is dropped.
fn blocker() -> (std::sync::mpsc::Sender<()>, Blocker) {
    let (sender, receiver) = std::sync::mpsc::channel();
    (sender, Arc::new(std::sync::Mutex::new(receiver)))
}

#[test]
fn slices_are_cut_where_the_next_item_would_be_too_much() {
    // Costs, and the ends of the slices.
    let cases: [(&[usize], &[usize]); 6] = [
        (&[], &[0]),
        (&[4], &[1]),
        (&[40], &[1]),
        (&[4, 4, 4], &[2, 3]),
        (&[1, 40, 1, 9, 1], &[1, 2, 4, 5]),
        (&[usize::MAX, usize::MAX], &[1, 2]),
    ];
    for (costs, ends) in cases {
        let slices = slices(costs.iter().copied(), 10);
        let mut start = 0;
        for slice in &slices {
            assert_eq!(slice.start, start, "{costs:?}");
            start = slice.end;
        }
        let found: Vec<usize> = slices.iter().map(|slice| slice.end).collect();
        assert_eq!(found, ends, "{costs:?}");
    }
}

#[tokio::test]
async fn the_slices_of_a_call_come_back_in_order_and_the_first_failure_ends_it() {
    let pool = CpuPool::new().unwrap();
    let all = slices((0..100).map(|_| 1), 7);
    let doubled = |slice: Range<usize>| Ok::<_, usize>(slice.map(|i| 2 * i).collect::<Vec<_>>());
    let results = pool.run_slices(Span::none(), all.clone(), doubled).await;
    let results = results.unwrap().unwrap().value.concat();
    assert_eq!(results, (0..100).map(|i| 2 * i).collect::<Vec<_>>());
    let failing = |slice: Range<usize>| match slice.contains(&50) {
        true => Err(slice.start),
        false => Ok(()),
    };
    let results = pool.run_slices(Span::none(), all.clone(), failing).await;
    assert_eq!(results.unwrap().unwrap_err(), 49);
    let panics = |_: Range<usize>| -> Result<(), ()> { panic!("in a slice") };
    let results = pool.run_slices(Span::none(), all, panics).await;
    assert_eq!(
        results.unwrap_err(),
        PoolError::Panicked("in a slice".to_owned())
    );
}

/// Another machine's job waits for the jobs that run, not for those that a large call has sent.
#[tokio::test]
async fn a_job_of_another_machine_comes_before_the_rest_of_a_large_call() {
    let pool = CpuPool::new().unwrap();
    let threads = pool.threads.current_num_threads();
    let (release, blocker) = blocker();
    let order = Arc::new(Mutex::new(Vec::new()));
    let job = |name: &'static str, blocks: bool| {
        let (order, blocker) = (order.clone(), blocker.clone());
        move || {
            if blocks {
                let _ = blocker.lock().unwrap().recv();
            }
            order.lock().unwrap().push(name);
        }
    };
    let mut jobs = Vec::new();
    let mut submit = |machine: u64, job: Box<dyn FnOnce() + Send>| {
        let mut running = Box::pin({
            let pool = pool.clone();
            async move { pool.run(Span::none(), job).await }
        });
        let first = Flow::new(&[machine]).sync_scope(|| running.as_mut().now_or_never());
        assert!(first.is_none() || order.lock().unwrap().is_empty());
        jobs.push(running);
    };
    for _ in 0..threads {
        submit(1, Box::new(job("large, running", true)));
    }
    for _ in 0..100 {
        submit(1, Box::new(job("large, waiting", false)));
    }
    submit(2, Box::new(job("small", false)));
    drop(release);
    for job in jobs {
        job.await.unwrap();
    }
    let order = order.lock().unwrap();
    let at = order.iter().position(|name| *name == "small").unwrap();
    // Every thread may have taken one more of the large call's before the small one's turn.
    assert!(at <= 2 * threads, "{at} of {}", order.len());
    assert_eq!(order.len(), threads + 101);
}

#[tokio::test]
async fn the_time_of_a_job_is_usage_of_its_request() {
    let pool = CpuPool::new().unwrap();
    let usage = Usage::default();
    let job = || std::thread::sleep(Duration::from_millis(2));
    usage.measure(pool.run(Span::none(), job)).await.unwrap();
    assert!(usage.total().pool >= Duration::from_millis(2));
}
