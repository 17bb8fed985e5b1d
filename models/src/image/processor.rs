//! [`ImageProcessor`]: images as a model sees them.

use super::Pixels;
use super::decode::{self, ImageError, ImageLimits};
use super::resize::{Filter, Side, resize};
use super::steps::{Steps, Target};
use crate::architecture::{COLOURS, PatchEmbedding};
use crate::error::LoadError;
use crate::source::{JsonFiles, ModelFiles};

/// Makes of images what a model sees: all of one size, and then the values of their patches.
#[derive(Clone, Debug)]
pub struct ImageProcessor {
    resize: Option<(Target, Filter)>,
    crop: Option<[usize; 2]>,
    /// Height and width of the result.
    size: [usize; 2],
    patch_size: [usize; 2],
    grid: [usize; 2],
    /// The value of each byte of each colour.
    values: Box<[[f32; 256]; COLOURS]>,
}

impl ModelFiles {
    /// Returns the processor that turns images into the model's input.
    ///
    /// # Errors
    /// A model of texts; a file of the steps that is missing, or has a class, key or value that is
    /// not supported; images of another size than the model's.
    pub fn image_processor(&self) -> Result<ImageProcessor, LoadError> {
        let patches = self.config().architecture.embedding.patches();
        self.with_json(|json| ImageProcessor::read(json, patches))
    }
}

impl ImageProcessor {
    pub(super) fn read(
        json: &JsonFiles<'_>,
        patches: Option<&PatchEmbedding>,
    ) -> Result<Self, LoadError> {
        let steps = Steps::read(json)?;
        let size = steps.size(json)?;
        let refuse = |reason: String| Err(json.unsupported(steps.file, reason));
        let Some(patches) = patches else {
            return refuse("the model is one of texts".to_owned());
        };
        if size != patches.image_size {
            return refuse(format!(
                "it makes images of {} x {} pixels, but the model takes {} x {} (image_size in \
                 config.json)",
                size[1], size[0], patches.image_size[1], patches.image_size[0]
            ));
        }
        Ok(Self {
            resize: steps.resize,
            crop: steps.crop,
            size,
            patch_size: patches.patch_size,
            grid: patches.grid(),
            values: values(&steps),
        })
    }

    /// Checks by its header that an image is a JPEG or PNG within the limits, before anything of it
    /// is decoded.
    ///
    /// # Errors
    /// The first fault of it.
    pub fn check(&self, bytes: &[u8], limits: ImageLimits) -> Result<(), ImageError> {
        decode::check(bytes, limits)
    }

    /// Decodes an image that was checked, and makes it as large as the model sees it.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn prepare(&self, bytes: &[u8]) -> Result<Pixels, ImageError> {
        decode::decode(bytes).map(|image| self.fit(&image))
    }

    /// Returns an image of the size that the model sees, by the steps of resizing and cropping.
    pub(super) fn fit(&self, image: &Pixels) -> Pixels {
        let sides = [image.height, image.width];
        let resized = match self.resize {
            None => sides,
            Some((Target::Sides(sides), _)) => sides,
            Some((Target::Shortest(shortest), _)) => {
                let least = sides[0].min(sides[1]);
                sides.map(|side| match side == least {
                    true => shortest,
                    // Towards 0, of a quotient of floats, as it is computed there.
                    false => ((shortest * side) as f64 / least as f64) as usize,
                })
            }
        };
        let places = [0, 1].map(|at| Placed::new(resized[at], self.crop.map(|crop| crop[at])));
        let filter = self.resize.map_or(Filter::Nearest, |(_, filter)| filter);
        let [rows, columns] = places.map(|place| (place.side, place.before));
        let seen = resize(image, &[rows.0, columns.0], filter);
        if [seen.height, seen.width] == self.size {
            return seen;
        }
        // Black where the image is smaller than what is kept.
        let [height, width] = self.size;
        let mut values = vec![0; COLOURS * height * width];
        let lines = values.chunks_exact_mut(COLOURS * width).skip(rows.1);
        for (line, seen) in lines.zip(seen.values.chunks_exact(COLOURS * seen.width)) {
            line[COLOURS * columns.1..][..seen.len()].copy_from_slice(seen);
        }
        Pixels::new(height, width, values)
    }

    /// Returns the values of an image's patches, one patch after the other: of one colour after the
    /// other, each row by row.
    ///
    /// # Panics
    /// If the image is not of the size that [`prepare`](Self::prepare) gives.
    pub fn patches(&self, image: &Pixels) -> Vec<f32> {
        assert_eq!([image.height, image.width], self.size, "size of an image");
        let ([rows, columns], [height, width]) = (self.grid, self.patch_size);
        let mut patches = Vec::with_capacity(COLOURS * rows * columns * height * width);
        for patch in 0..rows * columns {
            let (top, left) = (patch / columns * height, patch % columns * width);
            for (colour, values) in self.values.iter().enumerate() {
                for row in top..top + height {
                    let start = COLOURS * (row * image.width + left);
                    let pixels = image.values[start..].as_chunks::<COLOURS>().0;
                    let bytes = pixels[..width].iter().map(|pixel| pixel[colour]);
                    patches.extend(bytes.map(|byte| values[usize::from(byte)]));
                }
            }
        }
        patches
    }

    /// Returns the height and width of what the model sees.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }
}

/// A side of an image that is resized and cropped.
struct Placed {
    side: Side,
    /// Pixels of the result before the image begins.
    before: usize,
}

impl Placed {
    fn new(length: usize, crop: Option<usize>) -> Self {
        let kept = crop.unwrap_or(length).min(length);
        let first = (length - kept) / 2;
        Self {
            side: Side {
                length,
                window: first..first + kept,
            },
            before: (crop.unwrap_or(kept) - kept).div_ceil(2),
        }
    }
}

/// Returns what each byte of each colour becomes, in the arithmetic of the image processors.
fn values(steps: &Steps) -> Box<[[f32; 256]; COLOURS]> {
    let mut values = Box::new([[0.0; 256]; COLOURS]);
    for (colour, values) in values.iter_mut().enumerate() {
        for (byte, value) in values.iter_mut().enumerate() {
            *value = match steps.rescale {
                Some(factor) => (byte as f64 * factor) as f32,
                None => byte as f32,
            };
            if let Some((mean, std)) = steps.normalize {
                *value = (*value - mean[colour]) / std[colour];
            }
        }
    }
    values
}
