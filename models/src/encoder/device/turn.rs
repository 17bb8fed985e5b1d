//! One batch at a time on a device.
//!
//! Candle gives each thread a CUDA stream of its own, but all threads of a device share one cuBLAS
//! handle with its workspace, and nothing orders what two streams do. So whoever computes on a
//! device has it alone, and has waited for the device before anybody else goes on. Turns are taken
//! in the order in which they are asked for: of two models with long queues, each has every other.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use candle_core::{Device, DeviceLocation};

/// The turns of one device, of the process.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Number of the turn that is asked for next.
    next: u64,
    /// Number of the turn that has the device.
    current: u64,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Queue);

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    /// Those of a device: the same for all encoders on it.
    pub(super) fn of(device: &Device) -> Self {
        static ALL: Mutex<Vec<(DeviceLocation, Turns)>> = Mutex::new(Vec::new());
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        let location = device.location();
        if let Some((_, turns)) = all.iter().find(|(known, _)| *known == location) {
            return turns.clone();
        }
        let turns = Self(Arc::default());
        all.push((location, turns.clone()));
        turns
    }

    /// Waits until nobody else has the device, and nobody has asked for it before.
    pub(super) fn take(&self) -> Turn<'_> {
        let mut state = self.0.lock();
        let mine = state.next;
        state.next += 1;
        while state.current != mine {
            state = (self.0.changed.wait(state)).unwrap_or_else(PoisonError::into_inner);
        }
        Turn(&self.0)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().current += 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoders_of_a_device_share_its_turns() {
        let (one, other) = (Turns::of(&Device::Cpu), Turns::of(&Device::Cpu));
        assert!(Arc::ptr_eq(&one.0, &other.0));
    }

    #[test]
    fn turns_are_taken_one_at_a_time_in_the_order_in_which_they_were_asked_for() {
        let turns = Turns(Arc::default());
        let order = Mutex::new(Vec::new());
        let first = turns.take();
        std::thread::scope(|scope| {
            for number in 1..=4 {
                let (turns, order) = (&turns, &order);
                scope.spawn(move || {
                    let _turn = turns.take();
                    order.lock().unwrap().push(number);
                });
                // Each has asked before the next one is started.
                while turns.0.lock().next != number + 1 {
                    std::thread::yield_now();
                }
            }
            assert!(order.lock().unwrap().is_empty());
            drop(first);
        });
        assert_eq!(order.into_inner().unwrap(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_panic_ends_its_turn() {
        let turns = Turns(Arc::default());
        let panicked = std::thread::scope(|scope| {
            let panics = || {
                let _turn = turns.take();
                panic!("as told");
            };
            scope.spawn(panics).join()
        });
        panicked.unwrap_err();
        drop(turns.take());
    }
}
