//! The cost of the surface: a task that adds 1, called within the process and over gRPC, beside a
//! bare tonic service of the same program.
//!
//! ```text
//! cargo run --release -p motet --example task_overhead
//! ```
//!
//! One caller at a time, on this machine. Rounds alternate, so that other load affects all alike.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::ops::Range;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use motet::task::{
    Answer, BatchError, BoxError, CheckContext, ElementType, LoadContext, LoadedModel,
    PreparedRows, Problem, Request, RowError, Signature, Task, Worker, input, output,
};
use motet::{Client, Server, Tasks, Tensor};
use tokio::net::TcpListener;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{NamedService, UnaryService};
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;
use tonic_prost::ProstCodec;

const CONFIG: &str = "
models:
  add: { task: add_one }
pipelines:
  - pipeline: add_twice
    inputs: { x: \"float[N]\" }
    nodes:
      once: { model: add, in: { x: $x } }
      twice: { model: add, in: { x: $once.y } }
    outputs: { y: $twice.y }
";
const ROUNDS: usize = 20;
const CALLS: usize = 200;

/// Adds 1.
struct AddOne;

#[derive(serde::Deserialize)]
struct Keys {}

impl Task for AddOne {
    const NAME: &'static str = "add_one";
    const ABOUT: &'static str = "adds 1";
    const NEEDS_SOURCE: bool = false;

    type Config = Keys;
    type Checked = ();
    type Model = AddOne;

    fn check(_: &Keys, _: &CheckContext<'_>) -> Result<(Signature, ()), Vec<Problem>> {
        let signature = Signature {
            inputs: vec![input("x", ElementType::F32, ["N"])],
            outputs: vec![output("y", ElementType::F32, ["N"])],
            parameters: Vec::new(),
        };
        Ok((signature, ()))
    }

    fn load((): (), _: &LoadContext) -> Result<AddOne, BoxError> {
        Ok(AddOne)
    }
}

impl LoadedModel for AddOne {
    type Row = f32;
    type Output = f32;
    type Call = Request;
    type Part = ();

    fn begin(&self, request: Request) -> Result<Request, Status> {
        Ok(request)
    }

    fn rows(&self, call: &Request, _: Range<usize>) -> Result<PreparedRows<f32, f32, ()>, Status> {
        Ok(call.values::<f32>("x")?.iter().map(|x| (*x, 1)).collect())
    }

    fn run(&self, rows: &[&f32], _: &Worker<'_>) -> Result<Vec<Result<f32, RowError>>, BatchError> {
        Ok(rows.iter().map(|x| Ok(**x + 1.0)).collect())
    }

    fn answer(&self, _: &Request, _: Vec<()>, rows: Vec<f32>) -> Result<Answer, Status> {
        let y = Tensor::from_values(vec![rows.len()], rows);
        let y = y.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Answer::new([("y", y)]))
    }

    fn sample(&self, _: u32) -> Option<(f32, u32)> {
        Some((0.0, 1))
    }
}

/// A bare service: returns the text of a `google.protobuf.StringValue`.
#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "example.Echo";
}

impl UnaryService<String> for Echo {
    type Response = String;
    type Future = Ready<Result<tonic::Response<String>, Status>>;

    fn call(&mut self, request: tonic::Request<String>) -> Self::Future {
        ready(Ok(tonic::Response::new(request.into_inner())))
    }
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
            Ok(grpc.unary(Echo, request).await)
        })
    }
}

async fn echo(channel: Channel) -> Result<(), Box<dyn Error>> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await?;
    let path = PathAndQuery::from_static("/example.Echo/Echo");
    let request = tonic::Request::new("1234".to_owned());
    let codec = ProstCodec::<String, String>::default();
    grpc.unary(request, path, codec).await?;
    Ok(())
}

async fn add(client: &Client, name: &str) -> Result<(), Box<dyn Error>> {
    let x = Tensor::from_values(vec![1], vec![41.0_f32])?;
    let answer = client.infer(name, [("x", &x)]).await?;
    let expected = if name == "add" { 42.0 } else { 43.0 };
    assert_eq!(answer["y"].values::<f32>()?[0], expected);
    Ok(())
}

/// Serves the bare service and motet on one port.
async fn serve(server: &Server) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let routes = server.routes().add_service(Echo);
    let tonic = tonic::transport::Server::builder().add_routes(routes);
    tokio::spawn(tonic.serve_with_incoming(TcpIncoming::from(listener)));
    Ok(address)
}

/// Returns the median, in microseconds.
fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let tasks = Tasks::builtin().with::<AddOne>()?;
    let server = Server::with_tasks(tasks).from_yaml(CONFIG).await?;
    server.ready().await?;
    let address = serve(&server).await?;
    let channel = Channel::from_shared(format!("http://{address}"))?
        .connect()
        .await?;
    let remote = Client::connect(&address.to_string()).await?;
    let local = server.client();

    let names = [
        "a bare echo over gRPC",
        "the task, within the process",
        "the task over gRPC",
        "a pipeline of two calls, within the process",
        "a pipeline of two calls over gRPC",
    ];
    let mut times = vec![Vec::new(); names.len()];
    for round in 0..ROUNDS {
        for (variant, times) in times.iter_mut().enumerate() {
            for _ in 0..CALLS {
                let started = Instant::now();
                match variant {
                    0 => echo(channel.clone()).await?,
                    1 => add(&local, "add").await?,
                    2 => add(&remote, "add").await?,
                    3 => add(&local, "add_twice").await?,
                    _ => add(&remote, "add_twice").await?,
                }
                // The first round warms up.
                times.extend((round > 0).then(|| started.elapsed()));
            }
        }
    }
    println!("median of {} calls, one at a time:", (ROUNDS - 1) * CALLS);
    for (name, times) in names.iter().zip(&mut times) {
        println!("{:>8.1} us  {name}", median(times));
    }
    server.drain().await;
    Ok(())
}
