//! Models of texts and of images: where weights come from, how they are loaded, and how texts and
//! images become vectors.
//!
//! The modules in the order in which a text passes them:
//!
//! * [`source`]: `builtin:NAME` or `file:PATH` names a model; [`ModelFiles`] reads its files in the
//!   Hugging Face layout.
//! * [`config`]: what the model computes, pooling and token limit from the JSON files, without
//!   reading weights. What it computes is data ([`architecture`]), written by the model's family
//!   (`family`); `checkpoint` finds its tensors in the weights, and adds the changes of an adapter
//!   (`adapter`).
//! * [`classification`]: the head, labels and scores of classifiers.
//! * [`device`]: CPU, CUDA or Metal, and the number format of the computation.
//! * [`preprocess`]: cleans long texts and splits them into chunks by tokens.
//! * [`tokenizer`]: texts to token ids.
//! * [`image`]: images of files to what a model of images sees.
//! * [`encoder`]: token ids, or images, to vectors. All rows of a batch are packed into one matrix
//!   without padding. On a CPU with kernels of its own, on other devices with Candle.
//! * [`thread_team`]: the threads that compute a batch on a CPU.
//! * [`late_interaction`]: scores of a query against a text from their token vectors (MaxSim).
//!
//! Everything is synchronous and, apart from [`ThreadTeam`], `Send + Sync`. Batching and scheduling
//! are left to the callers.
//!
//! # Example
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # #[cfg(feature = "builtin")] {
//! use motet_models::{
//!     DeviceSpec, LoadedHead, ModelFiles, Precision, TextEncoder, ThreadTeam, Tokenizer,
//! };
//!
//! let files = ModelFiles::open(&"builtin:all-minilm-l6-v2".parse()?)?;
//! let tokenizer = Tokenizer::load(&files)?;
//! let encoder = TextEncoder::load(&files, &DeviceSpec::Cpu.open()?, Precision::F32)?;
//!
//! let ids = tokenizer.encode("How do vaccines work?")?;
//! let team = ThreadTeam::current_or_default()?;
//! // One vector, as the model's files say; `Head::tokens()` would be one for each token.
//! let head = LoadedHead::load(&files, &files.config().head)?;
//! let vector = encoder.encode(&[(&ids).into()], &head, &team)?.remove(0)?;
//! assert_eq!((vector.rows(), vector.columns()), (1, 384));
//! # }
//! # Ok(())
//! # }
//! ```

pub mod architecture;
pub mod classification;
pub mod config;
pub mod device;
pub mod encoder;
pub mod engine;
pub mod image;
pub mod late_interaction;
pub mod preprocess;
pub mod source;
pub mod thread_team;
pub mod tokenizer;

mod adapter;
mod checkpoint;
#[cfg(all(target_os = "linux", any(feature = "cuda", test)))]
#[allow(
    unsafe_code,
    reason = "functions of libraries that are opened as the process runs"
)]
mod cuda;
mod error;
mod facts;
mod family;
mod names;
mod values;

pub use adapter::AdapterSource;
pub use architecture::{Head, Pooling};
pub use classification::{
    Aggregation, Classifier, Entailment, LabeledSpan, Level, ScoreKind, SpanToken,
};
pub use config::{ModelConfig, Prompts, TextRole, UnknownPrompt};
pub use device::{DeviceError, DeviceFailure, DeviceSpec, Precision, SeenDevice, SeenDevices};
pub use encoder::{
    EncodeError, EncoderCache, HeadedRow, LoadedHead, RowError, RowInput, RowTokens, TextEncoder,
};
pub use engine::{EngineError, EngineSpec};
pub use error::LoadError;
pub use facts::ModelFacts;
pub use image::{ImageError, ImageLimits, ImageProcessor, Pixels};
pub use late_interaction::{maxsim, maxsim_all};
pub use preprocess::{Chunk, Chunker, ChunkerError, ChunkerOptions};
pub use source::{Modality, ModelFiles, Source, SourceError};
pub use thread_team::{Pauses, ThreadPriority, ThreadTeam, ThreadTeamError};
pub use tokenizer::{
    PairError, TextTokens, TokenIds, TokenSpan, Tokenizer, TokenizerCache, TokenizerError,
    TruncationSide,
};
pub use values::{Values, scale_to_unit};
