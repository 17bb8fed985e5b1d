//! Admission: a call is queued whole, or refused for a reason.

use std::time::Duration;

use super::{Scheduler, Stage};
use crate::admission::{self, Load};
use crate::arrival::{Arrival, Lookahead, Ticket};
use crate::forecast::DecisionPoint;
use crate::formation::Draft;
use crate::refusal::Refusal;
use crate::row::{CallId, Priority, Row, RowId, Work};
use crate::time::Time;

/// Time that a row without a deadline waits before rows with one stop overtaking it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Seconds between the parts of a long call while nothing has been measured. It is rather too long,
/// which only lets other calls run in between.
const PART_SECONDS_UNKNOWN: f64 = 0.1;
/// Share of its time that a call must have to spare where rows are queued already. A queue filled
/// to the last moment is run in small batches, each cut to meet a deadline that is about to pass:
/// slack keeps batches large, and the calls that are admitted are answered.
const ADMISSION_SLACK: f64 = 0.25;

impl Scheduler {
    /// Queues a call, whole.
    ///
    /// # Errors
    /// The reason for which it is refused; none of its rows is queued then.
    pub fn admit(&mut self, now: Time, mut arrival: Arrival<'_>) -> Result<Ticket, Refusal> {
        if !self.options.lookahead {
            arrival.lookahead = Lookahead::default();
        }
        let rows = arrival.tokens.len();
        let default = || self.options.max_latency.map(|latency| now.after(latency));
        let deadline = arrival.deadline.or_else(default);
        if let Err(refusal) = self.check(now, &arrival, deadline) {
            self.stats.rows_refused.count(&refusal, rows);
            return Err(refusal);
        }
        if arrival.priority == Priority::Interactive {
            self.learn_arrival(now, &arrival);
        }
        let ticket = Ticket {
            call: CallId(self.next.call),
            first: RowId(self.next.row),
            rows,
            deadline,
        };
        self.announcements
            .arrived(now, ticket.call, arrival.lookahead);
        self.next.call += 1;
        self.next.row += rows as u64;
        self.stats.calls_admitted += 1;
        self.stats.rows_admitted += rows as u64;
        self.enqueue(now, &ticket, &arrival);
        Ok(ticket)
    }

    fn check(
        &self,
        now: Time,
        arrival: &Arrival<'_>,
        deadline: Option<Time>,
    ) -> Result<(), Refusal> {
        if self.executors == 0 {
            return Err(Refusal::ExecutorDied {
                reason: self.death.clone(),
            });
        }
        if self.stage == Stage::Draining {
            return Err(Refusal::Draining);
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Refusal::DeadlineExceeded);
        }
        if let Some(limit) = self.options.max_row_tokens
            && let Some(&tokens) = arrival.tokens.iter().find(|&&tokens| tokens > limit)
        {
            return Err(Refusal::TooLarge { tokens, limit });
        }
        if let Some(deadline) = deadline {
            let own = arrival.tokens.iter().copied().collect();
            self.check_own_work(own, deadline.since(now))?;
        }
        if self.is_idle() {
            return Ok(());
        }
        self.check_queue(arrival.tokens.len())?;
        deadline.map_or(Ok(()), |deadline| {
            self.check_deadline(now, arrival, deadline)
        })
    }

    /// Checks that a call has the time for its own work, by the expected time of it: the safe
    /// estimate would refuse calls that would usually be answered in time.
    pub(super) fn check_own_work(&self, own: Work, allowed: Duration) -> Result<(), Refusal> {
        let cost = &self.learnt.cost;
        let seconds = admission::own_seconds(cost, &self.caps(), self.executors, own);
        let needed = Time::from_seconds(seconds).since(Time::ZERO);
        match needed <= allowed {
            true => Ok(()),
            false => Err(Refusal::DeadlineTooShort { needed, allowed }),
        }
    }

    /// Checks that the queue takes `rows` more rows.
    fn check_queue(&self, rows: usize) -> Result<(), Refusal> {
        let (waiting, limit) = (self.queued(), self.options.max_queue_size);
        if waiting == 0 || waiting + rows <= limit {
            return Ok(());
        }
        let batch = self.caps().tokens.min(self.queue.tokens());
        Err(Refusal::QueueFull {
            limit,
            retry_after: Duration::from_secs_f64(self.learnt.cost.predict(batch)),
        })
    }

    /// Checks that the call would be answered by its deadline.
    fn check_deadline(
        &self,
        now: Time,
        arrival: &Arrival<'_>,
        deadline: Time,
    ) -> Result<(), Refusal> {
        let mut seconds = self.seconds_until_answer(now, arrival, deadline);
        if self.queued() > 0 {
            seconds += ADMISSION_SLACK * deadline.seconds_since(now);
        }
        let end = now.plus_seconds(seconds);
        if end <= deadline {
            return Ok(());
        }
        Err(Refusal::WouldBeLate {
            predicted: Time::from_seconds(seconds).since(Time::ZERO),
            retry_after: end.since(deadline),
        })
    }

    /// Returns the seconds until a call that arrives now would be answered.
    fn seconds_until_answer(&self, now: Time, arrival: &Arrival<'_>, deadline: Time) -> f64 {
        let interactive = self.queue.lane(Priority::Interactive);
        let mut ahead = self.retries.work();
        match arrival.priority {
            Priority::Interactive => ahead += interactive.work_until(deadline),
            Priority::Bulk => {
                ahead += interactive.work();
                ahead += self.queue.lane(Priority::Bulk).work_until(deadline);
            }
        }
        let load = Load {
            cost: &self.learnt.cost,
            caps: self.caps(),
            executors: self.executors,
            next_free: if self.free_executors() > 0 {
                0.0
            } else {
                self.next_end(now)
            },
            ahead,
        };
        let own: Work = arrival.tokens.iter().copied().collect();
        admission::seconds_until_answer(&load, own)
    }

    /// Learns from the arrival of an interactive call.
    fn learn_arrival(&mut self, now: Time, arrival: &Arrival<'_>) {
        self.learnt.forecast.arrived(now, arrival.tokens.len());
        let outstanding = &mut self.learnt.outstanding;
        *outstanding = outstanding.saturating_sub(arrival.tokens.len());
        let lane = self.queue.lane(Priority::Interactive);
        let request = arrival.lookahead.request;
        if !request.is_some_and(|request| lane.has_request(request)) {
            self.learnt.calls.count(now, 1.0);
        }
        if self.is_empty(Priority::Interactive) && self.free_executors() > 0 {
            self.open_point(now, DecisionPoint::Arrival);
        }
    }

    /// Queues the rows of a call.
    ///
    /// A call larger than a batch falls due in parts, each one batch time after the one before, as
    /// if it came no faster than it can be served: calls that arrive meanwhile run in between.
    fn enqueue(&mut self, now: Time, ticket: &Ticket, arrival: &Arrival<'_>) {
        let mut due = ticket.deadline.unwrap_or(now.after(PATIENCE));
        let caps = self.caps();
        let mut part = Draft::default();
        for (index, &tokens) in arrival.tokens.iter().enumerate() {
            let mut row = Row {
                id: RowId(ticket.first.0 + index as u64),
                call: ticket.call,
                index,
                call_rows: ticket.rows,
                tokens,
                arrived: now,
                deadline: ticket.deadline,
                due,
                priority: arrival.priority,
                request: arrival.lookahead.request,
            };
            if !part.accepts(&row, &caps) {
                due = due.plus_seconds(self.part_seconds(part.tokens(caps.layout)));
                row.due = due;
                part = Draft::default();
            }
            part.push(row);
            self.learnt.row_tokens.learn(f64::from(tokens));
            self.queue.insert(row);
        }
    }

    /// Returns the seconds after which the next part of a long call falls due.
    fn part_seconds(&self, tokens: u64) -> f64 {
        let cost = &self.learnt.cost;
        let seconds = if cost.is_known() {
            cost.predict(tokens)
        } else {
            PART_SECONDS_UNKNOWN
        };
        seconds / self.executors.max(1) as f64
    }
}
