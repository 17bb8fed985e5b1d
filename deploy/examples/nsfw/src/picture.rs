//! Pictures as the network was trained on them.

use std::error::Error;
use std::io::Cursor;

use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Width and height of what the network sees.
pub const SIDE: usize = 224;
/// Width and height of the picture of which this is the middle.
const RESIZED: u16 = 256;
/// Quality of the JPEG that the picture has once been.
const QUALITY: u8 = 75;
/// Largest width and height of a JPEG.
const JPEG_SIDE_MAX: usize = 65_535;

/// The reason for which a picture cannot be read.
type Damage = Box<dyn Error + Send + Sync>;

/// Returns the number of pixels of a JPEG or PNG by its header; `None` if it is neither.
pub(crate) fn pixels(bytes: &[u8]) -> Option<u64> {
    let (width, height) = if is_jpeg(bytes) {
        let mut jpeg = jpeg(bytes);
        jpeg.decode_headers().ok()?;
        let header = jpeg.info()?;
        (header.width.into(), header.height.into())
    } else if is_png(bytes) {
        let mut png = png::Decoder::new(Cursor::new(bytes));
        png.read_header_info().ok()?.size()
    } else {
        return None;
    };
    Some(u64::from(width) * u64::from(height))
}

/// Decodes a JPEG or PNG. Returns the middle of it in RGB, `[SIDE, SIDE, 3]`, scaled without regard
/// to its proportions.
///
/// # Errors
/// If it is damaged.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<u8>, Damage> {
    let (width, height, pixels) = if is_jpeg(bytes) {
        decode_jpeg(bytes)?
    } else {
        decode_png(bytes)?
    };
    let resized = resize(&pixels, usize::try_from(width)?, usize::try_from(height)?);

    // The network was trained on JPEGs of this size. Their blocks and their colours, of which one
    // in four is kept, are something that it knows: without them scores differ by up to 0.14.
    let mut small = Vec::new();
    let mut encoder = Encoder::new(&mut small, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    encoder.encode(&resized, RESIZED, RESIZED, ColorType::Rgb)?;
    let (_, _, pixels) = decode_jpeg(&small)?;

    let side = usize::from(RESIZED);
    let margin = (side - SIDE) / 2;
    let lines = pixels.chunks_exact(3 * side).skip(margin).take(SIDE);
    let middle = lines.flat_map(|line| &line[3 * margin..3 * (margin + SIDE)]);
    Ok(middle.copied().collect())
}

fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xd8\xff")
}

fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n")
}

fn jpeg(bytes: &[u8]) -> JpegDecoder<ZCursor<&[u8]>> {
    let options = DecoderOptions::default()
        .set_max_width(JPEG_SIDE_MAX)
        .set_max_height(JPEG_SIDE_MAX)
        // A file that was cut is an error: its missing part would be grey, and judged as that.
        .set_strict_mode(true)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    JpegDecoder::new_with_options(ZCursor::new(bytes), options)
}

/// Returns width, height and pixels in RGB.
fn decode_jpeg(bytes: &[u8]) -> Result<(u32, u32, Vec<u8>), Damage> {
    let mut jpeg = jpeg(bytes);
    let pixels = jpeg.decode().map_err(|error| error.to_string())?;
    let header = jpeg.info().ok_or("it has no header")?;
    Ok((header.width.into(), header.height.into(), pixels))
}

/// Returns width, height and pixels in RGB. What is transparent is left as it is.
fn decode_png(bytes: &[u8]) -> Result<(u32, u32, Vec<u8>), Damage> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let size = reader.output_buffer_size().ok_or("it is too large")?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels)?;
    pixels.truncate(frame.buffer_size());
    let rgb = match frame.color_type {
        png::ColorType::Rgb => pixels,
        png::ColorType::Rgba => pixels
            .as_chunks::<4>()
            .0
            .iter()
            .flat_map(|[r, g, b, _]| [*r, *g, *b])
            .collect(),
        png::ColorType::GrayscaleAlpha => pixels
            .as_chunks::<2>()
            .0
            .iter()
            .flat_map(|[grey, _]| [*grey; 3])
            .collect(),
        _ => pixels.iter().flat_map(|grey| [*grey; 3]).collect(),
    };
    Ok((frame.width, frame.height, rgb))
}

/// Scales pixels in RGB to `RESIZED`: each is the mean of those that it covers, the nearer the
/// more, as Pillow has it. (`image` and `fast_image_resize` take longer to compile than motet.)
fn resize(pixels: &[u8], width: usize, height: usize) -> Vec<u8> {
    let (columns, lines) = (weights(width), weights(height));
    let mut narrow = Vec::with_capacity(3 * height * columns.len());
    for line in pixels.chunks_exact(3 * width) {
        for (first, weights) in &columns {
            let covered = line[3 * first..].as_chunks::<3>().0;
            for colour in 0..3 {
                let values = covered.iter().zip(weights);
                let mean: f32 = values
                    .map(|(pixel, weight)| f32::from(pixel[colour]) * weight)
                    .sum();
                narrow.push(mean.round() as u8);
            }
        }
    }
    let line = 3 * columns.len();
    let mut resized = Vec::with_capacity(line * lines.len());
    for (first, weights) in &lines {
        let mut means = vec![0.0; line];
        for (values, weight) in narrow[first * line..].chunks_exact(line).zip(weights) {
            for (mean, value) in means.iter_mut().zip(values) {
                *mean += f32::from(*value) * weight;
            }
        }
        resized.extend(means.iter().map(|mean: &f32| mean.round() as u8));
    }
    resized
}

/// Returns for each of `RESIZED` places the first of the `length` that it covers, and their
/// weights.
fn weights(length: usize) -> Vec<(usize, Vec<f32>)> {
    let scale = length as f32 / f32::from(RESIZED);
    let reach = scale.max(1.0);
    let place = |at: u16| {
        let centre = (f32::from(at) + 0.5) * scale;
        let first = (centre - reach + 0.5).max(0.0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(length);
        let near = |at| (1.0 - (at as f32 + 0.5 - centre).abs() / reach).max(0.0);
        let weights: Vec<f32> = (first..end).map(near).collect();
        let sum: f32 = weights.iter().sum();
        (
            first,
            weights.into_iter().map(|weight| weight / sum).collect(),
        )
    };
    (0..RESIZED).map(place).collect()
}
