//! `embed`: one vector for each text.

use motet_models::architecture::{HeadModule, Readout};
use motet_models::{ModelFiles, Values};
use motet_proto::TensorError;
use motet_proto::signature::Signature;
use motet_proto::types::Dim;

use super::TextKind;
use super::encoder_task::{
    AnswerForm, BuiltTask, EncoderTask, TaskError, TaskSettings, refuse_sparse,
    refuse_token_vectors,
};
use super::ports::{EMBEDDING, port, symbol, texts};
use super::vector_dtype::VectorDtype;
use crate::request::Outputs;

pub(super) const KIND: TextKind = TextKind {
    name: "embed",
    keys: &[
        "engine",
        "adapter",
        "max_tokens",
        "truncate",
        "prompt_name",
        "prompt",
        "pooling",
        "normalize",
        "output_dtype",
    ],
    about: "one vector for each text",
    names_beside_others: &[(EMBEDDING, EMBEDDING)],
    build,
};

#[derive(Debug)]
struct Embed {
    dtype: VectorDtype,
}

fn build(files: &ModelFiles, settings: &TaskSettings) -> Result<BuiltTask, TaskError> {
    refuse_sparse(files)?;
    refuse_token_vectors(files)?;
    let config = files.config();
    let mut head = config.head.clone();
    if let Some(pooling) = settings.pooling {
        let pooled = Readout::Pooled(vec![pooling.value]);
        let [own, chosen] = [&head.readout, &pooled].map(|r| r.size(config.hidden_size()));
        if own != chosen
            && head
                .modules
                .iter()
                .any(|module| *module != HeadModule::UnitLength)
        {
            return Err(TaskError::Setting {
                key: "pooling",
                span: pooling.span,
                message: format!(
                    "`pooling` gives vectors of {chosen} values, but the modules after it take \
                     those of the model's own, which have {own}"
                ),
            });
        }
        head.readout = pooled;
    }
    let normalize = settings.normalize.unwrap_or(head.is_normalized());
    let head = head.normalized(normalize);
    let dtype = settings.output_dtype;
    let size = head.size(config.hidden_size());
    if let Some(dtype) = dtype
        && dtype.value.elements(size).is_none()
    {
        return Err(TaskError::Setting {
            key: "output_dtype",
            span: dtype.span,
            message: format!(
                "`output_dtype` packs eight values into a byte, but vectors have {size}"
            ),
        });
    }
    let dtype = dtype.map(|dtype| dtype.value).unwrap_or_default();
    Ok(BuiltTask::new(Embed { dtype }, head))
}

impl EncoderTask for Embed {
    /// `text: string[N] -> embedding: float[N,D]`
    fn signature(&self, size: usize) -> Signature {
        let elements = self.dtype.elements(size).unwrap_or(size);
        let dims = vec![symbol("N"), Dim::Fixed(elements)];
        Signature {
            inputs: vec![texts()],
            outputs: vec![port(EMBEDDING, self.dtype.element(), dims)],
            parameters: Vec::new(),
        }
    }

    fn has_token_vectors(&self) -> bool {
        false
    }

    fn answers_vectors(&self) -> bool {
        true
    }

    /// Bits are answered whole: fewer values would be another number of bytes.
    fn has_dimensions(&self) -> bool {
        self.dtype.has_parts()
    }

    fn outputs(&self, rows: Vec<Values>, form: &AnswerForm<'_>) -> Result<Outputs, TensorError> {
        let count = rows.len();
        let mut values = Vec::with_capacity(count * form.vectors.size);
        for vector in &rows {
            form.vectors.append(vector.as_slice(), &mut values);
        }
        let embedding = self.dtype.tensor(count, form.vectors.size, values)?;
        Ok(vec![(EMBEDDING, embedding)])
    }
}
