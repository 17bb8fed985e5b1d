//! Names of the response parameters with which a model service of motet reports what a call cost.
//!
//! Where the rows of a call were in several batches, times are those of the batch that finished
//! it, so that queue and compute time are parts of the time that the caller waited.

/// Time in the queue of the batcher, in microseconds (`int64`).
pub const QUEUE_US: &str = "motet.queue_us";

/// Time of the forward pass, in microseconds (`int64`).
pub const COMPUTE_US: &str = "motet.compute_us";

/// Rows of the largest batch with rows of the call (`int64`).
pub const BATCH_ROWS: &str = "motet.batch_rows";

/// The unit of the costs of texts.
pub const UNIT_TOKENS: &str = "tokens";

/// Tokens of the call's own rows that the model computed (`int64`). Only from models that compute
/// tokens.
pub const TOKENS: &str = "motet.tokens";

/// Cost of the call's own rows that the model computed, in [`UNIT`] (`int64`). From models whose
/// cost is not in tokens, in place of [`TOKENS`].
pub const COST: &str = "motet.cost";

/// The unit of [`COST`] and [`BATCH_COST`], a word in the plural such as `images` (`string`).
pub const UNIT: &str = "motet.unit";

/// Rows of the call that another model with the same weights had just encoded for the same caller,
/// and that were not encoded again (`int64`). Absent if there are none.
pub const ROWS_REUSED: &str = "motet.rows_reused";

/// Tokens of the largest batch with rows of the call (`int64`).
pub const BATCH_TOKENS: &str = "motet.batch_tokens";

/// Cost of the largest batch with rows of the call, in [`UNIT`] (`int64`). From models whose cost
/// is not in tokens, in place of [`BATCH_TOKENS`].
pub const BATCH_COST: &str = "motet.batch_cost";

/// Longest deliberate wait of a free executor before a batch with rows of the call, in
/// microseconds (`int64`); 0 if there was none. Only from models with a batcher.
pub const WINDOW_US: &str = "motet.window_us";

/// Reason why the batch that finished the call started when it did (`string`). Only from models
/// with a batcher.
///
/// * `ready`: an executor was free, and waiting would not have paid;
/// * `size`: the batch was full, or as long as pays where all its rows wait for its end;
/// * `window`: the wait was over;
/// * `deadline`: a longer wait would have made a row late;
/// * `drain`: the model was shutting down;
/// * `retry`: it was a part of a batch that failed.
pub const WINDOW_CAUSE: &str = "motet.window_cause";
