//! Many short lists of numbers, brought to a device in one transfer.

use std::ops::Range;

use candle_core::{Device, Result, Tensor, WithDType};

/// Lists that wait on the host, one after another.
#[derive(Debug)]
pub(super) struct Upload<T> {
    numbers: Vec<T>,
}

/// A list of an [`Upload`].
#[derive(Clone, Debug)]
pub(super) struct Place(Range<usize>);

/// The lists on the device.
#[derive(Debug)]
pub(super) struct Uploaded(Option<Tensor>);

impl<T: WithDType> Upload<T> {
    pub(super) fn new() -> Self {
        Self {
            numbers: Vec::new(),
        }
    }

    /// Returns a list of one number at least.
    pub(super) fn add(&mut self, numbers: impl IntoIterator<Item = T>) -> Place {
        let start = self.numbers.len();
        self.numbers.extend(numbers);
        Place(start..self.numbers.len())
    }

    pub(super) fn send(self, device: &Device) -> Result<Uploaded> {
        let count = self.numbers.len();
        if count == 0 {
            return Ok(Uploaded(None));
        }
        Tensor::from_vec(self.numbers, count, device).map(|all| Uploaded(Some(all)))
    }
}

impl Uploaded {
    /// Returns a list that was added before, as a view.
    pub(super) fn get(&self, Place(range): Place) -> Result<Tensor> {
        match &self.0 {
            Some(all) => all.narrow(0, range.start, range.len()),
            None => candle_core::bail!("nothing was uploaded"),
        }
    }
}
