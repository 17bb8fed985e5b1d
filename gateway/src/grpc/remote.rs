//! gRPC servers outside, and the way to each.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use motet_runtime::config::Endpoint;
use motet_runtime::status;
use tonic::Status;

use crate::call::SharedLimits;
use crate::call::transport::{self, Transport, connection_failure};
use crate::policy::breaker::BreakerOptions;
use crate::syntax::EndpointRef;

/// A gRPC server and the way to it. Cheap to clone.
#[derive(Clone)]
pub struct Remote {
    name: Arc<str>,
    shared: Arc<Shared>,
    message_bytes_max: usize,
}

/// What all who call one server share, by whatever name.
struct Shared {
    address: String,
    transport: Transport,
    limits: SharedLimits,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Remote({} at {})", self.name, self.shared.address)
    }
}

impl Remote {
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

    /// Names the endpoint in an error. A connection that cannot be made or breaks reads as what
    /// it means.
    pub(super) fn blame(&self, error: &Status) -> Status {
        let at = match self.address() {
            address if address == self.name() => format!("endpoint {address}"),
            address => format!("endpoint {} at {address}", self.name()),
        };
        match connection_failure(error) {
            Some(what) => status::unavailable(format!("{at} {what}"))
                .with("endpoint", self.name())
                .into(),
            None => status::annotate(error, [("endpoint", self.name())]),
        }
    }

    pub(super) fn transport(&self) -> Transport {
        self.shared.transport.clone()
    }

    pub(super) fn limits(&self) -> &SharedLimits {
        &self.shared.limits
    }
}

/// The endpoints of a configuration, and connections to those that are in use: one for each
/// address, shared by all who call it.
pub struct Endpoints {
    named: BTreeMap<String, Endpoint>,
    open: Mutex<HashMap<Endpoint, Weak<Shared>>>,
    message_bytes_max: usize,
}

impl std::fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Endpoints").field(&self.named).finish()
    }
}

impl Endpoints {
    /// Endpoints by name. A message to or from any of them has at most so many bytes.
    pub fn new(
        named: impl IntoIterator<Item = (String, Endpoint)>,
        message_bytes_max: usize,
    ) -> Self {
        Self {
            named: named.into_iter().collect(),
            open: Mutex::default(),
            message_bytes_max,
        }
    }

    /// The way to an endpoint; `None` where no endpoint has this name. The connection is made at
    /// the first call. Needs a tokio runtime.
    pub fn get(&self, endpoint: &EndpointRef) -> Option<Remote> {
        let address = match endpoint {
            EndpointRef::Name(name) => self.named.get(name)?,
            EndpointRef::Address(address) => address,
        };
        Some(Remote {
            name: endpoint.to_string().into(),
            shared: self.shared(address)?,
            message_bytes_max: self.message_bytes_max,
        })
    }

    fn shared(&self, address: &Endpoint) -> Option<Arc<Shared>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = open.get(address).and_then(Weak::upgrade) {
            return Some(shared);
        }
        open.retain(|_, shared| shared.strong_count() > 0);
        // An address was read from a text that makes a URI.
        let shared = Arc::new(Shared {
            address: address.to_string(),
            transport: transport::connect(address).ok()?,
            limits: SharedLimits::new(BreakerOptions::default()),
        });
        open.insert(address.clone(), Arc::downgrade(&shared));
        Some(shared)
    }
}
