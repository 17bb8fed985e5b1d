//! JPEG and PNG to pixels in RGB.

use std::io::Cursor;

use png::{ColorType, Transformations};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::Pixels;

/// Largest width and height, that of JPEG.
const SIDE_MAX: usize = 65_535;
/// Most scans of a progressive JPEG, each of which takes as long as the whole image.
const SCANS_MAX: usize = 64;

/// Limits of an image as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLimits {
    /// Most pixels.
    pub pixels: u64,
}

/// An image that cannot be read. The message is what is wrong with it, without a subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// None of the formats.
    #[error("is {0}; supported are JPEG and PNG")]
    OtherFormat(&'static str),
    /// More pixels than are allowed.
    #[error("has {pixels} pixels ({width} x {height}), over max_pixels {limit}")]
    TooManyPixels {
        /// Number of pixels.
        pixels: u64,
        /// Pixels of a row.
        width: u64,
        /// Number of rows.
        height: u64,
        /// The limit.
        limit: u64,
    },
    /// A side is longer than any may be.
    #[error("is {width} x {height}; a side has at most {SIDE_MAX} pixels")]
    TooLong {
        /// Pixels of a row.
        width: u64,
        /// Number of rows.
        height: u64,
    },
    /// Colours that are not converted.
    #[error("is a JPEG whose colours are {0}; supported are RGB, YCbCr and greys")]
    OtherColours(String),
    /// A file that is damaged or was cut.
    #[error("is a damaged {format}: {reason}")]
    Damaged {
        /// `JPEG` or `PNG`.
        format: &'static str,
        /// Message of the decoder.
        reason: String,
    },
}

/// Formats that are read.
#[derive(Clone, Copy, Debug)]
enum Format {
    Jpeg,
    Png,
}

/// The bytes with which files of other formats begin, from some byte on, and their names.
const OTHER_FORMATS: [(usize, &[u8], &str); 16] = [
    (0, b"GIF8", "a GIF"),
    (8, b"WEBP", "a WebP"),
    (0, b"BM", "a BMP"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (4, b"ftypavif", "an AVIF"),
    (4, b"ftypavis", "an AVIF"),
    (4, b"ftyphei", "a HEIF"),
    (4, b"ftypmif1", "a HEIF"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (0, b"%PDF", "a PDF"),
    (0, b"/9j/", "a JPEG in base64"),
    (0, b"iVBORw0K", "a PNG in base64"),
    (0, b"data:image/", "a data URL"),
];

impl Format {
    fn of(bytes: &[u8]) -> Result<Self, ImageError> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(Self::Png),
            [] => Err(ImageError::OtherFormat("empty")),
            _ => {
                let is_of = |(start, begins, _): &&(usize, &[u8], _)| {
                    bytes
                        .get(*start..)
                        .is_some_and(|rest| rest.starts_with(begins))
                };
                let found = OTHER_FORMATS.iter().find(is_of);
                let name = found.map_or("no image", |(_, _, name)| name);
                Err(ImageError::OtherFormat(name))
            }
        }
    }
}

/// Checks by its header that an image is one, and within the limits.
///
/// # Errors
/// The first fault of it.
pub(super) fn check(bytes: &[u8], limits: ImageLimits) -> Result<(), ImageError> {
    let (width, height) = match Format::of(bytes)? {
        Format::Jpeg => {
            let mut jpeg = jpeg(bytes);
            jpeg.decode_headers().map_err(damaged_jpeg)?;
            let size = jpeg.dimensions().unwrap_or_default();
            check_colours(&jpeg)?;
            (size.0 as u64, size.1 as u64)
        }
        Format::Png => {
            let mut png = png::Decoder::new(Cursor::new(bytes));
            let header = png.read_header_info().map_err(damaged_png)?;
            (header.width.into(), header.height.into())
        }
    };
    let pixels = width * height;
    if pixels > limits.pixels {
        return Err(ImageError::TooManyPixels {
            pixels,
            width,
            height,
            limit: limits.pixels,
        });
    }
    if width.max(height) > SIDE_MAX as u64 {
        return Err(ImageError::TooLong { width, height });
    }
    Ok(())
}

/// Decodes an image that was checked.
///
/// # Errors
/// If it is damaged.
pub(super) fn decode(bytes: &[u8]) -> Result<Pixels, ImageError> {
    match Format::of(bytes)? {
        Format::Jpeg => decode_jpeg(bytes),
        Format::Png => decode_png(bytes).map_err(damaged_png),
    }
}

fn jpeg(bytes: &[u8]) -> JpegDecoder<ZCursor<&[u8]>> {
    let options = DecoderOptions::default()
        .set_max_width(SIDE_MAX)
        .set_max_height(SIDE_MAX)
        // A file that was cut is an error: its missing part would be grey, and seen as that.
        .set_strict_mode(true)
        .jpeg_set_max_scans(SCANS_MAX)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    JpegDecoder::new_with_options(ZCursor::new(bytes), options)
}

fn check_colours(jpeg: &JpegDecoder<ZCursor<&[u8]>>) -> Result<(), ImageError> {
    match jpeg.input_colorspace() {
        Some(ColorSpace::YCbCr | ColorSpace::Luma | ColorSpace::RGB) | None => Ok(()),
        Some(other) => Err(ImageError::OtherColours(format!("{other:?}"))),
    }
}

fn decode_jpeg(bytes: &[u8]) -> Result<Pixels, ImageError> {
    let mut jpeg = jpeg(bytes);
    let values = jpeg.decode().map_err(damaged_jpeg)?;
    check_colours(&jpeg)?;
    let (width, height) = jpeg.dimensions().unwrap_or_default();
    if values.len() != 3 * width * height {
        return Err(damaged_jpeg("it has other values than its header says"));
    }
    Ok(Pixels::new(height, width, values))
}

fn damaged_jpeg(reason: impl ToString) -> ImageError {
    ImageError::Damaged {
        format: "JPEG",
        reason: reason.to_string(),
    }
}

fn damaged_png(error: png::DecodingError) -> ImageError {
    ImageError::Damaged {
        format: "PNG",
        reason: error.to_string(),
    }
}

fn decode_png(bytes: &[u8]) -> Result<Pixels, png::DecodingError> {
    let mut decoder =
        png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: usize::MAX });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info()?;
    let is_wide_grey =
        header.color_type == ColorType::Grayscale && header.bit_depth == png::BitDepth::Sixteen;
    // Greys of 16 bits are cut off at 255, colours lose their lower bits.
    decoder.set_transformations(match is_wide_grey {
        true => Transformations::IDENTITY,
        false => Transformations::normalize_to_color8(),
    });
    let mut reader = decoder.read_info()?;
    let size = reader.output_buffer_size().unwrap_or_default();
    let mut values = vec![0; size];
    let frame = reader.next_frame(&mut values)?;
    values.truncate(frame.buffer_size());
    let grey = |grey: u8| [grey; 3];
    let rgb: Vec<u8> = match frame.color_type {
        ColorType::Rgb => values,
        ColorType::Rgba => {
            without_alpha(&mut values);
            values
        }
        ColorType::GrayscaleAlpha => {
            let pixels = values.as_chunks::<2>().0.iter();
            pixels.flat_map(|[value, _]| grey(*value)).collect()
        }
        _ if is_wide_grey => {
            let pixels = values.as_chunks::<2>().0.iter();
            let byte = |[high, low]: &[u8; 2]| if *high > 0 { u8::MAX } else { *low };
            pixels.flat_map(|value| grey(byte(value))).collect()
        }
        _ => values.into_iter().flat_map(grey).collect(),
    };
    Ok(Pixels::new(
        frame.height as usize,
        frame.width as usize,
        rgb,
    ))
}

/// Moves red, green and blue together, in the memory that they are in.
fn without_alpha(values: &mut Vec<u8>) {
    let pixels = values.len() / 4;
    for at in 1..pixels {
        values.copy_within(4 * at..4 * at + 3, 3 * at);
    }
    values.truncate(3 * pixels);
}
