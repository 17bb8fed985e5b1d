//! Quality of `dtype: int8` compared with f32, over the texts of this repository.
//!
//!     cargo run --release -p motet-models --example int8_quality -- \
//!         [--model FOLDER [--ids]] [DIR]
//!
//! The model is the built-in one, or that of a folder; with `--ids` one whose weights are random
//! (models/scripts/random_model.py) and whose ids are those of the built-in model's tokenizer.
//!
//! The passages are what the Markdown files of DIR (by default the repository) are split into, the
//! queries the first lines of its Rust files that say what they are for. Printed are: the cosine
//! between a text's vectors in both types, the rank correlation of the similarities of all pairs of
//! texts, and for each query how much of the ten nearest passages, and of the eight best of the
//! nearest 50 reranked by MaxSim, is the same.

mod measure;

use std::path::Path;
use std::sync::Arc;

use measure::{cosine, dot, order, pairs, rank_correlation, shared_top, worst_and_mean};
use motet_models::{
    Chunker, ChunkerOptions, DeviceSpec, Head, ModelFiles, Precision, RowInput, Source,
    TextEncoder, ThreadTeam, Tokenizer, Values, maxsim_all,
};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const NEAREST: usize = 10;
const RERANKED: usize = 50;
const BEST: usize = 8;
const ROWS_PER_BATCH: usize = 32;

/// Arguments of the command line.
struct Arguments {
    /// Folder of the model; `None` for the built-in one.
    model: Option<String>,
    /// `true` if the built-in model's tokenizer makes the ids.
    has_ids_of_builtin: bool,
    /// Folder of the texts.
    texts: String,
}

impl Arguments {
    fn read() -> Outcome<Self> {
        let mut read = Self {
            model: None,
            has_ids_of_builtin: false,
            texts: concat!(env!("CARGO_MANIFEST_DIR"), "/..").to_owned(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--model" => read.model = Some(arguments.next().ok_or("--model takes a folder")?),
                "--ids" => read.has_ids_of_builtin = true,
                _ => read.texts = argument,
            }
        }
        Ok(read)
    }
}

/// All texts in one type.
struct Encoded {
    pooled: Vec<Vec<f32>>,
    tokens: Vec<Values>,
}

fn main() -> Outcome<()> {
    let Arguments {
        model,
        has_ids_of_builtin,
        texts: dir,
    } = Arguments::read()?;
    let builtin = ModelFiles::open(&"builtin:all-minilm-l6-v2".parse()?)?;
    let files = match model {
        Some(folder) => ModelFiles::open(&Source::File(folder.into()))?,
        None => builtin.clone(),
    };
    let of_ids = if has_ids_of_builtin { &builtin } else { &files };
    let tokenizer = Arc::new(Tokenizer::load(of_ids)?);
    let chunker = Chunker::new(tokenizer.clone(), ChunkerOptions::default())?;
    let (mut queries, mut texts) = (Vec::new(), Vec::new());
    collect(Path::new(&dir), &chunker, &mut queries, &mut texts)?;
    let passages = texts.len();
    if passages == 0 || queries.is_empty() {
        return Err(
            format!("{dir} has no Markdown files, or no Rust files with a first line").into(),
        );
    }
    texts.append(&mut queries);
    println!("{passages} passages, {} queries", texts.len() - passages);

    let ids = texts.iter().map(|text| tokenizer.encode(text));
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    let limit = files.config().max_tokens;
    let within = |ids: &[u32]| ids.len().min(limit);
    let ids = ids
        .iter()
        .map(|ids| &ids.as_slice()[..within(ids.as_slice())]);
    let ids: Vec<&[u32]> = ids.collect();
    let device = DeviceSpec::Cpu.open()?;
    let encode = |precision| encode(&TextEncoder::load(&files, &device, precision)?, &ids);
    let (f32, int8) = (encode(Precision::F32)?, encode(Precision::Int8)?);

    let same = f32.pooled.iter().zip(&int8.pooled);
    let (worst, mean) = worst_and_mean(same.map(|(a, b)| cosine(a, b)));
    println!("cosine of a text's vectors: worst {worst:.5}, mean {mean:.5}");
    let same = f32.tokens.iter().zip(&int8.tokens);
    let same = same.flat_map(|(a, b)| a.iter().zip(b.iter()));
    let (worst, mean) = worst_and_mean(same.map(|(a, b)| cosine(a, b)));
    println!("cosine of a token's vectors: worst {worst:.5}, mean {mean:.5}");
    let correlation = rank_correlation(&pairs(&f32.pooled), &pairs(&int8.pooled));
    println!("rank correlation of the similarities of all pairs: {correlation:.5}");

    let (mut first, mut nearest, mut best) = (0.0, 0.0, 0.0);
    for query in passages..texts.len() {
        let by_cosine = |side: &Encoded| -> Vec<f32> {
            let passages = side.pooled[..passages].iter();
            passages
                .map(|passage| dot(&side.pooled[query], passage))
                .collect()
        };
        let (a, b) = (by_cosine(&f32), by_cosine(&int8));
        first += shared_top(&a, &b, 1);
        nearest += shared_top(&a, &b, NEAREST);
        // Each type reranks what it found itself.
        let by_maxsim = |side: &Encoded, scores: &[f32]| {
            let found = &order(scores)[..RERANKED.min(passages)];
            let texts: Vec<_> = found.iter().map(|passage| &side.tokens[*passage]).collect();
            let mut reranked = vec![f32::MIN; passages];
            for (passage, score) in found.iter().zip(maxsim_all(&side.tokens[query], &texts)) {
                reranked[*passage] = score;
            }
            reranked
        };
        best += shared_top(&by_maxsim(&f32, &a), &by_maxsim(&int8, &b), BEST);
    }
    let share = |sum: f64| 100.0 * sum / (texts.len() - passages) as f64;
    println!(
        "the same for a query, on average: {:.1} % of the nearest passage, {:.1} % of the \
         {NEAREST} nearest, {:.1} % of the {BEST} best of {RERANKED} reranked",
        share(first),
        share(nearest),
        share(best)
    );
    Ok(())
}

/// Queries and passages of all files below a folder.
fn collect(
    dir: &Path,
    chunker: &Chunker,
    queries: &mut Vec<String>,
    passages: &mut Vec<String>,
) -> Outcome<()> {
    let mut entries: Vec<_> = std::fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            if !name.starts_with('.') && name != "target" {
                collect(&path, chunker, queries, passages)?;
            }
        } else if name.ends_with(".md") {
            let chunks = chunker.split(&std::fs::read_to_string(&path)?)?;
            passages.extend(chunks.into_iter().map(|chunk| chunk.text));
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path)?;
            let first = text
                .lines()
                .next()
                .and_then(|line| line.strip_prefix("//! "));
            queries.extend(first.map(str::to_owned));
        }
    }
    Ok(())
}

fn encode(encoder: &TextEncoder, ids: &[&[u32]]) -> Outcome<Encoded> {
    let (mut pooled, mut tokens) = (Vec::new(), Vec::new());
    let threads = ThreadTeam::current_or_default()?;
    let own = encoder.load_head(&encoder.config().head)?;
    let every_token = encoder.load_head(&Head::tokens().normalized(true))?;
    for ids in ids.chunks(ROWS_PER_BATCH) {
        let rows: Vec<_> = ids.iter().map(|ids| RowInput::new(ids)).collect();
        for row in encoder.encode(&rows, &own, &threads)? {
            pooled.push(row?.into_vec());
        }
        for row in encoder.encode(&rows, &every_token, &threads)? {
            tokens.push(row?);
        }
    }
    Ok(Encoded { pooled, tokens })
}
