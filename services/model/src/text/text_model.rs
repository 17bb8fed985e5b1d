//! [`TextModel`]: a loaded model with an encoder.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use motet_batcher::{BatchError, RowError};
use motet_models::{
    EncodeError, EncoderCache, HeadedRow, LoadedHead, ModelFiles, RowInput, TextEncoder, TokenIds,
    Values,
};
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::oip::SCORE_KIND;
use motet_runtime::flow::Flow;
use motet_runtime::status::internal;
use tonic::Status;
use tracing::Span;

use super::check::CheckedText;
use super::row_origins::RowOrigins;
use super::text_codec::{RowCuts, Tokenized};
use super::{CallSettings, ModelTasks, TextCodec, WARM_UP_TEXT};
use crate::per_encoder::PerEncoder;
use crate::request::Inputs;
use crate::task::{
    Answer, Batching, BoxError, LoadContext, LoadedModel, Measurements, Preparation, PreparedRow,
    PreparedRows, Request, Worker, batch_error,
};
use crate::token_vectors::{Member, TokenVectors};

/// Texts of up to this tokenization cost (at most a quarter of a millisecond) are tokenized by the
/// thread that received them.
const INLINE_TOKENIZATION_COST_MAX: usize = 8192;
/// Rows of up to this many are looked up by the thread that received them: a microsecond or two
/// each.
const INLINE_LOOKUPS_MAX: usize = 256;
/// Responses of up to this many values are built by the thread that got the vectors.
const INLINE_VALUES_MAX: usize = 4096;

/// A row of a batch.
#[derive(Clone, Debug)]
pub(crate) struct EncodeRow {
    pub(crate) ids: TokenIds,
    /// Numbers of the heads that are applied, each of which gives a result.
    pub(crate) heads: Arc<[usize]>,
    /// The caller for whose other calls the vectors of the tokens may be kept; `None` for nobody's.
    pub(crate) caller: Option<Flow>,
}

/// The result of a row.
#[derive(Debug)]
pub(crate) enum RowValues {
    /// The results of its heads.
    Computed(Vec<Values>),
    /// Its tokens, and their vectors, which another model has computed.
    Known { ids: TokenIds, vectors: Arc<Values> },
}

impl RowValues {
    /// Returns whether another model has computed the row.
    fn is_known(&self) -> bool {
        matches!(self, Self::Known { .. })
    }

    /// Returns the results of the heads of these tasks.
    fn results(self, heads: &ModelHeads, tasks: &[usize]) -> Vec<Values> {
        match self {
            Self::Computed(results) => results,
            Self::Known { ids, vectors } => {
                let head = |task: &usize| &heads.of_tasks[*task];
                let heads = tasks.iter().map(head);
                heads
                    .map(|head| head.of_token_vectors(&vectors, (&ids).into()))
                    .collect()
            }
        }
    }
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
    fn load(files: &ModelFiles, tasks: &ModelTasks) -> Result<Self, motet_models::LoadError> {
        let of_tasks = tasks.iter().map(|task| LoadedHead::load(files, &task.head));
        Ok(Self {
            of_tasks: of_tasks.collect::<Result<_, _>>()?,
            of_tokens: LoadedHead::of_tokens(files.config().hidden_size()),
        })
    }

    /// Returns the heads of a row; last the one of its tokens, if their vectors are kept.
    fn of_row(&self, row: &EncodeRow, is_kept: bool) -> Vec<&LoadedHead> {
        let of_tasks = row.heads.iter().map(|number| &self.of_tasks[*number]);
        let of_tokens = is_kept.then_some(&self.of_tokens);
        of_tasks.chain(of_tokens).collect()
    }
}

/// A model with an encoder, in memory.
#[derive(Debug)]
pub(crate) struct TextModel {
    pub(crate) codec: TextCodec,
    pub(crate) encoder: Arc<TextEncoder>,
    pub(crate) heads: ModelHeads,
    /// Where vectors of tokens are kept; `None` where they are not shared.
    pub(crate) token_vectors: Option<Member>,
    pub(crate) measurements: Measurements,
}

/// A call between its request and its answer.
#[derive(Debug)]
pub(crate) struct TextCall {
    /// Until its rows are made.
    inputs: Mutex<Option<Arc<Inputs>>>,
    settings: CallSettings,
    caller: Flow,
}

impl TextCall {
    fn inputs(&self) -> Option<Arc<Inputs>> {
        let inputs = self.inputs.lock();
        inputs.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Origins and lengths of the rows of a part of a call.
#[derive(Debug)]
pub(crate) struct TextPart {
    origins: RowOrigins,
    rows: RowCuts,
}

impl TextModel {
    /// Loads the weights onto their device, and those of the heads.
    ///
    /// # Errors
    /// A device that is not there, and weights that cannot be read or do not fit.
    pub(super) fn load(checked: CheckedText, context: &LoadContext) -> Result<Self, BoxError> {
        let CheckedText {
            tasks,
            tokenizer,
            files,
            device,
            engine,
            precision,
            defaults,
        } = checked;
        let device = context.open(device)?;
        let heads = ModelHeads::load(&files, &tasks)?;
        let encoders = context.shared::<EncoderCache>();
        let encoder = encoders.get(engine, &files, &device, precision)?;
        let config = encoder.config();
        // Other heads than those of vectors read what they were trained to read.
        let pools_prompt = config.pools_prompt || tasks.of_vectors().is_none();
        // From vectors that are kept a head gives the same bits as from new ones only on this
        // engine, and others may have to copy them from a device first.
        let token_vectors = encoder.is_packed().then(|| {
            let takes = heads.of_tasks.iter().all(LoadedHead::is_cheap);
            let all = context.shared::<PerEncoder<Arc<TokenVectors>>>();
            all.of(&encoder).join(takes)
        });
        let measurements = context.shared::<PerEncoder<Measurements>>();
        Ok(Self {
            codec: TextCodec {
                tasks,
                tokenizer,
                defaults,
                prompts: Arc::new(config.prompts.clone()),
                pools_prompt,
                limits: context.limits(),
            },
            heads,
            token_vectors,
            measurements: measurements.of(&encoder),
            encoder,
        })
    }

    /// Returns the rows, each with its token vectors where a model with the same weights has
    /// encoded it for this caller.
    fn rows_of(
        &self,
        rows: Vec<TokenIds>,
        call: &TextCall,
    ) -> Vec<PreparedRow<EncodeRow, RowValues>> {
        let shared = self.token_vectors.as_ref();
        let shared = shared.filter(|shared| shared.may_find());
        let mut known = shared.map(|shared| shared.find(call.caller, &rows).into_iter());
        let rows = rows.into_iter().map(|ids| {
            let vectors = known.as_mut().and_then(Iterator::next).flatten();
            if let Some(vectors) = vectors {
                return PreparedRow::Known(RowValues::Known { ids, vectors });
            }
            let cost = u32::try_from(ids.len()).unwrap_or(u32::MAX);
            let row = EncodeRow {
                ids,
                heads: call.settings.tasks.clone(),
                caller: Some(call.caller),
            };
            PreparedRow::Run { row, cost }
        });
        rows.collect()
    }

    /// Encodes a batch.
    ///
    /// # Errors
    /// A failure of the device, which loses the whole batch.
    fn encode(
        &self,
        rows: &[&EncodeRow],
        worker: &Worker<'_>,
    ) -> Result<Vec<Result<RowValues, RowError>>, EncodeError> {
        let shared = self.token_vectors.as_ref();
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
        let results = self.encoder.encode_headed(&headed, worker.team())?;
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
            finite(results).map(RowValues::Computed)
        });
        Ok(results.collect())
    }
}

impl LoadedModel for TextModel {
    type Row = EncodeRow;
    type Output = RowValues;
    type Call = TextCall;
    type Part = TextPart;

    fn begin(&self, request: Request) -> Result<TextCall, Status> {
        let settings = self.codec.settings(&request.parameters, &request.wanted)?;
        Ok(TextCall {
            inputs: Mutex::new(Some(Arc::new(request.inputs))),
            settings,
            caller: request.flow,
        })
    }

    fn preparation(&self, call: &TextCall) -> Preparation {
        let Some(inputs) = call.inputs() else {
            return Preparation::Inline;
        };
        let (cost, rows) = self.codec.tokenization_cost(&inputs, &call.settings);
        let looks_up = || self.token_vectors.as_ref().is_some_and(Member::may_find);
        let is_short =
            cost <= INLINE_TOKENIZATION_COST_MAX && (rows <= INLINE_LOOKUPS_MAX || !looks_up());
        match is_short {
            true => Preparation::Inline,
            false => Preparation::Pool(self.codec.slices(&inputs, &call.settings)),
        }
    }

    fn rows(
        &self,
        call: &TextCall,
        part: Range<usize>,
    ) -> Result<PreparedRows<EncodeRow, RowValues, TextPart>, Status> {
        let inputs = call.inputs().unwrap_or_default();
        let tokenized = self.codec.tokenize(&inputs, &call.settings, part)?;
        let Tokenized { rows, origins } = tokenized;
        Ok(PreparedRows {
            part: TextPart {
                origins,
                rows: RowCuts::of(&rows),
            },
            rows: self.rows_of(rows, call),
        })
    }

    fn check(&self, call: &TextCall, parts: &[TextPart]) -> Result<(), Status> {
        // Nothing needs the texts any more.
        *call.inputs.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let tokens = parts.iter().map(|part| part.rows.tokens).sum();
        self.codec.check_tokens(tokens, &call.settings)
    }

    fn run(
        &self,
        rows: &[&EncodeRow],
        worker: &Worker<'_>,
    ) -> Result<Vec<Result<RowValues, RowError>>, BatchError> {
        self.encode(rows, worker).map_err(batch_error)
    }

    fn answer(
        &self,
        call: &TextCall,
        parts: Vec<TextPart>,
        rows: Vec<RowValues>,
    ) -> Result<Answer, Status> {
        let (settings, codec) = (&call.settings, &self.codec);
        let (origins, cuts) = joined(parts);
        let cuts = codec.cuts(&cuts, &origins);
        let started = Instant::now();
        let has_known = rows.iter().any(RowValues::is_known);
        let rows = rows.into_iter();
        let rows = rows.map(|row| row.results(&self.heads, &settings.tasks));
        let rows = rows.collect();
        // Heads of rows that were encoded before are computed here.
        let of_heads = if has_known {
            started.elapsed()
        } else {
            Duration::ZERO
        };
        let labels = origins.labels.len();
        let score_kind = codec.tasks.first().score_kind(settings, labels);
        let outputs = codec.outputs(rows, &origins, settings);
        let outputs = outputs.map_err(|error| internal(error.to_string()).build())?;
        let score_kind = score_kind.map(|kind| {
            let kind = ParameterChoice::StringParam(kind.as_str().to_owned());
            (SCORE_KIND, kind)
        });
        Ok(Answer::new(outputs)
            .with_parameters(score_kind.into_iter().chain(cuts))
            .with_computed(of_heads)
            // Each row was looked through by itself.
            .may_be_infinite())
    }

    fn has_short_answer(&self, call: &TextCall, _: &[TextPart], rows: &[RowValues]) -> bool {
        let values = self.codec.output_values(rows.len(), &call.settings);
        let is_short = values.is_some_and(|values| values <= INLINE_VALUES_MAX);
        is_short && !rows.iter().any(RowValues::is_known)
    }

    fn field(&self, _: &TextCall, parts: &[TextPart], row: usize) -> String {
        let mut origins = RowOrigins::default();
        for part in parts {
            origins.append(part.origins.clone());
        }
        self.codec.field(row, &origins)
    }

    /// Returns a row of synthetic token ids.
    fn sample(&self, cost: u32) -> Option<(EncodeRow, u32)> {
        let config = self.encoder.config();
        let vocabulary = config.vocabulary();
        let tokens = (cost as usize).clamp(1, config.max_tokens);
        let cost = u32::try_from(tokens).unwrap_or(u32::MAX);
        let ids = (0..tokens).map(|at| ((7 * at + 3) % vocabulary) as u32);
        let ids = TokenIds::from(ids.collect::<Vec<u32>>());
        let row = EncodeRow {
            ids,
            heads: (0..self.heads.of_tasks.len()).collect(),
            caller: None,
        };
        Some((row, cost))
    }

    /// The encoder does not pad rows.
    fn batching(&self) -> Batching {
        Batching {
            max_row_cost: u32::try_from(self.codec.defaults.max_tokens).ok(),
            ..Batching::default()
        }
    }

    fn has_pauses(&self) -> bool {
        self.encoder.is_packed()
    }

    /// Models of one encoder are measured once.
    fn measurements(&self) -> Option<Measurements> {
        Some(self.measurements.clone())
    }

    fn warm_up(&self) {
        // A text that the tokenizer refuses is reported to its caller.
        let _ = self.codec.tokenizer.encode(WARM_UP_TEXT);
    }

    fn preparation_span(&self) -> Span {
        tracing::info_span!("tokenize")
    }
}

/// Returns the texts and the cuts of all rows of a call.
fn joined(parts: Vec<TextPart>) -> (RowOrigins, RowCuts) {
    let (mut origins, mut rows) = (RowOrigins::default(), RowCuts::default());
    for part in parts {
        origins.append(part.origins);
        rows.append(part.rows);
    }
    (origins, rows)
}

/// Returns the results of a row if all of them are finite: a broken number is never an answer.
pub(crate) fn finite(results: Vec<Values>) -> Result<Vec<Values>, RowError> {
    match results.iter().all(Values::is_finite) {
        true => Ok(results),
        false => Err(RowError::NotFinite),
    }
}
