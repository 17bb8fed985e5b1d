//! One batch at a time on a device.
//!
//! Candle gives each thread a CUDA stream of its own, but all threads of a device share one cuBLAS
//! handle with its workspace, and nothing orders what two streams do. So whoever computes on a
//! device has it alone, and has waited for the device before anybody else goes on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Device, DeviceLocation};

/// The turns of one device, of the process.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Mutex<()>>);

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

    /// Waits until nobody else has the device.
    pub(super) fn take(&self) -> MutexGuard<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
}
