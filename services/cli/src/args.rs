//! The command line. A flag takes precedence over its environment variable, that over the file,
//! and that over the default.
//!
//! * `files`: which files a command reads.
//! * `processes`: `up`, `gateway` and `serve`.
//! * `checks`: commands that read a configuration and serve nothing.
//! * `pull`: files of models, fetched from a hub; `models`: what they are and answer.
//! * `keys`: credentials of callers.
//! * `new`: a project with a task of its own.
//! * `stream`: a pipeline over messages of a broker.
//! * `clients`: commands that call a running server.
//! * `batch`: a pipeline over files.

mod batch;
mod checks;
mod clients;
mod files;
mod keys;
mod models;
mod new;
mod processes;
mod pull;
mod stream;

use clap::{Parser, Subcommand};

pub use batch::{
    BatchArgs, BatchCommand, BatchFinishArgs, BatchPlanArgs, BatchRetryArgs, BatchRowsArgs,
    BatchStatusArgs, CallingArgs, ErrorsArg, ErrorsMaxArg, FormatArg, InFlightArg, InFormatArg,
    ShardArg,
};
pub use checks::{CheckArgs, ConfigArgs, PipelineArgs, ProtoArgs};
pub use clients::{
    CallArgs, CredentialArgs, DescribeArgs, ExplainArgs, HealthArgs, ListArgs, LoadArgs,
    ServerArgs, UnloadArgs,
};
pub use files::{FileArgs, FileFlags, PipelineAndFile};
pub use keys::{KeysArgs, KeysCommand, NewKeyArgs};
pub use models::{ModelsArgs, VerifyArgs};
pub use new::NewArgs;
pub use processes::{
    GatewayArgs, HttpAddress, ListenArgs, LogFormat, RemoteArgs, RunArgs, ServeArgs, UpArgs,
    UpFlags,
};
pub use pull::PullArgs;
pub use stream::StreamArgs;

/// Compose many models behind one gRPC API.
#[derive(Debug, Parser)]
#[command(
    name = "motet",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Without a sub-command: `motet up`. Without a file: the built-in configuration \
                  (`motet config` prints it). A file is a configuration or a single pipeline, as \
                  an argument or with -f; `-` is standard input.\n\n\
                  Exit codes: 0 success; 1 failure; 2 wrong usage, or errors in a file.\n\n\
                  Examples:\n  \
                  motet                                  start everything\n  \
                  motet call rag query='how do vaccines work' documents='[\"...\",\"...\"]'\n  \
                  motet check my.yaml                    every mistake at once\n  \
                  motet up my.yaml --grpc 127.0.0.1:0\n  \
                  motet load my_pipeline.yaml            into a gateway that runs"
)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `motet up`.
    #[command(flatten)]
    pub up: UpFlags,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything in one process: the gateway and its model services.
    #[command(
        after_help = "A single pipeline, or a list of them without models, is served with \
                            what it calls of the built-in configuration, or of --models.\n\n\
                            Examples:\n  motet up\n  motet up my.yaml\n  \
                            motet up my_pipeline.yaml --models motet.yaml\n  \
                            motet up --grpc 127.0.0.1:0 --http off"
    )]
    Up(UpArgs),
    /// Start the gateway alone; models are reached at their `endpoint`.
    #[command(after_help = "Examples:\n  motet gateway motet.yaml\n  \
                            motet gateway --endpoint minilm=grpc://models-1:50051 \
                            --endpoint reranker=grpc://models-2:50051 \
                            --endpoint chunker=grpc://models-1:50051")]
    Gateway(GatewayArgs),
    /// Answer messages of a broker with a pipeline: at least once, with an effect that happens
    /// once.
    #[command(
        after_help = "Runs the `streams` of a configuration. Without --to, their pipelines and the \
                            models of these run in this process, as by `motet up`, which runs \
                            streams, too. A broker that is away is waited for. SIGTERM: no more \
                            messages are taken, and those in flight end within the grace \
                            period.\n\n\
                            Examples:\n  motet stream streams.yaml\n  \
                            motet stream -f streams.yaml --to gateway-1:50051\n  \
                            motet stream streams.yaml --http 127.0.0.1:9090"
    )]
    Stream(StreamArgs),
    /// Start model services alone, to be reached by a gateway.
    #[command(after_help = "Examples:\n  motet serve motet.yaml --model minilm\n  \
                            motet serve --model minilm --model chunker --grpc 127.0.0.1:50052")]
    Serve(ServeArgs),
    /// Check a configuration or a pipeline file: every error, with its position and the fix.
    #[command(after_help = "Exit codes: 0 no errors; 2 errors in the file.\n\n\
                            Examples:\n  motet check motet.yaml\n  \
                            motet check pipelines/rag.yaml --models motet.yaml\n  \
                            motet check motet.yaml --lock\n  \
                            motet check - < my.yaml\n  \
                            motet check --ops")]
    Check(CheckArgs),
    /// Print the JSON schema of configuration and pipeline files, for editors.
    #[command(after_help = "Examples:\n  motet schema > motet.schema.json\n  \
                            # yaml-language-server: $schema=motet.schema.json   (first line of a file)")]
    Schema,
    /// Print the configuration that is used: the built-in one, or a file's.
    #[command(after_help = "Examples:\n  motet config > my.yaml\n  motet config my.yaml")]
    Config(ConfigArgs),
    /// Print the graph of a pipeline in Graphviz's language.
    #[command(after_help = "Examples:\n  motet graph rag | dot -Tsvg > rag.svg\n  \
                            motet graph my_pipeline.yaml\n  motet graph rag my.yaml")]
    Graph(PipelineArgs),
    /// Print the .proto file of a pipeline's gRPC service, for code generators.
    #[command(after_help = "Examples:\n  motet proto rag > rag.proto\n  \
                            motet proto my_pipeline.yaml\n  \
                            motet proto rag --out proto   (with the files that it imports)")]
    Proto(ProtoArgs),
    /// Call a pipeline of a running gateway.
    #[command(
        after_help = "A value is text where the input is text, else JSON; `name=@file` reads it \
                            from a file, and a list of texts may be a file of lines.\n\n\
                            With --stream, an answer has the `request_id` of its line, or the \
                            line's number; a line without an answer has an `error` in its place, \
                            and the others go on.\n\n\
                            Exit codes: 0 an answer, also a degraded one, which a line on \
                            standard error says; 1 an error, or no answer.\n\n\
                            Examples:\n  \
                            motet call rag query='how do vaccines work' \
                            documents='[\"...\",\"...\"]' top_n=3\n  \
                            motet call rag --json -d '{\"query\":\"...\",\"documents\":[\"...\"]}'\n  \
                            motet call rag query=why documents=@passages.txt --receipt\n  \
                            motet call rag query=why -a gateway-1:50051\n  \
                            motet call rag --stream < requests.jsonl > answers.jsonl"
    )]
    Call(CallArgs),
    /// Answer the rows of files with a pipeline: resumable, in order, to files.
    #[command(
        after_help = "A unit of rows is written whole or not at all. Killed at any moment, the \
                            same command goes on where it was and ends in the same bytes. Rows are \
                            objects of JSON, one a line (.jsonl, .ndjson), or CSV (.csv), plain, \
                            .gz or .zst; `--in -` is standard input. Columns are checked against \
                            the pipeline before the first call. A row that fails has an error in \
                            its place. Without --to, the models run in this process: those of -f, \
                            or the built-in ones. A pipeline named as a sub-command is called \
                            after `--`.\n\n\
                            Exit codes: 0 done; 1 failure; 2 wrong usage; 3 more errors than \
                            --max-errors; 42 cannot succeed (inputs, columns, pipeline or settings \
                            do not fit); 75 try again (a server is away, a disk is full, a signal \
                            came).\n\n\
                            Examples:\n  \
                            motet batch rag --in 'tickets/*.jsonl' --out answers \
                            --map query=question,documents=passages --id ticket_id\n  \
                            motet batch rag --in tickets.csv.gz --out answers --to gateway-1:50051 \
                            --rate 500/s --max-errors 1%\n  \
                            motet batch rag --in - --out answers --columns results < rows.jsonl\n  \
                            motet batch vectors --in requests.jsonl --out answers --format openai \
                            -f my.yaml\n  \
                            motet batch plan rag --in tickets.jsonl --out answers\n  \
                            motet batch rag --in tickets.jsonl --out answers --shard 3/16\n  \
                            motet batch status answers\n  \
                            motet batch finish answers\n  \
                            motet batch retry answers --out answers-2   (rows of --errors file)"
    )]
    Batch(Box<BatchArgs>),
    /// Fetch the files of models from a hub, for this machine or for one without a network.
    #[command(
        after_help = "Fetched files are kept in the cache that huggingface_hub and others share \
                            (HF_HOME, HF_HUB_CACHE); HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and \
                            HTTPS_PROXY mean what they mean to these. A fetch that was stopped \
                            goes on where it ended.\n\n\
                            Exit codes: 0 everything is there; 1 something cannot be fetched; 2 \
                            errors in the file.\n\n\
                            Examples:\n  \
                            motet pull hf:intfloat/e5-small-v2\n  \
                            motet pull hf:intfloat/e5-small-v2@main --to models/e5   (source: \
                            file:models/e5)\n  \
                            motet pull -f my.yaml"
    )]
    Pull(PullArgs),
    /// Show the models of a configuration as they would be loaded, and what was decided for each.
    #[command(
        after_help = "Family, parameters, number format, device and engine, memory, limits, ports, \
                            tensors that are not used, and choices that the files leave open. \
                            Nothing is fetched or loaded.\n\n\
                            Exit codes: 0 success; 2 errors in the file.\n\n\
                            Examples:\n  motet models my.yaml\n  motet models my.yaml --json"
    )]
    Models(ModelsArgs),
    /// Compare what a model answers on this machine with what it answered on another.
    #[command(
        after_help = "Without --record and --against: with motet-golden.json among the model's \
                            own files, if there is one.\n\n\
                            Exit codes: 0 the answers agree, or there is nothing to compare with; \
                            1 they differ by more than --tolerance, or the model cannot run; 2 \
                            errors in the file.\n\n\
                            Examples:\n  \
                            motet verify minilm --record answers.json\n  \
                            motet verify minilm --against answers.json\n  \
                            motet verify hf:intfloat/e5-small-v2 --task embed --against answers.json"
    )]
    Verify(VerifyArgs),
    /// Write a project with a task of its own: a model in Candle, its configuration, a test.
    #[command(after_help = "Examples:\n  motet new my-models\n  \
                            motet new my-models --path ~/src/my-models --motet ~/src/motet")]
    New(NewArgs),
    /// Make credentials of callers.
    #[command(after_help = "Examples:\n  motet keys new web --may call:rag\n  \
                            motet keys new ops --may admin --may metrics --expires 90d")]
    Keys(KeysArgs),
    /// Ask whether a running server, or one of its pipelines or models, is ready.
    #[command(
        after_help = "Exit codes: 0 SERVING; 1 any other state, or no answer.\n\n\
                            Examples:\n  motet health\n  motet health rag -a gateway-1:50051"
    )]
    Health(HealthArgs),
    /// List the pipelines and models of a running server.
    #[command(after_help = "Exit codes: 0 success; 1 no answer.\n\n\
                            Examples:\n  motet list\n  motet list --json -a gateway-1:50051")]
    List(ListArgs),
    /// Describe a pipeline of a running gateway: its inputs and outputs.
    #[command(
        after_help = "Exit codes: 0 success; 1 no such pipeline, or no answer.\n\n\
                            Examples:\n  motet describe rag\n  motet describe rag --json\n  \
                            motet describe rag --proto > rag.proto"
    )]
    Describe(DescribeArgs),
    /// Explain how a pipeline of a running gateway runs: its nodes and what each waits for.
    #[command(
        after_help = "Exit codes: 0 success; 1 no such pipeline, or no answer.\n\n\
                            Examples:\n  motet explain rag\n  motet explain rag --json\n  \
                            motet explain rag --dot | dot -Tsvg > rag.svg"
    )]
    Explain(ExplainArgs),
    /// Load the models and pipelines of a file into a running server. One of the same name is
    /// replaced.
    #[command(
        after_help = "Of a configuration, the models are loaded first, then the pipelines, each \
                            after those that it calls, up to the first that is refused. A \
                            model's source is one of the server's machine. Calls in flight finish \
                            on what they began on.\n\n\
                            Exit codes: 0 all of it is served; 1 the server refused something, \
                            or does not answer; 2 errors in the file.\n\n\
                            Examples:\n  motet load my_pipeline.yaml\n  motet load - < my.yaml\n  \
                            motet load my.yaml --model minilm   (of a file with several)\n  \
                            motet load --model minilm   (of the server's own configuration)\n  \
                            motet load my.yaml --json -a gateway-1:50051"
    )]
    Load(LoadArgs),
    /// Unload a pipeline or a model of a running server. Its requests in flight finish.
    #[command(
        after_help = "Exit codes: 0 it is no longer served; 1 there is none, pipelines call it, \
                            or no answer.\n\n\
                            Examples:\n  motet unload rag\n  motet unload minilm@2\n  \
                            motet unload rag -a gateway-1:50051"
    )]
    Unload(UnloadArgs),
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

    /// Returns the examples of help texts, without what a shell makes of them.
    fn examples() -> Vec<(String, Vec<String>)> {
        let mut commands = vec![Cli::command()];
        commands.extend(Cli::command().get_subcommands().cloned());
        let mut examples = Vec::new();
        for command in commands {
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            let lines = help
                .split_once("Examples:\n")
                .map_or("", |(_, lines)| lines);
            for line in lines.lines() {
                let words = line.split(['|', '<', '>']).next().unwrap_or_default();
                // Two blanks begin a remark, except at the beginning.
                let words = words.trim().split("  ").next().unwrap_or_default();
                let words = words.split_whitespace().map(|w| w.trim_matches('\''));
                let words: Vec<String> = words.map(str::to_owned).collect();
                if words.first().is_some_and(|w| w == "motet") {
                    examples.push((line.trim().to_owned(), words));
                }
            }
        }
        examples
    }

    #[test]
    fn every_example_can_be_parsed() {
        let examples = examples();
        assert!(examples.len() > 30, "{}", examples.len());
        for (line, words) in examples {
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn a_command_line_without_a_command_is_up() {
        let cli = Cli::parse_from(["motet", "--grpc", "127.0.0.1:0", "--http", "off"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.up.listen.http, Some(HttpAddress::Off));
        assert!(cli.up.listen.grpc.is_some_and(|a| a.port() == 0));
    }
}
