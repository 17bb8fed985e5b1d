//! Inference by a call of the service's method: no wire form is made and read back, so a tensor's
//! bytes are the same memory on both sides.

use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_runtime::deadline::Deadline;
use motet_runtime::status;
use prost::Message;
use tonic::{Request, Response, Status};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

/// A service's method for inference, in this process.
#[derive(Clone)]
pub(super) struct Direct {
    method: BoxCloneSyncService<Request<ModelInferRequest>, Response<ModelInferResponse>, Status>,
    message_bytes_max: usize,
}

impl Direct {
    pub(super) fn new<M>(method: M, message_bytes_max: usize) -> Self
    where
        M: tower::Service<
                Request<ModelInferRequest>,
                Response = Response<ModelInferResponse>,
                Error = Status,
            > + Clone
            + Send
            + Sync
            + 'static,
        M::Future: Send,
    {
        Self {
            method: BoxCloneSyncService::new(method),
            message_bytes_max,
        }
    }

    /// One inference; the deadline is where a server's layer would have put it.
    ///
    /// # Errors
    /// The method's own status; RESOURCE_EXHAUSTED when a message would be too large for a wire.
    pub(super) async fn infer(
        &self,
        message: ModelInferRequest,
        deadline: Option<Deadline>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        self.check(&message)?;
        let mut request = Request::new(message);
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(deadline);
        }
        let response = self.method.clone().oneshot(request).await?;
        self.check(response.get_ref())?;
        Ok(response)
    }

    /// The limits on messages between processes hold within one, too.
    fn check(&self, message: &impl Message) -> Result<(), Status> {
        let (bytes, limit) = (message.encoded_len(), self.message_bytes_max);
        if bytes <= limit {
            return Ok(());
        }
        let what = format!("the message has {bytes} bytes, the limit is {limit} bytes");
        Err(status::message_too_large(what, limit.to_string()).into())
    }
}
