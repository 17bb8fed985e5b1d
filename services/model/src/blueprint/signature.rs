//! Ports and parameters of each task.

use motet_models::ChunkerOptions;
use motet_proto::signature::{Parameter, Port, Signature};
use motet_proto::types::{Dim, ElementType, TensorType};

/// Names of ports and parameters.
pub(crate) mod names {
    pub(crate) const TEXT: &str = "text";
    pub(crate) const QUERY: &str = "query";
    pub(crate) const EMBEDDING: &str = "embedding";
    pub(crate) const ROW: &str = "row";
    pub(crate) const SCORE: &str = "score";
    pub(crate) const SOURCE: &str = "source";
    pub(crate) const START: &str = "start";
    pub(crate) const END: &str = "end";
    pub(crate) const TOKENS: &str = "tokens";
    pub(crate) const MAX_TOKENS: &str = "max_tokens";
    pub(crate) const OVERLAP: &str = "overlap";
}

use names::*;

fn symbol(name: &str) -> Dim {
    Dim::Symbol(name.to_owned())
}

fn port(name: &str, element: ElementType, dims: Vec<Dim>) -> Port {
    Port::new(name, TensorType::new(element, dims))
}

/// `text: string[N] -> text: string[M], source, start, end, tokens: i32[M]`; `chunk_tokens_max` is the most that a chunk may be asked to hold.
pub(super) fn preprocess(default: ChunkerOptions, chunk_tokens_max: usize) -> Signature {
    let list = |name, element| port(name, element, vec![symbol("M")]);
    let int = |name, default: usize, min: usize, max: usize| {
        Parameter::int(name, default as i64, min as i64, max as i64)
    };
    Signature {
        inputs: vec![port(TEXT, ElementType::String, vec![symbol("N")])],
        outputs: vec![
            list(TEXT, ElementType::String),
            list(SOURCE, ElementType::I32),
            list(START, ElementType::I32),
            list(END, ElementType::I32),
            list(TOKENS, ElementType::I32),
        ],
        parameters: vec![
            int(
                MAX_TOKENS,
                default.max_tokens,
                ChunkerOptions::MAX_TOKENS_MIN,
                chunk_tokens_max,
            ),
            int(OVERLAP, default.overlap, 0, chunk_tokens_max / 2),
        ],
    }
}

/// The chunks of a call that does not say: the usual ones, within what the model takes.
pub(super) fn default_chunks(chunk_tokens_max: usize) -> ChunkerOptions {
    let usual = ChunkerOptions::default();
    let max_tokens = usual.max_tokens.min(chunk_tokens_max);
    ChunkerOptions {
        max_tokens,
        overlap: usual.overlap.min(max_tokens / 2),
    }
}

/// `text: string[N] -> embedding: float[N,D]`
pub(super) fn embed(size: usize) -> Signature {
    Signature {
        inputs: vec![port(TEXT, ElementType::String, vec![symbol("N")])],
        outputs: vec![port(
            EMBEDDING,
            ElementType::F32,
            vec![symbol("N"), Dim::Fixed(size)],
        )],
        parameters: Vec::new(),
    }
}

/// `text: string[N] -> embedding: float[T,D], row: i32[T]`
pub(super) fn embed_tokens(size: usize) -> Signature {
    Signature {
        inputs: vec![port(TEXT, ElementType::String, vec![symbol("N")])],
        outputs: vec![
            port(
                EMBEDDING,
                ElementType::F32,
                vec![symbol("T"), Dim::Fixed(size)],
            ),
            port(ROW, ElementType::I32, vec![symbol("T")]),
        ],
        parameters: Vec::new(),
    }
}

/// `query: string, text: string[N] -> score: float[N]`
pub(super) fn rerank() -> Signature {
    Signature {
        inputs: vec![
            port(QUERY, ElementType::String, Vec::new()),
            port(TEXT, ElementType::String, vec![symbol("N")]),
        ],
        outputs: vec![port(SCORE, ElementType::F32, vec![symbol("N")])],
        parameters: Vec::new(),
    }
}
