//! `motet batch`: a pipeline over files.
//!
//! * `target`: what answers, here or elsewhere, and what its answers depend on.
//! * `ask`: the arguments, as `motet_batch` takes them.
//! * `show`: progress and reports; `metrics`: the same over HTTP.

mod ask;
mod metrics;
mod show;
mod target;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use motet_batch::{
    Batch, BatchError, Files, Folder, OutputFormat, Progress, Verdict, finish, is_database,
    prepare, status, work,
};
use motet_runtime::shutdown;
use motet_service::Tasks;
use tokio_util::sync::CancellationToken;

use self::metrics::Metrics;
use self::show::{Report, Showing};
use self::target::Target;
use super::runtime;
use crate::args::{BatchArgs, BatchCommand, BatchRetryArgs, BatchRowsArgs, CallingArgs};
use crate::configuration::ConfigurationErrors;
use crate::exit::Exit;
use crate::output;
use crate::rows::RowCalls;

/// Time for which commands that call nothing ask a store that is away.
const ASK_FOR: Duration = Duration::from_secs(30);

/// Runs the command, prints its error, and returns its exit code.
pub(super) fn run(args: BatchArgs, tasks: &Tasks) -> Exit {
    let Err(error) = dispatch(args, tasks) else {
        return Exit::SUCCESS;
    };
    if let Some(report) = error.downcast_ref::<ConfigurationErrors>() {
        eprint!("{}", report.shown());
        return Exit::CANNOT;
    }
    eprintln!("error: {error:#}");
    match error.downcast_ref::<BatchError>().map(|e| e.verdict) {
        Some(Verdict::Cannot) => Exit::CANNOT,
        Some(Verdict::TryAgain) => Exit::TRY_AGAIN,
        Some(Verdict::TooManyErrors) => Exit::TOO_MANY_ERRORS,
        None => Exit::FAILURE,
    }
}

fn dispatch(args: BatchArgs, tasks: &Tasks) -> anyhow::Result<()> {
    let calling = args.calling;
    let folder = |path: PathBuf| {
        let files = Files::new(ASK_FOR, CancellationToken::new());
        Folder::new(&files, path)
    };
    match (args.command, args.rows) {
        (Some(BatchCommand::Plan(args)), _) => {
            let batch = runtime()?.block_on(async {
                let target = Target::find(&args.rows.pipeline, &args.calling, tasks).await?;
                let stop = CancellationToken::new();
                anyhow::Ok(prepare_run(&args.rows, &args.calling, &target, &stop)?)
            })?;
            output::print(&show::plan(batch.plan()))
        }
        (Some(BatchCommand::Status(args)), _) => {
            let status = status(&folder(args.folder)?)?;
            output::print(&match args.json {
                true => format!("{}\n", serde_json::to_string(&status)?),
                false => show::status(&status),
            })
        }
        (Some(BatchCommand::Finish(args)), _) => {
            let success = finish(&folder(args.folder)?)?;
            output::print(&show::success(&success))
        }
        (Some(BatchCommand::Retry(args)), _) => retry(&args, tasks),
        (None, Some(args)) => runtime()?.block_on(async {
            let target = Target::find(&args.pipeline, &calling, tasks).await?;
            let metrics = Metrics::serve(&calling, &target).await?;
            let stop = CancellationToken::new();
            let batch = prepare_run(&args, &calling, &target, &stop)?;
            answer(&batch, target, &calling, metrics, stop).await
        }),
        // The arguments of a batch are required where there is no sub-command.
        (None, None) => Ok(()),
    }
}

fn prepare_run(
    args: &BatchRowsArgs,
    calling: &CallingArgs,
    target: &Target,
    stop: &CancellationToken,
) -> Result<Batch, BatchError> {
    let asked = ask::of_run(args, target)?;
    let files = Files::new(calling.retry_for, stop.clone());
    prepare(Folder::new(&files, &args.out)?, &asked, io::stdin().lock())
}

fn retry(args: &BatchRetryArgs, tasks: &Tasks) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let files = Files::new(args.calling.retry_for, stop.clone());
    let failed = Folder::new(&files, &args.folder)?;
    let plan = motet_batch::Plan::of(&failed)?;
    let (inputs, format, mut settings) = motet_batch::rows_with_errors(&failed)?;
    settings.format = match (is_database(&args.out), settings.format) {
        (true, OutputFormat::Jsonl | OutputFormat::Postgres) => OutputFormat::Postgres,
        (true, _) => {
            let message = "only answers without a format, or in lines of JSON, go to a table";
            return Err(BatchError::cannot(message).into());
        }
        (false, OutputFormat::Postgres) => OutputFormat::Jsonl,
        (false, format) => format,
    };
    runtime()?.block_on(async {
        let target = Target::find(&plan.pipeline.name, &args.calling, tasks).await?;
        let metrics = Metrics::serve(&args.calling, &target).await?;
        let asked = motet_batch::Asked {
            inputs,
            format: Some(format),
            ..ask::of_target(&target, settings)
        };
        let batch = prepare(Folder::new(&files, &args.out)?, &asked, io::empty())?;
        answer(&batch, target, &args.calling, metrics, stop).await
    })
}

/// Answers the rows of a batch that are this worker's, and finishes it where all are there. `stop`
/// is cancelled by a signal.
async fn answer(
    batch: &Batch,
    target: Target,
    args: &CallingArgs,
    metrics: Option<Metrics>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let signal = shutdown::signal();
    let stopping = stop.clone();
    tokio::spawn(async move {
        if signal.await.is_ok() {
            stopping.cancel();
        }
    });
    let progress = Arc::new(Progress::default());
    let options = ask::worker(args)?;
    let watched = metrics.as_ref().map(|metrics| {
        let pipeline = &batch.plan().pipeline.name;
        metrics.watch(pipeline, progress.clone())
    });
    let showing = Showing::begin(progress.clone());
    let calls = RowCalls::new(target.pipeline.clone());
    let calls = Arc::new(calls.bulk().with_tokens().within(args.deadline));
    let worked = work(batch, calls, &options, progress.clone(), stop).await;
    showing.end().await;
    let finished = match &worked {
        Ok(outcome) if outcome.is_complete => Some(finish(batch.folder())),
        _ => None,
    };
    target.end().await;
    drop(watched);
    if let Some(metrics) = metrics {
        metrics.end().await;
    }
    let report = Report {
        progress: progress.snapshot(),
        success: finished
            .as_ref()
            .and_then(|finished| finished.as_ref().ok()),
        cost_per_hour: args.cost_per_hour,
    };
    output::print(&match args.json {
        true => format!("{}\n", report.json()),
        false => report.text(),
    })?;
    worked?;
    finished.transpose()?;
    Ok(())
}
