//! Admission: a call is queued whole, or refused for a reason.

use std::time::Duration;

use super::{Scheduler, Stage};
use crate::admission::{self, Load};
use crate::arrival::{Arrival, Lookahead, Ticket};
use crate::fair_queue::{Standing, part_of};
use crate::forecast::DecisionPoint;
use crate::refusal::Refusal;
use crate::row::{CallId, Priority, Row, RowId, Rows, Work};
use crate::time::Time;

/// Time that a row without a deadline waits before rows with one stop overtaking it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Share of its time that a call must have to spare where rows are queued already. A queue filled
/// to the last moment is run in small batches, each cut to meet a deadline that is about to pass:
/// slack keeps batches large, and the calls that are admitted are answered.
const ADMISSION_SLACK: f64 = 0.25;
/// Share of the time of a call by which it is treated as longer than it is, at most.
const LENGTH_ALLOWANCE_MAX: f64 = 0.1;
/// A call takes as many places in the queue as it has rows, but at most one in this many of all:
/// its other rows wait in the call itself.
const CALL_PLACES: usize = 16;

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
        let own: Work = arrival.tokens.iter().copied().collect();
        let default = || self.options.max_latency.map(|latency| now.after(latency));
        let deadline = arrival.deadline.or_else(default);
        let checked = self.check(now, &arrival, own, deadline);
        if arrival.priority == Priority::Interactive {
            // Those that are refused, too: a quantum may let the next one in.
            let first = part_of(arrival.tokens, self.part());
            let tokens = arrival.tokens[..first].iter().map(|&t| u64::from(t)).sum();
            let is_short = first == own.rows && self.has_work_of_others(arrival.lookahead.request);
            self.recent.arrived(now, own.tokens, tokens, is_short);
            if let Some(deadline) = deadline.filter(|_| first == own.rows) {
                let time = (1.0 - ADMISSION_SLACK) * deadline.seconds_since(now);
                let seconds = time - self.learnt.cost.predict_safe(tokens);
                let cost = &self.learnt.cost;
                if seconds < cost.predict(self.caps().tokens) {
                    let quantum = cost.predict(self.part().tokens);
                    self.recent.can_wait(now, tokens, seconds, quantum);
                }
            }
        }
        if let Err(refusal) = checked {
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
        &mut self,
        now: Time,
        arrival: &Arrival<'_>,
        own: Work,
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
        self.check_stuck(now)?;
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Refusal::DeadlineExceeded);
        }
        if let Some(limit) = self.options.max_row_tokens
            && let Some(&tokens) = arrival.tokens.iter().find(|&&tokens| tokens > limit)
        {
            return Err(Refusal::TooLarge { tokens, limit });
        }
        let limit = self.options.call_rows_max();
        if own.rows > limit {
            let rows = own.rows;
            return Err(Refusal::TooManyRows { rows, limit });
        }
        if let Some(deadline) = deadline {
            self.check_own_work(own, deadline.since(now))?;
        }
        if self.is_idle() {
            self.retry_slots.clear();
            return Ok(());
        }
        let standing = self.standing(arrival);
        self.check_queue(now, own, arrival.priority, &standing)?;
        deadline.map_or(Ok(()), |deadline| {
            self.check_deadline(now, own, arrival.priority, &standing, deadline)
        })
    }

    /// Returns whether work of another request than this one waits or runs. The calls of one
    /// request are of no use before the last of them, so none of them is in a hurry.
    fn has_work_of_others(&self, request: Option<u64>) -> bool {
        let lane = self.queue.lane(Priority::Interactive);
        let own = request.is_some_and(|request| lane.has_request(request));
        let mut running = self.running.iter().flat_map(|running| &running.rows);
        lane.requesters() > usize::from(own)
            || running.any(|row| request.is_none() || row.request != request)
    }

    /// Returns the position in which the call would be.
    fn standing(&self, arrival: &Arrival<'_>) -> Standing {
        let lane = self.queue.lane(arrival.priority);
        lane.standing(&arrival.flow, self.part())
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

    /// Returns the places in the queue that a call of `rows` rows takes.
    fn places(&self, rows: usize) -> usize {
        let most = self.options.max_queue_size / CALL_PLACES;
        rows.min(most.max(1))
    }

    /// Checks that the queue takes a call: while there is room, or while its flow has less than its
    /// share of the queue.
    fn check_queue(
        &mut self,
        now: Time,
        own: Work,
        priority: Priority,
        standing: &Standing,
    ) -> Result<(), Refusal> {
        let limit = self.options.max_queue_size;
        let places = self.places(own.rows);
        let taken = self.queue.places() + self.retries.len() + places;
        let has_room = taken <= limit;
        let has_share = (standing.places + places) as f64 <= limit as f64 * standing.part
            && taken <= limit.saturating_mul(2);
        let is_bounded = self.queue.len() + own.rows <= self.options.waiting_rows_max();
        if self.queued() == 0 || ((has_room || has_share) && is_bounded) {
            return Ok(());
        }
        // Until as many places are free again, if work leaves as evenly as it takes places.
        let load = self.load(now, self.ahead(priority, own, standing, Time::NEVER));
        let all = admission::seconds_until_answer(&load, own);
        let batch = self.learnt.cost.predict(self.caps().tokens.min(own.tokens));
        let wait = all * (taken.saturating_sub(limit) as f64 / taken as f64).min(1.0);
        Err(Refusal::QueueFull {
            limit,
            retry_after: self.retry_after(now, wait.max(batch), own),
        })
    }

    /// Checks that the call would be answered by its deadline.
    fn check_deadline(
        &mut self,
        now: Time,
        own: Work,
        priority: Priority,
        standing: &Standing,
        deadline: Time,
    ) -> Result<(), Refusal> {
        let load = self.load(now, self.ahead(priority, own, standing, deadline));
        let mut seconds = admission::seconds_until_answer(&load, own);
        if self.queued() > 0 {
            seconds += ADMISSION_SLACK * deadline.seconds_since(now);
            seconds += self.length_allowance(now, own, deadline);
        }
        let end = now.plus_seconds(seconds);
        if end <= deadline {
            return Ok(());
        }
        let wait = end.seconds_since(deadline);
        Err(Refusal::WouldBeLate {
            predicted: Time::from_seconds(seconds).since(Time::ZERO),
            retry_after: self.retry_after(now, wait, own),
        })
    }

    /// Returns the seconds by which a call is treated as longer than it is, as long as the longest
    /// of late. Otherwise short calls would keep the queue at a length at which only they are in
    /// time, and long ones would starve.
    fn length_allowance(&self, now: Time, own: Work, deadline: Time) -> f64 {
        let cost = &self.learnt.cost;
        let shorter_by = (self.recent.longest(now) - own.tokens as f64).max(0.0);
        let seconds = cost.safety() * cost.seconds_per_token() * shorter_by;
        seconds.min(LENGTH_ALLOWANCE_MAX * deadline.seconds_since(now))
    }

    /// Returns the time after which a refused call may come back. Those that were refused before it
    /// come back as fast as full batches run them: a queue that refuses calls has full batches.
    fn retry_after(&mut self, now: Time, wait: f64, own: Work) -> Duration {
        let (cost, caps) = (&self.learnt.cost, self.caps());
        let own = admission::seconds_in_full_batches(cost, &caps, self.executors, own);
        self.retry_slots.reserve(now, wait, own)
    }

    /// Returns the queued work that runs before all of a call that arrives now.
    ///
    /// Its first part waits for what is ready and falls due before it; the rest of it, and a call
    /// whose flow is ahead of its share, gets its share of the time, whatever others bring.
    fn ahead(&self, priority: Priority, own: Work, standing: &Standing, deadline: Time) -> Work {
        let interactive = self.queue.lane(Priority::Interactive);
        let lane = self.queue.lane(priority);
        let mut ahead = lane.ready_until(deadline);
        let backlog = lane.work().minus(lane.ready());
        let is_short = (own.rows == 1 || own.tokens <= self.part().tokens) && !standing.is_ahead;
        if !is_short && backlog.rows > 0 {
            // The flow's calls that wait, or as much of its other calls as of this one.
            let of_flow = match standing.is_ahead {
                true => (standing.tokens + own.tokens) as f64,
                false => standing.calls * own.tokens as f64,
            };
            let others = of_flow * standing.slowdown - own.tokens as f64;
            let more = (others - ahead.tokens as f64).max(0.0) / backlog.tokens.max(1) as f64;
            ahead += backlog.scaled(more.min(1.0));
        }
        if priority == Priority::Bulk {
            ahead += interactive.work();
        }
        ahead += self.retries.work();
        ahead
    }

    /// Returns the state of the system that a call with `ahead` before it would wait for.
    fn load(&self, now: Time, ahead: Work) -> Load<'_> {
        Load {
            cost: &self.learnt.cost,
            caps: self.caps(),
            executors: self.executors,
            next_free: if self.free_executors() > 0 {
                0.0
            } else {
                self.next_end(now)
            },
            ahead,
        }
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
    fn enqueue(&mut self, now: Time, ticket: &Ticket, arrival: &Arrival<'_>) {
        let rows = Rows {
            tokens: arrival.tokens,
            groups: arrival.groups,
        };
        let first = Row {
            id: ticket.first,
            call: ticket.call,
            index: 0,
            call_rows: ticket.rows,
            tokens: rows.tokens[0],
            group: rows.group(0),
            arrived: now,
            deadline: ticket.deadline,
            due: ticket.deadline.unwrap_or(now.after(PATIENCE)),
            priority: arrival.priority,
            request: arrival.lookahead.request,
        };
        for &tokens in arrival.tokens {
            self.learnt.row_tokens.learn(f64::from(tokens));
        }
        self.learnt
            .groups
            .learn(rows.group(0), rows.group(ticket.rows - 1));
        let (places, part) = (self.places(ticket.rows), self.part());
        self.queue.insert(first, rows, &arrival.flow, places, part);
    }
}
