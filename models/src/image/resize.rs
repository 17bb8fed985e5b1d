//! Images in another size, with the numbers of Pillow: a pass over the columns and one over the
//! rows, each with weights in whole numbers and results in bytes. The columns come first, but for
//! images that get lower by more than twice of what they get narrower, as from Pillow 13 on.
//!
//! Of the result only a window is computed: what a crop would drop costs nothing.

use std::f64::consts::PI;
use std::ops::Range;

use super::Pixels;

/// Bits of a weight behind the point.
const PRECISION: u32 = 32 - 8 - 2;

/// Weights of pixels by their distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// The pixel at the place alone.
    Nearest,
    Box,
    Bilinear,
    Hamming,
    Bicubic,
    Lanczos,
}

impl Filter {
    /// The filters, at the places of their numbers in Pillow.
    pub(super) const ALL: [Self; 6] = [
        Self::Nearest,
        Self::Lanczos,
        Self::Bilinear,
        Self::Bicubic,
        Self::Box,
        Self::Hamming,
    ];

    /// Distance within which pixels count, in pixels of the result or of the image, whichever are
    /// larger.
    fn reach(self) -> f64 {
        match self {
            Self::Nearest | Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// Returns the weight at a distance.
    fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Self::Nearest => 1.0,
            Self::Box if distance > -0.5 && distance <= 0.5 => 1.0,
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Hamming if x == 0.0 => 1.0,
            Self::Hamming if x < 1.0 => {
                let x = PI * x;
                x.sin() / x * (0.54 + 0.46 * x.cos())
            }
            // The cubic of a = -0.5.
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
            Self::Lanczos if (-3.0..3.0).contains(&distance) => {
                sinc(distance) * sinc(distance / 3.0)
            }
            Self::Box | Self::Bilinear | Self::Hamming | Self::Bicubic | Self::Lanczos => 0.0,
        }
    }
}

fn sinc(x: f64) -> f64 {
    match x == 0.0 {
        true => 1.0,
        false => (PI * x).sin() / (PI * x),
    }
}

/// A side of the result: its length, and the part of it that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) length: usize,
    pub(super) window: Range<usize>,
}

/// Returns a window of an image in another size.
///
/// # Panics
/// If a window is not within its side.
pub(super) fn resize(image: &Pixels, [height, width]: &[Side; 2], filter: Filter) -> Pixels {
    for side in [height, width] {
        assert!(side.window.end <= side.length, "a window of {side:?}");
    }
    if filter == Filter::Nearest {
        return nearest(image, [height, width]);
    }
    let columns = Weights::new(image.width, width, filter);
    let rows = Weights::new(image.height, height, filter);
    // The order counts: between the passes is a byte.
    let less = |from: usize, to: usize| from as i64 - to as i64;
    let lower = less(image.height, height.length);
    let (needed_rows, needed_columns) = (rows.needed(), columns.needed());
    match lower > 0 && lower > 2 * less(image.width, width.length) {
        true => {
            let first = needed_columns.start;
            let lower = rows.down(image, needed_columns, 0);
            columns.across(&lower, 0..lower.height, first)
        }
        false => {
            let first = needed_rows.start;
            let narrower = columns.across(image, needed_rows, 0);
            rows.down(&narrower, 0..narrower.width, first)
        }
    }
}

fn nearest(image: &Pixels, [height, width]: [&Side; 2]) -> Pixels {
    let places = |length: usize, side: &Side| -> Vec<usize> {
        let step = length as f64 / side.length as f64;
        let mut at = 0.5 * step;
        // Added up as Pillow does, for its rounding.
        let places = (0..side.window.end).map(|_| {
            let place = at as usize;
            at += step;
            place.min(length - 1)
        });
        places.skip(side.window.start).collect()
    };
    let (rows, columns) = (places(image.height, height), places(image.width, width));
    let mut values = Vec::with_capacity(3 * rows.len() * columns.len());
    for row in &rows {
        let pixels = image.row(*row).as_chunks::<3>().0;
        values.extend(columns.iter().flat_map(|column| pixels[*column]));
    }
    Pixels::new(rows.len(), columns.len(), values)
}

impl Pixels {
    fn row(&self, row: usize) -> &[u8] {
        &self.values[3 * self.width * row..][..3 * self.width]
    }
}

/// The weights of a pass, for each place of the window.
struct Weights(Option<Vec<Place>>, Range<usize>);

struct Place {
    /// The first pixel that counts.
    first: usize,
    weights: Vec<i32>,
}

impl Weights {
    fn new(length: usize, side: &Side, filter: Filter) -> Self {
        if length == side.length {
            return Self(None, side.window.clone());
        }
        let scale = length as f64 / side.length as f64;
        let stretch = scale.max(1.0);
        let reach = filter.reach() * stretch;
        let place = |at: usize| {
            let centre = (at as f64 + 0.5) * scale;
            // Towards 0, as a conversion to a whole number is there.
            let first = (centre - reach + 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(length);
            let inverse = 1.0 / stretch;
            let weight = |pixel: usize| filter.weight((pixel as f64 - centre + 0.5) * inverse);
            let weights: Vec<f64> = (first..end).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            let whole = |weight: f64| {
                let weight = if sum == 0.0 { weight } else { weight / sum };
                let scaled = weight * f64::from(1 << PRECISION);
                (scaled + if weight < 0.0 { -0.5 } else { 0.5 }) as i32
            };
            Place {
                first,
                weights: weights.into_iter().map(whole).collect(),
            }
        };
        Self(
            Some(side.window.clone().map(place).collect()),
            side.window.clone(),
        )
    }

    /// Returns the pixels that count for the window.
    fn needed(&self) -> Range<usize> {
        let Some(places) = &self.0 else {
            return self.1.clone();
        };
        let first = places.iter().map(|place| place.first).min();
        let end = places.iter().map(|place| place.first + place.weights.len());
        first.unwrap_or(0)..end.max().unwrap_or(0)
    }

    /// Computes the pass over the columns for some rows. The first column of the image is that of
    /// this number.
    fn across(&self, image: &Pixels, rows: Range<usize>, first: usize) -> Pixels {
        let (height, width) = (rows.len(), self.1.len());
        let mut values = Vec::with_capacity(3 * width * height);
        for row in rows {
            let pixels = image.row(row).as_chunks::<3>().0;
            let Some(places) = &self.0 else {
                let window = self.1.start - first..self.1.end - first;
                values.extend_from_slice(pixels[window].as_flattened());
                continue;
            };
            for place in places {
                let mut sums = [1 << (PRECISION - 1); 3];
                let pixels = pixels[place.first - first..].iter();
                for (pixel, weight) in pixels.zip(&place.weights) {
                    for (sum, value) in sums.iter_mut().zip(pixel) {
                        *sum += i32::from(*value) * weight;
                    }
                }
                values.extend(sums.map(to_byte));
            }
        }
        Pixels::new(height, width, values)
    }

    /// Computes the pass over the rows for some columns. The first row of the image is that of this
    /// number.
    fn down(&self, image: &Pixels, columns: Range<usize>, first: usize) -> Pixels {
        let (height, width) = (self.1.len(), columns.len());
        let of_columns = 3 * columns.start..3 * columns.end;
        let line = |row: usize| &image.row(row - first)[of_columns.clone()];
        let mut values = Vec::with_capacity(3 * width * height);
        let Some(places) = &self.0 else {
            for row in self.1.clone() {
                values.extend_from_slice(line(row));
            }
            return Pixels::new(height, width, values);
        };
        let mut sums = vec![0; 3 * width];
        for place in places {
            sums.fill(1 << (PRECISION - 1));
            for (row, weight) in (place.first..).zip(&place.weights) {
                for (sum, value) in sums.iter_mut().zip(line(row)) {
                    *sum += i32::from(*value) * weight;
                }
            }
            values.extend(sums.iter().copied().map(to_byte));
        }
        Pixels::new(height, width, values)
    }
}

fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}
