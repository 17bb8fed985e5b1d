//! Recordings as they are sent: WAV files.

use hound::{SampleFormat, WavReader};

/// Samples of a second.
pub(crate) const RATE: u32 = 16_000;

/// A recording whose header was read.
pub(crate) struct Recording<'a>(WavReader<&'a [u8]>);

impl<'a> Recording<'a> {
    /// Reads the header of a WAV file.
    ///
    /// # Errors
    /// The reason for which it cannot be read, for its sender.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let reader = WavReader::new(bytes).map_err(|error| format!("is no WAV: {error}"))?;
        let spec = reader.spec();
        let is_read = match spec.sample_format {
            SampleFormat::Int => spec.bits_per_sample <= 32,
            SampleFormat::Float => spec.bits_per_sample == 32,
        };
        match (spec.sample_rate, spec.channels) {
            (RATE, 1) if is_read => Ok(Self(reader)),
            (rate, channels) => Err(format!(
                "has {channels} channels of {rate} samples a second, {} bits each; what is heard \
                 is one channel of {RATE}",
                spec.bits_per_sample
            )),
        }
    }

    /// Returns the number of samples.
    pub(crate) fn samples(&self) -> u32 {
        self.0.duration()
    }

    /// Returns the samples, from -1 to 1.
    ///
    /// # Errors
    /// If the file is cut short, or has a number that is none.
    pub(crate) fn read(self) -> Result<Vec<f32>, String> {
        let spec = self.0.spec();
        let samples: hound::Result<Vec<f32>> = match spec.sample_format {
            SampleFormat::Float => self.0.into_samples::<f32>().collect(),
            SampleFormat::Int => {
                let full = (1_u64 << (spec.bits_per_sample - 1)) as f32;
                let samples = self.0.into_samples::<i32>();
                samples.map(|sample| Ok(sample? as f32 / full)).collect()
            }
        };
        match samples {
            Ok(samples) if samples.iter().all(|sample| sample.is_finite()) => Ok(samples),
            Ok(_) => Err("has samples that are no number".to_owned()),
            Err(error) => Err(format!("is damaged: {error}")),
        }
    }
}
