//! What a free executor does: run a batch now, wait for company, or nothing.

use std::time::Duration;

use super::{Scheduler, Waiting};
use crate::formation::{self, Caps, Draft};
use crate::length::{self, Backlog};
use crate::window::{self, Scene};
use crate::{Cause, Decision, Layout, Policy, Priority, Row, Time, Window, bulk};

/// A batch is formed this many times at most while members that would be late are dropped from it.
const FORM_TIMES_MAX: usize = 8;

impl Scheduler {
    /// What a free executor shall do now.
    pub fn poll(&mut self, now: Time) -> Decision {
        if self.free() == 0 {
            return Decision::Idle;
        }
        let (half, expired) = self.halves.next(now);
        self.drop_expired(expired);
        if let Some(rows) = half {
            return Decision::Run(self.start(now, rows.into_iter().collect(), Cause::Retry));
        }
        let expired = self.queue.take_expired(now);
        self.drop_expired(expired);
        if let Some(draft) = self.form_bulk(now) {
            return Decision::Run(self.run(now, draft, Cause::Ready));
        }
        let draft = self.form(now, Priority::Interactive);
        if draft.rows.is_empty() {
            // Everything interactive was hopeless: bulk rows are alone after all.
            if let Some(draft) = self.form_bulk(now) {
                return Decision::Run(self.run(now, draft, Cause::Ready));
            }
            self.point = None;
            self.waiting = None;
            return Decision::Idle;
        }
        let caps = self.caps();
        // Only now: who would be late in a longer batch has been seen to already.
        let mut draft = formation::shorten(draft, self.tokens_max(), &caps);
        let more = draft.rows.len() < self.queue.lane(Priority::Interactive).len();
        let cause = if more || draft.rows.len() >= caps.rows {
            Cause::Size
        } else if self.hurrying {
            Cause::Drain
        } else {
            match self.wait(now, &draft) {
                Ok(until) => return Decision::WaitUntil(until),
                Err(cause) => cause,
            }
        };
        bulk::ride(
            &mut draft,
            self.queue.lane(Priority::Bulk),
            &caps,
            &self.cost,
            now,
        );
        Decision::Run(self.run(now, draft, cause))
    }

    /// A batch of bulk rows alone, if nothing else waits or they have earned it.
    fn form_bulk(&mut self, now: Time) -> Option<Draft> {
        if self.queue.lane(Priority::Bulk).is_empty() {
            return None;
        }
        if !self.queue.lane(Priority::Interactive).is_empty() {
            let draft = bulk::form_alone(self.queue.lane(Priority::Bulk), &self.caps(), &self.cost);
            if !self
                .bulk_credit
                .covers(self.cost.predict(draft.tokens(self.options.layout)))
            {
                return None;
            }
        }
        Some(self.form(now, Priority::Bulk)).filter(|draft| !draft.rows.is_empty())
    }

    /// Forms the next batch of a lane so that nobody in it is late; rows that cannot be in time any more leave.
    fn form(&mut self, now: Time, priority: Priority) -> Draft {
        let caps = self.caps();
        for _ in 0..FORM_TIMES_MAX {
            let draft = self.draft(priority);
            let more = draft.rows.len() < self.queue.lane(priority).len();
            let freshest = draft.rows.iter().max_by_key(|row| row.due).copied();
            let seconds = self.cost.predict_safe(draft.tokens(caps.layout));
            let fitted = formation::fit(draft, more, &caps, &self.cost, now);
            let all_hopeless = fitted.draft.rows.is_empty() && !more;
            let (kept, hopeless): (Vec<Row>, Vec<Row>) =
                fitted.hopeless.into_iter().partition(|row| {
                    all_hopeless && freshest.is_some_and(|freshest| freshest.id == row.id)
                });
            let settled = hopeless.is_empty() || !more;
            for row in &hopeless {
                self.queue.remove(row.id);
            }
            let predicted = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
            self.drop_hopeless(now, hopeless, predicted);
            if all_hopeless {
                // The executor would idle otherwise, and the estimate may be wrong: give the one with the best chance a try.
                return kept.into_iter().collect();
            }
            if settled {
                return fitted.draft;
            }
        }
        self.draft(priority)
    }

    fn draft(&self, priority: Priority) -> Draft {
        let (lane, caps) = (self.queue.lane(priority), self.caps());
        match priority {
            Priority::Interactive => {
                let rows = if self.queue.lane(Priority::Bulk).is_empty() {
                    caps.rows
                } else {
                    bulk::interactive_rows(&caps, self.options.bulk_share)
                };
                formation::form(lane, &Caps { rows, ..caps }, &self.cost)
            }
            Priority::Bulk => bulk::form_alone(lane, &caps, &self.cost),
        }
    }

    /// Most tokens that pay in one batch of interactive rows.
    fn tokens_max(&self) -> u64 {
        if self.options.policy != Policy::Adaptive || self.options.layout == Layout::Padded {
            return u64::MAX;
        }
        let lane = self.queue.lane(Priority::Interactive);
        length::tokens_max(
            &self.cost,
            &Backlog {
                tokens: lane.tokens(),
                calls: lane.parties(),
                calls_per_second: self.calls_rate.at_least_per_second(),
                load: self.utilisation.share(),
                executors: self.executors,
            },
        )
    }

    /// Until when to wait for company, or why not.
    fn wait(&mut self, now: Time, draft: &Draft) -> Result<Time, Cause> {
        let Some((point, class)) = self.point else {
            return Err(Cause::Ready);
        };
        let tokens = draft.tokens(self.options.layout);
        let run_time = self.cost.predict_safe(tokens);
        let latest = draft
            .rows
            .iter()
            .filter_map(|row| row.deadline)
            .min()
            .map_or(Time::NEVER, |deadline| deadline.plus_seconds(-run_time));
        let wanted = match self.options.policy {
            Policy::Greedy => None,
            Policy::Fixed(window) => {
                let oldest = draft
                    .rows
                    .iter()
                    .map(|row| row.arrived)
                    .min()
                    .unwrap_or(now);
                Some((oldest.after(window), 0.0))
            }
            Policy::Adaptive if self.free() > 1 => None,
            Policy::Adaptive => {
                let patient = |row: &&Row| self.announced.is_patient(now, row.call);
                let scene = Scene {
                    now,
                    announced: &self.announced,
                    patient: draft.rows.iter().filter(patient).count(),
                    cost: &self.cost,
                    forecast: &self.forecast,
                    class,
                    elapsed: now.seconds_since(point),
                    rows: draft.rows.len(),
                    tokens,
                    row_tokens: self.usual_row_tokens,
                    batch_rows: self.usual_batch_rows,
                    next_free: (self.executors > 1).then(|| self.next_free_of_running(now)),
                };
                window::wait(&scene).map(|wait| (now.plus_seconds(wait.seconds), wait.company))
            }
        };
        let give_up = if self.waiting.is_some() {
            Cause::Window
        } else {
            Cause::Ready
        };
        let (until, expected_rows) = wanted.ok_or(give_up)?;
        // Another executor's completion is a new decision point, and no reason to wait anew.
        let since = self
            .waiting
            .map_or(point, |waiting| waiting.since.min(point));
        let until = until.min(since.after(self.options.max_queue_delay));
        if until.min(latest) <= now {
            return Err(if latest < until {
                Cause::Deadline
            } else {
                give_up
            });
        }
        let until = until.min(latest);
        self.waiting.get_or_insert(Waiting {
            since: now,
            window: Window {
                chosen: until.since(now),
                expected_rows,
                actual_rows: 0,
            },
            rows: draft.rows.len(),
        });
        Ok(until)
    }
}
