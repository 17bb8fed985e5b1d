//! [`DeviceFailure`]: the state of a device by the error of a computation.

use std::error::Error;

/// The state of a device by the error of a computation that ran on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceFailure {
    /// The device has too little memory for this; it goes on with others.
    OutOfMemory,
    /// The device, or this process's use of it, is gone: no computation will run there until the
    /// process is started anew.
    Lost,
    /// The device is well; this computation has failed.
    None,
}

/// Errors after which CUDA refuses everything else of a process, and errors of a driver that has
/// lost the device. CUDA's documentation says of each of the first that the process must be ended.
const LOST: [&str; 21] = [
    "CUDA_ERROR_ASSERT",
    "CUDA_ERROR_CONTAINED",
    "CUDA_ERROR_CONTEXT_IS_DESTROYED",
    "CUDA_ERROR_DEINITIALIZED",
    "CUDA_ERROR_DEVICE_UNAVAILABLE",
    "CUDA_ERROR_ECC_UNCORRECTABLE",
    "CUDA_ERROR_EXTERNAL_DEVICE",
    "CUDA_ERROR_HARDWARE_STACK_ERROR",
    "CUDA_ERROR_ILLEGAL_ADDRESS",
    "CUDA_ERROR_ILLEGAL_INSTRUCTION",
    "CUDA_ERROR_INVALID_ADDRESS_SPACE",
    "CUDA_ERROR_INVALID_PC",
    "CUDA_ERROR_LAUNCH_FAILED",
    "CUDA_ERROR_LAUNCH_TIMEOUT",
    "CUDA_ERROR_MISALIGNED_ADDRESS",
    "CUDA_ERROR_NO_DEVICE",
    "CUDA_ERROR_NVLINK_UNCORRECTABLE",
    "CUDA_ERROR_SYSTEM_NOT_READY",
    "CUDA_ERROR_TENSOR_MEMORY_LEAK",
    "CUDA_ERROR_UNKNOWN",
    // Metal's word for a GPU that was taken out, or reset.
    "DEVICEREMOVED",
];

impl DeviceFailure {
    /// Reads an error, and those that it has as sources. An error of CUDA is read by its number;
    /// one that has none, such as Metal's, by its words.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(name) = code::of(error) {
                return Self::named(&name);
            }
            next = error.source();
        }
        Self::named(&error.to_string())
    }

    /// Reads the name of an error, or a message with it.
    fn named(text: &str) -> Self {
        let text = text.to_uppercase();
        let has = |name: &&str| text.contains(*name);
        // cuBLAS has its own name for memory that it did not get.
        if ["OUT_OF_MEMORY", "OUT OF MEMORY", "ALLOC_FAILED"]
            .iter()
            .any(has)
        {
            Self::OutOfMemory
        } else if LOST.iter().any(has) {
            Self::Lost
        } else {
            Self::None
        }
    }
}

/// The names of CUDA's errors.
#[cfg(feature = "cuda")]
mod code {
    use std::error::Error;

    use candle_core::cuda_backend::CudaError;

    /// Returns the name of the number in an error of CUDA's libraries.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Option<String> {
        let candle = error.downcast_ref::<candle_core::Error>()?;
        match wrapped(candle).downcast_ref::<CudaError>()? {
            CudaError::Cuda(error) | CudaError::Load { cuda: error, .. } => {
                Some(format!("{:?}", error.0))
            }
            CudaError::Cublas(error) => Some(format!("{:?}", error.0)),
            CudaError::Curand(error) => Some(format!("{:?}", error.0)),
            _ => None,
        }
    }

    /// Returns the error that Candle has wrapped.
    fn wrapped(error: &candle_core::Error) -> &(dyn Error + 'static) {
        match error {
            candle_core::Error::Cuda(error) => &**error,
            candle_core::Error::WithBacktrace { inner, .. }
            | candle_core::Error::Context { inner, .. }
            | candle_core::Error::WithPath { inner, .. } => wrapped(inner),
            other => other,
        }
    }
}

/// Without CUDA no error has one of its numbers.
#[cfg(not(feature = "cuda"))]
mod code {
    pub(super) fn of(_: &(dyn std::error::Error + 'static)) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_by_the_drivers_words() {
        for (words, expected) in [
            (
                "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
                DeviceFailure::OutOfMemory,
            ),
            ("CUBLAS_STATUS_ALLOC_FAILED", DeviceFailure::OutOfMemory),
            (
                "Insufficient memory: out of memory",
                DeviceFailure::OutOfMemory,
            ),
            (
                "DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"an illegal memory access\")",
                DeviceFailure::Lost,
            ),
            (
                "DriverError(CUDA_ERROR_ECC_UNCORRECTABLE)",
                DeviceFailure::Lost,
            ),
            (
                "Metal error MTLCommandBufferErrorDeviceRemoved",
                DeviceFailure::Lost,
            ),
            ("CUBLAS_STATUS_INVALID_VALUE", DeviceFailure::None),
            ("CUDA_ERROR_INVALID_VALUE", DeviceFailure::None),
            ("shape mismatch in add", DeviceFailure::None),
        ] {
            let error = candle_core::Error::Msg(words.to_owned());
            assert_eq!(DeviceFailure::of(&error), expected, "{words}");
            let wrapped = crate::EncodeError::from(error);
            assert_eq!(DeviceFailure::of(&wrapped), expected, "{words}, wrapped");
        }
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn numbers_are_read_through_candles_wrappers() {
        use candle_core::cuda_backend::CudaError;
        use candle_core::cuda_backend::cudarc::cublas::result::CublasError;
        use candle_core::cuda_backend::cudarc::cublas::sys::cublasStatus_t;
        use candle_core::cuda_backend::cudarc::driver::DriverError;
        use candle_core::cuda_backend::cudarc::driver::sys::CUresult;

        let memory = CudaError::Cuda(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY));
        let error = candle_core::Error::from(memory).context("copying a batch");
        assert_eq!(DeviceFailure::of(&error), DeviceFailure::OutOfMemory);
        let lost = CudaError::Load {
            cuda: DriverError(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS),
            module_name: "reduce".to_owned(),
        };
        assert_eq!(
            DeviceFailure::of(&candle_core::Error::from(lost)),
            DeviceFailure::Lost
        );
        let status = CublasError(cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED);
        let error = candle_core::Error::from(CudaError::Cublas(status));
        assert_eq!(DeviceFailure::of(&error), DeviceFailure::OutOfMemory);
    }
}
