//! Turns to compute: flows share a number of places by the time that they use. Without a clock and
//! threads of its own.
//!
//! Start-time fair queueing: each flow has a virtual time, which grows by what its computations
//! use. The flow with the least is next. One that was idle starts at the virtual time of the
//! others, so that it neither waits for what it did before nor makes up for what it did not do.
//!
//! ```
//! use motet_runtime::turns::Turns;
//!
//! let mut turns = Turns::new(1);
//! assert_eq!(turns.ask(7, "first"), Some("first"));
//! assert_eq!(turns.ask(7, "second"), None);
//! assert_eq!(turns.ask(8, "of another flow"), None);
//! // The first took 50 us; the other flow has not computed yet.
//! assert_eq!(turns.end(7, 50_000), Some("of another flow"));
//! assert_eq!(turns.end(8, 1_000), Some("second"));
//! ```

use std::collections::{BTreeSet, HashMap, VecDeque};

/// Flows that are remembered though nothing of them waits or runs, because they used more than
/// their share so far.
const IDLE_FLOWS_MAX: usize = 1024;

/// A queue of computations, each of which waits as a `W`.
#[derive(Debug)]
pub struct Turns<W> {
    /// How many compute at a time.
    capacity: usize,
    running: usize,
    waiting: usize,
    /// The virtual time of the flow that began last, in nanoseconds.
    clock: u64,
    flows: HashMap<u64, FlowTurns<W>>,
    /// Flows that wait, by virtual time, then by number.
    ready: BTreeSet<(u64, u64)>,
}

#[derive(Debug)]
struct FlowTurns<W> {
    /// Virtual time, in nanoseconds.
    time: u64,
    running: usize,
    waiting: VecDeque<W>,
}

impl<W> Turns<W> {
    /// Returns an empty queue of `capacity` places.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            running: 0,
            waiting: 0,
            clock: 0,
            flows: HashMap::new(),
            ready: BTreeSet::new(),
        }
    }

    /// Adds a computation of `flow`. Returns it if its turn is now.
    pub fn ask(&mut self, flow: u64, waiter: W) -> Option<W> {
        let state = self.flows.entry(flow).or_insert_with(|| FlowTurns {
            time: 0,
            running: 0,
            waiting: VecDeque::new(),
        });
        if state.running == 0 && state.waiting.is_empty() {
            state.time = state.time.max(self.clock);
        }
        if state.waiting.is_empty() {
            self.ready.insert((state.time, flow));
        }
        state.waiting.push_back(waiter);
        self.waiting += 1;
        self.next()
    }

    /// Ends the turn of a computation of `flow`, which used `nanos`. Returns the one whose turn it
    /// is now.
    pub fn end(&mut self, flow: u64, nanos: u64) -> Option<W> {
        self.running = self.running.saturating_sub(1);
        if let Some(state) = self.flows.get_mut(&flow) {
            let was_ready = self.ready.remove(&(state.time, flow));
            state.time = state.time.saturating_add(nanos);
            state.running = state.running.saturating_sub(1);
            if was_ready {
                self.ready.insert((state.time, flow));
            }
        }
        let next = self.next();
        if self.flows.len() > IDLE_FLOWS_MAX || self.ready.is_empty() {
            self.forget();
        }
        next
    }

    /// Returns whether a computation waits.
    pub const fn has_waiting(&self) -> bool {
        self.waiting > 0
    }

    fn next(&mut self) -> Option<W> {
        if self.running >= self.capacity {
            return None;
        }
        let (time, flow) = self.ready.pop_first()?;
        self.clock = self.clock.max(time);
        let state = self.flows.get_mut(&flow)?;
        let waiter = state.waiting.pop_front()?;
        if !state.waiting.is_empty() {
            self.ready.insert((time, flow));
        }
        state.running += 1;
        self.waiting -= 1;
        self.running += 1;
        Some(waiter)
    }

    /// Forgets flows that owe nothing and, if there are still too many, all that are idle.
    fn forget(&mut self) {
        let clock = self.clock;
        let is_idle = |state: &FlowTurns<W>| state.running == 0 && state.waiting.is_empty();
        self.flows
            .retain(|_, state| !is_idle(state) || state.time > clock);
        if self.flows.len() > IDLE_FLOWS_MAX {
            self.flows.retain(|_, state| !is_idle(state));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs computations of `nanos` for each flow again and again on one place, and returns how
    /// long each flow computed within `total`.
    fn shares(flows: &[u64], total: u64) -> Vec<u64> {
        let mut turns = Turns::new(1);
        let mut used = vec![0; flows.len()];
        let mut current = None;
        for flow in 0..flows.len() {
            let began = turns.ask(flow as u64, flow);
            current = current.or(began);
        }
        let mut now = 0;
        while now < total {
            let flow: usize = current.unwrap();
            now += flows[flow];
            used[flow] += flows[flow];
            // The next computation of the flow waits already.
            assert_eq!(turns.ask(flow as u64, flow), None);
            current = turns.end(flow as u64, flows[flow]);
        }
        used
    }

    #[test]
    fn flows_with_endless_work_compute_for_equal_times() {
        let used = shares(&[1_000, 50_000, 3_000], 30_000_000);
        for one in &used {
            assert!(one.abs_diff(10_000_000) <= 50_000, "{used:?}");
        }
    }

    #[test]
    fn a_flow_that_comes_is_next_whatever_others_have_queued() {
        let mut turns = Turns::new(1);
        assert_eq!(turns.ask(1, "first"), Some("first"));
        for _ in 0..1000 {
            assert_eq!(turns.ask(1, "many"), None);
        }
        assert_eq!(turns.ask(2, "new"), None);
        assert!(turns.has_waiting());
        assert_eq!(turns.end(1, 5), Some("new"));
        assert_eq!(turns.end(2, 1), Some("many"));
    }

    #[test]
    fn flows_that_are_gone_are_forgotten() {
        let mut turns = Turns::new(4);
        for flow in 0..100_000 {
            assert!(turns.ask(flow, ()).is_some());
            assert!(turns.end(flow, flow % 7).is_none());
            assert!(turns.flows.len() <= IDLE_FLOWS_MAX + 1);
        }
        assert!(turns.ready.is_empty() && !turns.has_waiting());
    }

    proptest! {
        /// The bound of start-time fair queueing: while two flows have work, what they used differs
        /// by no more than the longest computation of each.
        #[test]
        fn flows_with_work_are_never_more_than_a_computation_of_each_apart(
            costs in prop::collection::vec(prop::collection::vec(1..1000u64, 1..20), 2..6),
        ) {
            let mut turns = Turns::new(1);
            let mut current = None;
            for flow in 0..costs.len() {
                let began = turns.ask(flow as u64, flow);
                current = current.or(began);
            }
            let (mut used, mut count) = (vec![0; costs.len()], vec![0; costs.len()]);
            for _ in 0..500 {
                let flow: usize = current.unwrap();
                let nanos = costs[flow][count[flow] % costs[flow].len()];
                count[flow] += 1;
                used[flow] += nanos;
                prop_assert!(turns.ask(flow as u64, flow).is_none());
                current = turns.end(flow as u64, nanos);
                for (one, used_by_one) in used.iter().enumerate() {
                    for (other, used_by_other) in used.iter().enumerate() {
                        let longest = |flow: usize| costs[flow].iter().max().unwrap();
                        let bound = used_by_other + longest(one) + longest(other);
                        prop_assert!(*used_by_one <= bound, "{used:?}");
                    }
                }
            }
        }

        /// No place stays empty while a computation waits, and each gets its turn once.
        #[test]
        fn every_computation_has_its_turn_once(
            capacity in 1..4usize,
            events in prop::collection::vec((0..5u64, any::<bool>(), 0..100u64), 1..200),
        ) {
            let mut turns = Turns::new(capacity);
            let (mut asked, mut began) = (0usize, Vec::new());
            let mut running: Vec<(u64, usize)> = Vec::new();
            let mut flows = Vec::new();
            let mut begin = |w: Option<usize>, running: &mut Vec<(u64, usize)>, flows: &[u64]| {
                if let Some(w) = w {
                    began.push(w);
                    running.push((flows[w], w));
                }
            };
            for (flow, ask, nanos) in events {
                if ask {
                    flows.push(flow);
                    let next = turns.ask(flow, asked);
                    asked += 1;
                    begin(next, &mut running, &flows);
                } else if let Some((flow, _)) = running.pop() {
                    let next = turns.end(flow, nanos);
                    begin(next, &mut running, &flows);
                }
                prop_assert!(running.len() <= capacity);
                prop_assert!(running.len() == capacity || !turns.has_waiting());
            }
            while let Some((flow, _)) = running.pop() {
                let next = turns.end(flow, 1);
                begin(next, &mut running, &flows);
            }
            began.sort_unstable();
            prop_assert_eq!(began, (0..asked).collect::<Vec<_>>());
        }
    }
}
