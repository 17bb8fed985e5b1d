//! Calls of a server's pipeline `rag`.

use std::time::{Duration, Instant};

use motet_proto::Tensor;
use motet_proto::inference::ModelInferRequest;
use motet_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use motet_proto::oip::put_inputs;
use tonic::Code;
use tonic::transport::Endpoint;

use crate::Error;
use crate::options::Options;

/// Documents of a call, and words of each.
const DOCUMENTS: usize = 16;
const DOCUMENT_WORDS: usize = 50;
const QUERY_WORDS: usize = 8;
const DOCUMENTS_SMALL: usize = 2;
/// Callers, each with one call after another.
const CALLERS: [usize; 2] = [1, 32];
const CALLERS_SMALL: [usize; 2] = [1, 2];
/// Time that a caller waits after it was refused.
const PAUSE: Duration = Duration::from_millis(5);
const WORDS: [&str; 16] = [
    "the", "tide", "follows", "moon", "and", "vaccines", "train", "cells", "to", "remember", "a",
    "pathogen", "while", "bread", "needs", "water",
];

pub(crate) fn measure(options: &Options) -> Result<(), Error> {
    let address = options.address.as_deref();
    let address = address.ok_or("`calls` takes --address HOST:PORT")?;
    let runtime = tokio::runtime::Runtime::new()?;
    let time = 10 * options.time();
    let (all, documents) = match options.small {
        true => (CALLERS_SMALL, DOCUMENTS_SMALL),
        false => (CALLERS, DOCUMENTS),
    };
    for callers in all {
        let ended = runtime.block_on(at_once(address, callers, documents, time))?;
        let (mut times, refused) = ended;
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!(
            "| calls | rag, {callers} callers, {documents} documents of {DOCUMENT_WORDS} words | \
             p50 {:.2} ms, p95 {:.2} ms, {:.0} calls/s, {refused} refused |",
            at(0.5),
            at(0.95),
            times.len() as f64 / time.as_secs_f64(),
        );
    }
    Ok(())
}

/// Returns the milliseconds of each call of so many callers that was answered, and how many were
/// refused because the server had too much to do.
async fn at_once(
    address: &str,
    callers: usize,
    documents: usize,
    time: Duration,
) -> Result<(Vec<f64>, usize), Error> {
    let caller = |caller: usize| {
        let address = format!("http://{address}");
        async move {
            let endpoint = Endpoint::from_shared(address).map_err(|error| error.to_string())?;
            let channel = endpoint.connect().await;
            let channel = channel.map_err(|error| format!("{error:?}"))?;
            let mut client = GrpcInferenceServiceClient::new(channel);
            let (mut times, mut refused) = (Vec::new(), 0);
            // The first call of a connection is not counted.
            let mut began = None;
            while began.is_none_or(|began: Instant| began.elapsed() < time) {
                let started = Instant::now();
                let request = request(caller, times.len(), documents);
                match client.model_infer(request).await {
                    Ok(_) => {}
                    Err(status) if status.code() == Code::ResourceExhausted => {
                        refused += 1;
                        tokio::time::sleep(PAUSE).await;
                        began.get_or_insert_with(Instant::now);
                        continue;
                    }
                    Err(status) => return Err(status.to_string()),
                }
                match began {
                    Some(_) => times.push(started.elapsed().as_secs_f64() * 1e3),
                    None => began = Some(Instant::now()),
                }
            }
            Ok::<_, String>((times, refused))
        }
    };
    let callers: Vec<_> = (0..callers).map(|it| tokio::spawn(caller(it))).collect();
    let (mut times, mut refused) = (Vec::new(), 0);
    for caller in callers {
        let (of_caller, refused_of_caller) = caller.await??;
        times.extend(of_caller);
        refused += refused_of_caller;
    }
    match times[..] {
        [] => Err("no call ended in time".into()),
        _ => Ok((times, refused)),
    }
}

fn request(caller: usize, call: usize, documents: usize) -> ModelInferRequest {
    let text = |count: usize, salt: usize| {
        let word = |at: usize| WORDS[(at * 7 + at * at / 3 + salt * 5) % WORDS.len()];
        (0..count).map(word).collect::<Vec<_>>().join(" ")
    };
    let query = text(QUERY_WORDS, 1000 * caller + call);
    let documents = (0..documents).map(|at| text(DOCUMENT_WORDS, 31 * caller + 7 * call + at));
    let mut request = ModelInferRequest {
        model_name: "rag".to_owned(),
        ..ModelInferRequest::default()
    };
    let inputs = [
        ("query", Tensor::scalar_string(&query)),
        ("documents", Tensor::strings(documents)),
    ];
    put_inputs(
        &mut request,
        inputs.iter().map(|(name, tensor)| (*name, tensor)),
    );
    request
}
