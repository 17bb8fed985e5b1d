//! `grpc`: the method behind its endpoint.

use super::check::Checked;
use crate::call::PolicyClient;
use crate::check::Node;
use crate::grpc::Method;
use crate::plan::{BindError, BindKind, Binder, BoundKind};

/// A call of a method.
#[derive(Debug)]
pub struct Bound {
    /// The method as this node calls it.
    pub client: Box<PolicyClient<Method>>,
    /// The fields of its messages.
    pub call: Box<Checked>,
}

impl BindKind for Checked {
    type Bound = Bound;

    fn bind(&self, node: &Node, binder: &Binder<'_>) -> Result<Bound, BindError> {
        let method = binder.bind.endpoint(&self.endpoint).and_then(|remote| {
            Method::new(remote, &self.path, self.response.clone(), self.messages_max).ok()
        });
        let name = self.endpoint.to_string();
        let method = method.ok_or_else(|| binder.missing(node, "endpoint", &name))?;
        let client = PolicyClient::new(
            method,
            binder.pipeline,
            &node.name,
            &node.policies,
            binder.metrics,
        );
        Ok(Bound {
            client: Box::new(client),
            call: Box::new(self.clone()),
        })
    }
}

impl BoundKind for Bound {}
