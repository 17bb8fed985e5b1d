//! The span of a batch follows from the span of every call in it.

use std::sync::{Arc, Mutex};

use motet_batcher::{
    BatchError, Batcher, BuildError, Call, Executor, Flow, Lookahead, NoObserver, Options,
    Priority, RowError,
};
use tracing::{Instrument, Subscriber, span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Names of batch spans and of the spans that they follow from.
#[derive(Clone, Default)]
struct Links(Arc<Mutex<Vec<(String, String)>>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Links {
    fn on_follows_from(&self, span: &span::Id, follows: &span::Id, context: Context<'_, S>) {
        let name = |id| {
            context
                .span(id)
                .map(|span| span.name().to_owned())
                .unwrap_or_default()
        };
        self.0
            .lock()
            .expect("no panic")
            .push((name(span), name(follows)));
    }
}

struct Echo;

impl Executor for Echo {
    type Row = u32;
    type Output = u32;

    fn run(&mut self, rows: &[&u32]) -> Result<Vec<Result<u32, RowError>>, BatchError> {
        Ok(rows.iter().map(|row| Ok(**row)).collect())
    }
}

#[tokio::test]
async fn a_batch_follows_from_each_of_its_calls_once() {
    let links = Links::default();
    // Executor threads have no subscriber of their own, so it is the process's. This file is a
    // process of its own.
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(links.clone()))
        .expect("it is the first");
    let factory = || Ok::<_, BuildError>(Echo);
    let batcher = Batcher::spawn(
        "echo",
        Options::default(),
        Arc::new(NoObserver),
        vec![factory],
    )
    .await
    .expect("it starts");
    let call = Call {
        rows: vec![(1, 8), (2, 8), (3, 8)],
        groups: Vec::new(),
        deadline: None,
        priority: Priority::Interactive,
        flow: Flow::default(),
        lookahead: Lookahead::default(),
    };
    let reply = batcher
        .submit(call)
        .instrument(tracing::info_span!("caller"))
        .await;
    assert_eq!(reply.expect("it is answered").rows, [Ok(1), Ok(2), Ok(3)]);
    batcher.drain().await;
    assert_eq!(
        *links.0.lock().expect("no panic"),
        [("batch".to_owned(), "caller".to_owned())]
    );
}
