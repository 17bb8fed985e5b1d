//! The forward pass, as the batcher's threads run it.

use std::sync::Arc;

use motet_batcher::{BatchError, Executor, Measurement, Options, RowError, measure};
use motet_models::{
    EncodeError, HeadedRow, LoadedHead, RowInput, TextEncoder, ThreadTeam, ThreadTeamError,
    TokenIds, Values,
};
use motet_runtime::flow::Flow;

use crate::core_permits::CoreSemaphore;
use crate::measurements::Measurements;
use crate::token_vectors::Member;
use crate::trace::CallTrace;

/// Tokens of the row that every executor runs before it serves.
const WARM_UP_TOKENS: u32 = 16;

/// A row of a batch.
#[derive(Clone, Debug)]
pub(crate) struct EncodeRow {
    pub(crate) ids: TokenIds,
    /// Numbers of the heads that are applied, each of which gives a result.
    pub(crate) heads: Arc<[usize]>,
    /// The caller for whose other calls the vectors of the tokens may be kept; `None` for nobody's.
    pub(crate) caller: Option<Flow>,
    pub(crate) trace: Arc<CallTrace>,
}

/// The heads of one model.
#[derive(Debug)]
pub(crate) struct ModelHeads {
    /// Those of its tasks, in their order.
    pub(crate) of_tasks: Vec<LoadedHead>,
    /// The one that gives the vectors of tokens as they are.
    pub(crate) of_tokens: LoadedHead,
}

impl ModelHeads {
    /// Returns the heads of a row; last the one of its tokens, if their vectors are kept.
    fn of_row(&self, row: &EncodeRow, is_kept: bool) -> Vec<&LoadedHead> {
        let of_tasks = row.heads.iter().map(|number| &self.of_tasks[*number]);
        let of_tokens = is_kept.then_some(&self.of_tokens);
        of_tasks.chain(of_tokens).collect()
    }
}

/// Runs an encoder on a thread of the batcher, to which it belongs.
#[derive(Debug)]
pub(crate) struct EncoderExecutor {
    model: Arc<str>,
    encoder: Arc<TextEncoder>,
    heads: Arc<ModelHeads>,
    /// Where vectors of tokens are kept; `None` where they are not shared.
    token_vectors: Option<Arc<Member>>,
    team: ThreadTeam,
    /// `None` where a device computes: the thread then only submits work to it.
    cores: Option<CoreSemaphore>,
    measurements: Measurements,
}

impl EncoderExecutor {
    /// Makes an executor that belongs to the calling thread. On a CPU this thread and `threads - 1`
    /// helpers compute; other devices are used by this thread alone, since their drivers keep state
    /// for each thread.
    ///
    /// # Errors
    /// When the system cannot start the helpers.
    pub(crate) fn new(
        model: Arc<str>,
        encoder: Arc<TextEncoder>,
        heads: Arc<ModelHeads>,
        token_vectors: Option<Arc<Member>>,
        threads: usize,
        cores: &CoreSemaphore,
        measurements: Measurements,
    ) -> Result<Self, ThreadTeamError> {
        let is_cpu = encoder.device().is_cpu();
        Ok(Self {
            model,
            encoder,
            heads,
            token_vectors,
            team: ThreadTeam::for_current_thread(if is_cpu { threads } else { 1 })?,
            cores: is_cpu.then(|| cores.clone()),
            measurements,
        })
    }

    /// Encodes a batch once the cores are free.
    ///
    /// # Errors
    /// A failure of the device, which loses the whole batch.
    fn encode(
        &self,
        rows: &[HeadedRow<'_>],
    ) -> Result<Vec<Result<Vec<Values>, motet_models::RowError>>, EncodeError> {
        let cores = self.cores.as_ref();
        let _permit = cores.map(|cores| cores.acquire(self.team.count()));
        self.encoder.encode_headed(rows, &self.team)
    }
}

impl Executor for EncoderExecutor {
    type Row = EncodeRow;
    type Output = Vec<Values>;

    fn run(
        &mut self,
        rows: &[&EncodeRow],
    ) -> Result<Vec<Result<Vec<Values>, RowError>>, BatchError> {
        let _compute_spans = CallTrace::compute(rows.iter().map(|row| &row.trace));
        let tokens: usize = rows.iter().map(|row| row.ids.len()).sum();
        let shared = self.token_vectors.as_deref();
        let shared = shared.filter(|shared| shared.has_takers());
        let keeps = |row: &EncodeRow| shared.zip(row.caller);
        let heads = rows.iter();
        let heads: Vec<_> = heads
            .map(|row| self.heads.of_row(row, keeps(row).is_some()))
            .collect();
        let headed = rows.iter().zip(&heads).map(|(row, heads)| HeadedRow {
            row: RowInput::from(&row.ids),
            heads,
        });
        let headed: Vec<_> = headed.collect();
        let forward =
            tracing::info_span!("forward", model = %self.model, rows = rows.len(), tokens);
        let encoded = forward.in_scope(|| self.encode(&headed));
        let results = encoded.map_err(|error| batch_error(&error))?;
        let invalid = |error: motet_models::RowError| RowError::Invalid(error.to_string());
        let results = results.into_iter().zip(rows).map(|(results, row)| {
            let mut results = results.map_err(invalid)?;
            // Kept here, so that no call holds them until all of its rows are encoded.
            if let Some((shared, caller)) = keeps(row)
                && let Some(vectors) = results.pop()
                && vectors.is_finite()
            {
                shared.keep(caller, &row.ids, vectors);
            }
            finite(results)
        });
        Ok(results.collect())
    }

    /// Returns a row of synthetic token ids.
    fn sample(&self, tokens: u32) -> Option<EncodeRow> {
        let config = self.encoder.config();
        let vocabulary = config.vocabulary();
        let tokens = (tokens as usize).clamp(1, config.max_tokens);
        let ids = (0..tokens).map(|at| ((7 * at + 3) % vocabulary) as u32);
        let ids = TokenIds::from(ids.collect::<Vec<u32>>());
        Some(EncodeRow {
            ids,
            heads: (0..self.heads.of_tasks.len()).collect(),
            caller: None,
            trace: CallTrace::queue(),
        })
    }

    /// Returns the first executor of an encoder measures it, while the others wait. All run a small
    /// batch, whose result must be finite.
    fn warm_up(&mut self, options: &Options) -> Result<Vec<Measurement>, BatchError> {
        let row = self.sample(WARM_UP_TOKENS);
        for result in self.run(&row.iter().collect::<Vec<_>>())? {
            result.map_err(|error| BatchError::Failed(format!("warming it up: {error}")))?;
        }
        let measurements = self.measurements.clone();
        let measurements = measurements.get_or_init(|| measure(self, options));
        Ok(measurements.clone())
    }
}

/// Returns the results of a row if all of them are finite: a broken number is never an answer.
pub(crate) fn finite(results: Vec<Values>) -> Result<Vec<Values>, RowError> {
    match results.iter().all(Values::is_finite) {
        true => Ok(results),
        false => Err(RowError::NotFinite),
    }
}

/// Returns the error of a batch. A device that is out of memory is recognised by its message: the
/// errors of the drivers have no common type, and those of CUDA and Metal exist only in binaries
/// built for them.
fn batch_error(error: &EncodeError) -> BatchError {
    let text = error.to_string();
    let words = text.to_lowercase().replace('_', " ");
    if words.contains("out of memory") {
        BatchError::OutOfMemory
    } else {
        BatchError::Failed(text)
    }
}
