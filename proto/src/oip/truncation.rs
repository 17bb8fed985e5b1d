//! Names of the response parameters with which a model service of motet reports how many tokens of
//! the texts it cut. Each is there only if something was cut.

/// Tokens that were cut of each row of `text`: a `string` that holds a JSON list of numbers, one
/// for each row, such as `[0,12]`.
pub const TOKENS_CUT: &str = "motet.tokens_cut";

/// Tokens that were cut of `query` (`int64`).
pub const QUERY_TOKENS_CUT: &str = "motet.query_tokens_cut";

/// `true` where a text was so long that counting stopped: more than the numbers say was cut
/// (`bool`).
pub const TOKENS_CUT_AT_LEAST: &str = "motet.tokens_cut_at_least";
