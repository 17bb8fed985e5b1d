//! Jobs, which run beside the loop of a stream.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use motet_rows::{Answer, Cause, Code, Failure};
use tokio::task::{Id, JoinSet};
use tokio::time::timeout;

use crate::broker::{Backlog, BrokerError, Inbox, Sink, Source, StoreError, Stored};
use crate::core::{self, Fault, MessageId};
use crate::message::Parcel;

/// Most time that a broker may take for one thing. Then it is asked again.
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);
/// Most time of a pull, which waits for messages itself.
const PULL_TIMEOUT: Duration = Duration::from_secs(30);

/// A job, which runs beside the loop.
pub(super) type Jobs = JoinSet<Done>;

/// Result of a job.
#[derive(Debug)]
pub(super) enum Done {
    Pull(Result<(), BrokerError>),
    Attempt(Vec<MessageId>, Result<Vec<Answer>, Failure>),
    Store(MessageId, Result<Stored, StoreError>),
    Acknowledge(MessageId, Result<(), BrokerError>),
    Look(Option<Backlog>),
    /// The broker was told something that needs no confirmation.
    Told,
}

/// Asks for messages. Returns the job's identity.
pub(super) fn pull<B: Source>(jobs: &mut Jobs, broker: Arc<B>, max: usize, inbox: Inbox) -> Id {
    let pulling = jobs.spawn(async move {
        let pulled = timeout(PULL_TIMEOUT, broker.pull(max, &inbox)).await;
        Done::Pull(pulled.unwrap_or_else(|_| Err(silent())))
    });
    pulling.id()
}

pub(super) fn acknowledge<B: Source>(
    jobs: &mut Jobs,
    broker: Arc<B>,
    id: MessageId,
    receipt: String,
) {
    jobs.spawn(async move {
        let told = timeout(BROKER_TIMEOUT, broker.acknowledge(&receipt)).await;
        Done::Acknowledge(id, told.unwrap_or_else(|_| Err(silent())))
    });
}

pub(super) fn progress<B: Source>(jobs: &mut Jobs, broker: Arc<B>, receipt: String) {
    jobs.spawn(async move {
        // Without it the message is delivered again, to this process or to another.
        let _ = timeout(BROKER_TIMEOUT, broker.progress(&receipt)).await;
        Done::Told
    });
}

pub(super) fn release<B: Source>(
    jobs: &mut Jobs,
    broker: Arc<B>,
    receipt: String,
    after: Duration,
) {
    jobs.spawn(async move {
        // Without it the message is delivered again later.
        let _ = timeout(BROKER_TIMEOUT, broker.release(&receipt, after)).await;
        Done::Told
    });
}

pub(super) fn store<B: Sink>(
    jobs: &mut Jobs,
    broker: Arc<B>,
    id: MessageId,
    receipt: String,
    parcel: Parcel,
) {
    jobs.spawn(async move {
        let stored = timeout(B::STORE_TIMEOUT, broker.store(&receipt, &parcel)).await;
        let away = || Err(StoreError::Away(silent().0));
        Done::Store(id, stored.unwrap_or_else(|_| away()))
    });
}

pub(super) fn look<B: Source>(jobs: &mut Jobs, broker: Arc<B>) {
    jobs.spawn(async move {
        let backlog = timeout(BROKER_TIMEOUT, broker.backlog()).await;
        Done::Look(backlog.ok().and_then(Result::ok))
    });
}

fn silent() -> BrokerError {
    BrokerError("the broker is silent".to_owned())
}

/// Gives a call its time.
pub(super) async fn within(
    deadline: Duration,
    call: impl Future<Output = Result<Answer, Failure>>,
) -> Result<Answer, Failure> {
    let call = AssertUnwindSafe(call).catch_unwind();
    match timeout(deadline, call).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(Failure::new(
            Code::Internal,
            "the call of the pipeline panicked",
        )),
        Err(_) => Err(Failure::new(
            Code::DeadlineExceeded,
            "the pipeline took longer than the stream's `deadline`",
        )),
    }
}

/// Returns whose fault a failed call is.
pub(super) fn core_failure(failure: &Failure) -> core::Failure {
    core::Failure {
        fault: match failure.cause() {
            Cause::Row => Fault::Message,
            Cause::Either => Fault::Attempt,
            Cause::Server if failure.code == Code::ResourceExhausted => Fault::Overload,
            // A server that refuses this caller refuses all of its calls, until someone mends that.
            Cause::Server | Cause::Caller => Fault::Service,
        },
        retry_after: failure.retry_after,
    }
}
