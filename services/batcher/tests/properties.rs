//! Properties over any sequence of events: every admitted row is resolved exactly once, limits
//! hold, and no row fails for another.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZeroU32;
use std::time::Duration;

use motet_batcher::{
    Arrival, Batch, CallId, Cause, Decision, ExpectedRows, Flow, Layout, Lookahead, Options,
    Outcome, Policy, Priority, Refusal, RowId, Scheduler, Ticket, Time, Verdict,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Admit {
        tokens: Vec<u32>,
        /// Number of groups of the rows; 0 if they name none.
        groups: u64,
        deadline_ms: Option<u64>,
        priority: Priority,
        flow: Flow,
        lookahead: Lookahead,
    },
    Complete {
        which: usize,
        out_of_memory: bool,
    },
    Cancel {
        which: usize,
    },
    Pass {
        micros: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let expected = (0_usize..40, 0_u64..30_000).prop_map(|(rows, micros)| ExpectedRows {
        rows,
        within: Duration::from_micros(micros),
    });
    let lookahead = (prop::option::of(0_u64..5), prop::option::of(expected))
        .prop_map(|(request, expected)| Lookahead { request, expected });
    // Flows of up to two levels; three of each level, with shares of 1 to 3.
    let level = (0_u64..3, 1_u32..4);
    let flow = prop::collection::vec(level, 0..3).prop_map(|levels| {
        let under = |flow: Flow, (key, share)| {
            flow.under(key, NonZeroU32::new(share).unwrap_or(Flow::USUAL_SHARE))
        };
        levels.into_iter().fold(Flow::default(), under)
    });
    let priority = prop_oneof![3 => Just(Priority::Interactive), 1 => Just(Priority::Bulk)];
    prop_oneof![
        4 => (
            prop_oneof![
                4 => prop::collection::vec(1_u32..200, 1..12),
                1 => prop::collection::vec(1_u32..200, 20..80),
            ],
            prop_oneof![2 => Just(0), 1 => 1_u64..4],
            prop::option::of(0_u64..50),
            priority,
            flow,
            lookahead,
        )
            .prop_map(|(tokens, groups, deadline_ms, priority, flow, lookahead)| Step::Admit {
                tokens,
                groups,
                deadline_ms,
                priority,
                flow,
                lookahead,
            }),
        3 => (any::<usize>(), prop::bool::weighted(0.1))
            .prop_map(|(which, out_of_memory)| Step::Complete { which, out_of_memory }),
        1 => any::<usize>().prop_map(|which| Step::Cancel { which }),
        3 => (0_u64..20_000).prop_map(|micros| Step::Pass { micros }),
    ]
}

/// Returns options, and the numbers of executors and of bulk executors.
fn options() -> impl Strategy<Value = (Options, usize, usize)> {
    let policy = prop_oneof![
        Just(Policy::Adaptive),
        Just(Policy::Greedy),
        (0_u64..20).prop_map(|ms| Policy::Fixed(Duration::from_millis(ms)))
    ];
    let layout = prop_oneof![Just(Layout::Packed), Just(Layout::Padded)];
    (
        prop::option::weighted(0.8, 1_usize..9),
        50_u64..1000,
        prop::option::of(20_u64..100),
        policy,
        layout,
        (1_usize..4, 0_usize..3),
    )
        .prop_map(
            |(max_batch_size, max_batch_tokens, max_latency, policy, layout, executors)| {
                let max_latency = max_latency.map(Duration::from_millis);
                let options = Options {
                    max_batch_size,
                    max_batch_tokens,
                    max_latency,
                    policy,
                    layout,
                    max_queue_size: 40,
                    ..Options::default()
                };
                (options, executors.0, executors.1)
            },
        )
}

/// Plays steps against a scheduler and checks each of its answers.
struct World {
    scheduler: Scheduler,
    options: Options,
    executors: usize,
    bulk_executors: usize,
    now: Time,
    tickets: Vec<Ticket>,
    waiting: BTreeSet<RowId>,
    /// Those among them that a bulk executor is to run.
    waiting_bulk: BTreeSet<RowId>,
    /// Batches, and whether they are on bulk executors.
    running: Vec<(Batch, bool)>,
    resolved: BTreeMap<RowId, &'static str>,
    /// Calls that have been given up.
    given_up: HashSet<CallId>,
    /// Time since which a free executor has had rows to run.
    idle_since: Option<Time>,
    trials: usize,
}

impl World {
    fn new(options: Options, executors: usize, bulk_executors: usize) -> Self {
        let scheduler = Scheduler::new(options.clone(), executors);
        World {
            scheduler: scheduler.with_bulk_executors(bulk_executors),
            options,
            executors,
            bulk_executors,
            now: Time::ZERO,
            tickets: Vec::new(),
            waiting: BTreeSet::new(),
            waiting_bulk: BTreeSet::new(),
            running: Vec::new(),
            resolved: BTreeMap::new(),
            given_up: HashSet::new(),
            idle_since: None,
            trials: 0,
        }
    }

    fn resolve(&mut self, id: RowId, how: &'static str) {
        let before = self.resolved.insert(id, how);
        assert_eq!(before, None, "{id:?} resolved twice: now {how}");
    }

    /// `true` for one row in seven, which fails every batch that it is in.
    fn is_poison(id: RowId) -> bool {
        id.0 % 7 == 3
    }

    /// Number of batches on bulk executors, or on the others.
    fn running_on(&self, bulk: bool) -> usize {
        let running = self.running.iter().filter(|(_, on_bulk)| *on_bulk == bulk);
        running.count()
    }

    fn take_dropped(&mut self) {
        for dropped in self.scheduler.take_dropped() {
            let row = dropped.row;
            assert!(row.deadline.is_some(), "{row:?} has no deadline to miss");
            assert!(self.waiting.remove(&row.id), "{row:?} was not waiting");
            self.waiting_bulk.remove(&row.id);
            self.resolve(row.id, "expired");
            if self.given_up.insert(row.call) {
                self.abandon(row.call);
            }
        }
    }

    fn poll_all(&mut self) {
        self.poll_general();
        loop {
            let free = self.bulk_executors - self.running_on(true);
            let decision = self.scheduler.poll_bulk(self.now);
            self.take_dropped();
            match decision {
                Decision::Run(batch) => self.start(batch, true),
                Decision::Idle => {
                    let waiting = self.waiting_bulk.len();
                    assert!(
                        free == 0 || waiting == 0,
                        "{waiting} bulk rows, {free} free"
                    );
                    return;
                }
                Decision::WaitUntil(_) => panic!("a bulk executor waits"),
            }
        }
    }

    fn poll_general(&mut self) {
        loop {
            let free = self.executors - self.running_on(false);
            let decision = self.scheduler.poll(self.now);
            self.take_dropped();
            match decision {
                Decision::Run(batch) => self.start(batch, false),
                Decision::Idle => {
                    let waiting = self.waiting.difference(&self.waiting_bulk).count();
                    assert!(
                        free == 0 || waiting == 0,
                        "idle with {waiting} rows waiting and {free} executors free"
                    );
                    self.idle_since = None;
                    return;
                }
                Decision::WaitUntil(until) => {
                    assert!(free > 0 && until > self.now);
                    assert_ne!(self.options.policy, Policy::Greedy, "greedy never waits");
                    let since = *self.idle_since.get_or_insert(self.now);
                    assert!(
                        until <= since.after(self.options.max_queue_delay),
                        "waits longer than max_queue_delay"
                    );
                    return;
                }
            }
        }
    }

    /// Resolves the running rows of a call that was given up.
    fn abandon(&mut self, call: CallId) {
        let running = self.running.iter().flat_map(|(batch, _)| &batch.rows);
        let rows: Vec<_> = running.filter(|row| row.call == call).copied().collect();
        for row in rows {
            self.resolve(row.id, "expired");
        }
    }

    fn start(&mut self, batch: Batch, on_bulk: bool) {
        if !on_bulk {
            self.idle_since = None;
        }
        if self.bulk_executors > 0 && !matches!(batch.cause, Cause::Retry | Cause::Trial) {
            let expected = match on_bulk {
                true => Priority::Bulk,
                false => Priority::Interactive,
            };
            assert!(batch.rows.iter().all(|row| row.priority == expected));
        }
        assert!(!batch.rows.is_empty() && batch.rows.len() <= self.options.batch_rows_max());
        let sum: u64 = batch.rows.iter().map(|row| u64::from(row.tokens)).sum();
        let longest = batch
            .rows
            .iter()
            .map(|row| row.tokens)
            .max()
            .unwrap_or_default();
        assert_eq!(
            batch.tokens,
            self.options.layout.tokens(batch.rows.len(), sum, longest)
        );
        assert!(batch.rows.len() == 1 || batch.tokens <= self.options.max_batch_tokens);
        let group = batch.rows[0].group;
        assert!(batch.rows.iter().all(|row| row.group == group));
        if batch.cause == Cause::Trial {
            assert_eq!(batch.rows.len(), 1);
            assert!(self.waiting.is_empty() && self.running.is_empty());
            self.resolve(batch.rows[0].id, "tried");
            self.trials += 1;
            self.running.push((batch, on_bulk));
            return;
        }
        for row in &batch.rows {
            assert!(!self.given_up.contains(&row.call), "{row:?} is of no use");
            assert!(
                row.deadline.is_none_or(|deadline| deadline > self.now),
                "{row:?} starts after its deadline"
            );
            assert!(
                self.waiting.remove(&row.id),
                "{row:?} runs but was not waiting"
            );
            self.waiting_bulk.remove(&row.id);
        }
        self.running.push((batch, on_bulk));
        assert!(self.running_on(false) <= self.executors);
        assert!(self.running_on(true) <= self.bulk_executors);
    }

    fn complete(&mut self, which: usize, out_of_memory: bool) {
        if self.running.is_empty() {
            return;
        }
        let (batch, _) = self.running.swap_remove(which % self.running.len());
        let outcome = match out_of_memory {
            true => Outcome::OutOfMemory,
            false if batch.rows.iter().any(|row| Self::is_poison(row.id)) => Outcome::Failed,
            false => Outcome::Done,
        };
        let verdict = self.scheduler.complete(self.now, batch.id, outcome);
        for row in &batch.rows {
            let resolved = self.resolved.get(&row.id);
            match verdict {
                _ if matches!(resolved, Some(&("cancelled" | "expired" | "tried"))) => {}
                Verdict::Retry => assert!(self.waiting.insert(row.id)),
                Verdict::Answer => self.resolve(row.id, "answered"),
                Verdict::Fail => {
                    assert!(
                        out_of_memory || Self::is_poison(row.id),
                        "{row:?} failed for a neighbour"
                    );
                    self.resolve(row.id, "failed");
                }
            }
        }
    }

    fn cancel(&mut self, which: usize) {
        if self.tickets.is_empty() {
            return;
        }
        let ticket = self.tickets[which % self.tickets.len()];
        let left = self.scheduler.cancel(&ticket);
        let ids: Vec<RowId> = (0..ticket.rows as u64)
            .map(|n| RowId(ticket.first.0 + n))
            .filter(|id| !self.resolved.contains_key(id))
            .collect();
        assert_eq!(left, ids.len());
        for id in ids {
            self.waiting.remove(&id);
            self.waiting_bulk.remove(&id);
            self.resolve(id, "cancelled");
        }
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Admit {
                tokens,
                groups,
                deadline_ms,
                priority,
                flow,
                lookahead,
            } => {
                let deadline = deadline_ms.map(|ms| self.now.after(Duration::from_millis(ms)));
                let groups: Vec<u64> = match groups {
                    0 => Vec::new(),
                    _ => tokens.iter().map(|t| u64::from(*t) % groups).collect(),
                };
                let arrival = Arrival {
                    tokens: &tokens,
                    groups: &groups,
                    deadline,
                    priority,
                    flow,
                    lookahead,
                };
                match self.scheduler.admit(self.now, arrival) {
                    Ok(ticket) => {
                        assert_eq!(ticket.rows, tokens.len());
                        let ids = (0..ticket.rows as u64).map(|n| RowId(ticket.first.0 + n));
                        if priority == Priority::Bulk && self.bulk_executors > 0 {
                            self.waiting_bulk.extend(ids.clone());
                        }
                        self.waiting.extend(ids);
                        self.tickets.push(ticket);
                    }
                    Err(Refusal::DeadlineTooShort { needed, allowed }) => {
                        assert!(needed > allowed);
                        self.scheduler.queue_trial(self.now, &arrival);
                    }
                    Err(_) => {}
                }
            }
            Step::Complete {
                which,
                out_of_memory,
            } => self.complete(which, out_of_memory),
            Step::Cancel { which } => self.cancel(which),
            Step::Pass { micros } => self.now = self.now.after(Duration::from_micros(micros)),
        }
        // An executor polls again when its wait is over, so a long step is several short ones.
        self.poll_all();
        assert!(
            self.scheduler.stats().rows_queued
                <= self.options.waiting_rows_max()
                    + self.options.batch_rows_max() * (self.executors + self.bulk_executors)
        );
    }

    fn drain(&mut self) {
        self.scheduler.drain();
        self.poll_all();
        while !self.running.is_empty() {
            self.now = self.now.after(Duration::from_millis(1));
            self.complete(0, false);
            self.poll_all();
        }
        assert!(self.scheduler.is_drained());
        assert!(self.waiting.is_empty());
        let rows: usize = self.tickets.iter().map(|ticket| ticket.rows).sum();
        let resolved = self.resolved.len() - self.trials;
        assert_eq!(resolved, rows, "every admitted row is resolved");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_admitted_row_is_resolved_exactly_once(
        (options, executors, bulk_executors) in options(),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new(options, executors, bulk_executors);
        for step in steps {
            world.play(step);
        }
        world.drain();
    }
}

/// Rows of each group run in full batches, as they fall due, whatever comes between them.
#[test]
fn groups_that_come_in_turn_run_in_full_batches() {
    for layout in [Layout::Packed, Layout::Padded] {
        for groups in [1, 2, 5] {
            let options = Options {
                max_batch_size: Some(8),
                layout,
                ..Options::default()
            };
            let mut scheduler = Scheduler::new(options, 1);
            let of_row: Vec<u64> = (0..40).map(|row| row % groups).collect();
            let arrival = Arrival {
                tokens: &[10; 40],
                groups: &of_row,
                deadline: None,
                priority: Priority::Interactive,
                flow: Flow::default(),
                lookahead: Lookahead::default(),
            };
            scheduler
                .admit(Time::ZERO, arrival)
                .expect("an empty system admits");
            let mut sizes = Vec::new();
            // It does not wait for more rows of one group while others are there.
            while let Decision::Run(batch) = scheduler.poll(Time::ZERO) {
                sizes.push(batch.rows.len());
                scheduler.complete(Time::ZERO, batch.id, Outcome::Done);
            }
            assert_eq!(sizes.iter().sum::<usize>(), 40);
            let most = 40_usize.div_ceil(8) + usize::try_from(groups).unwrap_or_default();
            assert!(
                sizes.len() <= most,
                "{layout:?}, {groups} groups: {sizes:?}"
            );
        }
    }
}

#[test]
fn a_bad_row_is_found_in_few_runs() {
    for rows in [2_usize, 3, 8, 32, 33, 64] {
        for bad in 0..rows {
            let options = Options {
                max_batch_size: Some(64),
                max_batch_tokens: 1 << 20,
                ..Options::default()
            };
            let mut scheduler = Scheduler::new(options, 1);
            let arrival = Arrival {
                tokens: &vec![10; rows],
                groups: &[],
                deadline: None,
                priority: Priority::Interactive,
                flow: Flow::default(),
                lookahead: Lookahead::default(),
            };
            scheduler
                .admit(Time::ZERO, arrival)
                .expect("an empty system admits");
            scheduler.drain();
            let (mut runs, mut answered) = (0, 0);
            while let Decision::Run(batch) = scheduler.poll(Time::ZERO) {
                runs += 1;
                let is_bad = batch.rows.iter().any(|row| row.index == bad);
                let verdict = scheduler.complete(
                    Time::ZERO,
                    batch.id,
                    if is_bad {
                        Outcome::Failed
                    } else {
                        Outcome::Done
                    },
                );
                match verdict {
                    Verdict::Answer => answered += batch.rows.len(),
                    Verdict::Retry => assert!(batch.rows.len() > 1),
                    Verdict::Fail => assert_eq!(
                        batch.rows.iter().map(|row| row.index).collect::<Vec<_>>(),
                        [bad]
                    ),
                }
            }
            assert_eq!(answered, rows - 1);
            let most = 1 + 2 * rows.next_power_of_two().ilog2();
            assert!(
                runs <= most,
                "{runs} runs for 1 bad of {rows} rows, {most} allowed"
            );
        }
    }
}
