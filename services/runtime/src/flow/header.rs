//! The header that passes a flow on: its keys in hexadecimal, outermost first, with `/` between
//! them, such as `9f86d081884c7d65/1b16b1df538ba12d`. A share other than 1 follows its key, as in
//! `9f86d081884c7d65*4`.

use std::fmt;
use std::num::NonZeroU16;

use http::HeaderValue;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

use super::{Flow, LEVELS_MAX};
use crate::auth::SHARE_MAX;

/// Name of the header.
pub const MOTET_FLOW: &str = "motet-flow";

/// Length of a key in hexadecimal.
const KEY_DIGITS_MAX: usize = 16;

/// Error of a header that is no flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "motet-flow must be 1 to {LEVELS_MAX} numbers of 1 to {KEY_DIGITS_MAX} hexadecimal digits, \
     with / between them, and with * and a share of 1 to {SHARE_MAX} behind those that have one"
)]
pub struct FlowError;

/// Returns the flow below `outer` of a header's value.
pub(super) fn parse(outer: Flow, value: &HeaderValue) -> Result<Flow, FlowError> {
    let text = value.to_str().map_err(|_| FlowError)?;
    let mut flow = outer;
    for (level, text) in text.split('/').enumerate() {
        let (key, share) = text.split_once('*').unwrap_or((text, "1"));
        let share: NonZeroU16 = share.parse().map_err(|_| FlowError)?;
        let digits = key.bytes().all(|b| b.is_ascii_hexdigit());
        let is_long = level == LEVELS_MAX || key.len() > KEY_DIGITS_MAX;
        if is_long || !digits || share.get() > SHARE_MAX {
            return Err(FlowError);
        }
        flow = flow.then(u64::from_str_radix(key, 16).map_err(|_| FlowError)?, share);
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
        for (level, (key, share)) in self.levels().enumerate() {
            let separator = if level == 0 { "" } else { "/" };
            write!(f, "{separator}{key:x}")?;
            if share != NonZeroU16::MIN {
                write!(f, "*{share}")?;
            }
        }
        Ok(())
    }
}
