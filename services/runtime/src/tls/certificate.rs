//! The contents of a certificate: how long it is valid, and whose it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_cert::Certificate;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::{Decode, Tag, Tagged, oid::ObjectIdentifier};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::name::PeerName;

/// Object identifier of a common name.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Contents of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    /// URIs, then DNS names, then the common name.
    pub(super) names: Vec<PeerName>,
    pub(super) addresses: Vec<IpAddr>,
}

/// Reason for which a certificate is not valid at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutOfTime {
    Expired(SystemTime),
    NotYet(SystemTime),
}

impl Contents {
    /// Reads a certificate.
    ///
    /// # Errors
    /// When it is none, as the end of a sentence.
    pub(super) fn read(der: &[u8]) -> Result<Self, String> {
        let certificate = Certificate::from_der(der)
            .map_err(|error| format!("has a certificate that cannot be read: {error}"))?;
        let body = &certificate.tbs_certificate;
        let alternative = body
            .get::<SubjectAltName>()
            .map_err(|error| format!("has a certificate whose names cannot be read: {error}"))?;
        let alternative = alternative.map(|(_, names)| names.0).unwrap_or_default();
        let uris = alternative.iter().filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(PeerName::Uri(uri.to_string())),
            _ => None,
        });
        let hosts = alternative.iter().filter_map(|name| match name {
            GeneralName::DnsName(host) => Some(PeerName::Dns(host.to_string())),
            _ => None,
        });
        let subject = body.subject.0.iter().flat_map(|part| part.0.iter());
        let common = subject
            .filter(|attribute| attribute.oid == COMMON_NAME)
            .filter_map(|attribute| text(&attribute.value))
            .map(PeerName::CommonName);
        let addresses = alternative.iter().filter_map(|name| match name {
            GeneralName::IpAddress(bytes) => address(bytes.as_bytes()),
            _ => None,
        });
        let time = |since_epoch: Duration| UNIX_EPOCH + since_epoch;
        Ok(Self {
            not_before: time(body.validity.not_before.to_unix_duration()),
            not_after: time(body.validity.not_after.to_unix_duration()),
            names: uris.chain(hosts).chain(common).collect(),
            addresses: addresses.collect(),
        })
    }

    /// Returns why the certificate is not valid at `now`; `None` if it is.
    pub(super) fn out_of_time(&self, now: SystemTime) -> Option<OutOfTime> {
        if now > self.not_after {
            return Some(OutOfTime::Expired(self.not_after));
        }
        (now < self.not_before).then_some(OutOfTime::NotYet(self.not_before))
    }

    /// Returns whether it names a host, as clients look for one: the common name does not count.
    pub(super) fn has_host(&self) -> bool {
        let is_dns = |name: &PeerName| matches!(name, PeerName::Dns(_));
        !self.addresses.is_empty() || self.names.iter().any(is_dns)
    }
}

/// Returns the text of a name's value.
fn text(value: &x509_cert::der::Any) -> Option<String> {
    let text = match value.tag() {
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().ok()?.to_string(),
        Tag::PrintableString => value
            .decode_as::<PrintableStringRef<'_>>()
            .ok()?
            .to_string(),
        Tag::Ia5String => value.decode_as::<Ia5StringRef<'_>>().ok()?.to_string(),
        Tag::TeletexString => value.decode_as::<TeletexStringRef<'_>>().ok()?.to_string(),
        _ => return None,
    };
    Some(text)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(Ipv4Addr::from);
    let sixteen = <[u8; 16]>::try_from(bytes).map(Ipv6Addr::from);
    four.map(IpAddr::from).or(sixteen.map(IpAddr::from)).ok()
}

/// Returns the names in a client's certificate, which has been verified. One that cannot be read
/// has none.
pub(crate) fn names_of(der: &[u8]) -> Vec<PeerName> {
    Contents::read(der)
        .map(|contents| contents.names)
        .unwrap_or_default()
}
