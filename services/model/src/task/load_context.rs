//! [`LoadContext`]: what a task gets to load a model.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device};
use motet_models::{DeviceError, DeviceSpec, Precision};

use crate::limits::Limits;

/// A model that is loaded.
#[derive(Clone, Debug)]
pub struct LoadContext {
    pub(crate) name: Arc<str>,
    pub(crate) device: DeviceSpec,
    pub(crate) precision: Precision,
    pub(crate) limits: Limits,
    pub(crate) shared: Shared,
    /// The devices that were opened.
    pub(crate) opened: OpenedDevices,
}

impl LoadContext {
    /// Returns the name of the model.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Opens the device that the configuration names: the first that is there for `auto`. Asking
    /// twice gives the same one.
    ///
    /// # Errors
    /// A device that is not compiled in, or not there.
    pub fn device(&self) -> Result<Device, DeviceError> {
        self.open(self.device)
    }

    /// Opens another device than [`device`](Self::device) does, such as the CPU for a model that
    /// runs nowhere else. Batches of a model that opens no other device than a CPU share the cores
    /// with those of other models.
    ///
    /// # Errors
    /// A device that is not compiled in, or not there.
    pub fn open(&self, device: DeviceSpec) -> Result<Device, DeviceError> {
        let device = device.open()?;
        self.opened.add(DeviceSpec::of(&device));
        Ok(device)
    }

    /// Returns the device that the configuration names.
    pub fn device_spec(&self) -> DeviceSpec {
        self.device
    }

    /// Returns the number format that the configuration names.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Returns the number format as a type of Candle's. `int8`, for which Candle has none, is f32.
    pub fn dtype(&self) -> DType {
        match self.precision {
            Precision::F32 | Precision::Int8 => DType::F32,
            Precision::F16 => DType::F16,
            Precision::Bf16 => DType::BF16,
        }
    }

    /// Returns the limits of a call.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Returns the one value of this type that all models of a process share, such as a cache of
    /// weights; the default at first.
    pub fn shared<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.shared.get()
    }
}

/// The devices that a model has opened. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenedDevices(Arc<Mutex<Vec<DeviceSpec>>>);

impl OpenedDevices {
    fn add(&self, device: DeviceSpec) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(device);
    }

    /// Returns where the model's batches run: a device that is no CPU if it has opened one; `None`
    /// if it has opened none at all.
    pub(crate) fn main(&self) -> Option<DeviceSpec> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let other = all.iter().find(|device| **device != DeviceSpec::Cpu);
        other.or(all.first()).copied()
    }
}

/// Values that models share, one of each type.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>);

impl Shared {
    fn get<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let value = values.entry(TypeId::of::<T>());
        let value = value.or_insert_with(|| Arc::new(T::default())).clone();
        drop(values);
        // The type is that of the key.
        value.downcast().unwrap_or_default()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
