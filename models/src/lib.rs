//! Text models of motet: where weights come from, how they are loaded, and how texts become vectors.
//!
//! The path of a text is the order of the modules:
//!
//! * [`source`]: `builtin:NAME` or `file:PATH` names a model; [`ModelFiles`] reads its Hugging Face directory layout.
//! * [`config`]: what the JSON files say (sizes, pooling, token limit), without touching the weights.
//! * [`device`]: CPU, CUDA or Metal, and the element type used for computing.
//! * [`preprocess`]: cleans long texts and splits them into chunks of a number of tokens.
//! * [`tokenizer`]: text to token ids.
//! * [`encoder`]: token ids to vectors, all rows of a batch packed into one matrix without padding; on a CPU by itself, elsewhere
//!   with Candle.
//! * [`threads`]: those that compute a batch on a CPU together.
//! * [`late_interaction`]: scores a query against a text from their token vectors (MaxSim).
//!
//! Everything is synchronous and, but for [`ThreadTeam`], `Send + Sync`; when what is computed, and batching, belong to the callers.

pub mod config;
pub mod device;
pub mod encoder;
pub mod late_interaction;
pub mod preprocess;
pub mod source;
pub mod thread_team;
pub mod tokenizer;

mod error;

pub use config::{ModelConfig, Pooling};
pub use device::{DeviceError, DeviceSpec, Precision};
pub use encoder::{
    EncodeError, EncoderCache, RowEmbedding, RowError, RowInput, RowOutput, TextEncoder,
};
pub use error::LoadError;
pub use late_interaction::{TokenVectors, maxsim, maxsim_all};
pub use preprocess::{Chunk, Chunker, ChunkerError, ChunkerOptions};
pub use source::{ModelFiles, Source, SourceError};
pub use thread_team::{ThreadTeam, ThreadTeamError};
pub use tokenizer::{TokenIds, TokenSpan, Tokenizer, TokenizerError};
