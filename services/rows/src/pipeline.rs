//! The trait of pipelines that answer the inputs of a row.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};

use crate::failure::{Failure, RowError};
use crate::retry::{Next, RetryPolicy, Tries};

/// The answer of a row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Outputs by name.
    pub outputs: Map<String, Value>,
    /// Nodes whose results are substitutes or incomplete.
    pub degraded: Vec<String>,
    /// Tokens that were computed, where the server says so.
    pub tokens: u64,
}

/// A pipeline: what answers the inputs of a row, in this process or elsewhere.
pub trait Pipeline: Send + Sync {
    /// Answers one call. Dropping the future ends the call.
    fn run(
        &self,
        inputs: Map<String, Value>,
    ) -> impl Future<Output = Result<Answer, Failure>> + Send;
}

/// Reason for a row without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// It has an error.
    Row(RowError),
    /// The server was away or full for longer than the policy allows.
    Away(Failure),
    /// The server refuses this caller, or lacks the pipeline.
    Refused(Failure),
}

/// Calls `pipeline` until there is an answer, or `policy` ends it. `chance` returns numbers from 0
/// to 1. `failed` learns of each failed call, and of the time that it took.
///
/// # Errors
/// [`NoAnswer`].
pub async fn answer<P: Pipeline>(
    pipeline: &P,
    inputs: &Map<String, Value>,
    policy: &RetryPolicy,
    mut chance: impl FnMut() -> f64 + Send,
    mut failed: impl FnMut(&Failure, Duration) + Send,
) -> Result<Answer, NoAnswer> {
    let begun = Instant::now();
    let mut tries = Tries::default();
    loop {
        let called = Instant::now();
        let failure = match pipeline.run(inputs.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        failed(&failure, called.elapsed());
        match policy.next(&mut tries, &failure, begun.elapsed(), chance()) {
            Next::Again(wait) => sleep(wait).await,
            Next::RowError => return Err(NoAnswer::Row(failure.after(tries.attempts))),
            Next::Away => return Err(NoAnswer::Away(failure)),
            Next::Refused => return Err(NoAnswer::Refused(failure)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::failure::Code;

    /// Fails with these codes, one call after another, then answers.
    struct Failing(Mutex<Vec<Code>>);

    impl Pipeline for Failing {
        async fn run(&self, inputs: Map<String, Value>) -> Result<Answer, Failure> {
            match self.0.lock().unwrap().pop() {
                Some(code) => Err(Failure::new(code, "why")),
                None => Ok(Answer {
                    outputs: inputs,
                    ..Answer::default()
                }),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_is_tried_again_until_it_has_an_answer_or_an_error() {
        let away = vec![Code::Unavailable; 1000];
        for (codes, calls, expected) in [
            (vec![], 0, Ok(())),
            (vec![Code::Internal, Code::Unavailable], 2, Ok(())),
            (
                vec![Code::InvalidArgument],
                1,
                Err((Code::InvalidArgument, 1)),
            ),
            (vec![Code::Internal; 9], 3, Err((Code::Internal, 3))),
        ] {
            let pipeline = Failing(Mutex::new(codes));
            let mut failures = 0;
            let count = |_: &Failure, _| failures += 1;
            let inputs = Map::new();
            let policy = RetryPolicy::default();
            let answered = answer(&pipeline, &inputs, &policy, || 0.5, count).await;
            let answered = answered.map(drop).map_err(|error| match error {
                NoAnswer::Row(error) => (error.code, error.attempts),
                other => panic!("{other:?}"),
            });
            assert_eq!(answered, expected);
            assert_eq!(failures, calls);
        }
        let pipeline = Failing(Mutex::new(away));
        let policy = RetryPolicy::default();
        let ended = answer(&pipeline, &Map::new(), &policy, || 0.5, |_, _| {}).await;
        assert!(matches!(ended, Err(NoAnswer::Away(_))), "{ended:?}");
    }
}
