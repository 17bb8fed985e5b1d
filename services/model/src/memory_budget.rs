//! [`MemoryBudget`]: whether a model fits into memory, before it is read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use motet_hub::bytes;
use motet_runtime::limits::free_memory;

use crate::identity::Identity;
use crate::task::Facts;

/// Memory that loading takes besides what is kept, in parts of that: a fifth, as
/// `models/tests/memory.rs` holds it.
const LOADING_PART: u64 = 5;

/// Memory that the models of a process may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryLimit {
    /// The memory that the process may use: the limit of its control group, or the machine's.
    #[default]
    Usable,
    /// The process may use so many bytes.
    Bytes(u64),
    /// It is not checked.
    Off,
}

/// The memory that is free for models. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryBudget {
    limit: MemoryLimit,
    state: Arc<Mutex<State>>,
}

/// Memory of models that are being loaded. The system tells of it little by little, so memory is
/// looked at before the first of those that are loaded at once, and again after the last.
#[derive(Debug, Default)]
struct State {
    /// Models that are being loaded.
    loading: usize,
    free: u64,
    /// Weights that are new, each with what loading it takes in bytes.
    reserved: Vec<(Weights, u64)>,
}

/// Identity of weights: equal ones are in memory once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Weights {
    identity: Identity,
    device: Option<String>,
    engine: Option<String>,
    dtype: Option<String>,
    /// Bytes that they take.
    bytes: u64,
}

/// A model that does not fit. The text goes on after its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it needs about {} of memory, and {} are free: {help}",
    bytes(*needed),
    bytes(*free)
)]
pub struct NotEnoughMemory {
    /// Bytes that loading it takes.
    pub needed: u64,
    /// Bytes that are free, less what models take that are being loaded.
    pub free: u64,
    help: String,
}

/// The memory of a model that is being loaded.
#[derive(Debug)]
pub(crate) struct Reservation(MemoryBudget);

impl Weights {
    /// Returns the weights of a model with these facts; `None` for one whose weights take no memory
    /// of this process, as far as is known.
    pub(crate) fn of(identity: &Identity, facts: &Facts) -> Option<Self> {
        let is_here = facts.device.as_deref().is_none_or(|device| device == "cpu");
        let bytes = facts.memory_bytes.filter(|_| is_here)?;
        Some(Self {
            identity: identity.of_files(),
            device: facts.device.clone(),
            engine: facts.engine.clone(),
            dtype: facts.dtype.clone(),
            bytes,
        })
    }

    /// Returns how many bytes loading takes at its peak.
    fn needed(&self) -> u64 {
        self.bytes.saturating_add(self.bytes / LOADING_PART)
    }

    /// Returns what would help where they do not fit.
    fn help(&self) -> String {
        let smaller = match self.dtype.as_deref() {
            Some("int8") => "",
            _ => "`dtype: int8` takes less, ",
        };
        format!(
            "{smaller}another machine may have more (`endpoint`), and other models can be \
             unloaded; `--memory SIZE` says that the process may use more, `--memory off` leaves \
             it to the system"
        )
    }
}

impl MemoryBudget {
    pub(crate) fn new(limit: MemoryLimit) -> Self {
        Self {
            limit,
            state: Arc::default(),
        }
    }

    /// Reserves the memory of weights until they are loaded. `known` are those in memory, for which
    /// nothing is needed.
    ///
    /// # Errors
    /// Weights that do not fit.
    pub(crate) fn reserve(
        &self,
        weights: &Weights,
        known: &[Weights],
    ) -> Result<Reservation, NotEnoughMemory> {
        let free = match self.limit {
            MemoryLimit::Off => None,
            MemoryLimit::Bytes(limit) => Some(free_memory(Some(limit))),
            MemoryLimit::Usable => Some(free_memory(None)),
        };
        self.reserve_of(free, weights, known)
    }

    /// As [`reserve`](Self::reserve), where so many bytes are free, if that is looked at.
    fn reserve_of(
        &self,
        free: Option<u64>,
        weights: &Weights,
        known: &[Weights],
    ) -> Result<Reservation, NotEnoughMemory> {
        let mut state = self.lock();
        if state.loading == 0 {
            state.reserved.clear();
            state.free = free.unwrap_or(u64::MAX);
        }
        let is_reserved = state.reserved.iter().any(|(other, _)| other == weights);
        if !is_reserved && !known.contains(weights) {
            let taken = state.reserved.iter().map(|(_, needed)| needed);
            let left = state.free.saturating_sub(taken.sum());
            let needed = weights.needed();
            if needed > left {
                return Err(NotEnoughMemory {
                    needed,
                    free: left,
                    help: weights.help(),
                });
            }
            state.reserved.push((weights.clone(), needed));
        }
        state.loading += 1;
        Ok(Reservation(self.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.lock().loading -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(bytes: u64) -> Weights {
        Weights {
            identity: Identity::default(),
            device: None,
            engine: None,
            dtype: None,
            bytes,
        }
    }

    #[test]
    fn models_that_are_loaded_at_once_share_what_is_free() {
        let budget = MemoryBudget::default();
        let reserve = |free, bytes| budget.reserve_of(Some(free), &weights(bytes), &[]);
        let first = reserve(1000, 500).unwrap();
        // Memory that is free now counts again only once nothing is being loaded.
        let error = reserve(5000, 400).unwrap_err();
        assert_eq!((error.needed, error.free), (480, 400));
        let second = reserve(5000, 300).unwrap();
        drop(first);
        assert!(reserve(5000, 400).is_err());
        drop(second);
        drop(reserve(5000, 4000).unwrap());
    }

    #[test]
    fn equal_weights_count_once_and_those_in_memory_not_at_all() {
        let budget = MemoryBudget::default();
        let held: Vec<_> = (0..3)
            .map(|_| budget.reserve_of(Some(700), &weights(500), &[]).unwrap())
            .collect();
        drop(held);
        let known = [weights(900)];
        budget.reserve_of(Some(1), &weights(900), &known).unwrap();
        budget.reserve_of(None, &weights(u64::MAX), &[]).unwrap();
        let error = budget.reserve_of(Some(1), &weights(901), &known);
        let error = error.unwrap_err().to_string();
        for part in [
            "needs about 1.1 kB",
            "1 bytes are free",
            "int8",
            "--memory off",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
