//! A single caller, in turns with the encoder alone: how much longer a call takes, and where that
//! time is spent.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use motet_models::{
    DeviceSpec, ModelFiles, Precision, RowInput, TextEncoder, ThreadTeam, Tokenizer,
};
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::inference::{ModelInferResponse, ServerLiveRequest};
use motet_proto::oip::cost;
use motet_tests::connection::Connection;
use motet_tests::load::percentile;
use tokio::runtime;
use tonic_health::pb::HealthCheckRequest;

use crate::{bare, embed};

/// A pause about as long as the encoder needs for a text. After a pause, processors need time to
/// wake up.
const REST: Duration = Duration::from_millis(4);

/// Measures for `time`, and prints. The caller is a single thread, so that its calls are not handed
/// between threads.
pub(crate) fn measure(address: SocketAddr, precision: Precision, texts: &[String], time: Duration) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let (_bare, bare) = bare::start().await;
        let (bare, motet) = (
            Connection::open(bare).await,
            Connection::open(address).await,
        );
        let encoder = Encoder::start(precision, texts);
        calls(&motet, &bare, &encoder, texts, time).await;
    });
}

/// Calls and encodes every text in turns. The machine's speed varies within a second, so that
/// encoder and call process the same text one right after the other; each does so twice, and the
/// second time counts, since the first one after a pause is slower.
async fn calls(
    connection: &Connection,
    bare: &Connection,
    encoder: &Encoder,
    texts: &[String],
    time: Duration,
) {
    let (mut calls, mut own, mut own_tokenizing) = (vec![], vec![], vec![]);
    let (mut more, mut more_than_ids) = (vec![], vec![]);
    let (mut forward, mut queue) = (vec![], vec![]);
    let (mut least, mut empty, mut empty_again, mut rested) = (vec![], vec![], vec![], vec![]);
    let began = Instant::now();
    while began.elapsed() < time {
        for (number, text) in texts.iter().enumerate() {
            encoder.encode(number);
            least.push(check(bare).await);
            let by_itself = encoder.encode(number);
            empty.push(nothing(connection).await);
            empty_again.push(nothing(connection).await);
            tokio::time::sleep(REST).await;
            rested.push(nothing(connection).await);
            embed(connection, text).await;
            let started = Instant::now();
            let answer = embed(connection, text).await;
            let call = started.elapsed().as_secs_f64() * 1e3;
            calls.push(call);
            own.push(by_itself.all());
            own_tokenizing.push(by_itself.tokenizing);
            more.push(call - by_itself.all());
            more_than_ids.push(call - by_itself.encoding);
            queue.push(spent(&answer, cost::QUEUE_US));
            forward.push(spent(&answer, cost::COMPUTE_US) - by_itself.encoding);
        }
    }
    let p50 = |values: &mut Vec<f64>| percentile(values, 0.5);
    println!(
        "one caller: p50 {:.2} ms, the encoder itself {:.2} ms for the text, {:.2} \
         ms of it for the tokenizer\n\
         p50 of what a call takes more: {:.2} ms; more than the encoder from a text's ids {:.2} \
         ms;\n\
         in it the queue {:.2} ms, and in the forward pass {:.2} ms more than by itself\n\
         an empty call after the encoder, which uses up the caches, {:.2} \
         ms; after another empty call {:.2} ms, after a rest {:.2} ms;\n\
         after the encoder to a server that is nothing but tonic {:.2} ms\n",
        p50(&mut calls),
        p50(&mut own),
        p50(&mut own_tokenizing),
        p50(&mut more),
        p50(&mut more_than_ids),
        p50(&mut queue),
        p50(&mut forward),
        p50(&mut empty),
        p50(&mut empty_again),
        p50(&mut rested),
        p50(&mut least)
    );
}

/// The encoder alone, on a thread that leads a thread team as an executor does.
struct Encoder {
    texts: Sender<usize>,
    times: Receiver<Own>,
}

/// The encoder's times for a text, in milliseconds.
struct Own {
    tokenizing: f64,
    encoding: f64,
}

impl Own {
    fn all(&self) -> f64 {
        self.tokenizing + self.encoding
    }
}

impl Encoder {
    fn start(precision: Precision, texts: &[String]) -> Self {
        let source = "builtin:all-minilm-l6-v2".parse().expect("a source");
        let files = ModelFiles::open(&source).expect("files");
        let tokenizer = Tokenizer::load(&files).expect("a tokenizer");
        let device = DeviceSpec::Cpu.open().expect("a CPU");
        let encoder = TextEncoder::load(&files, &device, precision).expect("weights");
        let tokens: usize = texts
            .iter()
            .map(|text| tokenizer.encode(text).expect("tokens").len())
            .sum();
        println!(
            "texts of {} tokens on average, one a request",
            tokens / texts.len()
        );
        let all = texts.to_vec();
        let (texts, asked) = channel();
        let (answer, times) = channel();
        std::thread::spawn(move || {
            let threads = ThreadTeam::current_or_default().expect("threads");
            let head = encoder.load_head(&encoder.config().head).expect("a head");
            for text in asked {
                let text: &String = &all[text];
                let started = Instant::now();
                let ids = tokenizer.encode(text).expect("tokens");
                let tokenized = Instant::now();
                let row = RowInput::from(&ids);
                encoder.encode(&[row], &head, &threads).expect("a vector");
                let own = Own {
                    tokenizing: (tokenized - started).as_secs_f64() * 1e3,
                    encoding: tokenized.elapsed().as_secs_f64() * 1e3,
                };
                if answer.send(own).is_err() {
                    return;
                }
            }
        });
        Self { texts, times }
    }

    /// Encodes one text and returns the times.
    fn encode(&self, text: usize) -> Own {
        self.texts.send(text).expect("its thread");
        self.times.recv().expect("its thread")
    }
}

/// Returns a time that a response states, in milliseconds.
fn spent(answer: &ModelInferResponse, name: &str) -> f64 {
    let choice = answer.parameters[name].parameter_choice.as_ref();
    match choice {
        Some(ParameterChoice::Int64Param(micros)) => *micros as f64 / 1e3,
        other => panic!("{name} is {other:?}"),
    }
}

/// Returns the duration of a health check, in milliseconds.
async fn check(connection: &Connection) -> f64 {
    let started = Instant::now();
    let health = connection
        .health()
        .check(HealthCheckRequest::default())
        .await;
    health.expect("an answer");
    started.elapsed().as_secs_f64() * 1e3
}

/// Returns the duration of a call that does no work, in milliseconds.
async fn nothing(connection: &Connection) -> f64 {
    let started = Instant::now();
    let live = connection
        .inference()
        .server_live(ServerLiveRequest {})
        .await;
    assert!(live.expect("an answer").into_inner().live);
    started.elapsed().as_secs_f64() * 1e3
}
