//! The prober of a circuit: a task of its own, which finds out whether an upstream is reached while
//! its circuit is open or in doubt. It belongs to no request, and ends with the upstream.

use std::sync::Weak;
use std::time::Duration;

use tokio::time::Instant;

use super::SharedLimits;
use super::transport::{Transport, is_reached};
use crate::policy::breaker::ProbeStep;

/// Time within which a probe must be answered.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// The prober's role, which is given back on drop.
pub(super) struct Prober {
    limits: Weak<SharedLimits>,
    is_over: bool,
}

impl Prober {
    /// Returns the role, which the caller took from the breaker.
    pub(super) const fn new(limits: Weak<SharedLimits>) -> Self {
        Self {
            limits,
            is_over: false,
        }
    }

    /// Probes until no probe is needed or the upstream is gone.
    pub(super) async fn run(mut self, transport: Transport) {
        loop {
            let Some(limits) = self.limits.upgrade() else {
                return;
            };
            let step = limits.with_breaker(|breaker| breaker.probe_step(Instant::now()));
            // Nobody is kept alive by waiting.
            drop(limits);
            match step {
                ProbeStep::Wait(pause) => tokio::time::sleep(pause).await,
                ProbeStep::Send => {
                    let is_answered = is_reached(transport.clone(), PROBE_TIMEOUT).await;
                    let Some(limits) = self.limits.upgrade() else {
                        return;
                    };
                    let change = limits.with_breaker(|breaker| {
                        breaker.probed(is_answered, Instant::now(), fastrand::f64())
                    });
                    limits.changed(change);
                }
                ProbeStep::Stop => {
                    self.is_over = true;
                    return;
                }
            }
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        if !self.is_over
            && let Some(limits) = self.limits.upgrade()
        {
            limits.with_breaker(crate::policy::breaker::Breaker::leave_prober);
        }
    }
}
