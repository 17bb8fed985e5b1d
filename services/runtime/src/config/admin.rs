//! The key `admin` of a server: where it can be changed.

use std::net::{Ipv4Addr, SocketAddr};

use motet_config::{Diagnostics, Entry};

use super::ServerSpec;
use super::listener::{AddressAndSwitches, OFF};
use crate::listener::ListenerServices;

/// Address at which a server can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AdminSpec {
    /// At the gRPC address where that is on loopback, else at [`AdminSpec::ADDRESS`].
    #[default]
    Unstated,
    /// Nowhere.
    Off,
    /// At this address.
    At(SocketAddr, ListenerServices),
}

impl AdminSpec {
    /// The address where none is stated and the gRPC address is not on loopback.
    pub const ADDRESS: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 50_052);

    /// Reads the entry `admin`.
    pub(super) fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Self> {
        if entry.node.as_str() == Some(OFF) {
            return Some(Self::Off);
        }
        let read = AddressAndSwitches::read(entry, ["health", "reflection"], diagnostics)?;
        let [health, reflection] = read.switches;
        let services = ListenerServices {
            admin: true,
            health,
            reflection,
        };
        Some(Self::At(read.address, services))
    }
}

impl ServerSpec {
    /// Returns the services of the gRPC server.
    pub fn grpc_services(&self) -> ListenerServices {
        let is_own = match self.admin {
            AdminSpec::Unstated => self.grpc.ip().to_canonical().is_loopback(),
            AdminSpec::Off => false,
            AdminSpec::At(address, _) => address == self.grpc && address.port() != 0,
        };
        ListenerServices {
            admin: is_own,
            ..self.grpc_services
        }
    }

    /// Returns the admin server's address and services; `None` if there is no such server.
    pub fn admin_listener(&self) -> Option<(SocketAddr, ListenerServices)> {
        if self.grpc_services().admin {
            return None;
        }
        match self.admin {
            AdminSpec::Unstated => Some((AdminSpec::ADDRESS, ListenerServices::default())),
            AdminSpec::Off => None,
            AdminSpec::At(address, services) => Some((address, services)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_changed_at_one_address_that_is_loopback_unless_stated() {
        let at = |text: &str| AdminSpec::At(text.parse().expect(text), ListenerServices::default());
        for (grpc, admin, is_own, own_listener) in [
            ("127.0.0.1:50051", AdminSpec::Unstated, true, None),
            ("[::1]:50051", AdminSpec::Unstated, true, None),
            ("[::ffff:127.0.0.1]:50051", AdminSpec::Unstated, true, None),
            (
                "0.0.0.0:50051",
                AdminSpec::Unstated,
                false,
                Some("127.0.0.1:50052"),
            ),
            (
                "[::]:50051",
                AdminSpec::Unstated,
                false,
                Some("127.0.0.1:50052"),
            ),
            ("10.0.0.1:1", at("127.0.0.1:2"), false, Some("127.0.0.1:2")),
            ("127.0.0.1:1", at("127.0.0.1:2"), false, Some("127.0.0.1:2")),
            ("0.0.0.0:1", at("0.0.0.0:1"), true, None),
            ("0.0.0.0:0", at("0.0.0.0:0"), false, Some("0.0.0.0:0")),
            ("127.0.0.1:1", AdminSpec::Off, false, None),
            ("0.0.0.0:1", AdminSpec::Off, false, None),
        ] {
            let spec = ServerSpec {
                grpc: grpc.parse().expect(grpc),
                admin,
                ..ServerSpec::default()
            };
            assert_eq!(spec.grpc_services().admin, is_own, "{grpc} {admin:?}");
            let found = spec
                .admin_listener()
                .map(|(address, _)| address.to_string());
            assert_eq!(found.as_deref(), own_listener, "{grpc} {admin:?}");
        }
    }
}
