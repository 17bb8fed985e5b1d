//! The models of a process while it serves.
//!
//! * `find`: models that are asked for by name.
//! * `users`: the pipelines that call them.

mod find;
mod users;

pub(super) use find::ModelFinder;
pub(super) use users::GatewayUsers;
