//! The mutex and the condition variable of the driver; in unit tests those of loom, which runs one
//! interleaving after another (see `loom_tests`).

#[cfg(not(test))]
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};

#[cfg(test)]
pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};
