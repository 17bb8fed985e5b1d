//! One address, alone or with switches of its services: `127.0.0.1:50051`, or
//! `{ address: 127.0.0.1:50051, reflection: off }`.

use std::net::SocketAddr;

use motet_config::values::word;
use motet_config::{Diagnostics, Entry, MapReader, Value, schema};
use serde_json::json;

use super::ServerSpec;
use super::server::address;

/// Word for no server.
pub(super) const OFF: &str = "off";
/// Words of a switch.
const SWITCH: [(&str, bool); 2] = [("on", true), ("off", false)];

/// Pages of the HTTP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpServices {
    /// `/healthz` and `/readyz`.
    pub health: bool,
    /// `/metrics`.
    pub metrics: bool,
}

impl Default for HttpServices {
    fn default() -> Self {
        Self {
            health: true,
            metrics: true,
        }
    }
}

/// An address and two switches, which are on unless stated.
pub(super) struct AddressAndSwitches {
    pub(super) address: SocketAddr,
    pub(super) switches: [bool; 2],
}

impl AddressAndSwitches {
    pub(super) fn read(
        entry: &Entry,
        names: [&'static str; 2],
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        if !matches!(entry.node.value, Value::Map(_)) {
            return Some(Self {
                address: address(entry, diagnostics)?,
                switches: [true; 2],
            });
        }
        let (what, at) = (format!("`{}`", entry.key.value), entry.key.span);
        let mut map = MapReader::new(&entry.node, what, at, diagnostics)?;
        let found = map.required("address", "write `address: 127.0.0.1:50051`");
        let found = found.and_then(|entry| address(entry, diagnostics));
        let switches = names.map(|name| {
            let entry = map.get(name);
            let switch = entry.and_then(|entry| word(entry, &SWITCH, diagnostics));
            switch.is_none_or(|switch| switch.value)
        });
        map.finish(diagnostics);
        Some(Self {
            address: found?,
            switches,
        })
    }
}

/// Reads the entry `grpc`.
pub(super) fn read_grpc(
    spec: &mut ServerSpec,
    entry: &Entry,
    diagnostics: &mut Diagnostics,
) -> Option<()> {
    let read = AddressAndSwitches::read(entry, ["health", "reflection"], diagnostics)?;
    spec.grpc = read.address;
    [spec.grpc_services.health, spec.grpc_services.reflection] = read.switches;
    Some(())
}

/// Reads the entry `http`.
pub(super) fn read_http(
    spec: &mut ServerSpec,
    entry: &Entry,
    diagnostics: &mut Diagnostics,
) -> Option<()> {
    if entry.node.as_str() == Some(OFF) {
        spec.http = None;
        return Some(());
    }
    let read = AddressAndSwitches::read(entry, ["health", "metrics"], diagnostics)?;
    spec.http = Some(read.address);
    [spec.http_services.health, spec.http_services.metrics] = read.switches;
    Some(())
}

/// Returns the JSON schema of an address with these switches.
pub(super) fn schema(switches: &[&str]) -> serde_json::Value {
    let mut map = json!({ "address": { "type": "string" } });
    for switch in switches {
        map[switch] = json!({ "enum": ["on", "off"] });
    }
    let mut map = schema::object(map);
    map["required"] = json!(["address"]);
    json!({ "anyOf": [{ "type": "string" }, map] })
}
