//! `motet batch`: a pipeline over files.
//!
//! * `target`: what answers, here or elsewhere, and what its answers depend on.
//! * `ask`: the arguments, as `motet_batch` takes them.
//! * `show`: progress and reports.

mod ask;
mod show;
mod target;

use std::io;
use std::sync::Arc;

use motet_batch::{Batch, BatchError, Folder, Progress, Verdict, finish, prepare, status, work};
use motet_runtime::shutdown;
use motet_service::Tasks;
use tokio_util::sync::CancellationToken;

use self::show::{Report, Showing};
use self::target::Target;
use super::runtime;
use crate::args::{BatchArgs, BatchCommand, BatchRetryArgs, BatchRowsArgs, CallingArgs};
use crate::configuration::ConfigurationErrors;
use crate::exit::Exit;
use crate::output;
use crate::rows::RowCalls;

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
    match (args.command, args.rows) {
        (Some(BatchCommand::Plan(args)), _) => {
            let batch = runtime()?.block_on(async {
                let target = Target::find(&args.rows.pipeline, &args.calling, tasks).await?;
                anyhow::Ok(prepare_run(&args.rows, &target)?)
            })?;
            output::print(&show::plan(batch.plan()))
        }
        (Some(BatchCommand::Status(args)), _) => {
            let status = status(&Folder::new(args.folder))?;
            output::print(&match args.json {
                true => format!("{}\n", serde_json::to_string(&status)?),
                false => show::status(&status),
            })
        }
        (Some(BatchCommand::Finish(args)), _) => {
            let success = finish(&Folder::new(args.folder))?;
            output::print(&show::success(&success))
        }
        (Some(BatchCommand::Retry(args)), _) => retry(&args, tasks),
        (None, Some(args)) => runtime()?.block_on(async {
            let target = Target::find(&args.pipeline, &calling, tasks).await?;
            let batch = prepare_run(&args, &target)?;
            answer(&Folder::new(&args.out), &batch, target, &calling).await
        }),
        // The arguments of a batch are required where there is no sub-command.
        (None, None) => Ok(()),
    }
}

fn prepare_run(args: &BatchRowsArgs, target: &Target) -> Result<Batch, BatchError> {
    let asked = ask::of_run(args, target)?;
    prepare(Folder::new(&args.out), &asked, io::stdin().lock())
}

fn retry(args: &BatchRetryArgs, tasks: &Tasks) -> anyhow::Result<()> {
    let failed = Folder::new(&args.folder);
    let plan = motet_batch::Plan::of(&failed)?;
    let (inputs, format, settings) = motet_batch::rows_with_errors(&failed)?;
    runtime()?.block_on(async {
        let target = Target::find(&plan.pipeline.name, &args.calling, tasks).await?;
        let asked = motet_batch::Asked {
            inputs,
            format: Some(format),
            ..ask::of_target(&target, settings)
        };
        let batch = prepare(Folder::new(&args.out), &asked, io::empty())?;
        answer(&Folder::new(&args.out), &batch, target, &args.calling).await
    })
}

/// Answers the rows of a batch that are this worker's, and finishes it where all are there.
async fn answer(
    folder: &Folder,
    batch: &Batch,
    target: Target,
    args: &CallingArgs,
) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let signal = shutdown::signal();
    let stopping = stop.clone();
    tokio::spawn(async move {
        if signal.await.is_ok() {
            stopping.cancel();
        }
    });
    let progress = Arc::new(Progress::default());
    let options = ask::worker(args)?;
    let showing = Showing::begin(progress.clone());
    let calls = RowCalls::new(target.pipeline.clone());
    let calls = Arc::new(calls.bulk().with_tokens().within(args.deadline));
    let worked = work(batch, calls, &options, progress.clone(), stop).await;
    showing.end().await;
    let finished = match &worked {
        Ok(outcome) if outcome.is_complete => Some(finish(folder)),
        _ => None,
    };
    target.end().await;
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
