//! Executors for bulk rows alone, on threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use motet_batcher::{
    BatchError, Batcher, BuildError, Call, Event, Executor, Observer, Options, Policy, Priority,
    RowError,
};

/// A row that makes its executor panic.
const PANIC: u32 = 13;

/// Answers each row with whether it is on a bulk executor.
struct Named {
    is_bulk: bool,
}

impl Executor for Named {
    type Row = u32;
    type Output = bool;

    fn run(&mut self, rows: &[&u32]) -> Result<Vec<Result<bool, RowError>>, BatchError> {
        assert!(!rows.contains(&&PANIC), "the row of a panic");
        Ok(vec![Ok(self.is_bulk); rows.len()])
    }
}

#[derive(Default)]
struct Events(Mutex<Vec<Event>>);

impl Observer for Events {
    fn observe(&self, event: &Event) {
        self.0
            .lock()
            .expect("no test panics here")
            .push(event.clone());
    }
}

/// Returns a factory whose executor is built once.
fn factory(is_bulk: bool) -> impl FnMut() -> Result<Named, BuildError> + Send + 'static {
    let is_built = AtomicBool::new(false);
    move || match is_built.swap(true, Ordering::SeqCst) {
        false => Ok(Named { is_bulk }),
        true => Err(BuildError("no weights".to_owned())),
    }
}

async fn ask(batcher: &Batcher<u32, bool>, priority: Priority, row: u32) -> Result<bool, RowError> {
    let mut call = Call::new(vec![(row, 1)]);
    call.priority = priority;
    let reply = batcher.submit(call).await.expect("not refused");
    reply.rows.into_iter().next().expect("one row")
}

#[tokio::test]
async fn bulk_rows_are_run_by_their_executors_and_without_these_by_the_others() {
    let options = Options {
        policy: Policy::Greedy,
        ..Options::default()
    };
    let events = Arc::new(Events::default());
    let factories = [false, true].map(factory);
    let [general, bulk] = factories.map(|factory| vec![factory]);
    let batcher = Batcher::spawn_with_bulk("m", options, events.clone(), general, bulk).await;
    let batcher = batcher.expect("a batcher");
    for (priority, expected) in [(Priority::Interactive, false), (Priority::Bulk, true)] {
        assert_eq!(
            ask(&batcher, priority, 1).await,
            Ok(expected),
            "{priority:?}"
        );
    }
    let crashed = ask(&batcher, Priority::Bulk, PANIC).await;
    assert!(matches!(crashed, Err(RowError::Crashed(_))), "{crashed:?}");
    // It cannot be built again. Until that is known a row may wait for it, and is answered then.
    assert_eq!(ask(&batcher, Priority::Bulk, 1).await, Ok(false));
    batcher.drain().await;
    let events = events.0.lock().expect("no test panics here");
    let died = events.iter().find_map(|event| match event {
        Event::ExecutorDied { executor, left, .. } => Some((*executor, *left)),
        _ => None,
    });
    assert_eq!(died, Some((1, 1)));
}
