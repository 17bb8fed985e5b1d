//! [`SeenDevices`]: the devices of this machine that this binary can use, for people.

use std::fmt;

use super::DeviceSpec;

/// A device of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenDevice {
    /// Its name in a configuration.
    pub spec: DeviceSpec,
    /// Its maker's name for it, or what there is to say of a CPU.
    pub name: String,
    /// Bytes of its own memory; `None` where it has the machine's.
    pub memory_bytes: Option<u64>,
}

impl fmt::Display for SeenDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.spec, self.name)?;
        if let Some(bytes) = self.memory_bytes {
            write!(f, ", {} MiB", bytes >> 20)?;
        }
        f.write_str(")")
    }
}

/// The devices of this machine that this binary can use, and why others that it was built for are
/// not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenDevices {
    /// The CPU, then the others.
    pub present: Vec<SeenDevice>,
    /// Kinds of devices that the binary was built for and does not see, with the driver's words.
    pub absent: Vec<(&'static str, String)>,
}

impl SeenDevices {
    /// Looks for devices. Takes up to some hundred milliseconds where there is a driver to start.
    pub fn look() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cpu = Self {
            present: vec![SeenDevice {
                spec: DeviceSpec::Cpu,
                name: format!("{cores} cores"),
                memory_bytes: None,
            }],
            absent: Vec::new(),
        };
        #[cfg(feature = "cuda")]
        let cpu = cpu.with("cuda", cuda());
        #[cfg(feature = "metal")]
        let cpu = cpu.with("metal", metal());
        cpu
    }

    /// Adds the devices of a kind, or why there are none.
    #[cfg(any(feature = "cuda", feature = "metal"))]
    fn with(mut self, kind: &'static str, found: Result<Vec<SeenDevice>, String>) -> Self {
        match found {
            Ok(found) => self.present.extend(found),
            Err(words) => self.absent.push((kind, words)),
        }
        self
    }
}

impl fmt::Display for SeenDevices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let present: Vec<String> = self.present.iter().map(ToString::to_string).collect();
        f.write_str(&present.join(", "))?;
        for (kind, words) in &self.absent {
            write!(f, "; no {kind}: {words}")?;
        }
        Ok(())
    }
}

#[cfg(feature = "metal")]
fn metal() -> Result<Vec<SeenDevice>, String> {
    let opened = DeviceSpec::Metal.open();
    let seen = |_| SeenDevice {
        spec: DeviceSpec::Metal,
        name: "Metal".to_owned(),
        memory_bytes: None,
    };
    let opened = opened.map(seen).map_err(|error| error.to_string());
    Ok(vec![opened?])
}

/// Asks the driver for its devices; makes no context on any.
#[cfg(feature = "cuda")]
fn cuda() -> Result<Vec<SeenDevice>, String> {
    use candle_core::cuda_backend::cudarc::driver::CudaContext;
    use candle_core::cuda_backend::cudarc::driver::result::{device, init};

    super::cuda_library()?;
    let words = |error: &dyn fmt::Display| error.to_string();
    init().map_err(|error| words(&error))?;
    let count = CudaContext::device_count().map_err(|error| words(&error))?;
    let one = |number: i32| -> Result<SeenDevice, String> {
        let handle = device::get(number).map_err(|error| words(&error))?;
        Ok(SeenDevice {
            spec: DeviceSpec::Cuda(usize::try_from(number).unwrap_or_default()),
            name: device::get_name(handle).map_err(|error| words(&error))?,
            memory_bytes: memory_bytes(handle),
        })
    };
    match count {
        0 => Err("the driver has no device".to_owned()),
        _ => (0..count).map(one).collect(),
    }
}

/// Returns the bytes of a device's memory.
#[cfg(feature = "cuda")]
#[allow(
    unsafe_code,
    reason = "the driver is asked about a handle that it gave"
)]
fn memory_bytes(handle: candle_core::cuda_backend::cudarc::driver::sys::CUdevice) -> Option<u64> {
    use candle_core::cuda_backend::cudarc::driver::result::device;

    // SAFETY: the handle is the driver's own.
    let bytes = unsafe { device::total_mem(handle) }.ok()?;
    u64::try_from(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_listed_in_one_line() {
        let seen = SeenDevices {
            present: vec![
                SeenDevice {
                    spec: DeviceSpec::Cpu,
                    name: "16 cores".to_owned(),
                    memory_bytes: None,
                },
                SeenDevice {
                    spec: DeviceSpec::Cuda(1),
                    name: "A card".to_owned(),
                    memory_bytes: Some(143_771 << 20),
                },
            ],
            absent: vec![("metal", "no driver".to_owned())],
        };
        assert_eq!(
            seen.to_string(),
            "cpu (16 cores), cuda:1 (A card, 143771 MiB); no metal: no driver"
        );
    }

    #[test]
    fn a_cpu_is_always_there() {
        let seen = SeenDevices::look();
        assert_eq!(seen.present[0].spec, DeviceSpec::Cpu);
    }
}
