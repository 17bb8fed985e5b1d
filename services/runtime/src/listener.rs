//! Listeners: which services are reachable at which address.

use http::Request;
use tonic::Status;

use crate::layers::call::{CallHooks, CallLayer, Layered};
use crate::status::{Reason, StatusBuilder, unknown_method};

/// Services of a gRPC listener besides the calls of pipelines and models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerServices {
    /// Loading and unloading, and whatever else changes the server.
    pub admin: bool,
    /// `grpc.health.v1`.
    pub health: bool,
    /// `grpc.reflection.v1` and `v1alpha`.
    pub reflection: bool,
}

impl Default for ListenerServices {
    fn default() -> Self {
        Self {
            admin: true,
            health: true,
            reflection: true,
        }
    }
}

/// Methods that change the server, by the last two parts of their paths.
const ADMIN_METHODS: [&str; 4] = [
    "/inference.GRPCInferenceService/RepositoryModelLoad",
    "/inference.GRPCInferenceService/RepositoryModelUnload",
    "/motet.v1.Pipelines/Load",
    "/motet.v1.Pipelines/Unload",
];

/// Returns `true` for the path of a method that changes the server.
pub fn is_admin(path: &str) -> bool {
    ADMIN_METHODS.contains(&path)
}

/// Returns `true` for the path of a method of health.
pub(crate) fn is_health(path: &str) -> bool {
    path.starts_with("/grpc.health.")
}

/// Refuses calls of services that the listener does not have.
#[derive(Clone, Copy, Debug)]
pub struct ListenerLayer(pub ListenerServices);

/// A service with a [`ListenerLayer`] around it.
pub type ListenerService<S> = Layered<ListenerLayer, S>;

/// The layer is done with a call once it has begun.
pub struct Reachable;

impl CallHooks for Reachable {}

impl<B> CallLayer<B> for ListenerLayer {
    type Hooks = Reachable;

    fn begin(&self, request: &mut Request<B>) -> Result<Option<Reachable>, Status> {
        let path = request.uri().path();
        let services = self.0;
        if !services.admin && is_admin(path) {
            let text = "this address does not change the server: call the address of \
                        `server.admin`, which is for those who run it";
            return Err(StatusBuilder::new(Reason::AdminElsewhere, text).into());
        }
        let is_off = (!services.health && is_health(path))
            || (!services.reflection && path.starts_with("/grpc.reflection."));
        match is_off {
            true => Err(unknown_method(path).into()),
            false => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(services: ListenerServices, path: &str) -> Option<tonic::Code> {
        let mut request = Request::new(());
        *request.uri_mut() = path.parse().expect("a path");
        let begun = ListenerLayer(services).begin(&mut request);
        begun.err().map(|status| status.code())
    }

    #[test]
    fn a_listener_has_the_services_that_are_on() {
        use tonic::Code::{PermissionDenied, Unimplemented};
        let all = ListenerServices::default();
        let none = ListenerServices {
            admin: false,
            health: false,
            reflection: false,
        };
        for (path, refused) in [
            ("/motet.v1.Pipelines/Load", Some(PermissionDenied)),
            ("/motet.v1.Pipelines/Unload", Some(PermissionDenied)),
            (
                "/inference.GRPCInferenceService/RepositoryModelLoad",
                Some(PermissionDenied),
            ),
            (
                "/inference.GRPCInferenceService/RepositoryModelUnload",
                Some(PermissionDenied),
            ),
            ("/inference.GRPCInferenceService/RepositoryIndex", None),
            ("/motet.v1.Pipelines/List", None),
            ("/motet.pipeline.Load/Run", None),
            ("/grpc.health.v1.Health/Check", Some(Unimplemented)),
            (
                "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                Some(Unimplemented),
            ),
            (
                "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                Some(Unimplemented),
            ),
        ] {
            assert_eq!(refusal(all, path), None, "{path}");
            assert_eq!(refusal(none, path), refused, "{path}");
        }
    }
}
