//! The pipelines of a gateway as users of the models of their process.

use futures::future::BoxFuture;
use motet_gateway::serve::{ModelChange, WeakGateway};
use motet_service::{Change, ModelUsers};
use tonic::Status;

/// The gateway of a process, which calls its models.
pub(in crate::process) struct GatewayUsers(pub(in crate::process) WeakGateway);

impl ModelUsers for GatewayUsers {
    fn check(&self, change: &Change<'_>) -> Result<(), Status> {
        match self.0.upgrade() {
            Some(gateway) => Ok(gateway.check_model(&of_gateway(change))?),
            None => Ok(()),
        }
    }

    fn settled<'s>(&'s self, name: &'s str) -> BoxFuture<'s, ()> {
        Box::pin(async move {
            if let Some(gateway) = self.0.upgrade() {
                gateway.settled(name).await;
            }
        })
    }

    fn change(&self, change: &Change<'_>, make: &mut dyn FnMut()) -> Result<(), Status> {
        match self.0.upgrade() {
            Some(gateway) => Ok(gateway.change_model(&of_gateway(change), make)?),
            None => {
                make();
                Ok(())
            }
        }
    }
}

/// Returns a change as the gateway takes it.
fn of_gateway<'n>(change: &Change<'n>) -> ModelChange<'n> {
    match change {
        Change::Put(name, signature) => ModelChange::Put(name, signature.clone()),
        Change::Remove(name) => ModelChange::Remove(name),
    }
}
