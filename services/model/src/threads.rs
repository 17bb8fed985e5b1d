//! The threads that compute batches on a CPU.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use motet_models::TextEncoder;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// A number of threads. Clones share them, one batch after the other: threads that wait in one batch take up work of another, and two
/// batches could so come to wait for each other.
#[derive(Clone, Debug)]
pub(crate) struct Threads(Arc<(ThreadPool, Mutex<()>)>);

impl Threads {
    /// Runs `work` so that what it does with `encoder` is shared among the threads. What other devices are asked to do stays on
    /// the thread that asks: their drivers keep state for each.
    pub(crate) fn run<T: Send>(&self, encoder: &TextEncoder, work: impl FnOnce() -> T + Send) -> T {
        if encoder.device().is_cpu() {
            let (pool, turn) = &*self.0;
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            pool.install(work)
        } else {
            work()
        }
    }
}

/// All such threads of the process: models that ask for the same number share them, so that their batches take turns on the cores
/// instead of pushing each other off.
#[derive(Debug, Default)]
pub(crate) struct AllThreads(Mutex<HashMap<usize, Threads>>);

impl AllThreads {
    /// So many threads; as many as the process may use, which cgroups limit, where it is not said.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn get(&self, count: Option<usize>) -> Result<Threads, ThreadPoolBuildError> {
        let count = count.unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(threads) = all.get(&count) {
            return Ok(threads.clone());
        }
        let threads = ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|number| format!("motet-encode-{number}"))
            .build()?;
        let threads = Threads(Arc::new((threads, Mutex::new(()))));
        all.insert(count, threads.clone());
        Ok(threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_shares_threads() {
        let all = AllThreads::default();
        let (two, also_two) = (all.get(Some(2)).unwrap(), all.get(Some(2)).unwrap());
        assert!(Arc::ptr_eq(&two.0, &also_two.0));
        assert_eq!(two.0.0.current_num_threads(), 2);
        let cores = available_parallelism().map_or(1, usize::from);
        assert_eq!(all.get(None).unwrap().0.0.current_num_threads(), cores);
    }
}
