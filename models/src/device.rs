//! Devices and element types: what a configuration may say, and what this binary can do.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, OnceLock, PoisonError};

use candle_core::{DType, Device};

/// The device named in a configuration: `auto`, `cpu`, `cuda`, `cuda:N` or `metal`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceSpec {
    /// The first of CUDA, Metal and CPU that is compiled in and present.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The CUDA device of this number; `cuda` is number 0.
    Cuda(usize),
    /// The Metal device.
    Metal,
}

/// A device that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Not a device name.
    #[error("unknown device `{given}`; known are auto, cpu, cuda, cuda:N and metal")]
    Unknown {
        /// The text given.
        given: String,
    },
    /// Not an element type for computing.
    #[error("unknown dtype `{given}`; known are f32, f16 and bf16")]
    UnknownPrecision {
        /// The text given.
        given: String,
    },
    /// The binary was built without support for the device.
    #[error(
        "device {device} is not compiled into this binary; build it with the Cargo feature `{feature}`"
    )]
    NotCompiledIn {
        /// The device asked for.
        device: DeviceSpec,
        /// The feature that brings it.
        feature: &'static str,
    },
    /// The device is not there, or its driver refuses.
    #[error("device {device} cannot be used: {cause}")]
    Absent {
        /// The device asked for.
        device: DeviceSpec,
        /// What the driver says.
        cause: Box<candle_core::Error>,
    },
}

impl FromStr for DeviceSpec {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown {
            given: text.to_owned(),
        };
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            _ => match text.strip_prefix("cuda:") {
                Some(number) => number.parse().map(Self::Cuda).map_err(|_| unknown()),
                None => Err(unknown()),
            },
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

impl DeviceSpec {
    /// Whether this binary was built for the device; says nothing about whether it is there. Used to check configurations.
    ///
    /// # Errors
    /// [`DeviceError::NotCompiledIn`], which names the feature to build with.
    pub fn check_compiled(self) -> Result<(), DeviceError> {
        let (compiled, feature) = match self {
            Self::Auto | Self::Cpu => (true, ""),
            Self::Cuda(_) => (cfg!(feature = "cuda"), "cuda"),
            Self::Metal => (cfg!(feature = "metal"), "metal"),
        };
        if compiled {
            Ok(())
        } else {
            Err(DeviceError::NotCompiledIn {
                device: self,
                feature,
            })
        }
    }

    /// The device itself. Asking twice for one device gives the same one, since tensors of two handles do not mix.
    ///
    /// # Errors
    /// A device that is not compiled in, or not there.
    pub fn open(self) -> Result<Device, DeviceError> {
        static OPENED: OnceLock<Mutex<HashMap<DeviceSpec, Device>>> = OnceLock::new();
        self.check_compiled()?;
        if self == Self::Auto {
            let gpu = [Self::Cuda(0), Self::Metal]
                .into_iter()
                .find_map(|device| device.open().ok());
            return Ok(gpu.unwrap_or(Device::Cpu));
        }
        let mut opened = OPENED
            .get_or_init(Mutex::default)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = opened.get(&self) {
            return Ok(device.clone());
        }
        let device = match self {
            Self::Auto | Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(number) => Device::new_cuda(number),
            Self::Metal => Device::new_metal(0),
        }
        .map_err(|cause| DeviceError::Absent {
            device: self,
            cause: Box::new(cause),
        })?;
        opened.insert(self, device.clone());
        Ok(device)
    }
}

/// The element type a model computes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits, IEEE.
    F16,
    /// 16 bits, the upper half of an f32.
    Bf16,
}

impl Precision {
    /// The element type that is used on `device`. A CPU always computes in f32: 16-bit products are slower there and less exact.
    pub fn on(self, device: &Device) -> Self {
        if device.is_cpu() { Self::F32 } else { self }
    }

    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }
}

impl FromStr for Precision {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "bf16" => Ok(Self::Bf16),
            _ => Err(DeviceError::UnknownPrecision {
                given: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_precisions_are_written_as_they_are_read() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3", "metal"] {
            assert_eq!(text.parse::<DeviceSpec>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceSpec>().unwrap(), DeviceSpec::Cuda(0));
        for text in ["f32", "f16", "bf16"] {
            assert_eq!(text.parse::<Precision>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_does_not_exist_is_explained() {
        let device = |text: &str| text.parse::<DeviceSpec>().unwrap_err().to_string();
        assert_eq!(
            device("tpu"),
            "unknown device `tpu`; known are auto, cpu, cuda, cuda:N and metal"
        );
        assert_eq!(
            device("cuda:x"),
            "unknown device `cuda:x`; known are auto, cpu, cuda, cuda:N and metal"
        );
        let precision = "f8".parse::<Precision>().unwrap_err().to_string();
        assert_eq!(precision, "unknown dtype `f8`; known are f32, f16 and bf16");
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_that_is_not_compiled_in_names_its_feature() {
        assert_eq!(
            DeviceSpec::Cuda(1).open().unwrap_err().to_string(),
            "device cuda:1 is not compiled into this binary; build it with the Cargo feature `cuda`"
        );
    }

    #[test]
    fn auto_always_finds_a_device() {
        DeviceSpec::Auto.open().unwrap();
    }
}
