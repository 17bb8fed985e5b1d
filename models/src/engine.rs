//! The engine named in a configuration: which implementation computes a model's layers.

use std::fmt;
use std::str::FromStr;

use crate::device::{DeviceSpec, Precision, vendor_library};

/// The engine named in a configuration: `auto`, `packed` or `candle`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EngineSpec {
    /// `packed` on a CPU, unless this binary leaves its products to a library; else `candle`.
    #[default]
    Auto,
    /// motet's own kernels, for CPUs.
    Packed,
    /// Candle's operations, for every device.
    Candle,
}

/// An engine that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Not an engine.
    #[error("unknown engine `{given}`; known are auto, packed and candle")]
    Unknown {
        /// The text given.
        given: String,
    },
    /// The engine does not compute on the device.
    #[error("the engine `packed` computes on CPUs only, not on device {device}; take `candle`")]
    OnlyOnCpu {
        /// The device asked for.
        device: DeviceSpec,
    },
    /// The engine does not know the element type.
    #[error("the engine `candle` does not compute in {precision}; take `packed`")]
    NoBytes {
        /// The element type asked for.
        precision: Precision,
    },
}

impl EngineSpec {
    /// Returns whether this engine can compute in the type on the device.
    ///
    /// # Errors
    /// Message with the obstacle and the remedy.
    pub fn check(self, device: DeviceSpec, precision: Precision) -> Result<(), EngineError> {
        match (self, device, precision) {
            (Self::Packed, DeviceSpec::Cuda(_) | DeviceSpec::Metal, _) => {
                Err(EngineError::OnlyOnCpu { device })
            }
            (Self::Candle, _, Precision::Int8) => Err(EngineError::NoBytes { precision }),
            _ => Ok(()),
        }
    }

    /// Returns the device that this engine takes for `device`: of all, `packed` takes the CPU.
    #[must_use]
    pub fn device(self, device: DeviceSpec) -> DeviceSpec {
        match (self, device) {
            (Self::Packed, DeviceSpec::Auto) => DeviceSpec::Cpu,
            _ => device,
        }
    }

    /// Returns whether the engine is `packed` on a device, a CPU or another one.
    pub(crate) fn is_packed(self, is_cpu: bool) -> bool {
        match self {
            Self::Auto => is_cpu && vendor_library().is_none(),
            Self::Packed => is_cpu,
            Self::Candle => false,
        }
    }

    /// Returns the reason for which `auto` takes the engine that it does on a device; `None` where
    /// the engine is named.
    pub(crate) fn reason(self, is_cpu: bool) -> Option<&'static str> {
        match self {
            Self::Auto if !is_cpu => Some("Candle computes on every device"),
            Self::Auto if self.is_packed(is_cpu) => {
                Some("motet's own kernels are the fastest on a CPU")
            }
            Self::Auto => Some("this binary leaves products to a library"),
            Self::Packed | Self::Candle => None,
        }
    }
}

impl FromStr for EngineSpec {
    type Err = EngineError;

    fn from_str(text: &str) -> Result<Self, EngineError> {
        match text {
            "auto" => Ok(Self::Auto),
            "packed" => Ok(Self::Packed),
            "candle" => Ok(Self::Candle),
            _ => Err(EngineError::Unknown {
                given: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for EngineSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Packed => "packed",
            Self::Candle => "candle",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_written_as_they_are_read() {
        for text in ["auto", "packed", "candle"] {
            assert_eq!(text.parse::<EngineSpec>().unwrap().to_string(), text);
        }
        let unknown = "onnx".parse::<EngineSpec>().unwrap_err().to_string();
        assert_eq!(
            unknown,
            "unknown engine `onnx`; known are auto, packed and candle"
        );
    }

    #[test]
    fn each_engine_names_what_it_does_not_compute() {
        use DeviceSpec::{Auto, Cpu, Cuda, Metal};
        let packed = "the engine `packed` computes on CPUs only, not on device cuda:1; take \
                      `candle`";
        let candle = "the engine `candle` does not compute in int8; take `packed`";
        for (engine, device, precision, expected) in [
            (EngineSpec::Packed, Cuda(1), Precision::F32, Some(packed)),
            (EngineSpec::Packed, Auto, Precision::Int8, None),
            (EngineSpec::Packed, Cpu, Precision::F32, None),
            (EngineSpec::Candle, Cpu, Precision::Int8, Some(candle)),
            (EngineSpec::Candle, Metal, Precision::F16, None),
            (EngineSpec::Auto, Cuda(1), Precision::Bf16, None),
        ] {
            let found = engine
                .check(device, precision)
                .map_err(|error| error.to_string());
            assert_eq!(
                found.err().as_deref(),
                expected,
                "{engine} {device} {precision}"
            );
        }
    }

    #[test]
    fn only_a_choice_of_motets_own_has_a_reason() {
        assert_eq!(EngineSpec::Packed.reason(true), None);
        assert_eq!(EngineSpec::Candle.reason(true), None);
        let reason = |is_cpu| EngineSpec::Auto.reason(is_cpu).unwrap();
        assert!(reason(false).contains("every device"));
        let of_cpu = match EngineSpec::Auto.is_packed(true) {
            true => "own kernels",
            false => "a library",
        };
        assert!(reason(true).contains(of_cpu));
    }

    #[test]
    fn of_all_devices_the_packed_engine_takes_the_cpu() {
        assert_eq!(EngineSpec::Packed.device(DeviceSpec::Auto), DeviceSpec::Cpu);
        assert_eq!(
            EngineSpec::Candle.device(DeviceSpec::Auto),
            DeviceSpec::Auto
        );
        assert!(!EngineSpec::Candle.is_packed(true));
        assert!(!EngineSpec::Auto.is_packed(false));
    }
}
