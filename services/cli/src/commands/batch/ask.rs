//! Arguments, as `motet_batch` takes them.

use std::path::Path;

use motet_batch::{
    Asked, BatchError, ErrorPlace, ErrorsMax, InFlight, InputFormat, OutputFormat, QueryText,
    Settings, Shard, WorkerOptions, is_database,
};
use motet_rows::RetryPolicy;

use super::target::Target;
use crate::args::{BatchRowsArgs, CallingArgs, ErrorsMaxArg, InFlightArg, ShardArg};
use crate::args::{ErrorsArg, FormatArg, InFormatArg};

/// Calls at once of a pipeline in this process: enough for full batches.
const CALLS_HERE: usize = 64;
/// Variable that Kubernetes sets in the pods of an Indexed Job.
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// Variable with the number of pods.
const SHARDS_VARIABLE: &str = "MOTET_SHARDS";

/// Returns what a batch is asked for.
///
/// # Errors
/// Arguments that do not go together.
pub(super) fn of_run(args: &BatchRowsArgs, target: &Target) -> Result<Asked, BatchError> {
    let is_openai = args.format == FormatArg::Openai;
    let format = match (is_openai, args.in_format) {
        (true, None) => Some(InputFormat::Openai),
        (true, Some(_)) => {
            let message = "--format openai takes requests of OpenAI's batch files: leave \
                           --in-format out";
            return Err(BatchError::cannot(message));
        }
        (false, format) => format.map(|format| match format {
            InFormatArg::Jsonl => InputFormat::Jsonl,
            InFormatArg::Csv => InputFormat::Csv,
            InFormatArg::Parquet => InputFormat::Parquet,
        }),
    };
    if is_openai && !(args.map.is_empty() && args.columns.is_empty()) {
        let message = "--format openai has its own columns: leave --map and --columns out";
        return Err(BatchError::cannot(message));
    }
    let is_table = is_database(&args.out);
    if is_table && args.format != FormatArg::Jsonl {
        let message = "answers of a table have no format: leave --format out";
        return Err(BatchError::cannot(message));
    }
    let settings = Settings {
        map: args.map.clone(),
        id: args.id.clone(),
        keep: args.keep.clone(),
        columns: args.columns.clone(),
        format: match args.format {
            FormatArg::Jsonl if is_table => OutputFormat::Postgres,
            FormatArg::Jsonl => OutputFormat::Jsonl,
            FormatArg::Csv => OutputFormat::Csv,
            FormatArg::Parquet => OutputFormat::Parquet,
            FormatArg::Openai => OutputFormat::Openai,
        },
        errors: match args.errors {
            ErrorsArg::Rows => ErrorPlace::Rows,
            ErrorsArg::File => ErrorPlace::File,
        },
        unit: args.unit,
    };
    Ok(Asked {
        inputs: args.inputs.clone(),
        query: query(args)?,
        format,
        ..of_target(target, settings)
    })
}

/// Returns the query of the arguments, that of a file where they name one.
fn query(args: &BatchRowsArgs) -> Result<Option<QueryText>, BatchError> {
    let Some(query) = &args.query else {
        return Ok(None);
    };
    let text = match query.strip_prefix('@') {
        None => query.clone(),
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            let path = Path::new(path).display();
            BatchError::cannot(format!("--query @{path}: {error}"))
        })?,
    };
    let key = args.order_by.as_ref().or(args.id.as_ref()).ok_or_else(|| {
        let message = "--query needs --order-by COLUMN: one that orders its rows, such as their \
                       primary key";
        BatchError::cannot(message)
    })?;
    Ok(Some(QueryText {
        text,
        key: key.clone(),
    }))
}

/// Returns what a batch is asked for, without its inputs.
pub(super) fn of_target(target: &Target, settings: Settings) -> Asked {
    Asked {
        inputs: Vec::new(),
        query: None,
        format: None,
        settings,
        pipeline: target.parts.clone(),
        ports: target.ports.clone(),
        outputs: target.outputs.clone(),
    }
}

/// Returns what a worker may do.
///
/// # Errors
/// Variables of the environment that are no part of the units.
pub(super) fn worker(args: &CallingArgs) -> Result<WorkerOptions, BatchError> {
    let shard = match args.shard {
        Some(shard) => shard,
        None => shard_of_environment()?,
    };
    Ok(WorkerOptions {
        in_flight: match args.in_flight {
            InFlightArg::Auto if args.to.is_some() => InFlight::Auto,
            // Nobody else calls the models of this process.
            InFlightArg::Auto => InFlight::Calls(CALLS_HERE),
            InFlightArg::Calls(calls) => InFlight::Calls(calls),
        },
        rate: args.rate,
        retry: RetryPolicy {
            budget: args.retry_for,
            ..RetryPolicy::default()
        },
        errors_max: match args.max_errors {
            None => ErrorsMax::Any,
            Some(ErrorsMaxArg::Rows(rows)) => ErrorsMax::Rows(rows),
            Some(ErrorsMaxArg::Percent(percent)) => ErrorsMax::Percent(percent),
        },
        shard: Shard {
            index: shard.index,
            count: shard.count,
        },
    })
}

/// Returns the part that the environment says: both variables, or all units.
fn shard_of_environment() -> Result<ShardArg, BatchError> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (variable(INDEX_VARIABLE), variable(SHARDS_VARIABLE)) {
        (Some(index), Some(shards)) => format!("{index}/{shards}").parse().map_err(|why| {
            let text = format!("{INDEX_VARIABLE}={index} and {SHARDS_VARIABLE}={shards}");
            BatchError::cannot(format!("{text}: {index}/{shards} {why}"))
        }),
        (None, Some(_)) => Err(BatchError::cannot(format!(
            "{SHARDS_VARIABLE} is set, and {INDEX_VARIABLE} is not: say which part is this one's \
             with --shard"
        ))),
        (_, None) => Ok(ShardArg { index: 0, count: 1 }),
    }
}
