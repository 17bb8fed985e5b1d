//! The command line. A flag wins over its environment variable, that over the file, and that
//! over the default.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use motet_runtime::config::Endpoint;

/// Compose many models behind one gRPC API.
#[derive(Debug, Parser)]
#[command(
    name = "motet",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Without a sub-command: `motet up`. Without a file: the built-in configuration \
                  (`motet config` prints it).\n\n\
                  Examples:\n  \
                  motet                                  start everything\n  \
                  motet call rag query='how do vaccines work' documents='[\"...\",\"...\"]'\n  \
                  motet check my.yaml                    every mistake at once\n  \
                  motet up -f my.yaml --grpc 127.0.0.1:0"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `motet up`.
    #[command(flatten)]
    pub up: UpArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything in one process: the gateway and its model services.
    #[command(after_help = "Examples:\n  motet up\n  motet up -f my.yaml\n  \
                            motet up --grpc 127.0.0.1:0 --http off")]
    Up(UpArgs),
    /// Start the gateway alone; models are reached by their `endpoint`.
    #[command(after_help = "Examples:\n  motet gateway -f motet.yaml\n  \
                            motet gateway --endpoint minilm=grpc://models-1:50051 \
                            --endpoint reranker=grpc://models-2:50051 \
                            --endpoint chunker=grpc://models-1:50051")]
    Gateway(GatewayArgs),
    /// Start model services alone, to be reached by a gateway.
    #[command(
        after_help = "Examples:\n  motet serve -f motet.yaml --model minilm\n  \
                            motet serve --model minilm --model chunker --grpc 0.0.0.0:50051"
    )]
    Serve(ServeArgs),
    /// Check a configuration or a pipeline file: every mistake, with its place and the fix.
    #[command(
        after_help = "Exit code: 0 when nothing is wrong, 2 when something is.\n\n\
                            Examples:\n  motet check motet.yaml\n  \
                            motet check pipelines/rag.yaml --models motet.yaml\n  \
                            motet check motet.yaml --lock\n  \
                            motet check --ops"
    )]
    Check(CheckArgs),
    /// Print the JSON schema of configuration and pipeline files, for editors.
    #[command(after_help = "Examples:\n  motet schema > motet.schema.json\n  \
                            # yaml-language-server: $schema=motet.schema.json   (first line of a file)")]
    Schema,
    /// Print the configuration that is used: the built-in one, or a file's.
    #[command(after_help = "Examples:\n  motet config > my.yaml\n  motet config -f my.yaml")]
    Config(FileArgs),
    /// Print the graph of a pipeline in Graphviz's language.
    #[command(after_help = "Examples:\n  motet graph rag | dot -Tsvg > rag.svg")]
    Graph(PipelineArgs),
    /// Print the .proto file of a pipeline's gRPC service, for code generators.
    #[command(after_help = "Examples:\n  motet proto rag > rag.proto\n  \
                            motet proto rag --out proto   (with the files that it imports)")]
    Proto(ProtoArgs),
    /// Call a pipeline of a running gateway.
    #[command(
        after_help = "A value is text where the input is text, else JSON; `name=@file` reads it \
                            from a file, and a list of texts may be a file of lines.\n\n\
                            Examples:\n  \
                            motet call rag query='how do vaccines work' \
                            documents='[\"...\",\"...\"]' top_n=3\n  \
                            motet call rag --json -d '{\"query\":\"...\",\"documents\":[\"...\"]}'\n  \
                            motet call rag query=why documents=@passages.txt --receipt"
    )]
    Call(CallArgs),
}

/// Which configuration.
#[derive(Debug, Clone, Default, Args)]
pub struct FileArgs {
    /// The configuration file; the built-in one when there is none.
    #[arg(short, long, value_name = "FILE", env = "MOTET_FILE")]
    pub file: Option<PathBuf>,
}

/// Where to listen, and how to log.
#[derive(Debug, Clone, Default, Args)]
pub struct ListenArgs {
    /// The gRPC address; port 0 takes any free one [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR", env = "MOTET_GRPC", value_parser = address)]
    pub grpc: Option<SocketAddr>,
    /// The HTTP address of health and metrics, or `off` [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "MOTET_HTTP", value_parser = http_address)]
    pub http: Option<HttpAddress>,
    /// How long requests in flight may go on after a stop was asked for [default: 10s]
    #[arg(long, value_name = "TIME", env = "MOTET_GRACE", value_parser = humantime::parse_duration)]
    pub grace: Option<Duration>,
    /// How log lines look. `RUST_LOG` sets the levels.
    #[arg(
        long,
        value_name = "FORMAT",
        env = "MOTET_LOG_FORMAT",
        default_value = "human"
    )]
    pub log_format: LogFormat,
}

/// An HTTP address, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpAddress {
    /// Do not listen.
    Off,
    /// Listen here.
    At(SocketAddr),
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// `motet up`.
#[derive(Debug, Clone, Default, Args)]
pub struct UpArgs {
    /// Which configuration.
    #[command(flatten)]
    pub file: FileArgs,
    /// Where to listen, and how to log.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Models in other processes.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `motet gateway`.
#[derive(Debug, Clone, Args)]
pub struct GatewayArgs {
    /// Which configuration.
    #[command(flatten)]
    pub file: FileArgs,
    /// Where to listen, and how to log.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Models in other processes.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// Models in other processes.
#[derive(Debug, Clone, Default, Args)]
pub struct RemoteArgs {
    /// Where a model or an endpoint is, in place of what the file says; may be repeated
    #[arg(long = "endpoint", value_name = "NAME=grpc://HOST:PORT", value_parser = endpoint)]
    pub endpoints: Vec<(String, Endpoint)>,
    /// How long to wait at the start for models and endpoints in other processes
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    pub wait: Option<Duration>,
}

/// `motet serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Which configuration.
    #[command(flatten)]
    pub file: FileArgs,
    /// Where to listen, and how to log.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// A model to serve; may be repeated. All models of the configuration when there is none
    #[arg(long = "model", value_name = "NAME")]
    pub models: Vec<String>,
}

/// `motet check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// A configuration file, or a file with one pipeline.
    #[arg(required_unless_present = "ops")]
    pub file: Option<PathBuf>,
    /// For a file with one pipeline: the configuration whose models it calls [default: the built-in one]
    #[arg(long, value_name = "FILE")]
    pub models: Option<PathBuf>,
    /// Write what the models take and give into a lock file beside the configuration, to check
    /// against where they do not answer.
    #[arg(long)]
    pub lock: bool,
    /// List the ops that a node can run, with what they take and give.
    #[arg(long)]
    pub ops: bool,
}

/// A pipeline of a configuration.
#[derive(Debug, Clone, Args)]
pub struct PipelineArgs {
    /// The pipeline.
    pub pipeline: String,
    /// Which configuration.
    #[command(flatten)]
    pub file: FileArgs,
}

/// `motet proto`.
#[derive(Debug, Clone, Args)]
pub struct ProtoArgs {
    /// The pipeline, or `inference` or `motet` for the protocols that every server speaks.
    pub pipeline: String,
    /// Which configuration.
    #[command(flatten)]
    pub file: FileArgs,
    /// Write the file, and those that it imports, into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// `motet call`.
#[derive(Debug, Clone, Args)]
pub struct CallArgs {
    /// The pipeline.
    pub pipeline: String,
    /// Inputs.
    #[arg(value_name = "NAME=VALUE")]
    pub inputs: Vec<String>,
    /// All inputs as one JSON object; `@file` reads it from a file, `-` from standard input
    #[arg(short, long, value_name = "JSON", conflicts_with = "inputs")]
    pub data: Option<String>,
    /// Print the answer as JSON.
    #[arg(long)]
    pub json: bool,
    /// Also print where the time went.
    #[arg(long)]
    pub receipt: bool,
    /// The gateway.
    #[arg(
        short,
        long,
        value_name = "HOST:PORT",
        env = "MOTET_ADDRESS",
        default_value = "127.0.0.1:50051"
    )]
    pub address: String,
    /// How long the call may take.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub deadline: Option<Duration>,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    motet_runtime::config::parse_address(text)
        .ok_or_else(|| "write an IP address and a port, such as 127.0.0.1:50051".to_owned())
}

fn http_address(text: &str) -> Result<HttpAddress, String> {
    if text == "off" {
        return Ok(HttpAddress::Off);
    }
    address(text).map(HttpAddress::At)
}

fn endpoint(text: &str) -> Result<(String, Endpoint), String> {
    let (model, endpoint) = text.split_once('=').ok_or("write NAME=grpc://HOST:PORT")?;
    let endpoint = Endpoint::parse(endpoint).map_err(|e| e.to_string())?;
    Ok((model.to_owned(), endpoint))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Examples:"), "{}", command.get_name());
        }
    }

    #[test]
    fn up_is_what_no_command_means() {
        let cli = Cli::parse_from(["motet", "--grpc", "127.0.0.1:0", "--http", "off"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.up.listen.http, Some(HttpAddress::Off));
        assert!(cli.up.listen.grpc.is_some_and(|a| a.port() == 0));
    }

    #[test]
    fn endpoints_are_named() {
        let (model, endpoint) = endpoint("minilm=grpc://host:1").unwrap();
        assert_eq!(
            (model.as_str(), endpoint.to_string().as_str()),
            ("minilm", "grpc://host:1")
        );
        for wrong in ["minilm", "minilm=host:1", "minilm=grpc://host"] {
            assert!(super::endpoint(wrong).is_err(), "{wrong}");
        }
    }
}
