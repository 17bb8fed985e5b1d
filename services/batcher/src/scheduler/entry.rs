//! How a call comes in: refused for a reason, or queued.

use std::time::Duration;

use super::{Scheduler, learn};
use crate::admission::{self, Work};
use crate::forecast::Class;
use crate::formation::Draft;
use crate::{Arrival, CallId, Lookahead, Priority, Refusal, Row, RowId, Ticket, Time};

/// How long a row without a deadline waits before rows with one stop overtaking it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Seconds between the parts of a long call as long as nothing has been measured; rather too long, which only lets others between.
const PART_SECONDS_UNKNOWN: f64 = 0.1;
/// Share of its time that a call must have to spare where others wait already. A queue filled to the last moment is run in small batches, each cut to meet
/// a deadline that is about to pass: slack keeps batches large, and what is admitted is answered.
const ADMISSION_SLACK: f64 = 0.25;

impl Scheduler {
    /// Takes a call into the queue, whole.
    ///
    /// # Errors
    /// The reason why it was refused; nothing of it is queued then.
    pub fn admit(&mut self, now: Time, mut arrival: Arrival<'_>) -> Result<Ticket, Refusal> {
        if !self.options.lookahead {
            arrival.lookahead = Lookahead::default();
        }
        let rows = arrival.tokens.len();
        let deadline = arrival
            .deadline
            .or_else(|| self.options.max_latency.map(|latency| now.after(latency)));
        if let Err(refusal) = self.check(now, &arrival, deadline) {
            self.stats.rows_refused.count(&refusal, rows);
            return Err(refusal);
        }
        if arrival.priority == Priority::Interactive {
            self.forecast.arrived(now, rows);
            let lane = self.queue.lane(Priority::Interactive);
            let request = arrival.lookahead.request;
            if !request.is_some_and(|request| lane.has_request(request)) {
                self.calls_rate.count(now, 1.0);
            }
            if self.queue.lane(Priority::Interactive).is_empty() && self.free() > 0 {
                self.open_point(now, Class::Arrival);
            }
        }
        let ticket = Ticket {
            call: CallId(self.next_call),
            first: RowId(self.next_row),
            rows,
            deadline,
        };
        self.announced.came(now, ticket.call, arrival.lookahead);
        self.next_call += 1;
        self.next_row += rows as u64;
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
            return Err(Refusal::ExecutorDied);
        }
        if self.draining {
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
        let waiting = self.queued();
        if waiting == 0 && self.running.is_empty() {
            // Also where it looks hopeless: a wrong estimate must not refuse for ever, and only a run can correct it.
            return Ok(());
        }
        let limit = self.options.max_queue_size;
        if waiting > 0 && waiting + arrival.tokens.len() > limit {
            let batch = self.caps().tokens.min(self.queue.tokens());
            return Err(Refusal::QueueFull {
                limit,
                retry_after: Duration::from_secs_f64(self.cost.predict(batch)),
            });
        }
        let Some(deadline) = deadline else {
            return Ok(());
        };
        let mut seconds = self.predict_answer(now, arrival, deadline);
        if waiting > 0 {
            seconds += ADMISSION_SLACK * deadline.seconds_since(now);
        }
        if now.plus_seconds(seconds) <= deadline {
            return Ok(());
        }
        let predicted = Time::from_seconds(seconds).since(Time::ZERO);
        Err(Refusal::WouldBeLate {
            predicted,
            retry_after: now.plus_seconds(seconds).since(deadline),
        })
    }

    /// Seconds until a call would be answered.
    fn predict_answer(&self, now: Time, arrival: &Arrival<'_>, deadline: Time) -> f64 {
        let mut ahead = Work {
            rows: self.halves.len(),
            tokens: self.halves.tokens(),
        };
        let (interactive, bulk) = (
            self.queue.lane(Priority::Interactive),
            self.queue.lane(Priority::Bulk),
        );
        match arrival.priority {
            Priority::Interactive => ahead += interactive.work_until(deadline),
            Priority::Bulk => {
                ahead += interactive.work_until(Time::NEVER);
                ahead += bulk.work_until(deadline);
            }
        }
        let mut own = Work::default();
        arrival.tokens.iter().for_each(|&tokens| own.add(tokens));
        admission::predict(
            &self.cost,
            &self.caps(),
            self.executors,
            self.next_free(now),
            ahead,
            own,
        )
    }

    /// Queues the rows of a call. A call larger than a batch falls due in parts, each one batch time after the one before, as if it came no
    /// faster than it can be served: whoever comes meanwhile goes between.
    fn enqueue(&mut self, now: Time, ticket: &Ticket, arrival: &Arrival<'_>) {
        let mut due = ticket.deadline.unwrap_or(now.after(PATIENCE));
        let caps = self.caps();
        let mut part = Draft::default();
        for (index, &tokens) in arrival.tokens.iter().enumerate() {
            let mut row = Row {
                id: RowId(ticket.first.0 + index as u64),
                call: ticket.call,
                index,
                tokens,
                arrived: now,
                deadline: ticket.deadline,
                due,
                priority: arrival.priority,
                request: arrival.lookahead.request,
            };
            if !part.has_room(&row, &caps) {
                let seconds = if self.cost.is_known() {
                    self.cost.predict(part.tokens(caps.layout))
                } else {
                    PART_SECONDS_UNKNOWN
                };
                due = due.plus_seconds(seconds / self.executors.max(1) as f64);
                row.due = due;
                part = Draft::default();
            }
            part.push(row);
            learn(&mut self.usual_row_tokens, f64::from(tokens));
            self.queue.insert(row);
        }
    }
}
