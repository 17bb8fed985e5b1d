//! The API key that commands send.

use std::fmt;
use std::path::Path;

use anyhow::{Context, anyhow};
use motet_config::files;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Variable of the environment with a key. It is no flag: other users of the machine see those.
pub(crate) const VARIABLE: &str = "MOTET_API_KEY";
/// Most bytes of a file with a key.
const FILE_BYTES_MAX: u64 = 16 << 10;

/// Sends `authorization: Bearer KEY` with each call, if there is a key.
#[derive(Clone, Default)]
pub(crate) struct SendApiKey(Option<MetadataValue<Ascii>>);

impl SendApiKey {
    /// Returns what sends this key.
    ///
    /// # Errors
    /// When no header can have it, as with blanks at its end.
    pub(crate) fn new(key: &str) -> anyhow::Result<Self> {
        let value = MetadataValue::try_from(format!("Bearer {key}"));
        // The text of the error would have the key.
        let mut value = value.map_err(|_| anyhow!("the API key has characters that none has"))?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }

    /// Reads the key from this file, else from the environment.
    ///
    /// # Errors
    /// When the file cannot be read, or the key is empty.
    pub(crate) fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        let (key, from) = match file {
            Some(path) => {
                let key = files::read_text(path, FILE_BYTES_MAX);
                let key = key.with_context(|| format!("{} cannot be read", path.display()))?;
                (key, path.display().to_string())
            }
            None => match std::env::var(VARIABLE) {
                Ok(key) => (key, VARIABLE.to_owned()),
                Err(std::env::VarError::NotPresent) => return Ok(Self::default()),
                Err(_) => return Err(anyhow!("{VARIABLE} is no text")),
            },
        };
        match key.trim() {
            "" => Err(anyhow!("the API key of {from} is empty")),
            key => Self::new(key),
        }
    }
}

impl Interceptor for SendApiKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

impl fmt::Debug for SendApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendApiKey(..)")
    }
}
