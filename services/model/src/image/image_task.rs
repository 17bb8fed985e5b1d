//! The tasks that take images as [`Task`]s.

use std::fmt::Debug;

use motet_models::{Head, ModelFiles, ScoreKind, Values};
use motet_proto::signature::Signature;
use motet_proto::types::{Dim, ElementType};
use motet_proto::{Tensor, TensorError};
use serde_json::Value;

use super::check::{CheckedImages, check, facts};
use super::image_model::{ImageCall, ImageModel};
use super::keys::{ImageKeys, schema};
use crate::request::Outputs;
use crate::task::{BoxError, CheckContext, Facts, LoadContext, Problem, Task, input};
use crate::text::{VectorDtype, VectorForm, activation, highest, ports};

/// The input of both tasks.
pub(super) const IMAGE: &str = "image";

/// The task `embed_images`.
pub(crate) struct EmbedImages;

/// The task `classify_images`.
pub(crate) struct ClassifyImages;

macro_rules! image_tasks {
    ($($task:ty: $name:literal, $about:literal, $keys:expr;)*) => {$(
        impl Task for $task {
            const NAME: &'static str = $name;
            const ABOUT: &'static str = $about;
            const NEEDS_SOURCE: bool = true;

            type Config = ImageKeys;
            type Checked = CheckedImages;
            type Model = ImageModel;

            fn keys() -> &'static [&'static str] {
                $keys
            }

            fn key_schema(key: &str) -> Value {
                schema(key)
            }

            fn check(
                keys: &ImageKeys,
                context: &CheckContext<'_>,
            ) -> Result<(Signature, CheckedImages), Vec<Problem>> {
                check(keys, context, <$task>::build)
            }

            fn facts(checked: &CheckedImages) -> Result<Facts, BoxError> {
                facts(checked)
            }

            fn load(checked: CheckedImages, context: &LoadContext) -> Result<ImageModel, BoxError> {
                ImageModel::load(checked, context)
            }
        }
    )*};
}

image_tasks! {
    EmbedImages: "embed_images", "one vector for each image",
        &["engine", "max_pixels", "max_bytes", "normalize", "output_dtype"];
    ClassifyImages: "classify_images", "a label for each image, and the score of every label",
        &["engine", "max_pixels", "max_bytes"];
}

/// The parts of the answer to a call.
#[derive(Clone, Debug)]
pub(super) enum Answers {
    /// A vector for each image.
    Vectors {
        dtype: VectorDtype,
        /// Values of a vector.
        size: usize,
        /// `true` if vectors are scaled to length 1 where a call does not say.
        normalize: bool,
    },
    /// Scores for each image.
    Scores {
        labels: Vec<String>,
        score: ScoreKind,
    },
}

/// A task of a model: what is answered, and the head with which each image is computed.
pub(super) type Built = (Answers, Head);

/// Makes the task of a model of its files and its keys.
pub(super) type Build = fn(&ModelFiles, &ImageKeys, &CheckContext<'_>) -> Result<Built, Problem>;

impl EmbedImages {
    fn build(
        files: &ModelFiles,
        keys: &ImageKeys,
        context: &CheckContext<'_>,
    ) -> Result<Built, Problem> {
        let head = files.image_head();
        let head = head.map_err(|error| context.source_problem(error.to_string()))?;
        let size = head.size(files.config().hidden_size());
        let dtype = keys.output_dtype.map(|dtype| dtype.map(|word| word.0));
        if let Some(dtype) = dtype
            && dtype.value.elements(size).is_none()
        {
            let message =
                format!("`output_dtype` packs eight values into a byte, but vectors have {size}");
            return Err(context.problem("output_dtype", dtype.span, message));
        }
        let answers = Answers::Vectors {
            dtype: dtype.map(|dtype| dtype.value).unwrap_or_default(),
            size,
            normalize: keys.normalize.unwrap_or(head.is_normalized()),
        };
        // The last step is what each call chooses.
        Ok((answers, head.normalized(false)))
    }
}

impl ClassifyImages {
    fn build(
        files: &ModelFiles,
        _: &ImageKeys,
        context: &CheckContext<'_>,
    ) -> Result<Built, Problem> {
        let classifier = files.image_classifier();
        let classifier = classifier.map_err(|error| context.source_problem(error.to_string()))?;
        let answers = Answers::Scores {
            labels: classifier.labels,
            score: classifier.score,
        };
        Ok((answers, classifier.head))
    }
}

impl Answers {
    /// `image: bytes[N] -> embedding: float[N,D]`, or `label: string[N], score: float[N,L],
    /// labels: string[L]`.
    pub(super) fn signature(&self) -> Signature {
        let rows = || ports::symbol("N");
        let (outputs, parameters) = match self {
            Self::Vectors {
                dtype,
                size,
                normalize,
            } => {
                let elements = Dim::Fixed(dtype.elements(*size).unwrap_or(*size));
                let dims = vec![rows(), elements];
                let embedding = ports::port(ports::EMBEDDING, dtype.element(), dims);
                let size = dtype.has_parts().then_some(*size);
                let parameters = ports::vector_parameters(ports::EMBEDDING, size, *normalize);
                (vec![embedding], parameters)
            }
            Self::Scores { labels, .. } => {
                let count = Dim::Fixed(labels.len());
                let strings = |name, dim| ports::port(name, ElementType::String, vec![dim]);
                let score = vec![rows(), count.clone()];
                let outputs = vec![
                    strings(ports::LABEL, rows()),
                    ports::port(ports::SCORE, ElementType::F32, score),
                    strings(ports::LABELS, count),
                ];
                (outputs, vec![activation(labels.len())])
            }
        };
        Signature {
            inputs: vec![input(IMAGE, ElementType::Bytes, ["N"])],
            outputs,
            parameters,
        }
    }

    /// Returns the output tensors of a call, of the results of its images.
    ///
    /// # Errors
    /// Values that do not fill the tensor's shape, which would be a defect.
    pub(super) fn outputs(
        &self,
        call: &ImageCall,
        rows: Vec<Values>,
    ) -> Result<Outputs, TensorError> {
        let count = rows.len();
        match self {
            Self::Vectors {
                dtype,
                size,
                normalize,
            } => {
                let form = VectorForm {
                    size: call.dimensions.unwrap_or(*size),
                    normalize: call.normalize.unwrap_or(*normalize),
                };
                let mut values = Vec::with_capacity(count * form.size);
                for vector in &rows {
                    form.append(vector.as_slice(), &mut values);
                }
                let embedding = dtype.tensor(count, form.size, values)?;
                Ok(vec![(ports::EMBEDDING, embedding)])
            }
            Self::Scores { labels, score } => {
                let score = call.score.unwrap_or(*score);
                let mut scores = Vec::with_capacity(count * labels.len());
                let mut label = Vec::with_capacity(count);
                for row in rows {
                    let mut row = row.into_vec();
                    score.apply(&mut row);
                    label.push(labels[highest(&row)].as_str());
                    scores.extend(row);
                }
                let shape = vec![count, labels.len()];
                Ok(vec![
                    (ports::LABEL, Tensor::strings(label)),
                    (ports::SCORE, Tensor::from_values(shape, scores)?),
                    (ports::LABELS, Tensor::strings(labels)),
                ])
            }
        }
    }

    /// Returns how logits become the scores of a call, if it has scores.
    pub(super) fn score_kind(&self, call: &ImageCall) -> Option<ScoreKind> {
        match self {
            Self::Vectors { .. } => None,
            Self::Scores { score, .. } => Some(call.score.unwrap_or(*score)),
        }
    }
}
