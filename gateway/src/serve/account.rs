//! The account of a request: what it uses, what it holds, and what it may name.

use motet_proto::tensor::Tensor;
use motet_runtime::auth::Access;
use motet_runtime::limits::HeldBytes;
use motet_runtime::request_stream::StreamedRequest;
use motet_runtime::usage::Usage;
use tonic::Status;

/// Usage, held bytes and access of a request; nothing is counted for one that came by way of no
/// server.
#[derive(Debug, Clone, Default)]
pub(super) struct Account {
    pub(super) usage: Option<Usage>,
    held: Option<HeldBytes>,
    pub(super) access: Access,
}

impl Account {
    /// Returns the account of a request with these extensions.
    pub(super) fn of(extensions: &http::Extensions) -> Self {
        Self {
            usage: Usage::of(extensions).cloned(),
            held: HeldBytes::of(extensions).cloned(),
            access: Access::of(extensions),
        }
    }

    /// Counts the inputs of a request, which are decoded beside its message.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when the server has no room for them.
    pub(super) fn hold(&self, inputs: &[Option<Tensor>]) -> Result<(), Status> {
        let Some(held) = &self.held else {
            return Ok(());
        };
        held.grow(
            inputs
                .iter()
                .flatten()
                .map(|tensor| tensor.data().len())
                .sum(),
        )
    }
}

impl From<StreamedRequest> for Account {
    fn from(request: StreamedRequest) -> Self {
        Self {
            usage: Some(request.usage),
            held: Some(request.held),
            access: request.access,
        }
    }
}
