//! Complaints about clients in the log: one a minute for each machine, however often it gives
//! reason to.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two complaints about a machine.
const INTERVAL: Duration = Duration::from_secs(60);
/// Most machines that are complained about in that time.
const MACHINES_MAX: usize = 64;

/// The machines that were complained about lately. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Complaints(Arc<Mutex<HashMap<IpAddr, Instant>>>);

impl Complaints {
    /// Returns whether a complaint about this machine may be made at `now`, and counts it as made.
    pub(super) fn may_complain(&self, machine: IpAddr, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, at| now.duration_since(*at) < INTERVAL);
        if last.contains_key(&machine) || last.len() >= MACHINES_MAX {
            return false;
        }
        last.insert(machine, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_machine_is_complained_about_once_a_minute_and_few_in_all() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let machine = |last| IpAddr::from([10, 0, 0, last]);
        let later = |seconds| start + Duration::from_secs(seconds);
        assert!(complaints.may_complain(machine(1), start));
        assert!(!complaints.may_complain(machine(1), later(59)));
        assert!(complaints.may_complain(machine(2), later(59)));
        assert!(complaints.may_complain(machine(1), later(60)));
        let told = (0..=255).filter(|&n| complaints.may_complain(machine(n), later(200)));
        assert_eq!(told.count(), MACHINES_MAX);
        assert!(complaints.may_complain(machine(0), later(260)));
    }
}
