//! The spans of a call to a model. A process has one subscriber, so this is a test binary of its
//! own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use motet_config::{Diagnostics, Sources};
use motet_proto::Tensor;
use motet_proto::inference::ModelInferRequest;
use motet_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use motet_proto::oip::put_inputs;
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use motet_service::{Loader, ModelServer};
use tracing::Subscriber;
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

const CONFIG: &str = r#"
models:
  m:
    task: rerank
    source: "builtin:all-minilm-l6-v2"
    batcher: { max_batch_tokens: 64 }
"#;

/// A span that was recorded.
#[derive(Clone, Debug, Default)]
struct RecordedSpan {
    name: &'static str,
    parent: Option<u64>,
    follows: Vec<u64>,
    /// The span's number in the order in which spans ended.
    ended: Option<usize>,
}

/// Records every span under a number of its own, since the registry reuses ids.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Recorded>>);

#[derive(Default)]
struct Recorded {
    spans: Vec<RecordedSpan>,
    open: HashMap<u64, usize>,
    ended: usize,
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut recorded = self.0.lock().unwrap();
        let parent = context
            .span(id)
            .and_then(|span| Some(span.parent()?.id().into_u64()));
        let parent = parent.and_then(|parent| recorded.open.get(&parent).copied());
        let number = recorded.spans.len();
        recorded.open.insert(id.into_u64(), number);
        recorded.spans.push(RecordedSpan {
            name: attributes.metadata().name(),
            parent: parent.map(|number| number as u64),
            ..RecordedSpan::default()
        });
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, _: Context<'_, S>) {
        let mut recorded = self.0.lock().unwrap();
        let (number, follows) = (
            recorded.open[&id.into_u64()],
            recorded.open[&follows.into_u64()],
        );
        recorded.spans[number].follows.push(follows as u64);
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        let mut recorded = self.0.lock().unwrap();
        recorded.ended += 1;
        let ended = recorded.ended;
        if let Some(number) = recorded.open.remove(&id.into_u64()) {
            recorded.spans[number].ended = Some(ended);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_has_the_spans_of_queue_batch_and_forward_pass() {
    let recorder = Recorder::default();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(recorder.clone()))
        .unwrap();
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let tasks = motet_service::Tasks::builtin();
    let models =
        motet_service::spec::read_text("t", CONFIG, &tasks, &mut sources, &mut diagnostics);
    let resolved = motet_service::check(&models, &sources, &mut diagnostics);
    let loader = Loader::new(Metrics::new("test").unwrap(), Health::new()).unwrap();
    let server = ModelServer::new(loader.load_all(resolved).await.unwrap());
    *recorder.0.lock().unwrap() = Recorded::default();

    let mut request = ModelInferRequest {
        model_name: "m".to_owned(),
        ..ModelInferRequest::default()
    };
    let (query, texts) = (Tensor::strings(["q"]), Tensor::strings(["one"]));
    put_inputs(&mut request, [("query", &query), ("text", &texts)]);
    let mut client = GrpcInferenceServiceClient::new(server.local(1 << 20));
    client.model_infer(request).await.unwrap();
    // The executor's thread has ended, and with it all spans.
    server.drain().await;

    let recorded = recorder.0.lock().unwrap();
    let find = |name: &str| {
        let found: Vec<_> = (0u64..)
            .zip(&recorded.spans)
            .filter(|(_, s)| s.name == name)
            .collect();
        assert_eq!(found.len(), 1, "{name}: {:#?}", recorded.spans);
        found[0]
    };
    let (request, _) = find("request");
    let (infer, seen) = find("infer");
    assert_eq!(seen.parent, Some(request));
    for name in ["tokenize", "queue", "compute", "assemble"] {
        assert_eq!(find(name).1.parent, Some(infer), "{name}");
    }
    let (batch, seen) = find("batch");
    assert_eq!((seen.parent, &seen.follows), (None, &vec![infer]));
    assert_eq!(find("forward").1.parent, Some(batch));
    assert_eq!(find("compute").1.follows, [batch]);
    let ended = |name: &str| find(name).1.ended.unwrap();
    let order = ["tokenize", "queue", "forward", "compute", "batch"].map(ended);
    assert!(order.is_sorted(), "{:#?}", recorded.spans);
    assert!(ended("assemble") < ended("infer"));
}
