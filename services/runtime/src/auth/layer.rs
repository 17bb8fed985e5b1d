//! The server layer that finds out who calls.

use http::Request;
use tonic::Status;

use super::access::not_permitted;
use super::authenticator::Authenticator;
use super::grants::Grant;
use super::refusal::Refusal;
use crate::audit::CallRecord;
use crate::layers::call::{CallHooks, CallLayer, Layered};
use crate::listener::{is_admin, is_health};
use crate::serve::ConnectionInfo;

/// Puts the [`Principal`](super::Principal) of a call into its extensions. A call without one gets
/// UNAUTHENTICATED, a call of a method that changes the server PERMISSION_DENIED unless it is
/// granted. Health asks nobody who they are.
#[derive(Clone)]
pub struct AuthLayer(Option<Authenticator>);

impl AuthLayer {
    /// Checks credentials by `authenticator`; without one, none are asked for.
    pub fn new(authenticator: Option<Authenticator>) -> Self {
        Self(authenticator)
    }
}

/// A service with an [`AuthLayer`] around it.
pub type AuthService<S> = Layered<AuthLayer, S>;

/// The layer is done with a call once it has begun.
pub struct Passed;

impl CallHooks for Passed {}

impl<B> CallLayer<B> for AuthLayer {
    type Hooks = Passed;

    fn begin(&self, request: &mut Request<B>) -> Result<Option<Passed>, Status> {
        let Some(authenticator) = &self.0 else {
            return Ok(None);
        };
        let path = request.uri().path();
        if is_health(path) {
            return Ok(None);
        }
        let connection = ConnectionInfo::of(request.extensions());
        let peer = connection.map(ConnectionInfo::peer);
        let certificate = connection.map_or(&[][..], ConnectionInfo::client_names);
        let principal = authenticator
            .authenticate(request.headers(), certificate, peer)
            .map_err(|_| Refusal::status())?;
        if let Some(record) = request.extensions().get::<CallRecord>() {
            record.set_principal(&principal);
        }
        if is_admin(path) && !principal.grants().has(&Grant::Admin) {
            return Err(not_permitted("admin"));
        }
        request.extensions_mut().insert(principal);
        Ok(None)
    }
}
