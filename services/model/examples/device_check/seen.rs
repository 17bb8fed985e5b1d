//! The devices of this machine, and requests that a device must refuse.

use std::time::Instant;

use motet_models::{DeviceSpec, EngineSpec, ModelFiles, Precision, SeenDevices, TextEncoder};

use crate::Error;
use crate::encoders::{MINILM, TempFolder};
use crate::options::Options;

/// More CUDA devices than a machine has.
const ABSENT: DeviceSpec = DeviceSpec::Cuda(999);

pub(crate) fn check(options: &Options) -> Result<(), Error> {
    println!("| seen | devices | {} |", SeenDevices::look());
    let (spec, began) = (options.spec, Instant::now());
    let device = options.device()?;
    println!("| seen | {spec} opened in | {:.0?} |", began.elapsed());
    if !device.same_device(&spec.open()?) {
        return Err("opened again it is another device".into());
    }
    match ABSENT.open() {
        Ok(_) => return Err(format!("{ABSENT} was opened").into()),
        Err(error) => println!("| seen | refused | {error} |"),
    }
    let folder = TempFolder::new("seen")?;
    MINILM.smallest().write(folder.path())?;
    let files = ModelFiles::open(&folder.source())?;
    let candle = EngineSpec::Candle;
    match TextEncoder::load_for(candle, &files, &device, Precision::Int8) {
        Ok(_) => Err("int8 was accepted".into()),
        Err(error) => {
            let error = error.to_string();
            let reason = error.split(": ").last().unwrap_or_default();
            println!("| seen | refused | {reason} |");
            Ok(())
        }
    }
}
