//! `Server` and `Client`: motet inside a program of one's own.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use motet::{Client, ClientError, Server, ServerError, Tensor};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{NamedService, UnaryService};
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

/// A pipeline without models.
const BEST: &str = r#"
pipeline: best
inputs: { score: "float[N]", k: { type: int, default: 1 } }
nodes:
  top: { op: topk, in: { score: $score }, with: { k: 2 } }
outputs: { index: $top.index, score: $top.score, k: $k }
"#;

/// The program's own service, which says hello. A text is a message: `google.protobuf.StringValue`.
#[derive(Clone)]
struct Greeter;

impl NamedService for Greeter {
    const NAME: &'static str = "example.Greeter";
}

impl UnaryService<String> for Greeter {
    type Response = String;
    type Future = Ready<Result<Response<String>, Status>>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        ready(Ok(Response::new(format!("hello, {}", request.get_ref()))))
    }
}

impl Service<http::Request<Body>> for Greeter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
            Ok(grpc.unary(Greeter, request).await)
        })
    }
}

async fn greeting(channel: Channel, name: &str) -> Result<String, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.expect("a connection");
    let path = PathAndQuery::from_static("/example.Greeter/Hello");
    let request = Request::new(name.to_owned());
    let answer = grpc.unary(request, path, ProstCodec::<String, String>::default());
    Ok(answer.await?.into_inner())
}

/// Serves motet and the greeter on one port, until `stop` is cancelled.
async fn serve(server: &Server, stop: CancellationToken) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let routes = server.routes().add_service(Greeter);
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_routes(routes)
            .serve_with_incoming_shutdown(TcpIncoming::from(listener), stop.cancelled_owned()),
    );
    address
}

#[tokio::test]
async fn a_server_stands_beside_services_of_the_program_on_one_port() {
    let server = Server::from_yaml(BEST).await.expect("it is correct");
    let stop = CancellationToken::new();
    let address = serve(&server, stop.clone()).await;
    server.ready().await.expect("it starts");

    let channel = Channel::from_shared(format!("http://{address}")).expect("a URI");
    let channel = channel.connect().await.expect("a connection");
    let hello = greeting(channel.clone(), "motet").await.expect("an answer");
    assert_eq!(hello, "hello, motet");

    let scores = json!({ "score": [0.25, 0.75, 0.5] });
    let outputs = json!({ "index": [1, 2], "score": [0.75, 0.5], "k": 1 });
    let clients = [
        Client::from(channel),
        Client::connect(&address.to_string())
            .await
            .expect("a connection"),
        server.client(),
    ];
    for client in clients {
        let best = client.pipeline("best").await.expect("it is served");
        for _ in 0..2 {
            let answer = best.call(scores.clone()).await.expect("an answer");
            assert_eq!(Value::Object(answer.outputs), outputs);
            assert!(answer.degraded.is_empty());
        }
        let score = Tensor::from_values(vec![3], vec![0.25f32, 0.75, 0.5]).expect("a tensor");
        let tensors = client.infer("best", [("score", &score)]).await;
        let index = &tensors.expect("an answer")["index"];
        assert_eq!(*index.values::<i32>().expect("numbers"), [1, 2]);
    }
    let metrics = server.metrics().expect("metrics");
    assert!(metrics.contains("pipeline=\"best\""), "{metrics}");

    stop.cancel();
    server.drain().await;
    let refused = server.client().call("best", scores).await;
    assert_eq!(code(refused), Code::Unavailable);
}

#[tokio::test]
async fn a_client_says_what_is_wrong() {
    let server = Server::from_yaml(BEST).await.expect("it is correct");
    server.ready().await.expect("it starts");
    let client = server.client();
    let absent = client.pipeline("bets").await.expect_err("no such pipeline");
    assert!(matches!(absent, ClientError::NoPipeline { pipeline } if pipeline == "bets"));
    for (inputs, part) in [
        (json!({ "scores": [1] }), "scores"),
        (json!({ "score": "high" }), "invalid"),
        (json!([1]), "map"),
    ] {
        let error = client.call("best", inputs).await.expect_err("a mistake");
        assert!(matches!(error, ClientError::Inputs { .. }), "{error:?}");
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    let score = Tensor::strings(["high"]);
    let of_another_type = client.infer("best", [("score", &score)]).await;
    assert_eq!(code(of_another_type), Code::InvalidArgument);
    let absent = client.infer("bets", []).await;
    assert_eq!(code(absent), Code::NotFound);
    let nobody = Client::connect("127.0.0.1:1").await.expect_err("nobody");
    assert!(matches!(nobody, ClientError::Connect(_)), "{nobody}");
    let no_address = Client::connect("ftp://host")
        .await
        .expect_err("another protocol");
    assert!(
        matches!(no_address, ClientError::Address(_)),
        "{no_address}"
    );
}

fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> Code {
    match answer {
        Err(ClientError::Status(status)) => status.code(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn all_errors_of_a_configuration_are_reported_without_colours() {
    let yaml = "pipeline: p\ninputs: { a: int }\nnodes: { n: { op: tpk, in: { x: $b } } }\n\
                outputs: { o: $n.x }\n";
    let error = Server::from_yaml(yaml).await.expect_err("it has errors");
    let ServerError::Configuration(report) = error else {
        panic!("{error:?}");
    };
    for part in ["tpk", "$b", "the configuration:3:", "2 errors"] {
        assert!(report.contains(part), "{part}\n{report}");
    }
    assert!(!report.contains('\x1b'), "{report}");
    let absent = Server::from_file("absent.yaml").await.expect_err("no file");
    assert!(absent.to_string().contains("absent.yaml"), "{absent}");
}

/// Loading takes a while, in which the services are there already.
#[cfg(feature = "builtin")]
#[tokio::test]
async fn calls_are_refused_until_the_models_are_loaded() {
    let yaml = "pipeline: vectors\ninputs: { text: \"string[N]\" }\n\
                nodes: { v: { model: minilm, in: { text: $text } } }\n\
                outputs: { vector: $v.embedding }\n";
    let server = Server::from_yaml(yaml).await.expect("it is correct");
    let client = server.client();
    let text = Tensor::strings(["a", "b"]);
    // Nothing else has run in this runtime since the server was made.
    let early = client.infer("vectors", [("text", &text)]).await;
    assert_eq!(code(early), Code::Unavailable);
    server.ready().await.expect("it starts");
    for name in ["vectors", "minilm"] {
        let outputs = client.infer(name, [("text", &text)]).await;
        let outputs = outputs.expect("an answer");
        let (_, vectors) = outputs.first_key_value().expect("an output");
        assert_eq!(vectors.shape(), [2, 384]);
    }
    server.drain().await;
}

#[cfg(feature = "builtin")]
#[tokio::test]
async fn a_server_that_is_drained_while_it_starts_does_not_become_ready() {
    let yaml = "pipeline: vectors\ninputs: { text: \"string[N]\" }\n\
                nodes: { v: { model: minilm, in: { text: $text } } }\n\
                outputs: { vector: $v.embedding }\n";
    let server = Server::from_yaml(yaml).await.expect("it is correct");
    server.drain().await;
    let error = server.ready().await.expect_err("it was drained");
    assert!(matches!(error, ServerError::Start(_)), "{error}");
}
