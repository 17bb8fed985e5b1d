//! Objects in buckets of S3 and Google Cloud Storage, or of servers that speak their protocols.
//!
//! * `http`: requests over the connections of this program, and refusals as stores tell them.
//! * `fault`: errors by what they ask for: another try, or nothing.
//! * `client`: requests that are tried again.
//! * `bucket`: a bucket as a place of files; `read`: an object as it is read; `upload`: one as it
//!   is written; `unit`: the objects of a unit; `notes`: notes of workers.

mod bucket;
mod client;
mod fault;
mod http;
mod notes;
mod read;
mod unit;
mod upload;

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, RetryConfig};

use self::bucket::Bucket;
use self::client::{Client, Store};
use super::Place;
use crate::error::BatchError;
use crate::waiting::{Requests, Waiting};

/// Buckets, by their names. Clones share them.
#[derive(Clone)]
pub(super) struct Stores(Arc<Shared>);

struct Shared {
    retry_for: Duration,
    requests: Arc<Requests>,
    buckets: Mutex<BTreeMap<String, Arc<Bucket>>>,
}

impl Stores {
    pub(super) fn new(retry_for: Duration, requests: Arc<Requests>) -> Self {
        Self(Arc::new(Shared {
            retry_for,
            requests,
            buckets: Mutex::default(),
        }))
    }

    /// Returns the bucket of an object.
    ///
    /// # Errors
    /// A name without a bucket; variables of the environment that are no settings of a store.
    pub(super) fn bucket(&self, path: &Path) -> Result<Arc<dyn Place>, BatchError> {
        let (scheme, bucket) = split(path)?;
        let name = format!("{scheme}{bucket}");
        let mut buckets = self
            .0
            .buckets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = buckets.get(&name) {
            return Ok(found.clone());
        }
        let store = store(scheme, bucket).map_err(|error| {
            let message = fault::told(&error);
            BatchError::cannot(format!("{name} cannot be reached: {message}"))
        })?;
        let client = Client::new(store, self.0.retry_for);
        let made = Arc::new(Bucket::new(
            name.clone(),
            client,
            self.0.requests.waiting()?,
        ));
        buckets.insert(name, made.clone());
        Ok(made)
    }
}

impl Debug for Stores {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").finish_non_exhaustive()
    }
}

/// Returns scheme and bucket of the name of an object.
fn split(path: &Path) -> Result<(&str, &str), BatchError> {
    let name = path.to_str().unwrap_or_default();
    let (scheme, rest) = name.split_at(name.find("//").map_or(0, |at| at + 2));
    let bucket = rest.split('/').next().unwrap_or_default();
    match bucket.is_empty() {
        true => Err(BatchError::cannot(format!(
            "{} has no bucket: write {scheme}BUCKET/KEY",
            path.display()
        ))),
        false => Ok((scheme, bucket)),
    }
}

/// Returns a bucket with the settings and credentials of the environment.
fn store(scheme: &str, bucket: &str) -> object_store::Result<Arc<dyn Store>> {
    // Requests are tried again by this program, which knows for how long.
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 0,
        retry_timeout: Duration::ZERO,
    };
    if scheme == "gs://" {
        let builder = GoogleCloudStorageBuilder::from_env()
            .with_bucket_name(bucket)
            .with_http_connector(http::Connector)
            .with_retry(retry);
        return Ok(Arc::new(builder.build()?));
    }
    let builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_http_connector(http::Connector)
        .with_retry(retry)
        .with_disable_bulk_delete(true);
    Ok(Arc::new(builder.build()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_in_a_bucket() {
        for (name, expected) in [
            ("s3://b/rows/1.jsonl", Some(("s3://", "b"))),
            ("gs://b", Some(("gs://", "b"))),
            ("s3://", None),
            ("s3:///rows", None),
        ] {
            assert_eq!(split(Path::new(name)).ok(), expected, "{name}");
        }
    }
}
