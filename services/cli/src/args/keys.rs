//! Arguments of `motet keys`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, value_parser};
use humantime::parse_duration;
use motet_runtime::auth::{Grant, SHARE_MAX};

/// `motet keys`.
#[derive(Debug, Clone, Args)]
pub struct KeysArgs {
    /// The command.
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// Commands of `motet keys`.
#[derive(Debug, Clone, Subcommand)]
pub enum KeysCommand {
    /// Make a key, print it once, and add its SHA-256 to a keys file.
    #[command(
        after_help = "Grants: call:PIPELINE, model:MODEL, admin, metrics, flows (a gateway that \
                      states for whom it calls). A name may end in `*`.\n\n\
                      Exit codes: 0 the file has the key; 1 it cannot be written, or has the \
                      name already.\n\n\
                      Examples:\n  motet keys new web --may call:rag\n  \
                      motet keys new ops --may admin --may metrics --expires 90d\n  \
                      motet keys new team --may 'call:*' --share 2 --requests-per-second 50 \
                      --file deploy/keys.yaml"
    )]
    New(NewKeyArgs),
}

/// `motet keys new`.
#[derive(Debug, Clone, Args)]
pub struct NewKeyArgs {
    /// Name of the holder, in limits, log and audit
    pub name: String,
    /// Something that it may do; may be repeated
    #[arg(long, value_name = "GRANT", required = true)]
    pub may: Vec<Grant>,
    /// The keys file, which is made if it is not there
    #[arg(long, short, value_name = "FILE", default_value = "keys.yaml")]
    pub file: PathBuf,
    /// Time for which the key is accepted
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub expires: Option<Duration>,
    /// Its share of a model's time under contention
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = value_parser!(u16).range(1..=i64::from(SHARE_MAX))
    )]
    pub share: u16,
    /// Most requests in a second
    #[arg(long, value_name = "N", value_parser = rate)]
    pub requests_per_second: Option<f64>,
    /// Most tokens that models compute in a second
    #[arg(long, value_name = "N", value_parser = rate)]
    pub tokens_per_second: Option<f64>,
    /// Most requests at once
    #[arg(long, value_name = "N", value_parser = concurrency)]
    pub concurrency: Option<usize>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok();
    let rate = rate.filter(|rate| (0.001..=1e12).contains(rate));
    rate.ok_or_else(|| "write a number between 0.001 and 1e12".to_owned())
}

fn concurrency(text: &str) -> Result<usize, String> {
    let count = text.parse().ok();
    let count = count.filter(|count| (1..=1_000_000).contains(count));
    count.ok_or_else(|| "write a number between 1 and 1000000".to_owned())
}
