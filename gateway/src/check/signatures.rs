//! Where the check learns what models and methods take and give.

use std::sync::Arc;

use motet_proto::signature::Signature;
use prost_reflect::ServiceDescriptor;

use super::CheckedPipeline;
use crate::grpc::ServiceLookupError;
use crate::syntax::EndpointRef;

/// Knows the models of a configuration, and the pipelines that others may call.
pub trait SignatureSource {
    /// The signature of the model `name`.
    ///
    /// # Errors
    /// There is no such model, or its signature cannot be had now.
    fn model(&self, name: &str) -> Result<Arc<Signature>, SignatureError>;

    /// The pipeline `name`, for a node that calls it.
    ///
    /// # Errors
    /// There is no such pipeline, or it cannot be called.
    fn pipeline(&self, name: &str) -> Result<Arc<CheckedPipeline>, SignatureError> {
        let _ = name;
        Err(SignatureError::Unknown { known: Vec::new() })
    }

    /// The service of this full name at `endpoint`, for a node that calls one of its methods.
    ///
    /// # Errors
    /// There is no such endpoint or service, or it cannot be had now.
    fn service(
        &self,
        endpoint: &EndpointRef,
        service: &str,
    ) -> Result<ServiceDescriptor, ServiceLookupError> {
        let _ = (endpoint, service);
        Err(ServiceLookupError::Endpoint { known: Vec::new() })
    }
}

/// Why there is no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is nothing of this name.
    #[error("nothing has this name")]
    Unknown {
        /// The names that there are.
        known: Vec<String>,
    },
    /// It has mistakes of its own, which are reported where they are.
    #[error("it has mistakes of its own")]
    Mistaken,
    /// It is there, but cannot be asked or used.
    #[error("{reason}")]
    Unavailable {
        /// Why, as a sentence without a full stop.
        reason: String,
    },
}
