//! Models of images against transformers and Pillow (tests/expected/images.py made the models and
//! the values), on both engines, and images against themselves in other company.

use std::path::{Path, PathBuf};

use super::family_tests::{assert_same_bits, largest_difference, on_threads};
use super::*;
use crate::device::DeviceSpec;
use crate::source::Modality;

/// Largest difference from the values of the libraries; those are as large as 20.
const CLOSE: f32 = 5e-5;

/// The models in tests/images.
const FIXTURES: [&str; 9] = [
    "clip",
    "clip-bare",
    "clip-labels",
    "clip-vision",
    "siglip",
    "siglip-labels",
    "siglip-vision",
    "vit",
    "vit-odd",
];

struct Fixture {
    name: &'static str,
    files: ModelFiles,
    tokens: usize,
    pictures: Vec<Picture>,
}

struct Picture {
    bytes: Vec<u8>,
    /// `[3, height, width]`
    values: Vec<f32>,
    tokens: Vec<f32>,
    vector: Vec<f32>,
    logits: Vec<f32>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/images")
}

/// Returns the expected values of a picture.
type Expected = fn(&Picture) -> &[f32];

impl Fixture {
    fn read(name: &'static str) -> Self {
        #[derive(serde::Deserialize)]
        struct Listing {
            pictures: Vec<String>,
            labels: Vec<String>,
            tokens: usize,
            size: usize,
        }
        let place = folder().join(name);
        let listing = std::fs::read(place.join("expected.json")).unwrap();
        let listing: Listing = serde_json::from_slice(&listing).unwrap();
        let bytes = std::fs::read(place.join("expected.f32")).unwrap();
        let values = bytes.as_chunks::<4>().0.iter();
        let mut values = values.map(|value| f32::from_le_bytes(*value));
        let files = ModelFiles::open_for(&Source::File(place), Modality::Images).unwrap();
        let embedding = files.config().architecture.embedding.patches().unwrap();
        let [height, width] = embedding.image_size;
        let hidden = files.config().hidden_size();
        let mut take = |count: usize| values.by_ref().take(count).collect::<Vec<f32>>();
        let pictures = listing.pictures.iter().map(|file| Picture {
            bytes: std::fs::read(folder().join("pictures").join(file)).unwrap(),
            values: take(3 * height * width),
            tokens: take(listing.tokens * hidden),
            vector: take(listing.size),
            logits: take(listing.labels.len()),
        });
        let pictures = pictures.collect();
        assert!(values.next().is_none(), "{name}: more values than pictures");
        Self {
            name,
            files,
            tokens: listing.tokens,
            pictures,
        }
    }

    /// Returns the values of the patches of each picture.
    fn patches(&self) -> Vec<Vec<f32>> {
        let processor = self.files.image_processor().unwrap();
        let patches = self.pictures.iter().map(|picture| {
            let pixels = processor.prepare(&picture.bytes).unwrap();
            processor.patches(&pixels)
        });
        patches.collect()
    }

    /// Returns the heads of the model, and what each gives for a picture.
    fn heads(&self) -> Vec<(LoadedHead, Expected)> {
        let load = |head: &Head| LoadedHead::load(&self.files, head).unwrap();
        let tokens = LoadedHead::of_tokens(self.files.config().hidden_size());
        let mut heads: Vec<(LoadedHead, Expected)> = vec![(tokens, |picture| &picture.tokens)];
        if self.pictures[0].logits.is_empty() {
            let head = self.files.image_head().unwrap();
            heads.push((load(&head), |picture| &picture.vector));
        } else {
            let classifier = self.files.image_classifier().unwrap();
            assert_eq!(classifier.labels, ["cat", "dog", "neither"]);
            heads.push((load(&classifier.head), |picture| &picture.logits));
        }
        heads
    }

    fn cpu(&self, precision: Precision) -> CpuEncoder {
        let (checkpoint, config) = (Checkpoint::open(&self.files).unwrap(), self.files.config());
        CpuEncoder::load(&checkpoint, &config.architecture, precision).unwrap()
    }

    fn device(&self) -> DeviceEncoder {
        let (checkpoint, config) = (Checkpoint::open(&self.files).unwrap(), self.files.config());
        let (device, dtype) = (DeviceSpec::Cpu.open().unwrap(), Precision::F32.dtype());
        DeviceEncoder::load(&checkpoint, &config.architecture, &device, dtype).unwrap()
    }
}

#[test]
fn every_fixture_is_read() {
    let entries = std::fs::read_dir(folder()).unwrap();
    let entries = entries.map(|entry| entry.unwrap());
    let models = entries.filter(|entry| entry.path().join("config.json").exists());
    let mut names: Vec<_> = models.map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, FIXTURES);
}

#[test]
fn pictures_have_the_values_of_the_library() {
    for fixture in FIXTURES.map(Fixture::read) {
        let embedding = &fixture.files.config().architecture.embedding;
        let embedding = embedding.patches().unwrap();
        let ([_, width], [high, wide]) = (embedding.image_size, embedding.patch_size);
        let columns = embedding.grid()[1];
        let size = embedding.image_size.iter().product::<usize>();
        for (found, picture) in fixture.patches().iter().zip(&fixture.pictures) {
            // The place of each value of a patch in an image of one colour after the other.
            let expected = (0..found.len()).map(|at| {
                let (patch, at) = (at / embedding.patch_values(), at % embedding.patch_values());
                let (colour, at) = (at / (high * wide), at % (high * wide));
                let row = patch / columns * high + at / wide;
                let column = patch % columns * wide + at % wide;
                picture.values[colour * size + row * width + column]
            });
            let expected: Vec<f32> = expected.collect();
            assert_eq!(found, &expected, "{}", fixture.name);
        }
    }
}

#[test]
fn both_engines_say_what_the_library_says() {
    for fixture in FIXTURES.map(Fixture::read) {
        let (cpu, device) = (fixture.cpu(Precision::F32), fixture.device());
        let patches = fixture.patches();
        let inputs = patches.iter();
        let inputs: Vec<_> = inputs
            .map(|patches| RowInput::of_image(patches, fixture.tokens))
            .collect();
        for (number, (head, expected)) in fixture.heads().iter().enumerate() {
            let of_cpu = on_threads(&cpu, &inputs, head, 2);
            let of_device = device.encode(&inputs, head).unwrap();
            for (engine, found) in [("cpu", of_cpu), ("device", of_device)] {
                for (found, picture) in found.iter().zip(&fixture.pictures) {
                    let far = largest_difference(found.as_slice(), expected(picture));
                    let what = format!("{}, {engine}, head {number}", fixture.name);
                    assert!(far < CLOSE, "{what}: {far}");
                }
            }
        }
    }
}

#[test]
fn an_image_has_the_same_bits_in_any_batch() {
    for fixture in FIXTURES.map(Fixture::read) {
        let patches = fixture.patches();
        let inputs = patches.iter();
        let inputs: Vec<_> = inputs
            .map(|patches| RowInput::of_image(patches, fixture.tokens))
            .collect();
        for precision in [Precision::F32, Precision::Int8] {
            let cpu = fixture.cpu(precision);
            for (head, _) in &fixture.heads() {
                assert_same_bits(
                    &cpu,
                    &inputs,
                    head,
                    &format!("{}, {precision}", fixture.name),
                );
            }
        }
    }
}

#[test]
fn every_weight_of_the_encoder_is_used() {
    let device = DeviceSpec::Cpu.open().unwrap();
    for fixture in FIXTURES.map(Fixture::read) {
        let encoder = TextEncoder::load(&fixture.files, &device, Precision::F32).unwrap();
        let of_encoder = |name: &&String| {
            !name.starts_with("text_model.")
                && ["layer.", "layers.", "embed"]
                    .iter()
                    .any(|part| name.contains(part))
        };
        let forgotten: Vec<_> = encoder.unused_tensors().iter().filter(of_encoder).collect();
        assert!(forgotten.is_empty(), "{}: {forgotten:?}", fixture.name);
    }
}

#[test]
fn bytes_stay_near_the_library() {
    let length = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    for fixture in FIXTURES.map(Fixture::read) {
        let (cpu, patches) = (fixture.cpu(Precision::Int8), fixture.patches());
        let inputs = patches.iter();
        let inputs: Vec<_> = inputs
            .map(|patches| RowInput::of_image(patches, fixture.tokens))
            .collect();
        let found = on_threads(&cpu, &inputs, &fixture.heads()[0].0, 2);
        let size = fixture.files.config().hidden_size();
        for (found, picture) in found.iter().zip(&fixture.pictures) {
            let expected = picture.tokens.chunks_exact(size);
            for (a, b) in found.as_slice().chunks_exact(size).zip(expected) {
                let dot: f32 = a.iter().zip(b).map(|(x, y)| x * y).sum();
                let cosine = dot / (length(a) * length(b));
                assert!(cosine > 0.99, "{}: {cosine}", fixture.name);
            }
        }
    }
}

#[test]
fn rows_of_the_other_kind_are_refused() {
    let fixture = Fixture::read("vit");
    let config = fixture.files.config();
    let values = vec![0.0; 9 * 3 * 64];
    let check = |row: RowInput<'_>| row::check(row, config).map_err(|error| error.to_string());
    assert_eq!(check(RowInput::of_image(&values, 10)), Ok(()));
    for row in [
        RowInput::of_image(&values[1..], 10),
        RowInput::of_image(&values, 9),
        RowInput::new(&[1, 2, 3]),
    ] {
        let error = check(row).unwrap_err();
        assert!(error.ends_with("the model takes 1728 in 10"), "{error}");
    }
}
