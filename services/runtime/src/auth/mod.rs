//! Authentication of callers, and authorisation of their calls.
//!
//! A [`Principal`] comes from an API key, a JSON web token or the names of a client certificate.
//! [`AuthLayer`] finds it before anything else is done for a call; [`Access`] is asked wherever a
//! message names a pipeline or a model. A principal is the outermost level of the
//! [flow](crate::flow) of its calls, and its limits count beside those of the server.
//!
//! * `access`: what one call may name.
//! * `api_key`: keys and their digests.
//! * `authenticator`: from headers to a principal.
//! * `grants`: permissions.
//! * `jwt`: JSON web tokens; `tokens`: their subjects as principals.
//! * `keys_file`: the file of those who may call.
//! * `layer`: the server's layer.
//! * `principal`: [`Principal`].
//! * `quota`: limits of a principal.
//! * `refusal`: why credentials are not accepted.
//! * `reload`: files that are read again when they change.

mod access;
mod api_key;
mod authenticator;
mod grants;
#[cfg(feature = "tls")]
mod jwt;
mod keys_file;
mod layer;
mod principal;
mod quota;
mod refusal;
mod reload;
mod tokens;

pub use access::{Access, Named};
pub use api_key::{ApiKey, KeyDigest};
pub use authenticator::{AuthError, Authenticator};
pub use grants::{Grant, GrantError, Grants, NamePattern};
pub(crate) use keys_file::read_rights;
pub use keys_file::{KeysEntry, KeysFile, KeysFileError, Rights, SHARE_MAX, entry_text};
pub use layer::{AuthLayer, AuthService};
pub use principal::{Credential, Principal};
pub(crate) use quota::Exceeded;
pub use quota::QuotaSpec;
pub use refusal::Refusal;
pub(crate) use tokens::key_set_problem;
