use motet_runtime::flow::MOTET_FLOW;
use motet_runtime::status;
use tonic::Code;

use crate::harness::start;

#[tokio::test]
async fn handlers_know_the_flow_of_a_call() {
    let server = start().await;
    let (one, other) = (server.client().await, server.client().await);
    let of = async |client: &crate::harness::Client| {
        let flow = client.say("flow").await.expect("answers");
        let levels = flow.split_once('/').expect("a machine and a connection");
        (levels.0.to_owned(), levels.1.to_owned())
    };
    let first = of(&one).await;
    assert_eq!(of(&one).await, first, "a connection keeps its flow");
    let second = of(&other).await;
    assert_eq!(first.0, second.0, "the client's machine is the same");
    assert_ne!(first.1, second.1);
    // The flow that a gateway passes on takes the place of the connection, below the machine.
    let passed = one.say_with("flow", MOTET_FLOW, "A1/b2").await;
    assert_eq!(passed.expect("answers"), format!("{}/a1/b2", first.0));
    let error = one.say_with("flow", MOTET_FLOW, "me first").await;
    let error = error.expect_err("it is no flow");
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(status::read(&error).violations[0].0, MOTET_FLOW);
}
