//! The decision of a free executor: run a batch now, wait for further rows, or nothing.

use std::collections::{HashMap, HashSet};

use super::{ExecutorKind, Scheduler, Stage};
use crate::bulk;
use crate::decision::{Cause, Decision};
use crate::formation::{self, Draft, Fitted};
use crate::options::{Caps, Layout};
use crate::policy::{Backlog, Wait, WaitInputs};
use crate::row::{CallId, Priority, Row};
use crate::time::Time;

/// Most times that a batch is formed again because rows in it would be late.
const FORM_TIMES_MAX: usize = 8;

impl Scheduler {
    /// Returns what a free executor does now; [`Decision::Idle`] if none is free. Bulk executors
    /// ask by [`Scheduler::poll_bulk`].
    ///
    /// Rows whose deadline has come or can no longer be met are given up first; they are in
    /// [`Scheduler::take_dropped`].
    pub fn poll(&mut self, now: Time) -> Decision {
        if self.free_executors() == 0 {
            return Decision::Idle;
        }
        self.drop_expired(now);
        if let Some(rows) = self.retries.pop() {
            let draft = rows.into_iter().collect();
            return Decision::Run(self.start(now, draft, Cause::Retry, ExecutorKind::General));
        }
        if let Some(draft) = self.form_bulk(now) {
            return Decision::Run(self.dispatch(now, draft, Cause::Ready));
        }
        let draft = self.form(now, Priority::Interactive);
        if draft.rows.is_empty() {
            // If all interactive rows were given up, bulk rows are alone after all.
            if let Some(draft) = self.form_bulk(now) {
                return Decision::Run(self.dispatch(now, draft, Cause::Ready));
            }
            self.waits.abandon();
            return self.start_trial(now).map_or(Decision::Idle, Decision::Run);
        }
        let caps = self.caps();
        // Only after `form`: rows left queued by a shorter draft would look to it like a queue
        // longer than a batch, and it would give up late rows instead of cutting the draft.
        let mut draft = formation::shorten(draft, self.batch_tokens_max(), &caps);
        let cause = match self.wait_or_run(now, &draft) {
            Ok(wait) => {
                self.waits.begin(now, wait, draft.rows.len());
                return Decision::WaitUntil(wait.until);
            }
            Err(cause) => cause,
        };
        if !self.has_bulk_executors() {
            let bulk = self.queue.lane(Priority::Bulk);
            bulk::fill(&mut draft, bulk, &caps, &self.learnt.cost, now);
        }
        Decision::Run(self.dispatch(now, draft, cause))
    }

    /// Forms a batch of bulk rows alone, if nothing else waits or their credit pays for it, and
    /// there are no executors for them.
    fn form_bulk(&mut self, now: Time) -> Option<Draft> {
        if self.is_empty(Priority::Bulk) || self.has_bulk_executors() {
            return None;
        }
        self.refill(now, Priority::Bulk);
        if !self.is_empty(Priority::Interactive) {
            let draft = self.draft(Priority::Bulk);
            let seconds = self.learnt.cost.predict(draft.tokens(self.options.layout));
            if !self.bulk_credit.covers(seconds) {
                return None;
            }
        }
        Some(self.form(now, Priority::Bulk)).filter(|draft| !draft.rows.is_empty())
    }

    /// Forms the next batch of a lane so that no row in it is late. Rows that can no longer be
    /// answered in time are given up.
    pub(super) fn form(&mut self, now: Time, priority: Priority) -> Draft {
        let caps = self.caps();
        let gives_way = priority == Priority::Bulk && self.has_bulk_executors();
        for _ in 0..FORM_TIMES_MAX {
            self.refill(now, priority);
            let draft = self.draft(priority);
            let lane = self.queue.lane(priority);
            let is_whole_lane = draft.rows.len() == lane.ready_len();
            let is_whole_group = draft.rows.len() == lane.ready_of_first_group().rows;
            let cost = &self.learnt.cost;
            // Where batches are short for urgent calls, one is cut rather than to give up a row.
            let most = match gives_way {
                true => u64::MAX,
                false => self.recent.batch_tokens_max(now, cost, self.part().tokens),
            };
            let is_long = draft.tokens(caps.layout) <= most;
            let draft = formation::shorten(draft, most, &caps);
            let tokens = draft.tokens(caps.layout);
            let expected_end = now.plus_seconds(cost.predict(tokens));
            if is_whole_group && is_one_call_in_time(&draft.rows, expected_end) {
                return draft;
            }
            let seconds = cost.predict_safe(tokens);
            let Fitted {
                mut draft,
                mut hopeless,
            } = formation::fit(draft, !is_whole_group && is_long, &caps, cost, now);
            if draft.rows.is_empty() && is_whole_lane {
                draft = take_freshest(&mut hopeless).into_iter().collect();
            }
            if hopeless.is_empty() {
                return draft;
            }
            self.drop_hopeless(now, &hopeless, seconds);
            let given_up: HashSet<CallId> = hopeless.iter().map(|row| row.call).collect();
            draft.rows.retain(|row| !given_up.contains(&row.call));
            let draft: Draft = draft.rows.into_iter().collect();
            if (is_whole_group || !is_long) && !draft.rows.is_empty() {
                return draft;
            }
        }
        self.refill(now, priority);
        let draft = self.draft(priority);
        let cost = &self.learnt.cost;
        let fitted = formation::fit(draft, false, &caps, cost, now);
        match fitted.draft.rows.is_empty() {
            true => self.draft(priority),
            false => fitted.draft,
        }
    }

    /// Returns the most urgent rows of a lane that make a batch.
    fn draft(&self, priority: Priority) -> Draft {
        let (lane, cost) = (self.queue.lane(priority), &self.learnt.cost);
        match priority {
            Priority::Interactive => formation::form(lane, &self.interactive_caps(), cost),
            Priority::Bulk if self.has_bulk_executors() => {
                formation::form(lane, &self.caps(), cost)
            }
            Priority::Bulk => bulk::form_alone(lane, &self.caps(), cost),
        }
    }

    /// Returns the limits of the interactive rows of the next batch.
    fn interactive_caps(&self) -> Caps {
        if self.is_empty(Priority::Bulk) || self.has_bulk_executors() {
            self.caps()
        } else {
            bulk::interactive_caps(&self.caps(), self.options.bulk_share)
        }
    }

    /// Returns the most tokens that pay in one batch of interactive rows.
    fn batch_tokens_max(&self) -> u64 {
        // The tokens of a backlog do not say how many a padding executor computes.
        if self.options.layout == Layout::Padded {
            return u64::MAX;
        }
        let lane = self.queue.lane(Priority::Interactive);
        let backlog = Backlog {
            tokens: lane.work().tokens,
            calls: lane.requesters(),
            calls_per_second: self.learnt.calls.at_least_per_second(),
            load: self.learnt.utilization.share(),
            executors: self.executors,
        };
        self.policy.batch_tokens_max(&self.learnt, &backlog)
    }

    /// Returns the wait before this draft runs, or the cause for which it runs now.
    fn wait_or_run(&self, now: Time, draft: &Draft) -> Result<Wait, Cause> {
        let queued = self.queue.lane(Priority::Interactive).len();
        let usual = self.learnt.row_tokens.value() as u32;
        let lane = self.queue.lane(Priority::Interactive);
        let of_others = lane.ready_len() - lane.ready_of_first_group().rows;
        let more_of_group = draft.rows.len() + of_others < queued;
        if more_of_group || draft.is_full(usual, &self.interactive_caps()) {
            return Err(Cause::Size);
        }
        if self.stage > Stage::Serving {
            return Err(Cause::Drain);
        }
        // They would wait for nothing.
        if of_others > 0 {
            return Err(Cause::Ready);
        }
        let (opened, point) = self.waits.point().ok_or(Cause::Ready)?;
        let tokens = draft.tokens(self.options.layout);
        let inputs = WaitInputs {
            now,
            learnt: &self.learnt,
            announcements: &self.announcements,
            point,
            elapsed: now.seconds_since(opened),
            rows: &draft.rows,
            tokens,
            free_executors: self.free_executors(),
            next_free: (self.executors > 1).then(|| self.next_end(now)),
        };
        let give_up = if self.waits.is_waiting() {
            Cause::Window
        } else {
            Cause::Ready
        };
        let wait = self.policy.wait(&inputs).ok_or(give_up)?;
        let longest = self.waits.since(opened).after(self.options.max_queue_delay);
        let until = wait.until.min(longest);
        let latest_start = self.latest_start(draft, tokens);
        if until.min(latest_start) <= now {
            return Err(if latest_start < until {
                Cause::Deadline
            } else {
                give_up
            });
        }
        Ok(Wait {
            until: until.min(latest_start),
            ..wait
        })
    }

    /// Returns the latest time at which a run of the draft makes no row late.
    fn latest_start(&self, draft: &Draft, tokens: u64) -> Time {
        let seconds = self.learnt.cost.predict_safe(tokens);
        let deadlines = draft.rows.iter().filter_map(|row| row.deadline);
        deadlines
            .min()
            .map_or(Time::NEVER, |deadline| deadline.plus_seconds(-seconds))
    }
}

/// Returns `true` if all rows are of one call, which `end` would answer in time. It then runs whole
/// even where the safe estimate is past its deadline: to cut it would only make it later.
fn is_one_call_in_time(rows: &[Row], end: Time) -> bool {
    rows.first().is_some_and(|first| {
        let is_in_time = first.deadline.is_none_or(|deadline| end <= deadline);
        is_in_time && rows.iter().all(|row| row.call == first.call)
    })
}

/// Takes out the row with the most time left among those that are the last of their call. It runs
/// although it looks hopeless: the executor would idle otherwise, and the estimate may be wrong.
fn take_freshest(hopeless: &mut Vec<Row>) -> Option<Row> {
    let mut rows_of = HashMap::new();
    for row in &*hopeless {
        *rows_of.entry(row.call).or_insert(0) += 1;
    }
    let last = (0..hopeless.len()).filter(|&index| rows_of[&hopeless[index].call] == 1);
    let freshest = last.max_by_key(|&index| hopeless[index].due)?;
    Some(hopeless.remove(freshest))
}
