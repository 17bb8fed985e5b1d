//! Times of batches, measured once for each encoder and shared by the models that use it.

use std::sync::{Arc, OnceLock};

use motet_batcher::Measurement;

/// The times of one encoder's batches; empty until the first executor has measured them.
pub(crate) type Measurements = Arc<OnceLock<Vec<Measurement>>>;
