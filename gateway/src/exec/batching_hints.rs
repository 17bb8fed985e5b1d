//! What calls tell a model service of others of their request that will reach the same model.

use motet_proto::inference::ModelInferRequest;
use motet_proto::oip::{self, lookahead};

use super::run::Run;
use crate::plan::follow_ups::FollowUp;

/// What one call tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lookahead {
    /// The number of the request, where other calls of it may reach the same model.
    request: Option<i64>,
    follow_up: Option<FollowUp>,
}

impl Lookahead {
    /// Puts it into the parameters of a call.
    pub(super) fn write(self, message: &mut ModelInferRequest) {
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

impl Run<'_> {
    /// What a node that starts now tells the model that it calls, if it calls one. Elements and arms
    /// most often call the same as others do, at about the same time.
    pub(super) fn lookahead(&self, index: usize) -> Lookahead {
        let follow_ups = &self.frame.graph.follow_ups;
        if !follow_ups.has_siblings(index) {
            let request = self.frame.is_inside.then_some(self.context.request_id);
            return Lookahead {
                request,
                follow_up: None,
            };
        }
        let may_come = |other: usize| self.progress.may_start(other);
        Lookahead {
            request: Some(self.context.request_id),
            follow_up: follow_ups.predict(index, self.schedule.size(), may_come),
        }
    }

    /// Learns how a node that has ended followed those that it may meet.
    pub(super) fn learn_follow_up(&self, index: usize) {
        let follow_ups = &self.frame.graph.follow_ups;
        let Some(then) = self.recorded(index) else {
            return;
        };
        for first in follow_ups.siblings(index) {
            let Some(before) = self.recorded(first) else {
                continue;
            };
            if before.started <= then.started {
                let follow_up = FollowUp {
                    rows: then.facts.rows,
                    within: then.started.saturating_sub(before.started),
                };
                follow_ups.record(first, index, self.schedule.size(), follow_up);
            }
        }
    }
}

#[cfg(test)]
mod tests;
