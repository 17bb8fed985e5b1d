//! Names and numbers of the typed API that all pipelines share.

use crate::check::pascal_case;

/// Protobuf package of the services of all pipelines.
pub const PACKAGE: &str = "motet.pipeline";

/// Import path and name of the Go package of all pipelines.
pub(super) const GO_PACKAGE: &str = "motet/pipeline;pipeline";

/// Name and number of the receipt in a response.
pub(super) const RECEIPT: (&str, u32) = ("receipt", 16000);
/// Name and number of the id that matches a response to its request on a stream, in both.
pub(super) const REQUEST_ID: (&str, u32) = ("request_id", 16001);
/// Name and number of the error of one request of a stream, in a response.
pub(super) const ERROR: (&str, u32) = ("error", 16002);

/// Name of the unary method.
pub(super) const RUN: &str = "Run";
/// Name of the streaming method.
pub(super) const RUN_STREAM: &str = "RunStream";

/// Returns the full name of the service of a pipeline.
///
/// ```
/// use motet_gateway::serve::typed::service_name;
///
/// assert_eq!(service_name("hybrid_search"), "motet.pipeline.HybridSearch");
/// ```
pub fn service_name(pipeline: &str) -> String {
    format!("{PACKAGE}.{}", pascal_case(pipeline))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_pascal_case() {
        for (name, expected) in [
            ("rag", "motet.pipeline.Rag"),
            ("hybrid_search_2", "motet.pipeline.HybridSearch2"),
            ("a__b_", "motet.pipeline.AB"),
        ] {
            assert_eq!(service_name(name), expected);
        }
    }
}
