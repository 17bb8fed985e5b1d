//! Messages that are small on the wire and large in memory.

use bytes::{BufMut, Bytes, BytesMut};
use tonic::Status;

use super::peer::Fates;
use super::{Attack, Outcome, Target};
use crate::connection::Connection;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "empty-inputs",
        about: "messages of 16 MiB that are nothing but inputs without anything in them",
        descriptors: None,
        has_keys: false,
        run: |target| {
            Box::pin(send(target, INFER, |bytes| {
                named(&repeated(bytes, &[0x2a, 0]))
            }))
        },
    },
    Attack {
        name: "empty-outputs",
        about: "messages of 16 MiB that are nothing but outputs without anything in them",
        descriptors: None,
        has_keys: false,
        run: |target| {
            Box::pin(send(target, INFER, |bytes| {
                named(&repeated(bytes, &[0x32, 0]))
            }))
        },
    },
    Attack {
        name: "unknown-fields",
        about: "messages of 16 MiB that are nothing but fields that the pipeline does not have",
        descriptors: None,
        has_keys: false,
        run: |target| {
            let fields = |bytes| repeated(bytes, &[0xf8, 0x3f, 0]);
            Box::pin(send(target, "motet.pipeline.Rag/Run", fields))
        },
    },
    Attack {
        name: "distinct-parameters",
        about: "messages of 16 MiB that are nothing but parameters, each with another name",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(send(target, INFER, parameters)),
    },
    Attack {
        name: "empty-documents",
        about: "messages of 16 MiB with 8 million empty documents",
        descriptors: None,
        has_keys: false,
        run: |target| {
            let documents = |bytes| repeated(bytes, &[0x12, 0]);
            Box::pin(send(target, "motet.pipeline.Rag/Run", documents))
        },
    },
];

const INFER: &str = "inference.GRPCInferenceService/ModelInfer";

/// Returns so many bytes of one field again and again.
fn repeated(bytes: usize, field: &[u8]) -> Bytes {
    field.repeat(bytes / field.len()).into()
}

/// Returns so many bytes of `parameters`, entries of a map.
fn parameters(bytes: usize) -> Bytes {
    let mut message = BytesMut::with_capacity(bytes);
    for number in 0_u64.. {
        if message.len() + 14 > bytes {
            break;
        }
        // Field 4, 12 bytes: field 1 of 8 digits, then an empty field 2.
        message.put_slice(&[0x22, 12, 0x0a, 8]);
        message.put_slice(format!("{number:08}").as_bytes());
        message.put_slice(&[0x12, 0]);
    }
    named(&message)
}

/// Returns the message with the name of a model in front.
fn named(message: &[u8]) -> Bytes {
    let mut named = BytesMut::from(&b"\x0a\x06minilm"[..]);
    named.put_slice(message);
    named.freeze()
}

async fn send(target: Target, method: &'static str, message: fn(usize) -> Bytes) -> Outcome {
    let message = message(target.size.of(1 << 20, 16 << 20));
    let sending: Vec<_> = (0..4)
        .map(|_| {
            let message = message.clone();
            tokio::spawn(async move {
                match Connection::try_open(target.ready.grpc).await {
                    Some(connection) => connection.raw(method, message).await.map(drop),
                    None => Err(Status::unknown("no connection")),
                }
            })
        })
        .collect();
    let mut fates = Fates::default();
    for one in sending {
        fates.count(&one.await.expect("a caller"));
    }
    Outcome::told(fates.to_string())
}
