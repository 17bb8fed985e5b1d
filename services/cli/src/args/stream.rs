//! Arguments of `motet stream`.

use std::time::Duration;

use clap::Args;
use humantime::parse_duration;

use super::{CredentialArgs, FileArgs, ListenArgs};
use crate::address::ServerAddress;

/// `motet stream`.
#[derive(Debug, Clone, Args)]
pub struct StreamArgs {
    /// Which files.
    #[command(flatten)]
    pub files: FileArgs,
    /// The server that has the pipelines, `grpcs://HOST:PORT` with TLS; without it they run in this
    /// process
    #[arg(long, value_name = "HOST:PORT")]
    pub to: Option<ServerAddress>,
    /// Who calls the server of --to
    #[command(flatten)]
    pub credentials: CredentialArgs,
    /// How long to wait at the start for the server of --to
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub wait: Duration,
    /// Where to serve health and metrics, and how to log. There is no gRPC port.
    #[command(flatten)]
    pub listen: ListenArgs,
}
