//! gRPC servers outside, and the way to each.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use motet_runtime::config::{Destination, ErrorWords};
use tonic::Status;

use crate::call::errors::{UpstreamInfo, for_operator};
use crate::call::transport::{self, Transport};
use crate::call::{Callee, SharedLimits};
use crate::policy::breaker::BreakerOptions;
use crate::syntax::EndpointRef;

/// A gRPC server and the way to it. Cheap to clone.
#[derive(Clone)]
pub struct EndpointClient {
    name: Arc<str>,
    is_named: bool,
    errors: ErrorWords,
    shared: Arc<Shared>,
    message_bytes_max: usize,
}

/// State that all callers of one server share, by whatever name.
struct Shared {
    address: String,
    transport: Transport,
    limits: Arc<SharedLimits>,
}

impl std::fmt::Debug for EndpointClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "EndpointClient({} at {})",
            self.name, self.shared.address
        )
    }
}

impl EndpointClient {
    /// Its name, or its address where a pipeline says only that.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is, for people.
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// The most bytes of a message, in or out.
    pub const fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    /// Returns the callee for errors of calls of `subject`.
    pub(super) fn info<'a>(&'a self, subject: &'a str) -> UpstreamInfo<'a> {
        UpstreamInfo {
            kind: "endpoint",
            name: self.is_named.then_some(&*self.name),
            subject,
            message_bytes_max: self.message_bytes_max,
            errors: self.errors,
        }
    }

    /// An error as whoever loads pipelines gets it, with the address.
    pub(super) fn operator_error(&self, error: &Status) -> Status {
        for_operator(error, "endpoint", self.name(), self.address())
    }

    pub(super) fn transport(&self) -> Transport {
        self.shared.transport.clone()
    }

    pub(super) fn limits(&self) -> &SharedLimits {
        &self.shared.limits
    }
}

/// The endpoints of a configuration, and connections to those that are in use: one for each
/// destination, shared by all who call it.
pub struct Endpoints {
    named: BTreeMap<String, (Destination, ErrorWords)>,
    open: Mutex<HashMap<Destination, Weak<Shared>>>,
    message_bytes_max: usize,
}

impl std::fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Endpoints").field(&self.named).finish()
    }
}

impl Endpoints {
    /// Endpoints by name, with the visibility of their errors' words. A message to or from any of
    /// them has at most so many bytes.
    pub fn new(
        named: impl IntoIterator<Item = (String, Destination, ErrorWords)>,
        message_bytes_max: usize,
    ) -> Self {
        let named = named.into_iter();
        Self {
            named: named
                .map(|(name, at, errors)| (name, (at, errors)))
                .collect(),
            open: Mutex::default(),
            message_bytes_max,
        }
    }

    /// The way to an endpoint; `None` where no endpoint has this name. The connection is made at
    /// the first call. Needs a tokio runtime.
    pub fn get(&self, endpoint: &EndpointRef) -> Option<EndpointClient> {
        let (shared, is_named, errors) = match endpoint {
            EndpointRef::Name(name) => {
                let (destination, errors) = self.named.get(name)?;
                (self.shared(destination)?, true, *errors)
            }
            EndpointRef::Address(address) => {
                let destination = Destination::from(address.clone());
                (self.shared(&destination)?, false, ErrorWords::Show)
            }
        };
        Some(EndpointClient {
            name: endpoint.to_string().into(),
            is_named,
            errors,
            shared,
            message_bytes_max: self.message_bytes_max,
        })
    }

    fn shared(&self, destination: &Destination) -> Option<Arc<Shared>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = open.get(destination).and_then(Weak::upgrade) {
            return Some(shared);
        }
        open.retain(|_, shared| shared.strong_count() > 0);
        // An address was read from a text that makes a URI.
        let transport = transport::connect(destination).ok()?;
        let address = destination.endpoint.to_string();
        let callee = Callee {
            kind: "endpoint",
            name: address.clone(),
            address: address.clone(),
        };
        let limits = SharedLimits::new(callee, Some(transport.clone()), BreakerOptions::default());
        let shared = Arc::new(Shared {
            address,
            transport,
            limits,
        });
        open.insert(destination.clone(), Arc::downgrade(&shared));
        Some(shared)
    }
}
