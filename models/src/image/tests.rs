//! Images against Pillow (tests/expected/images.py made the files and the values).

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::decode::{check, decode};
use super::resize::{Filter, Side, resize};
use super::*;

const ANY: ImageLimits = ImageLimits { pixels: u64::MAX };
/// Largest difference of a byte from that of another JPEG decoder.
const JPEG_CLOSE: u8 = 4;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/images")
}

fn read(file: &str) -> Vec<u8> {
    std::fs::read(folder().join(file)).unwrap()
}

fn json<T: DeserializeOwned>(file: &str) -> T {
    serde_json::from_slice(&read(file)).unwrap()
}

/// An image without a pattern; the script computes the same.
fn noise(height: usize, width: usize) -> Pixels {
    let mut values = Vec::with_capacity(3 * height * width);
    for row in 0..height as u32 {
        for column in 0..width as u32 {
            for colour in 0..3 {
                let number = row * 7919 + column * 104_729 + colour * 1_299_709;
                values.push((number.wrapping_mul(2_654_435_761) >> 21) as u8);
            }
        }
    }
    Pixels::new(height, width, values)
}

#[derive(Deserialize)]
struct Listing {
    pictures: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    file: String,
    width: usize,
    height: usize,
}

/// Calls `with` with the name and the bytes of each picture, and the pixels that Pillow reads.
fn for_each_picture(mut with: impl FnMut(&str, &[u8], Pixels)) {
    let Listing { pictures } = json("pictures/pictures.json");
    assert!(pictures.len() > 25);
    let pixels = read("pictures/pictures.u8");
    let mut rest = &pixels[..];
    for listed in pictures {
        let Listed {
            file,
            width,
            height,
        } = listed;
        let values;
        (values, rest) = rest.split_at(3 * width * height);
        let expected = Pixels::new(height, width, values.to_vec());
        with(&file, &read(&format!("pictures/{file}")), expected);
    }
    assert!(rest.is_empty());
}

#[test]
fn pictures_have_the_pixels_that_pillow_reads() {
    let mut worst = 0;
    for_each_picture(|file, bytes, expected| {
        check(bytes, ANY).unwrap_or_else(|error| panic!("{file} {error}"));
        let found = decode(bytes).unwrap_or_else(|error| panic!("{file} {error}"));
        let size = (found.height(), found.width());
        assert_eq!(size, (expected.height(), expected.width()), "{file}");
        if file.ends_with(".png") {
            assert_eq!(found, expected, "{file}");
            return;
        }
        let pairs = found.values().iter().zip(expected.values());
        let far = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
        println!("{file}: {far}");
        worst = worst.max(far);
    });
    assert!(worst <= JPEG_CLOSE, "{worst}");
}

#[test]
fn other_sizes_have_the_pixels_that_pillow_computes() {
    #[derive(Deserialize)]
    struct Case {
        from: [usize; 2],
        to: [usize; 2],
        resample: usize,
    }
    let cases: Vec<Case> = json("resized.json");
    let pixels = read("resized.u8");
    let mut rest = &pixels[..];
    for Case { from, to, resample } in &cases {
        let expected;
        (expected, rest) = rest.split_at(3 * to[0] * to[1]);
        let (image, filter) = (noise(from[0], from[1]), Filter::ALL[*resample]);
        let sides = to.map(|length| Side {
            length,
            window: 0..length,
        });
        let found = resize(&image, &sides, filter);
        let what = format!("{from:?} to {to:?} by {filter:?}");
        assert_eq!(found.values(), expected, "{what}");

        // A window has the pixels that it has in the whole.
        let window = [1..to[0] - 2, 2..to[1] - 1];
        let part = [0, 1].map(|at| Side {
            length: to[at],
            window: window[at].clone(),
        });
        let part = resize(&image, &part, filter);
        let lines = expected.chunks_exact(3 * to[1]).skip(1).take(to[0] - 3);
        let cut: Vec<u8> = lines
            .flat_map(|line| &line[6..3 * (to[1] - 1)])
            .copied()
            .collect();
        assert_eq!(part.values(), cut, "a window of {what}");
    }
    assert!(rest.is_empty() && cases.len() > 100);
}

#[test]
fn what_is_no_image_or_too_large_is_told_by_its_header() {
    let limits = ImageLimits { pixels: 100 };
    let png = read("pictures/colours-8.png");
    for (bytes, expected) in [
        (&b""[..], "is empty; supported are JPEG and PNG"),
        (b"some text", "is no image; supported are JPEG and PNG"),
        (b"GIF89a......", "is a GIF; supported are JPEG and PNG"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "is a WebP; supported"),
        (b"BM......", "is a BMP; supported"),
        (b"II*\0....", "is a TIFF; supported"),
        (b"\0\0\0\x20ftypavif", "is an AVIF; supported"),
        (b"\0\0\0\x20ftypheic", "is a HEIF; supported"),
        (b"iVBORw0KGgo=", "is a PNG in base64; supported"),
        (&png[..20], "is a damaged PNG: "),
        (&png, "has 143 pixels (13 x 11), over max_pixels 100"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "is a damaged JPEG: "),
        (
            &read("cmyk.jpg"),
            "is a JPEG whose colours are CMYK; supported are RGB, YCbCr and greys",
        ),
    ] {
        let error = check(bytes, limits).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    // A file of few bytes that says that it is as large as a city.
    let mut bomb = png.clone();
    bomb[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    let checksum = crc32(&bomb[12..29]).to_be_bytes();
    bomb[29..33].copy_from_slice(&checksum);
    let error = check(&bomb, ANY).unwrap_err().to_string();
    assert_eq!(
        error,
        "is 2147483647 x 2147483647; a side has at most 65535 pixels"
    );
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[test]
fn a_file_that_was_cut_is_damaged() {
    for_each_picture(|file, bytes, _| {
        // The last bytes of a PNG say that it ends, which nothing needs.
        let least = bytes.len() - if file.ends_with(".png") { 20 } else { 10 };
        for length in [bytes.len() / 2, 3 * bytes.len() / 4, least] {
            let cut = &bytes[..length];
            if check(cut, ANY).is_ok() {
                let error = decode(cut).err();
                let error = error.unwrap_or_else(|| panic!("{file}, {length} bytes"));
                assert!(error.to_string().starts_with("is a damaged "), "{error}");
            }
        }
    });
}
