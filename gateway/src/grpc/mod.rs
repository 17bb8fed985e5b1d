//! Methods of gRPC servers outside as nodes.
//!
//! * [`reflect`]: asks a server for the descriptor of a service.
//! * [`schemas`](Schemas): descriptors of services by endpoint, for the check.
//! * [`remote`](EndpointClient): the connection to an endpoint, shared by all who call it.
//! * [`method`](Method): the call of one method.

pub mod reflect;

mod method;
mod remote;
mod schemas;

pub use method::Method;
pub use remote::{EndpointClient, Endpoints};
pub use schemas::{Schemas, ServiceLookupError, called_services};
