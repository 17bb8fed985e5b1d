//! Fuzz targets: functions over bytes that others send or write, none of which may panic, hang or
//! take memory without bound.
//!
//! * [`targets`]: the targets.
//! * [`corpus`]: the inputs that are kept of each, `fuzz/corpus/TARGET/*`.
//! * [`mutate`]: changed inputs, made by proptest, which shrinks one that fails.
//!
//! Tests replay the corpora with some changes each. By hand, for as long as one likes:
//!
//! ```sh
//! cargo run --release -p motet-fuzz -- oip_request 600
//! ```

pub mod corpus;
pub mod mutate;
pub mod targets;
