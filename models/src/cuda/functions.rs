//! The functions of CUDA's libraries that Candle has linked, each a jump to where its library has
//! it.

use std::ffi::{c_int, c_void};
use std::sync::atomic::AtomicPtr;

use super::Function;

/// Returns the driver's number for "not initialised".
extern "C" fn driver_absent() -> c_int {
    3
}

/// Returns cuBLAS's number for "not initialised".
extern "C" fn cublas_absent() -> c_int {
    1
}

/// Returns cuRAND's number for "not initialised".
extern "C" fn curand_absent() -> c_int {
    101
}

/// Defines functions by these names, and lists them. Each jumps to its target, whatever its
/// arguments are; that is `$absent` at first.
macro_rules! functions {
    ($(#[$doc:meta])* $list:ident, $absent:ident: $($name:ident)*) => {
        $(
            #[allow(non_snake_case, reason = "the name is the library's")]
            mod $name {
                use super::{AtomicPtr, c_void};

                pub(super) static TARGET: AtomicPtr<c_void> =
                    AtomicPtr::new(super::$absent as *const () as *mut c_void);

                #[unsafe(no_mangle)]
                #[unsafe(naked)]
                extern "C" fn $name() {
                    #[cfg(target_arch = "x86_64")]
                    core::arch::naked_asm!("jmp qword ptr [rip + {}]", sym TARGET);
                    #[cfg(target_arch = "aarch64")]
                    core::arch::naked_asm!(
                        "adrp x16, {0}",
                        "ldr x16, [x16, :lo12:{0}]",
                        "br x16",
                        sym TARGET
                    );
                }
            }
        )*
        $(#[$doc])*
        pub(super) static $list: &[Function] = &[
            $(Function { name: stringify!($name), target: &$name::TARGET }),*
        ];
    };
}

functions! {
    /// Of the driver, `libcuda`.
    DRIVER, driver_absent:
    cuCtxDestroy_v2
    cuCtxGetCurrent
    cuCtxSetCurrent
    cuCtxSynchronize
    cuDeviceGet
    cuDeviceGetAttribute
    cuDeviceGetCount
    cuDeviceGetName
    cuDevicePrimaryCtxRelease_v2
    cuDevicePrimaryCtxRetain
    cuDeviceTotalMem_v2
    cuEventCreate
    cuEventDestroy_v2
    cuEventElapsedTime_v2
    cuEventQuery
    cuEventRecord
    cuEventSynchronize
    cuFuncGetAttribute
    cuFuncSetAttribute
    cuGetErrorName
    cuGetErrorString
    cuInit
    cuLaunchKernel
    cuMemAllocAsync
    cuMemAlloc_v2
    cuMemFreeAsync
    cuMemFreeHost
    cuMemFree_v2
    cuMemGetInfo_v2
    cuMemHostAlloc
    cuMemcpyDtoDAsync_v2
    cuMemcpyDtoHAsync_v2
    cuMemcpyHtoDAsync_v2
    cuMemcpyPeerAsync
    cuMemsetD8Async
    cuMemsetD8_v2
    cuModuleGetFunction
    cuModuleLoadData
    cuModuleUnload
    cuStreamCreate
    cuStreamDestroy_v2
    cuStreamIsCapturing
    cuStreamSynchronize
    cuStreamWaitEvent
}

functions! {
    /// Of `libcublas`.
    CUBLAS, cublas_absent:
    cublasCreate_v2
    cublasDestroy_v2
    cublasDgemmStridedBatched
    cublasGemmStridedBatchedEx
    cublasSetStream_v2
}

functions! {
    /// Of `libcurand`.
    CURAND, curand_absent:
    curandCreateGenerator
    curandDestroyGenerator
    curandGenerateNormal
    curandGenerateNormalDouble
    curandGenerateUniform
    curandGenerateUniformDouble
    curandSetGeneratorOffset
    curandSetPseudoRandomGeneratorSeed
    curandSetStream
}
