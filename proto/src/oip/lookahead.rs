//! Names of the request parameters with which a caller announces further rows of the same request,
//! so that rows that arrive one after the other can run in one batch. All are `int64` and optional.

/// Number that the calls of one request have in common, 0 or more.
pub const REQUEST: &str = "motet.request";

/// Approximate number of rows of the same request that will follow to the same model.
pub const SEQUEL_ROWS: &str = "motet.sequel_rows";

/// Time within which they will most probably arrive, in microseconds. [`SEQUEL_ROWS`] is ignored
/// without it.
pub const SEQUEL_US: &str = "motet.sequel_us";
