#![doc = include_str!("../README.md")]
//!
//! The modules:
//!
//! * [`Repository`] (`name`): a name and a revision; [`Settings`] (`settings`): the environment;
//!   [`Token`] (`token`).
//! * `plan`: which files a model is made of; `listing`: which files a repository has.
//! * `cache`: where they are kept; `digest`: whether they are what they should be.
//! * [`Hub`] (`hub`): repositories in the cache, and fetched into it; `client`: the requests.
//! * [`Event`] (`progress`) and [`HubError`] (`error`): what those who wait are told.

#![cfg_attr(
    not(feature = "download"),
    allow(
        dead_code,
        reason = "what checks and describes a download has no user without one"
    )
)]

mod cache;
#[cfg(feature = "download")]
mod client;
mod copy;
mod digest;
mod digests;
mod error;
mod hub;
mod listing;
mod name;
mod plan;
mod progress;
mod settings;
mod token;

pub use copy::copy;
pub use digest::sha256;
pub use digests::{DigestCache, FileDigest};
pub use error::HubError;
pub use hub::{Hub, Snapshot, model_files};
pub use name::{NameError, REVISION_DEFAULT, Repository, SCHEME};
pub use progress::{Event, bytes};
pub use settings::{ENDPOINT_DEFAULT, Settings};
pub use token::Token;
