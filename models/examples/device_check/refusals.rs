//! Requests that a device must refuse, with their errors.

use motet_models::{DeviceSpec, ModelFiles, Precision, TextEncoder};

use crate::Error;

/// More CUDA devices than a machine has.
const ABSENT: DeviceSpec = DeviceSpec::Cuda(999);

/// Prints the errors.
pub(crate) fn check(
    spec: DeviceSpec,
    files: &ModelFiles,
    device: &candle_core::Device,
) -> Result<(), Error> {
    if matches!(spec, DeviceSpec::Cuda(_)) {
        match ABSENT.open() {
            Ok(_) => return Err(format!("{ABSENT} was opened").into()),
            Err(error) => println!("{ABSENT} is refused: {error}"),
        }
    }
    if !device.is_cpu() {
        match TextEncoder::load(files, device, Precision::Int8) {
            Ok(_) => return Err("int8 was accepted".into()),
            Err(error) => println!("int8 is refused: {error}"),
        }
    }
    Ok(())
}
