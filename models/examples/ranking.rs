//! How well the built-in model finds documents, by nDCG@10 over the Cranfield collection: the order
//! of chunks by cosine, and the first 50 of them ordered anew by MaxSim.
//!
//!     cargo run --release -p motet-models --example ranking -- DIR [MAX_TOKENS OVERLAP]
//!
//! DIR holds the collection's files cran.all.1400, cran.qry and cranqrel. Queries are numbered by
//! their order in cran.qry, since cranqrel does so. Its grades run from 1 (a complete answer) to 4
//! (of little interest); -1 marks the paper that the question was drawn from. Gains here: -1 counts
//! 5, then 4, 3, 2, 1 for grades 1 to 4. A document ranks by its best chunk.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use motet_models::{
    Chunker, ChunkerOptions, DeviceSpec, Head, ModelFiles, Precision, RowInput, TextEncoder,
    ThreadTeam, Tokenizer, Values, maxsim,
};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const RERANKED: usize = 50;
const CUTOFF: usize = 10;
const ROWS_PER_BATCH: usize = 32;

/// Pooled vector and token vectors of a text.
struct Embedded {
    document: usize,
    pooled: Vec<f32>,
    tokens: Values,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (dir, options) = match &arguments[..] {
        [dir] => (dir, ChunkerOptions::default()),
        [dir, max_tokens, overlap] => (
            dir,
            ChunkerOptions {
                max_tokens: max_tokens.parse()?,
                overlap: overlap.parse()?,
            },
        ),
        _ => return Err("usage: retrieval DIR [MAX_TOKENS OVERLAP]".into()),
    };
    let read = |file: &str| std::fs::read_to_string(Path::new(dir).join(file));
    let documents = records(&read("cran.all.1400")?);
    let queries = records(&read("cran.qry")?);
    let gains = gains(&read("cranqrel")?);

    let files = ModelFiles::open(&"builtin:all-minilm-l6-v2".parse()?)?;
    let tokenizer = Arc::new(Tokenizer::load(&files)?);
    let encoder = TextEncoder::load(&files, &DeviceSpec::Auto.open()?, Precision::F32)?;
    let chunker = Chunker::new(tokenizer.clone(), options)?;

    let mut chunks = Vec::new();
    for (number, document) in documents.iter().enumerate() {
        chunks.extend(
            chunker
                .split(document)?
                .into_iter()
                .map(|chunk| (number + 1, chunk.text)),
        );
    }
    println!(
        "{} documents, {} chunks, {} queries",
        documents.len(),
        chunks.len(),
        queries.len()
    );
    let chunks = embed(&tokenizer, &encoder, &chunks)?;
    let queries = embed(
        &tokenizer,
        &encoder,
        &queries
            .into_iter()
            .map(|text| (0, text))
            .collect::<Vec<_>>(),
    )?;

    let (mut by_cosine, mut by_maxsim) = (0.0, 0.0);
    for (query, gains) in queries.iter().zip(&gains) {
        let cosine = |chunk: &&Embedded| {
            chunk
                .pooled
                .iter()
                .zip(&query.pooled)
                .map(|(x, y)| x * y)
                .sum::<f32>()
        };
        let ranked = sorted_by_score(chunks.iter().collect(), cosine);
        by_cosine += ndcg(&ranked, gains);
        let reranked = sorted_by_score(ranked[..RERANKED].to_vec(), |chunk| {
            maxsim(&query.tokens, &chunk.tokens)
        });
        by_maxsim += ndcg(&reranked, gains);
    }
    let count = queries.len() as f64;
    println!(
        "nDCG@{CUTOFF}: cosine {:.4}, MaxSim over {RERANKED} {:.4}",
        by_cosine / count,
        by_maxsim / count
    );
    Ok(())
}

/// Returns the texts (field .W) of a collection file, in order.
fn records(file: &str) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let mut in_text = false;
    for line in file.lines() {
        if line.starts_with(".I ") {
            texts.push(String::new());
        }
        match line.as_bytes() {
            [b'.', b'A'..=b'Z', ..] => in_text = line.starts_with(".W"),
            _ if in_text => texts
                .last_mut()
                .into_iter()
                .for_each(|text| *text += &format!("{line}\n")),
            _ => {}
        }
    }
    texts
}

/// For each query, the gain of each document that was judged.
fn gains(judgements: &str) -> Vec<HashMap<usize, f64>> {
    let mut gains: Vec<HashMap<usize, f64>> = Vec::new();
    for line in judgements.lines() {
        let numbers: Vec<i64> = line
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        if let [query, document, grade] = numbers[..] {
            gains.resize_with(gains.len().max(query as usize), HashMap::new);
            gains[query as usize - 1].insert(
                document as usize,
                if grade < 1 { 5.0 } else { (5 - grade) as f64 },
            );
        }
    }
    gains
}

fn embed(
    tokenizer: &Tokenizer,
    encoder: &TextEncoder,
    texts: &[(usize, String)],
) -> Outcome<Vec<Embedded>> {
    let threads = ThreadTeam::current_or_default()?;
    let own = encoder.load_head(&encoder.config().head)?;
    let every_token = encoder.load_head(&Head::tokens().normalized(true))?;
    let mut embedded = Vec::with_capacity(texts.len());
    for batch in texts.chunks(ROWS_PER_BATCH) {
        let ids = batch
            .iter()
            .map(|(_, text)| tokenizer.encode(text))
            .collect::<Result<Vec<_>, _>>()?;
        let rows: Vec<_> = ids.iter().map(RowInput::from).collect();
        let pooled = encoder.encode(&rows, &own, &threads)?;
        let tokens = encoder.encode(&rows, &every_token, &threads)?;
        for ((document, _), (pooled, tokens)) in batch.iter().zip(pooled.into_iter().zip(tokens)) {
            embedded.push(Embedded {
                document: *document,
                pooled: pooled?.into_vec(),
                tokens: tokens?,
            });
        }
    }
    Ok(embedded)
}

fn sorted_by_score(chunks: Vec<&Embedded>, score: impl Fn(&&Embedded) -> f32) -> Vec<&Embedded> {
    let mut scored: Vec<_> = chunks
        .into_iter()
        .map(|chunk| (score(&chunk), chunk))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().map(|(_, chunk)| chunk).collect()
}

fn ndcg(ranked: &[&Embedded], gains: &HashMap<usize, f64>) -> f64 {
    let discounted = |gains: &[f64]| -> f64 {
        gains
            .iter()
            .take(CUTOFF)
            .enumerate()
            .map(|(rank, gain)| gain / (rank as f64 + 2.0).log2())
            .sum()
    };
    let mut documents: Vec<usize> = Vec::new();
    for chunk in ranked {
        if documents.len() < CUTOFF && !documents.contains(&chunk.document) {
            documents.push(chunk.document);
        }
    }
    let found: Vec<f64> = documents
        .iter()
        .map(|document| gains.get(document).copied().unwrap_or(0.0))
        .collect();
    let mut ideal: Vec<f64> = gains.values().copied().collect();
    ideal.sort_by(|a, b| b.total_cmp(a));
    discounted(&found) / discounted(&ideal)
}
