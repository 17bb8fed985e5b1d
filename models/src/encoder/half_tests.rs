//! Types of 16 bits on the device's operations, in every family. As far as Candle's 16-bit numbers
//! on a CPU are those of a GPU, this is what a device can be held to.

use super::family_tests::{fixtures, on_threads};
use super::*;
use crate::device::DeviceSpec;

/// The most that the cosine of all values of a head to those in f32 is below 1. (Single values of
/// these small models with random weights are off by up to 7e-3 in f16 and 9e-2 in bf16, of 1 or of
/// the largest of their row.)
const F16: f64 = 1e-4;
const BF16: f64 = 5e-3;

/// Returns how far the cosine of two lists is below 1.
fn turned(found: &[Values], expected: &[Values]) -> f64 {
    let all = |values: &[Values]| -> Vec<f64> {
        let each = values.iter().flat_map(|values| values.as_slice());
        each.map(|value| f64::from(*value)).collect()
    };
    let (found, expected) = (all(found), all(expected));
    assert_eq!(found.len(), expected.len());
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(x, y)| x * y).sum() };
    1.0 - dot(&found, &expected) / (dot(&found, &found) * dot(&expected, &expected)).sqrt()
}

#[test]
fn every_family_stays_near_in_16_bits() {
    for fixture in fixtures() {
        let (inputs, heads) = (fixture.inputs(), fixture.heads());
        let cpu = fixture.cpu(Precision::F32);
        let device = DeviceSpec::Cpu.open().unwrap();
        let checkpoint = Checkpoint::open(&fixture.files).unwrap();
        let architecture = &fixture.files.config().architecture;
        for (precision, most) in [(Precision::F16, F16), (Precision::Bf16, BF16)] {
            let dtype = precision.dtype();
            let half = DeviceEncoder::load(&checkpoint, architecture, &device, dtype).unwrap();
            for (number, head) in heads.iter().enumerate() {
                let expected = on_threads(&cpu, &inputs, head, 1);
                let found = half.encode(&inputs, head).unwrap();
                let far = turned(&found, &expected);
                let name = fixture.name;
                assert!(far < most, "{name}, {precision}, head {number}: {far:.1e}");
            }
        }
    }
}
