//! Flows: the callers among which a server's capacity is shared fairly.
//!
//! A [`Flow`] names where a call comes from, from the outside in: the principal, where callers
//! have to say who they are, else the peer (the address of the client's machine), then one
//! connection of it. A scheduler that shares by flows gives each peer
//! its part, within it each connection, and within that each call. A gateway passes the flow of its
//! own caller on to model services in the header [`MOTET_FLOW`]; there it takes the place of the
//! connection, so that the callers of one gateway are told apart although they share its
//! connection. Whoever sends such a header itself gains what it would gain by more connections.
//!
//! [`FlowLayer`] finds the flow of a call and makes it the current one while anything runs for the
//! call, as a span is: what needs it, however deep, asks [`Flow::current`]. Work on other tasks and
//! threads has to be given it ([`Flow::scope`]).
//!
//! * `header`: the header's form.
//! * `layer`: the server's layer.

mod header;
mod layer;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hash};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;
use std::sync::LazyLock;

use http::{Extensions, HeaderMap};

use crate::auth::{Grant, Principal};
use crate::serve::ConnectionInfo;

pub use header::{FlowError, MOTET_FLOW};
pub use layer::{FlowLayer, FlowService};

/// Number of levels that a flow has at most. Further ones, of gateways behind gateways, are left
/// out: the calls of the innermost level that is kept share its part.
pub const LEVELS_MAX: usize = 4;

/// Key of the hashes, new in every process: a hash tells nothing of an address to others.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

tokio::task_local! {
    static CURRENT: Flow;
}

/// Origin of a call: a path of hashes, outermost first, each with its share. The default, an empty
/// path, is that of calls that come over no connection.
///
/// ```
/// use motet_runtime::flow::Flow;
///
/// let flow = Flow::new(&[7, 9]);
/// let inside = flow.sync_scope(|| Flow::current());
/// assert_eq!(inside.keys(), [7, 9]);
/// assert_eq!(Flow::current(), Flow::default());
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flow {
    keys: [u64; LEVELS_MAX],
    /// The share of each level less one, so that the default is the usual share.
    extra_shares: [u16; LEVELS_MAX],
    len: u8,
}

impl Flow {
    /// Returns the flow of these keys, outermost first; those after the first [`LEVELS_MAX`] are
    /// left out.
    pub fn new(keys: &[u64]) -> Self {
        keys.iter().fold(Self::default(), |flow, &key| {
            flow.then(key, NonZeroU16::MIN)
        })
    }

    /// Returns the flow of a connection, the `number`th of its server, from this address.
    pub(crate) fn of_connection(peer: IpAddr, number: u64) -> Self {
        Self::new(&[hash(machine(peer)), hash(number)])
    }

    /// Returns the flow of a request with these extensions and headers: that of its connection, the
    /// last level of which the header replaces. A principal takes the place of the machine; of one
    /// without the grant `flows` the header is not read.
    ///
    /// # Errors
    /// When the header is malformed.
    pub fn of(extensions: &Extensions, headers: &HeaderMap) -> Result<Self, FlowError> {
        let connection = ConnectionInfo::of(extensions).map_or(Self::default(), |i| i.flow());
        let Some(principal) = extensions.get::<Principal>() else {
            return match headers.get(MOTET_FLOW) {
                None => Ok(connection),
                Some(value) => header::parse(connection.parent(), value),
            };
        };
        let flow = Self::default().then(principal.flow(), principal.share());
        match headers.get(MOTET_FLOW) {
            Some(value) if principal.grants().has(&Grant::Flows) => header::parse(flow, value),
            _ => Ok(match connection.keys().last() {
                Some(&connection) => flow.then(connection, NonZeroU16::MIN),
                None => flow,
            }),
        }
    }

    /// Returns the flow of the call for which the current task runs; the default outside of any.
    pub fn current() -> Self {
        CURRENT.try_with(|flow| *flow).unwrap_or_default()
    }

    /// Runs a future with this flow as the current one.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// Runs a closure with this flow as the current one.
    pub fn sync_scope<T>(self, run: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, run)
    }

    /// Returns the keys, outermost first.
    pub fn keys(&self) -> &[u64] {
        &self.keys[..usize::from(self.len)]
    }

    /// Returns the levels, outermost first: a key and its share.
    pub fn levels(&self) -> impl Iterator<Item = (u64, NonZeroU16)> {
        let shares = self
            .extra_shares
            .iter()
            .map(|extra| NonZeroU16::MIN.saturating_add(*extra));
        self.keys().iter().copied().zip(shares)
    }

    /// Returns the outermost key, that of the caller's machine; 0 for calls that come over no
    /// connection. Turns to compute go by it, so that more connections are no more turns.
    pub fn machine(&self) -> u64 {
        self.keys().first().copied().unwrap_or_default()
    }

    /// Returns `true` for the flow of calls that come over no connection.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the flow with one more level, unless it has all that it can have.
    fn then(mut self, key: u64, share: NonZeroU16) -> Self {
        let level = usize::from(self.len);
        if level < LEVELS_MAX {
            self.keys[level] = key;
            self.extra_shares[level] = share.get() - 1;
            self.len += 1;
        }
        self
    }

    /// Returns the flow without its last level.
    fn parent(self) -> Self {
        let inner = usize::from(self.len).saturating_sub(1);
        let levels = self.levels().take(inner);
        levels.fold(Self::default(), |flow, (key, share)| flow.then(key, share))
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flow({self})")
    }
}

pub(crate) fn hash(value: impl Hash) -> u64 {
    HASHER.hash_one(value)
}

/// Returns what tells a machine from others: of an IPv6 address the network, since a machine has as
/// many addresses of its network as it likes.
fn machine(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests;
