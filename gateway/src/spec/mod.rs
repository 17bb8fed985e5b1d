//! The pipeline file, as written.
