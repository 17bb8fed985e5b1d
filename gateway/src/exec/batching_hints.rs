//! Hints that go with a model call: which other calls of its request will reach the same model,
//! so that the batcher can wait for them.

use motet_proto::inference::ModelInferRequest;
use motet_proto::oip::{self, lookahead};

use super::run::GraphRun;
use crate::plan::follow_ups::FollowUp;

/// Hints of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BatchingHints {
    /// Identifier of the request, if other calls of it may reach the same model.
    request: Option<i64>,
    follow_up: Option<FollowUp>,
}

impl BatchingHints {
    /// Writes the hints into the parameters of a call.
    pub(crate) fn write(self, message: &mut ModelInferRequest) {
        let mut put = |name: &str, value: i64| {
            let value = oip::parameter(value);
            message.parameters.insert(name.to_owned(), value);
        };
        if let Some(request) = self.request {
            put(lookahead::REQUEST, request);
        }
        if let Some(follow_up) = self.follow_up {
            let micros = i64::try_from(follow_up.within.as_micros());
            put(
                lookahead::SEQUEL_ROWS,
                i64::try_from(follow_up.rows).unwrap_or(i64::MAX),
            );
            put(lookahead::SEQUEL_US, micros.unwrap_or(i64::MAX));
        }
    }
}

impl GraphRun<'_> {
    /// Returns the hints for the model that a node calls, if it calls one. Elements and arms most
    /// often call the same model as others do, at about the same time.
    pub(super) fn batching_hints(&self, index: usize) -> BatchingHints {
        let follow_ups = &self.graph.follow_ups;
        if !follow_ups.has_siblings(index) {
            let request = self.is_body.then_some(self.context.request_id);
            return BatchingHints {
                request,
                follow_up: None,
            };
        }
        let may_come = |other: usize| self.progress.may_start(other);
        BatchingHints {
            request: Some(self.context.request_id),
            follow_up: follow_ups.predict(index, self.schedule.size(), may_come),
        }
    }

    /// Records how the call of a node that has ended followed those that it can share a batch with.
    pub(super) fn record_follow_up(&self, index: usize) {
        let follow_ups = &self.graph.follow_ups;
        let Some(then) = self.recorded(index) else {
            return;
        };
        for first in follow_ups.siblings(index) {
            let Some(before) = self.recorded(first) else {
                continue;
            };
            if before.started <= then.started {
                let follow_up = FollowUp {
                    rows: then.stats.rows,
                    within: then.started.saturating_sub(before.started),
                };
                follow_ups.record(first, index, self.schedule.size(), follow_up);
            }
        }
    }
}

#[cfg(test)]
mod tests;
