//! Arguments of `motet batch`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use humantime::parse_duration;

use super::clients::CredentialArgs;
use super::files::FileFlags;
use super::processes::address;
use crate::address::ServerAddress;

/// `motet batch`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct BatchArgs {
    /// A command on a batch, instead of running one.
    #[command(subcommand)]
    pub command: Option<BatchCommand>,
    /// The rows, and what is written.
    #[command(flatten)]
    pub rows: Option<BatchRowsArgs>,
    /// How it is computed.
    #[command(flatten)]
    pub calling: CallingArgs,
}

/// `motet batch plan`.
#[derive(Debug, Clone, Args)]
pub struct BatchPlanArgs {
    /// The rows, and what is written.
    #[command(flatten)]
    pub rows: BatchRowsArgs,
    /// How it is computed.
    #[command(flatten)]
    pub calling: CallingArgs,
}

/// A command on a batch, instead of running one.
#[derive(Debug, Clone, Subcommand)]
pub enum BatchCommand {
    /// Check the columns and write the plan, and answer nothing
    Plan(Box<BatchPlanArgs>),
    /// Show how far a batch is, and who works on it
    Status(BatchStatusArgs),
    /// Check that everything is written, and write _SUCCESS; a worker that completes a batch does
    /// so itself
    Finish(BatchFinishArgs),
    /// Answer the rows with errors once more, into another folder
    Retry(Box<BatchRetryArgs>),
}

/// The rows of a batch, and what is written of them.
#[derive(Debug, Clone, Args)]
pub struct BatchRowsArgs {
    /// The pipeline.
    pub pipeline: String,
    /// Files, objects such as s3://BUCKET/KEY, or patterns such as 'rows/*.jsonl'; `-` is standard
    /// input; postgres://USER@HOST/DATABASE is a database, of which --query says the rows
    #[arg(long = "in", value_name = "FILE", required = true, num_args = 1..)]
    pub inputs: Vec<String>,
    /// The query whose rows are the input, or a file with it
    #[arg(long, value_name = "SELECT|@FILE")]
    pub query: Option<String>,
    /// The column that orders the rows of the query: each row has another value, and none is null
    /// [default: --id]
    #[arg(long, value_name = "COLUMN", requires = "query")]
    pub order_by: Option<String>,
    /// The format of the files [default: what their names say]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub in_format: Option<InFormatArg>,
    /// The folder of the batch, also in a bucket (s3://BUCKET/FOLDER), or a table of a database in
    /// its place (postgres://USER@HOST/DATABASE?table=NAME): made if it is not there, and gone on
    /// with if it is
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Which column feeds which input, also by path (body.text); an input without one is fed by
    /// the column of its name
    #[arg(long, value_name = "INPUT=COLUMN", value_delimiter = ',', value_parser = pair)]
    pub map: Vec<(String, String)>,
    /// The column that says which row it is, written first
    #[arg(long, value_name = "COLUMN")]
    pub id: Option<String>,
    /// Columns to write with the answers
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub keep: Vec<String>,
    /// Outputs to write, or parts of them, such as results.score [default: all]
    #[arg(long, value_name = "OUTPUTS", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// The form of what is written; `openai` takes requests for embeddings of OpenAI's batch files
    /// and gives their answers
    #[arg(long, value_enum, default_value_t = FormatArg::Jsonl)]
    pub format: FormatArg,
    /// Where errors of rows go: among the answers, or as whole rows to files of their own, which
    /// `retry` takes
    #[arg(long, value_enum, default_value_t = ErrorsArg::Rows)]
    pub errors: ErrorsArg,
    /// Rows of a unit, which is written whole or not at all
    #[arg(long, value_name = "ROWS", default_value_t = 5000,
          value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub unit: u64,
}

/// How a batch is computed. None of it changes what is written.
#[derive(Debug, Clone, Args)]
pub struct CallingArgs {
    /// A gateway that answers; without it, the models run in this process
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "file")]
    pub to: Option<ServerAddress>,
    /// Who calls, and how the server is known.
    #[command(flatten)]
    pub credentials: CredentialArgs,
    /// Where the models of this process are.
    #[command(flatten)]
    pub files: FileFlags,
    /// Calls at once, or `auto`: found out by latency and refusals of a server, 64 in this process
    #[arg(long, value_name = "auto|N", default_value = "auto")]
    pub in_flight: InFlightArg,
    /// Calls a second, at most, such as 500/s
    #[arg(long, value_name = "N/s", value_parser = rate)]
    pub rate: Option<f64>,
    /// Rows that may have errors, as a number or a part of all rows; over it the batch ends with
    /// code 3 [default: all]
    #[arg(long, value_name = "N|P%")]
    pub max_errors: Option<ErrorsMaxArg>,
    /// The part of the units that is this worker's, such as 3/16, counted from 0 [default:
    /// JOB_COMPLETION_INDEX/MOTET_SHARDS, else all]
    #[arg(long, value_name = "I/N")]
    pub shard: Option<ShardArg>,
    /// How long one call may take
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub deadline: Option<Duration>,
    /// How long a server may be away or full before the batch ends with code 75
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
    pub retry_for: Duration,
    /// Serve health and the metrics of this worker at this HTTP address while it works; port 0
    /// takes any free one
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub http: Option<SocketAddr>,
    /// Serve them at an address that is not loopback without TLS and authentication
    #[arg(long, requires = "http")]
    pub insecure: bool,
    /// Price of an hour of the machine, for the costs of 1,000 rows in the report
    #[arg(long, value_name = "PRICE")]
    pub cost_per_hour: Option<f64>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `motet batch status`.
#[derive(Debug, Clone, Args)]
pub struct BatchStatusArgs {
    /// The folder of the batch.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `motet batch finish`.
#[derive(Debug, Clone, Args)]
pub struct BatchFinishArgs {
    /// The folder of the batch.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// `motet batch retry`.
#[derive(Debug, Clone, Args)]
pub struct BatchRetryArgs {
    /// The folder of a batch with rows that failed, made with `--errors file`
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The folder of the new batch
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How it is computed.
    #[command(flatten)]
    pub calling: CallingArgs,
}

/// Format of input files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InFormatArg {
    /// One object of JSON a line
    Jsonl,
    /// Comma-separated values with a header
    Csv,
    /// Columns of Parquet (feature `parquet`)
    Parquet,
}

/// Form of what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// One object of JSON a line
    Jsonl,
    /// Comma-separated values with a header
    Csv,
    /// Columns of Parquet, with the types of the outputs (feature `parquet`)
    Parquet,
    /// Lines of OpenAI's batch files
    Openai,
}

/// Place of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ErrorsArg {
    /// Among the answers
    Rows,
    /// In files of their own
    File,
}

/// Calls at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InFlightArg {
    /// Found out.
    Auto,
    /// This many.
    Calls(usize),
}

/// Rows that may have errors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ErrorsMaxArg {
    /// This many.
    Rows(u64),
    /// This part of all rows, in percent.
    Percent(f64),
}

/// A part of the units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardArg {
    /// Which, from 0.
    pub index: usize,
    /// Of how many.
    pub count: usize,
}

/// Most calls at once.
const IN_FLIGHT_MAX: usize = 65_536;

impl FromStr for InFlightArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "auto" => Ok(Self::Auto),
            Ok(calls) if (1..=IN_FLIGHT_MAX).contains(&calls) => Ok(Self::Calls(calls)),
            _ => Err(format!(
                "is neither auto nor a number from 1 to {IN_FLIGHT_MAX}"
            )),
        }
    }
}

impl FromStr for ErrorsMaxArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || "is neither a number of rows nor a part such as 1%".to_owned();
        match text.strip_suffix('%') {
            None => text.parse().map(Self::Rows).map_err(|_| refused()),
            Some(percent) => match percent.parse() {
                Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self::Percent(percent)),
                _ => Err(refused()),
            },
        }
    }
}

impl FromStr for ShardArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        let parts = parts.and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((index, count)) if index < count => Ok(Self { index, count }),
            _ => Err("is no part such as 3/16, counted from 0 (0/16 to 15/16)".to_owned()),
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((input, column)) if !input.is_empty() && !column.is_empty() => {
            Ok((input.to_owned(), column.to_owned()))
        }
        _ => Err("write INPUT=COLUMN".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let refused = || "is no rate such as 500/s or 30/m".to_owned();
    let (number, seconds) = match text.split_once('/') {
        None => (text, 1.0),
        Some((number, "s")) => (number, 1.0),
        Some((number, "m" | "min")) => (number, 60.0),
        Some((number, "h")) => (number, 3600.0),
        Some(_) => return Err(refused()),
    };
    match number.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 1e9 => Ok(number / seconds),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_batch_are_understood_or_refused() {
        for (text, expected) in [
            ("500/s", Some(500.0)),
            ("30/m", Some(0.5)),
            ("7", Some(7.0)),
        ] {
            assert_eq!(rate(text).ok(), expected);
        }
        for text in ["0", "-1/s", "1/d", "x", "inf"] {
            assert!(rate(text).is_err(), "{text}");
        }
        for (text, expected) in [
            ("auto", Some(InFlightArg::Auto)),
            ("8", Some(InFlightArg::Calls(8))),
            ("0", None),
            ("all", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
        for (text, expected) in [
            ("0", Some(ErrorsMaxArg::Rows(0))),
            ("1.5%", Some(ErrorsMaxArg::Percent(1.5))),
            ("101%", None),
            ("-1", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
        let shard = |index, count| Some(ShardArg { index, count });
        for (text, expected) in [
            ("0/1", shard(0, 1)),
            ("3/16", shard(3, 16)),
            ("16/16", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }
}
