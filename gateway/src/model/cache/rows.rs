//! Splitting of requests and answers into rows, and joining of rows to messages.

use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};
use motet_proto::inference::{InferParameter, ModelInferRequest, ModelInferResponse};
use motet_proto::oip::{self, Encoding, PRIORITY, TIMEOUT, lookahead};
use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;
use motet_runtime::status;
use prost::Message;
use tonic::Status;

use crate::call::layers::cache::{Cache, CachedOutput};

/// Parameters that affect how a call is scheduled, not its answer.
const SCHEDULING_PARAMETERS: [&str; 5] = [
    PRIORITY,
    TIMEOUT,
    lookahead::REQUEST,
    lookahead::SEQUEL_ROWS,
    lookahead::SEQUEL_US,
];

/// One row of an answer: the raw bytes of each output of a [`RowLayout`].
pub(super) type Row = Box<[Box<[u8]>]>;

/// Layout of the rows of a model: the inputs that have one element per row, and the outputs that
/// are cached.
#[derive(Debug)]
pub(super) struct RowLayout {
    row_inputs: Vec<String>,
    outputs: Vec<CachedOutput>,
}

impl RowLayout {
    /// Returns the layout that the check found, with the outputs that are `used`.
    pub(super) fn new(cache: &Cache, used: impl Fn(&str) -> bool) -> Self {
        Self {
            row_inputs: cache.row_inputs.clone(),
            outputs: cache
                .outputs
                .iter()
                .filter(|o| used(&o.name))
                .cloned()
                .collect(),
        }
    }

    /// Splits an answer to `count` rows.
    ///
    /// # Errors
    /// The reason why the answer does not fit the request.
    pub(super) fn rows(
        &self,
        response: &ModelInferResponse,
        count: usize,
    ) -> Result<Vec<Arc<Row>>, String> {
        let tensors = oip::take_outputs(&mut response.clone()).map_err(|e| e.to_string())?;
        let mut columns = Vec::with_capacity(self.outputs.len());
        for output in &self.outputs {
            let name = &output.name;
            let Some((_, tensor)) = tensors.iter().find(|(n, _)| n == name) else {
                return Err(format!("tensor `{name}` is missing"));
            };
            let wanted = on_the_wire(output.element);
            if on_the_wire(tensor.element()) != wanted {
                let found = tensor.element();
                return Err(format!(
                    "tensor `{name}`: elements are {found}, not {wanted}"
                ));
            }
            if tensor.shape().split_first() != Some((&count, &output.inner[..])) {
                let found = tensor.shape();
                return Err(format!(
                    "tensor `{name}` has the shape {found:?}, though {count} rows of {:?} were \
                     asked for",
                    output.inner
                ));
            }
            columns.push(tensor.raw_rows().map_err(|e| e.to_string())?);
        }
        // Copied: a slice would keep the whole answer in memory.
        let row = |at: usize| columns.iter().map(|column| Box::from(column[at])).collect();
        Ok((0..count).map(|at| Arc::new(row(at))).collect())
    }

    /// Joins rows to an answer.
    ///
    /// # Errors
    /// INTERNAL if the rows do not form tensors; those of [`RowLayout::rows`] do.
    pub(super) fn answer(
        &self,
        rows: &[Arc<Row>],
        parameters: HashMap<String, InferParameter>,
    ) -> Result<ModelInferResponse, Status> {
        let mut response = ModelInferResponse {
            parameters,
            ..Default::default()
        };
        for (at, output) in self.outputs.iter().enumerate() {
            let bytes = rows.iter().map(|row| row[at].len()).sum();
            let mut data = BytesMut::with_capacity(bytes);
            rows.iter().for_each(|row| data.extend_from_slice(&row[at]));
            let mut shape = vec![rows.len()];
            shape.extend_from_slice(&output.inner);
            let tensor = tensor(on_the_wire(output.element), shape, data.freeze())?;
            oip::put_outputs(
                &mut response,
                [(output.name.as_str(), &tensor)],
                Encoding::Raw,
            );
        }
        Ok(response)
    }
}

/// Returns the element type on the wire, where text is BYTES.
fn on_the_wire(element: ElementType) -> ElementType {
    match element {
        ElementType::String => ElementType::Bytes,
        other => other,
    }
}

fn tensor(element: ElementType, shape: Vec<usize>, data: Bytes) -> Result<Tensor, Status> {
    Tensor::from_raw(element, shape, data).map_err(|e| status::internal(e.to_string()).into())
}

/// A request split into rows. The key of a row has everything that its answer depends on.
#[derive(Debug)]
pub(super) struct SplitRequest {
    /// The request without its tensors.
    rest: ModelInferRequest,
    /// The input tensors: `true` for one with an element per row, the name, the tensor.
    tensors: Vec<(bool, String, Tensor)>,
    keys: Vec<Arc<[u8]>>,
}

impl SplitRequest {
    /// Splits a request.
    ///
    /// # Errors
    /// INTERNAL if the inputs do not have one number of rows; those of a checked node have.
    pub(super) fn new(layout: &RowLayout, mut message: ModelInferRequest) -> Result<Self, Status> {
        let unreadable = |why: String| Status::from(status::internal(why));
        let (tensors, _) = oip::take_inputs(&mut message).map_err(|e| unreadable(e.to_string()))?;
        let tensors: Vec<_> = tensors
            .into_iter()
            .map(|(name, tensor)| (layout.row_inputs.contains(&name), name, tensor))
            .collect();
        let columns = tensors
            .iter()
            .filter(|(by_row, ..)| *by_row)
            .map(|(_, _, tensor)| tensor.raw_rows())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| unreadable(e.to_string()))?;
        let count = columns.first().map_or(0, Vec::len);
        if columns.iter().any(|column| column.len() != count) {
            return Err(unreadable(
                "inputs have different numbers of rows".to_owned(),
            ));
        }
        let shared = shared_key(&message, layout, &tensors).finish();
        let keys = (0..count)
            .map(|at| {
                let bytes: usize = columns.iter().map(|c| size_of::<u64>() + c[at].len()).sum();
                let mut key = Vec::with_capacity(shared.len() + bytes);
                key.extend_from_slice(&shared);
                columns.iter().for_each(|c| put(&mut key, c[at]));
                key.into()
            })
            .collect();
        Ok(Self {
            rest: message,
            tensors,
            keys,
        })
    }

    /// Returns the number of rows.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns the key of each row.
    pub(super) fn keys(&self) -> &[Arc<[u8]>] {
        &self.keys
    }

    /// Returns the request for some of the rows, given by position.
    ///
    /// # Errors
    /// INTERNAL for a position out of range.
    pub(super) fn message(&self, rows: &[usize]) -> Result<ModelInferRequest, Status> {
        let mut message = self.rest.clone();
        for (by_row, name, tensor) in &self.tensors {
            let picked = match by_row {
                true if rows.len() < self.len() => tensor
                    .gather(rows)
                    .map_err(|e| Status::from(status::internal(e.to_string())))?,
                _ => tensor.clone(),
            };
            oip::put_inputs(&mut message, [(name.as_str(), &picked)]);
        }
        Ok(message)
    }
}

/// Size in bytes of the part of a key that all rows of a request share.
const SHARED_KEY_BYTES: usize = 2 * size_of::<u64>();

/// Digest of the part of a key that all rows share, which may be large: without it, each document
/// would keep a copy of a query of megabytes. 128 bits, of two hashes that are keyed with random
/// secrets of this process, so that a client cannot choose inputs that collide.
struct SharedKey([DefaultHasher; 2]);

impl SharedKey {
    fn new() -> Self {
        static SECRETS: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);
        Self(SECRETS.each_ref().map(BuildHasher::build_hasher))
    }

    fn put_count(&mut self, count: usize) {
        self.0.iter_mut().for_each(|h| h.write_u64(count as u64));
    }

    /// Adds a part with its length, so that different lists of parts differ.
    fn put(&mut self, part: &[u8]) {
        self.put_count(part.len());
        self.0.iter_mut().for_each(|h| h.write(part));
    }

    fn finish(self) -> [u8; SHARED_KEY_BYTES] {
        let mut digest = [0; SHARED_KEY_BYTES];
        let halves = digest.chunks_exact_mut(size_of::<u64>());
        for (half, hasher) in halves.zip(self.0) {
            half.copy_from_slice(&hasher.finish().to_le_bytes());
        }
        digest
    }
}

/// Returns the part of a key that all rows share: parameters, names of the cached outputs, types
/// and shapes of the inputs, and the contents of the inputs that belong to the whole request.
fn shared_key(
    message: &ModelInferRequest,
    layout: &RowLayout,
    tensors: &[(bool, String, Tensor)],
) -> SharedKey {
    let mut key = SharedKey::new();
    let mut parameters: Vec<_> = message
        .parameters
        .iter()
        .filter(|(name, _)| !SCHEDULING_PARAMETERS.contains(&name.as_str()))
        .collect();
    parameters.sort_by_key(|(name, _)| *name);
    key.put_count(parameters.len());
    for (name, value) in parameters {
        key.put(name.as_bytes());
        key.put(&value.encode_to_vec());
    }
    key.put_count(layout.outputs.len());
    for output in &layout.outputs {
        key.put(output.name.as_bytes());
    }
    key.put_count(tensors.len());
    for (by_row, name, tensor) in tensors {
        key.put(name.as_bytes());
        key.put(tensor.element().oip_name().as_bytes());
        let dims = if *by_row {
            &tensor.shape()[1..]
        } else {
            tensor.shape()
        };
        key.put_count(dims.len());
        dims.iter().for_each(|dim| key.put_count(*dim));
        if !by_row {
            key.put(tensor.data());
        }
    }
    key
}

/// Appends a part with its length, so that different lists of parts differ.
fn put(key: &mut Vec<u8>, part: &[u8]) {
    key.extend_from_slice(&(part.len() as u64).to_le_bytes());
    key.extend_from_slice(part);
}
