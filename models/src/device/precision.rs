//! [`Precision`]: the element type that a model computes in.

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Device};

use super::{DeviceError, DeviceSpec, vendor_library};

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
    /// Products with weights in 8-bit whole numbers, everything else in f32; on CPUs only.
    Int8,
}

impl Precision {
    /// Returns whether this binary can compute in this type on the device. With
    /// [`DeviceSpec::Auto`], whether it can on any.
    ///
    /// # Errors
    /// Message with the obstacle and the remedy.
    pub fn check(self, device: DeviceSpec) -> Result<(), DeviceError> {
        match (self, device, vendor_library()) {
            (Self::Int8, DeviceSpec::Cuda(_) | DeviceSpec::Metal, _) => {
                Err(DeviceError::OnlyOnCpu {
                    precision: self,
                    device,
                })
            }
            (Self::Int8, DeviceSpec::Auto | DeviceSpec::Cpu, Some(feature)) => {
                Err(DeviceError::NotWithLibrary {
                    precision: self,
                    feature,
                })
            }
            _ => Ok(()),
        }
    }

    /// Returns the element type that is used on `device`. A CPU computes in f32 or int8: 16-bit
    /// products are slower there and less exact than f32.
    pub fn on(self, device: &Device) -> Self {
        match self {
            Self::Int8 => self,
            _ if device.is_cpu() => Self::F32,
            _ => self,
        }
    }

    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F32 | Self::Int8 => DType::F32,
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
            "int8" => Ok(Self::Int8),
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
            Self::Int8 => "int8",
        })
    }
}
