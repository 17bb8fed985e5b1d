//! Devices and element types: what a configuration may say, and what this binary can do.

mod failure;
mod precision;
mod seen;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, OnceLock, PoisonError};

use candle_core::{Device, DeviceLocation};

pub use failure::DeviceFailure;
pub use precision::Precision;
pub use seen::{SeenDevice, SeenDevices};

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
    #[error("unknown dtype `{given}`; known are f32, f16, bf16 and int8")]
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
    /// The element type is not computed on the device.
    #[error(
        "dtype {precision} is computed on CPUs only; for device {device} take f32, f16 or bf16, or set `device: cpu`"
    )]
    OnlyOnCpu {
        /// The element type asked for.
        precision: Precision,
        /// The device asked for.
        device: DeviceSpec,
    },
    /// The binary leaves the products of a CPU to a library that does not know the element type.
    #[error(
        "dtype {precision} is not there in this binary, whose products are computed by a library; build it without the Cargo feature `{feature}`"
    )]
    NotWithLibrary {
        /// The element type asked for.
        precision: Precision,
        /// The feature that brings the library.
        feature: &'static str,
    },
    /// The device is not there, or its driver refuses.
    #[error("device {device} cannot be used: {cause}")]
    Absent {
        /// The device asked for.
        device: DeviceSpec,
        /// Error of the driver.
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
    /// Returns the name of a device.
    pub fn of(device: &Device) -> Self {
        match device.location() {
            DeviceLocation::Cpu => Self::Cpu,
            DeviceLocation::Cuda { gpu_id } => Self::Cuda(gpu_id),
            DeviceLocation::Metal { .. } => Self::Metal,
        }
    }

    /// Returns whether this binary was built for the device; says nothing about whether it is
    /// there. Used to check configurations.
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

    /// Returns the device itself. Asking twice for one device gives the same one, since tensors of
    /// two handles do not mix.
    ///
    /// # Errors
    /// A device that is not compiled in, or not there.
    pub fn open(self) -> Result<Device, DeviceError> {
        static OPENED: OnceLock<Mutex<HashMap<DeviceSpec, Device>>> = OnceLock::new();
        self.check_compiled()?;
        if self == Self::Auto {
            let mut gpus = [Self::Cuda(0), Self::Metal].into_iter();
            let opened = |device: Self| match device.open() {
                Ok(opened) => Some(opened),
                Err(error) => {
                    tracing::debug!(%error, "`auto` takes another device");
                    None
                }
            };
            return Ok(gpus.find_map(opened).unwrap_or(Device::Cpu));
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
            Self::Cuda(number) => cuda_library()
                .map_err(candle_core::Error::Msg)
                .and_then(|()| Device::new_cuda(number)),
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

/// Opens the libraries of CUDA, unless they are linked.
///
/// # Errors
/// The words of the system's loader about one that is not there.
fn cuda_library() -> Result<(), String> {
    #[cfg(all(feature = "cuda", target_os = "linux"))]
    {
        use candle_core::cuda_backend::cudarc::driver::sys::CUDA_VERSION;

        crate::cuda::load(CUDA_VERSION / 1000)?;
    }
    Ok(())
}

/// Returns the feature by which a vendor's library was asked for to compute the products of a CPU;
/// Candle is the way to it.
pub(crate) fn vendor_library() -> Option<&'static str> {
    match () {
        () if cfg!(feature = "accelerate") => Some("accelerate"),
        () if cfg!(feature = "mkl") => Some("mkl"),
        () => None,
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
        for text in ["f32", "f16", "bf16", "int8"] {
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
        assert_eq!(
            precision,
            "unknown dtype `f8`; known are f32, f16, bf16 and int8"
        );
    }

    #[test]
    fn bytes_are_for_cpus() {
        use DeviceSpec::{Auto, Cpu, Cuda, Metal};
        for device in [Cuda(2), Metal] {
            let error = Precision::Int8.check(device).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "dtype int8 is computed on CPUs only; for device {device} take f32, f16 or bf16, or set `device: cpu`"
                )
            );
        }
        for device in [Auto, Cpu] {
            let found = Precision::Int8.check(device).map_err(|e| e.to_string());
            let expected = vendor_library().map_or(Ok(()), |feature| {
                Err(format!(
                    "dtype int8 is not there in this binary, whose products are computed by a library; build it without the Cargo feature `{feature}`"
                ))
            });
            assert_eq!(found, expected);
        }
        for device in [Auto, Cpu, Cuda(0), Metal] {
            for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
                precision.check(device).unwrap();
            }
        }
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
