//! Distance of a device's values from those of motet's own engine on the CPU.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use motet_models::{
    DeviceSpec, Head, HeadedRow, Level, LoadedHead, Modality, ModelFiles, Pooling, Precision,
    RowInput, Source, TextEncoder, ThreadTeam, Values,
};

use crate::Error;
use crate::options::Options;

/// Types to compute in.
const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::F16, Precision::Bf16];
/// The most that a value may be off in f32, up to 1 or in proportion to the largest of its row.
const OFF_MAX: f32 = 1e-4;
/// The most that the cosine of a head's values may be below 1 in 16 bits.
const TURNED_MAX: f64 = 5e-3;
/// Rows of texts and of images.
const ROWS: u32 = 24;
const IMAGES: usize = 3;
/// Most tokens of a row of random length.
const TOKENS_MAX: usize = 300;
/// Rows that are also computed alone.
const ALONE: usize = 4;
/// Threads that compute at the same time.
const THREADS: usize = 3;

pub(crate) fn check(options: &Options) -> Result<(), Error> {
    println!("| agree | seed of the rows | {} |", options.seed);
    let mut models = Vec::new();
    for folder in &options.models {
        find(folder, &mut models)?;
    }
    models.sort();
    let mut sources: Vec<Source> = models.into_iter().map(Source::File).collect();
    if options.models.is_empty() {
        sources.push("builtin:all-minilm-l6-v2".parse()?);
    }
    let (all, mut failed) = (sources.len(), 0);
    for source in sources {
        let name = source.to_string();
        match model(options, &source) {
            Ok((heads, found)) => {
                let is_far = found.iter().any(Found::is_far);
                failed += usize::from(is_far);
                let verdict = if is_far { "TOO FAR: " } else { "" };
                let parts: Vec<String> = found.iter().map(ToString::to_string).collect();
                let found = parts.join("; ");
                println!("| agree | {name}, {heads} heads | {verdict}{found} |");
            }
            Err(error) => {
                failed += 1;
                println!("| agree | {name} | FAILED: {error} |");
            }
        }
    }
    println!(
        "| agree | models within the limits | {} of {all} |",
        all - failed
    );
    match failed {
        0 => Ok(()),
        _ => Err(format!("{failed} of {all} models do not agree").into()),
    }
}

/// Finds the folders of models: with modules, or with weights and their configuration.
fn find(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let has = |file: &str| folder.join(file).exists();
    if has("modules.json") || (has("config.json") && has("model.safetensors")) {
        found.push(folder.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, found)?;
        }
    }
    Ok(())
}

/// Distance of the device's values in a type from the expected ones.
struct Found {
    precision: Precision,
    /// `None` where the device does not compute in the type.
    distance: Option<Distance>,
}

impl Found {
    fn is_far(&self) -> bool {
        let Some(distance) = self.distance else {
            return false;
        };
        let is_near = match self.precision {
            Precision::F32 | Precision::Int8 => distance.off < OFF_MAX,
            Precision::F16 | Precision::Bf16 => distance.turned < TURNED_MAX,
        };
        !is_near
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.distance {
            Some(Distance { off, turned }) => {
                write!(
                    f,
                    "{} off by {off:.1e}, cosine 1 - {turned:.1e}",
                    self.precision
                )
            }
            None => write!(f, "{} not computed here", self.precision),
        }
    }
}

/// The furthest of anything.
#[derive(Clone, Copy, Default)]
struct Distance {
    /// Of any value, up to 1 or in proportion to the largest of its row.
    off: f32,
    /// Of the cosine of a head's values from 1.
    turned: f64,
}

impl Distance {
    fn take(&mut self, other: Self) {
        self.off = self.off.max(other.off);
        self.turned = self.turned.max(other.turned);
    }
}

/// Returns the number of heads, and how far they are in each type.
fn model(options: &Options, source: &Source) -> Result<(usize, Vec<Found>), Error> {
    let texts = ModelFiles::open(source);
    let files = match texts {
        Ok(files) => files,
        Err(error) => match ModelFiles::open_for(source, Modality::Images) {
            Ok(files) => files,
            Err(_) => return Err(error.into()),
        },
    };
    let cpu = TextEncoder::load(&files, &DeviceSpec::Cpu.open()?, Precision::F32)?;
    let kinds = heads(&files);
    let heads: Vec<&LoadedHead> = kinds.iter().map(|(head, _)| head).collect();
    let sparse: Vec<bool> = kinds.iter().map(|(_, is_sparse)| *is_sparse).collect();
    let rows = Rows::random(options, &cpu);
    let inputs = rows.inputs();
    let headed = HeadedRow::all(&inputs, &heads);
    let expected = encode(&cpu, &headed)?;
    let mut found = Vec::new();
    for precision in PRECISIONS {
        let encoder = options.load(&files, precision)?;
        let is_other = encoder.precision() != precision;
        let mut distance = Distance::default();
        if !is_other {
            let together = encode(&encoder, &headed)?;
            distance.take(between(&sparse, &together, &expected));
            let mut alone = Vec::new();
            for at in 0..headed.len().min(ALONE) {
                alone.extend(encode(&encoder, &headed[at..=at])?);
            }
            distance.take(between(&sparse, &alone, &expected[..alone.len()]));
            let at_once = std::thread::scope(|scope| {
                let encode = || encode(&encoder, &headed).map_err(|error| error.to_string());
                let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(encode)).collect();
                let ended = threads.into_iter().map(|thread| thread.join());
                ended.collect::<Vec<_>>()
            });
            for values in at_once {
                let values = values.map_err(|_| "a thread panicked")??;
                distance.take(between(&sparse, &values, &expected));
            }
        }
        found.push(Found {
            precision,
            distance: (!is_other).then_some(distance),
        });
    }
    Ok((heads.len(), found))
}

/// Returns every head that the files of a model have, and whether it gives sparse vectors. One that
/// cannot be loaded is not the model's, as that of vectors of a classifier.
fn heads(files: &ModelFiles) -> Vec<(LoadedHead, bool)> {
    let mut heads = vec![Head::tokens()];
    let mut sparse = None;
    if files.config().architecture.embedding.tokens().is_some() {
        let pooled = [Pooling::Mean, Pooling::Cls].map(Head::pooled);
        heads.extend(pooled);
        heads.push(files.config().head.clone());
        for level in [Level::Text, Level::Token] {
            let classifier = files.find_classifier(level).ok().flatten();
            heads.extend(classifier.map(|classifier| classifier.head));
        }
        heads.extend(files.token_head().ok());
        sparse = files.sparse_head().ok();
    } else {
        heads.extend(files.image_head().ok());
        heads.extend(files.image_classifier().ok().map(|it| it.head));
    }
    let dense = heads.iter().map(|head| (head, false));
    let all = dense.chain(sparse.iter().map(|head| (head, true)));
    let load = |(head, is_sparse)| Some((LoadedHead::load(files, head).ok()?, is_sparse));
    all.filter_map(load).collect()
}

/// Random rows of a model.
struct Rows {
    texts: Vec<Text>,
    images: Vec<Vec<f32>>,
    /// Tokens of an image.
    tokens: usize,
}

struct Text {
    ids: Vec<u32>,
    types: Vec<u32>,
    unattended: usize,
}

impl Text {
    fn input(&self) -> RowInput<'_> {
        RowInput {
            types: &self.types,
            unattended: self.unattended,
            ..RowInput::new(&self.ids)
        }
    }
}

impl Rows {
    fn random(options: &Options, encoder: &TextEncoder) -> Self {
        let mut random = fastrand::Rng::with_seed(options.seed);
        let config = encoder.config();
        let embedding = &config.architecture.embedding;
        if let Some(patches) = embedding.patches() {
            let count = patches.patches() * patches.patch_values();
            let mut image = || (0..count).map(|_| 2.0 * random.f32() - 1.0).collect();
            return Self {
                texts: Vec::new(),
                images: (0..IMAGES).map(|_| image()).collect(),
                tokens: patches.tokens(),
            };
        }
        let (words, longest) = (
            config.vocabulary() as u32,
            config.max_tokens.min(TOKENS_MAX),
        );
        let text = |number: u32| {
            let tokens = random.usize(1..=longest);
            let ids: Vec<u32> = (0..tokens).map(|_| random.u32(..words)).collect();
            let second = random.usize(..tokens) as u32;
            let mut text = Text {
                types: (0..tokens as u32)
                    .map(|at| u32::from(at > second))
                    .collect(),
                // With a short window, the tokens after more of them would attend to nothing.
                unattended: usize::from(number.is_multiple_of(3) && tokens > 1),
                ids,
            };
            // Pairs, where the model has types.
            if number.is_multiple_of(2) || encoder.check(text.input()).is_err() {
                text.types = Vec::new();
            }
            text
        };
        Self {
            texts: (0..ROWS).map(text).collect(),
            images: Vec::new(),
            tokens: 0,
        }
    }

    fn inputs(&self) -> Vec<RowInput<'_>> {
        let texts = self.texts.iter().map(Text::input);
        let image = |values| RowInput::of_image(values, self.tokens);
        texts
            .chain(self.images.iter().map(|it| image(it)))
            .collect()
    }
}

/// Returns the values of each head for each row.
fn encode(encoder: &TextEncoder, rows: &[HeadedRow<'_>]) -> Result<Vec<Vec<Values>>, Error> {
    let team = ThreadTeam::current_or_default()?;
    let encoded = encoder.encode_headed(rows, &team)?.into_iter();
    Ok(encoded.collect::<Result<_, _>>()?)
}

/// Returns the distance of found values from expected ones, head by head. A value that is no
/// number, or missing, is as far as can be.
fn between(sparse: &[bool], found: &[Vec<Values>], expected: &[Vec<Values>]) -> Distance {
    let mut furthest = Distance::default();
    for (head, is_sparse) in sparse.iter().enumerate() {
        let (mut all_found, mut all_expected) = (Vec::new(), Vec::new());
        for (found, expected) in found.iter().zip(expected) {
            let (found, expected) = match is_sparse {
                true => weights(&found[head], &expected[head]),
                false => (
                    found[head].as_slice().to_vec(),
                    expected[head].as_slice().to_vec(),
                ),
            };
            let off = off(&found, &expected);
            furthest.take(Distance { off, turned: 0.0 });
            all_found.extend(found);
            all_expected.extend(expected);
        }
        let turned = turned(&all_found, &all_expected);
        furthest.take(Distance { off: 0.0, turned });
    }
    furthest
}

/// Returns how far any value is off, up to 1 or in proportion to the largest.
fn off(found: &[f32], expected: &[f32]) -> f32 {
    if found.len() != expected.len() {
        return f32::INFINITY;
    }
    let largest = expected.iter().fold(1f32, |most, it| it.abs().max(most));
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let off = off.map(|off| if off.is_nan() { f32::INFINITY } else { off });
    off.fold(0.0, f32::max) / largest
}

/// Returns how far the cosine of two lists is below 1.
fn turned(found: &[f32], expected: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y));
        products.sum()
    };
    let lengths = dot(found, found) * dot(expected, expected);
    let cosine = match lengths {
        0.0 => 1.0,
        _ => dot(found, expected) / lengths.sqrt(),
    };
    if cosine.is_nan() { 2.0 } else { 1.0 - cosine }
}

/// Returns the weights of all words of two sparse vectors, lists of numbers of words with their
/// weights, of which one next to 0 may be missing.
fn weights(found: &Values, expected: &Values) -> (Vec<f32>, Vec<f32>) {
    let by_word = |values: &Values| -> BTreeMap<u32, f32> {
        values
            .iter()
            .map(|pair| (pair[0] as u32, pair[1]))
            .collect()
    };
    let (found, expected) = (by_word(found), by_word(expected));
    let words: Vec<&u32> = found.keys().chain(expected.keys()).collect();
    let of = |all: &BTreeMap<u32, f32>| -> Vec<f32> {
        let weight = |word: &&u32| all.get(word).copied().unwrap_or(0.0);
        words.iter().map(weight).collect()
    };
    (of(&found), of(&expected))
}
