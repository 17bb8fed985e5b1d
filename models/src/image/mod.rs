//! Images: from the bytes of a file to what a model sees.
//!
//! * `decode`: JPEG and PNG to pixels, with limits that are looked at before anything is decoded.
//! * `resize`: pixels to another size, with the numbers of Pillow.
//! * `steps`: what preprocessor_config.json says; `processor`: [`ImageProcessor`], which does it.
//!
//! The numbers are those of Pillow and of the image processors of transformers that use it, on
//! images that were converted to RGB as Pillow does: what is transparent is shown as it is stored,
//! and of greys of 16 bits all above 255 is white. The orientation in EXIF data is not applied.

mod decode;
mod processor;
mod resize;
mod steps;

pub use decode::{ImageError, ImageLimits};
pub use processor::ImageProcessor;

/// An image in RGB, 8 bits each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    width: usize,
    height: usize,
    /// `[height, width, 3]`
    values: Vec<u8>,
}

impl Pixels {
    /// Returns an image of these values, `[height, width, 3]`.
    ///
    /// # Panics
    /// If there are more or fewer of them.
    pub fn new(height: usize, width: usize, values: Vec<u8>) -> Self {
        assert_eq!(values.len(), 3 * width * height, "pixels of an image");
        Self {
            width,
            height,
            values,
        }
    }

    /// Returns the number of rows of pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Returns the number of pixels of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the values, `[height, width, 3]`.
    pub fn values(&self) -> &[u8] {
        &self.values
    }
}

#[cfg(test)]
mod tests;
