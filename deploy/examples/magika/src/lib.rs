//! The task `classify_bytes`: the kind of each file, by Magika.

mod content;
mod network;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use candle_core::Device;
use motet::task::{
    Answer, BatchError, Batching, BoxError, CheckContext, ElementType, LoadContext, LoadedModel,
    PreparedRow, PreparedRows, Problem, Request, RowError, Signature, Task, Tensor, Weights,
    Worker, batch_error, input, output,
};
use serde::Deserialize;
use tonic::Status;

use content::{Content, Window};
use network::Network;

/// Most files of a batch: some 4 MB of memory each.
const BATCH_FILES_MAX: u64 = 32;

/// The task: `content: bytes[N]` to `label: string[N], score: float[N], mime_type: string[N],
/// is_text: bool[N]`.
#[derive(Debug)]
pub struct ClassifyBytes;

/// The keys of a model.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Keys {
    #[serde(default)]
    mode: Mode,
}

/// The score from which a label is given; below it, the label is `txt` or `unknown`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// That of the label.
    #[default]
    HighConfidence,
    /// One for all labels.
    MediumConfidence,
    /// Any.
    BestGuess,
}

/// The package's `config.min.json`.
#[derive(Debug, Deserialize)]
struct Rules {
    #[serde(flatten)]
    window: Window,
    target_labels_space: Vec<String>,
    medium_confidence_threshold: f64,
    thresholds: BTreeMap<String, f64>,
    /// Labels that callers see in place of the model's.
    overwrite_map: BTreeMap<String, String>,
}

/// Properties of a label, as the package lists them.
#[derive(Debug, Deserialize)]
struct Kind {
    mime_type: String,
    is_text: bool,
}

/// The files of the model.
#[derive(Debug)]
struct Files {
    rules: Rules,
    kinds: BTreeMap<String, Kind>,
    weights: Weights,
    /// Tokens of a file.
    tokens: usize,
    mode: Mode,
}

/// A configuration that was checked.
#[derive(Clone, Debug)]
pub struct Checked(Arc<Files>);

impl Task for ClassifyBytes {
    const NAME: &'static str = "classify_bytes";
    const ABOUT: &'static str = "the kind of each file, by Magika";
    const UNIT: &'static str = "files";
    const MODEL_KEYS: &'static [&'static str] = &["source", "device", "threads", "batcher"];
    const NEEDS_SOURCE: bool = true;

    type Config = Keys;
    type Checked = Checked;
    type Model = Magika;

    fn check(
        keys: &Keys,
        context: &CheckContext<'_>,
    ) -> Result<(Signature, Checked), Vec<Problem>> {
        let folder = context.folder()?;
        let files = || {
            let (rules, kinds) = (
                folder.json::<Rules>("config.json")?,
                folder.json("kinds.json")?,
            );
            let weights = folder.weights()?;
            let tokens = rules.window.tokens().unwrap_or_default();
            Network::check(&weights, tokens, rules.target_labels_space.len())?;
            Ok::<_, motet::task::FolderError>(Files {
                rules,
                kinds,
                weights,
                tokens,
                mode: keys.mode,
            })
        };
        let files = files().map_err(|error| context.source_problem(error.to_string()))?;
        let signature = Signature {
            inputs: vec![input("content", ElementType::Bytes, ["N"])],
            outputs: vec![
                output("label", ElementType::String, ["N"]),
                output("score", ElementType::F32, ["N"]),
                output("mime_type", ElementType::String, ["N"]),
                output("is_text", ElementType::Bool, ["N"]),
            ],
            parameters: Vec::new(),
        };
        Ok((signature, Checked(Arc::new(files))))
    }

    fn load(Checked(files): Checked, context: &LoadContext) -> Result<Magika, BoxError> {
        let device = context.device()?;
        let labels = files.rules.target_labels_space.len();
        Ok(Magika {
            network: Network::load(&files.weights, files.tokens, labels, &device)?,
            files,
            device,
        })
    }
}

/// The model in memory.
pub struct Magika {
    files: Arc<Files>,
    network: Network,
    device: Device,
}

/// The label of a file, with its score.
#[derive(Clone, Debug)]
pub struct Label {
    name: String,
    score: f32,
}

impl LoadedModel for Magika {
    /// The tokens of a file.
    type Row = Vec<u32>;
    type Output = Label;
    type Call = Request;
    type Part = ();

    fn begin(&self, request: Request) -> Result<Request, Status> {
        Ok(request)
    }

    fn rows(
        &self,
        call: &Request,
        _: Range<usize>,
    ) -> Result<PreparedRows<Vec<u32>, Label, ()>, Status> {
        let contents = call.byte_strings("content")?;
        let rows = contents
            .into_iter()
            .map(|bytes| match self.files.rules.window.read(bytes) {
                Content::Tokens(row) => PreparedRow::Run { row, cost: 1 },
                Content::Short(name) => PreparedRow::Known(Label {
                    name: name.to_owned(),
                    score: 1.0,
                }),
            });
        Ok(PreparedRows {
            rows: rows.collect(),
            part: (),
        })
    }

    fn run(
        &self,
        rows: &[&Vec<u32>],
        _: &Worker<'_>,
    ) -> Result<Vec<Result<Label, RowError>>, BatchError> {
        let shape = (rows.len(), self.files.tokens);
        let tokens: Vec<u32> = rows.iter().copied().flatten().copied().collect();
        let scores = || {
            let tokens = candle_core::Tensor::from_vec(tokens, shape, &self.device)?;
            self.network.forward(&tokens)?.to_vec2::<f32>()
        };
        let scores = scores().map_err(batch_error)?;
        Ok(scores.iter().map(|scores| Ok(self.label(scores))).collect())
    }

    fn answer(&self, _: &Request, _: Vec<()>, labels: Vec<Label>) -> Result<Answer, Status> {
        let kind = |label: &Label| self.files.kinds.get(&label.name);
        let mime_types = labels
            .iter()
            .map(|label| kind(label).map_or("", |kind| &kind.mime_type));
        let is_text: Vec<bool> = labels
            .iter()
            .map(|label| kind(label).is_some_and(|kind| kind.is_text))
            .collect();
        Ok(Answer::new([
            ("mime_type", Tensor::strings(mime_types)),
            ("is_text", Tensor::bools(&is_text)),
            (
                "score",
                Tensor::list(labels.iter().map(|label| label.score).collect()),
            ),
            (
                "label",
                Tensor::strings(labels.iter().map(|label| &label.name)),
            ),
        ]))
    }

    fn sample(&self, _: u32) -> Option<(Vec<u32>, u32)> {
        Some((vec![u32::from(b' '); self.files.tokens], 1))
    }

    fn batching(&self) -> Batching {
        Batching {
            max_batch_cost: Some(BATCH_FILES_MAX),
            ..Batching::default()
        }
    }
}

impl Magika {
    /// Returns the label that a file's scores are enough for.
    fn label(&self, scores: &[f32]) -> Label {
        let rules = &self.files.rules;
        // The first of equal scores.
        let better = |best: usize, at: usize| if scores[at] > scores[best] { at } else { best };
        let best = (0..scores.len()).reduce(better).unwrap_or_default();
        let (of_model, score) = (&rules.target_labels_space[best], scores[best]);
        let name = rules.overwrite_map.get(of_model).unwrap_or(of_model);
        let enough = match self.files.mode {
            Mode::HighConfidence => rules.thresholds.get(of_model).copied(),
            Mode::MediumConfidence => None,
            Mode::BestGuess => Some(0.0),
        };
        let name = match &self.files.kinds.get(name) {
            _ if f64::from(score) >= enough.unwrap_or(rules.medium_confidence_threshold) => name,
            Some(kind) if kind.is_text => "txt",
            _ => "unknown",
        };
        Label {
            name: name.to_owned(),
            score,
        }
    }
}
