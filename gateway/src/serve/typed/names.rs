//! Names and numbers of the typed API that are not the pipeline's own.

pub(super) use crate::check::service_name as pascal_case;

/// The package of every pipeline's service.
pub const PACKAGE: &str = "motet.pipeline";

/// Import path and name of the Go package: one for all pipelines, as the proto package.
pub(super) const GO_PACKAGE: &str = "motet/pipeline;pipeline";

/// The receipt, in a response.
pub(super) const RECEIPT: (&str, u32) = ("receipt", 16000);
/// What matches an answer to its request on a stream; in both.
pub(super) const REQUEST_ID: (&str, u32) = ("request_id", 16001);
/// Why one request of a stream failed, in a response.
pub(super) const ERROR: (&str, u32) = ("error", 16002);

/// The unary method.
pub(super) const RUN: &str = "Run";
/// The streaming method.
pub(super) const RUN_STREAM: &str = "RunStream";

/// The full name of a pipeline's service.
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
