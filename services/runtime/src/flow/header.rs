//! The header that passes a flow on: its keys in hexadecimal, outermost first, with `/` between
//! them, such as `9f86d081884c7d65/1b16b1df538ba12d`.

use std::fmt;

use http::HeaderValue;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

use super::{Flow, LEVELS_MAX};

/// Name of the header.
pub const MOTET_FLOW: &str = "motet-flow";

/// Length of a key in hexadecimal.
const KEY_DIGITS_MAX: usize = 16;

/// Error of a header that is no flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "motet-flow must be 1 to {LEVELS_MAX} numbers of 1 to {KEY_DIGITS_MAX} hexadecimal digits, \
     with / between them"
)]
pub struct FlowError;

/// Returns the flow below `outer` of a header's value.
pub(super) fn parse(outer: Flow, value: &HeaderValue) -> Result<Flow, FlowError> {
    let text = value.to_str().map_err(|_| FlowError)?;
    let mut flow = outer;
    for (level, key) in text.split('/').enumerate() {
        let digits = key.bytes().all(|b| b.is_ascii_hexdigit());
        if level == LEVELS_MAX || !digits || key.len() > KEY_DIGITS_MAX {
            return Err(FlowError);
        }
        flow = flow.then(u64::from_str_radix(key, 16).map_err(|_| FlowError)?);
    }
    Ok(flow)
}

impl Flow {
    /// Writes the flow into the metadata of an outgoing request, in place of any before. An empty
    /// one writes nothing.
    pub fn write(self, metadata: &mut MetadataMap) {
        if self.is_empty() {
            return;
        }
        if let Ok(value) = MetadataValue::<Ascii>::try_from(self.to_string()) {
            metadata.insert(MOTET_FLOW, value);
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (level, key) in self.keys().iter().enumerate() {
            let separator = if level == 0 { "" } else { "/" };
            write!(f, "{separator}{key:x}")?;
        }
        Ok(())
    }
}
