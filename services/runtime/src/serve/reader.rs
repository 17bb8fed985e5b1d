//! The time that the client of a call may take nothing of its answer.
//!
//! hyper asks for the next piece of an answer once HTTP/2 may send it, so a call whose answer was
//! asked for a piece, and then no more, has a client that does not read. Only the call's task sees
//! both, and only the answer's body knows what it gave: it says so in a variable of the thread,
//! which the task reads after each poll.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Progress of the body of the answer in the current poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    /// It gave a piece.
    Handed,
    /// It has nothing to give: the client waits.
    Waits,
}

thread_local! {
    static STEP: Cell<Step> = const { Cell::new(Step::Nothing) };
}

/// Notes that the body of the call that is polled gave a piece.
pub(super) fn handed() {
    STEP.set(Step::Handed);
}

/// Notes that the body of the call that is polled has nothing to give.
pub(super) fn waits() {
    STEP.set(Step::Waits);
}

pin_project_lite::pin_project! {
    /// A call that is dropped when its client takes nothing for a while.
    pub(super) struct TimedReader<F> {
        #[pin]
        call: F,
        limit: Duration,
        since: Option<Instant>,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future> TimedReader<F> {
    pub(super) fn new(call: F, limit: Duration) -> Self {
        Self {
            call,
            limit,
            since: None,
            timer: None,
        }
    }
}

impl<F: Future> Future for TimedReader<F> {
    /// `None` if the client took nothing for too long.
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        STEP.set(Step::Nothing);
        if let Poll::Ready(value) = this.call.poll(cx) {
            return Poll::Ready(Some(value));
        }
        match STEP.get() {
            Step::Nothing => {}
            Step::Handed => *this.since = Some(Instant::now()),
            Step::Waits => *this.since = None,
        }
        let Some(since) = *this.since else {
            *this.timer = None;
            return Poll::Pending;
        };
        let end = since + *this.limit;
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        if timer.deadline() != end {
            timer.as_mut().reset(end);
        }
        timer.as_mut().poll(cx).map(|()| None)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// A call that does these steps, each after this time.
    async fn call(steps: &[(u64, fn())]) {
        for (after, step) in steps {
            tokio::time::sleep(Duration::from_secs(*after)).await;
            poll_fn(|_| {
                step();
                Poll::Ready(())
            })
            .await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_client_that_takes_nothing_for_a_while_is_ended() {
        for (steps, ends) in [
            (&[(0, handed as fn()), (20, handed), (20, handed)][..], true),
            (&[(0, handed as fn()), (20, waits), (100, handed)], true),
            (&[(100, waits as fn()), (100, waits)], true),
            (&[(0, handed as fn()), (40, handed)], false),
        ] {
            let ended = TimedReader::new(call(steps), LIMIT).await;
            assert_eq!(ended.is_some(), ends, "{steps:?}");
        }
    }
}
