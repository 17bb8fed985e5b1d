mod way_out;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use motet_proto::oip;
use motet_proto::tensor::Tensor;
use motet_runtime::deadline::parse_timeout;
use motet_runtime::status::{self, Reason};
use tokio::time::{Duration, Instant};
use tonic::{Code, Status};

use crate::plan::Plan;
use crate::testing::{FakeModel, lengths_of, plan, run_within};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A model that takes as long as the test says at the moment.
fn timed(takes: u64) -> (FakeModel, Arc<AtomicU64>) {
    let takes = Arc::new(AtomicU64::new(takes));
    let model = {
        let takes = takes.clone();
        FakeModel::new(move |request| {
            let takes = takes.load(Ordering::SeqCst);
            async move {
                tokio::time::sleep(ms(takes)).await;
                Ok(lengths_of(request))
            }
        })
    };
    (model, takes)
}

/// `a` and then `b` and `c`; `c` can be spared.
const CHAIN: &str = "
pipeline: chain
inputs: { text: \"string[N]\" }
nodes:
  a: { model: first, in: { text: $text } }
  n: { op: topk, in: { score: $a.size }, with: { k: 1000 } }
  t: { op: gather, in: { text: $text, index: $n.index } }
  b: { model: second, in: { text: $t.text } }
  m: { op: topk, in: { score: $b.size }, with: { k: 1000 } }
  u: { op: gather, in: { text: $t.text, index: $m.index } }
  c: { model: third, in: { text: $u.text }, on_error: { use: { size: $m.score } } }
outputs: { size: $c.size }
";

struct Chain {
    plan: Arc<Plan>,
    models: [FakeModel; 3],
    takes: [Arc<AtomicU64>; 3],
}

impl Chain {
    fn new(takes: [u64; 3]) -> Self {
        let [first, second, third] = takes.map(timed);
        Self {
            plan: plan(
                CHAIN,
                &[
                    ("first", &first.0),
                    ("second", &second.0),
                    ("third", &third.0),
                ],
            ),
            models: [first.0, second.0, third.0],
            takes: [first.1, second.1, third.1],
        }
    }

    /// Runs often enough to learn.
    async fn learnt(takes: [u64; 3]) -> Self {
        let chain = Self::new(takes);
        for _ in 0..10 {
            chain.ask("text", ms(5000)).await.unwrap();
        }
        // A forecast is made again now and then.
        tokio::time::sleep(ms(60)).await;
        chain
    }

    async fn ask(&self, text: &str, time: Duration) -> Result<(), Status> {
        run_within(&self.plan, &[Tensor::strings([text])], time)
            .await
            .map(|_| ())
    }

    fn calls(&self) -> [usize; 3] {
        [0, 1, 2].map(|at| self.models[at].seen().len())
    }

    /// How long the last call of each model was given, in ms.
    fn given(&self) -> [u128; 3] {
        [0, 1, 2].map(|at| {
            let seen = self.models[at].seen();
            let timeout = seen.last().unwrap().timeout.clone().unwrap();
            parse_timeout(timeout.as_bytes()).unwrap().as_millis()
        })
    }
}

#[tokio::test(start_paused = true)]
async fn what_follows_keeps_its_time() {
    let chain = Chain::new([10, 20, 30]);
    chain.ask("text", ms(1000)).await.unwrap();
    assert_eq!(
        chain.given(),
        [1000, 990, 921],
        "nothing is known yet, but that the last can be spared"
    );
    let chain = Chain::learnt([10, 20, 30]).await;
    chain.ask("text", ms(1000)).await.unwrap();
    let given = chain.given();
    for (given, wanted) in given.into_iter().zip([950, 960, 921]) {
        assert!(
            (wanted - 2..=wanted).contains(&given),
            "{given} for {wanted}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_node_leaves_time_for_what_stands_in_and_follows() {
    let yaml = CHAIN
        .replace(
            "in: { text: $t.text } }",
            "in: { text: $t.text }, on_error: { use: { size: $n.score } } }",
        )
        .replace(", on_error: { use: { size: $m.score } }", "");
    let ([first, second, third], takes): ([FakeModel; 3], _) = {
        let timed = [10, 20, 30].map(timed);
        let takes = timed.each_ref().map(|t| t.1.clone());
        (timed.map(|t| t.0), takes)
    };
    let plan = plan(
        &yaml,
        &[("first", &first), ("second", &second), ("third", &third)],
    );
    let text = [Tensor::strings(["text"])];
    for _ in 0..10 {
        run_within(&plan, &text, ms(5000)).await.unwrap();
    }
    tokio::time::sleep(ms(60)).await;
    takes[1].store(10_000, Ordering::SeqCst);
    takes[2].store(25, Ordering::SeqCst);
    let started = Instant::now();
    let outcome = run_within(&plan, &text, ms(200)).await.unwrap();
    let took = started.elapsed().as_millis();
    assert!((190..200).contains(&took), "{took}");
    assert_eq!(outcome.outputs.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_in_time_is_refused_at_once() {
    let chain = Chain::learnt([10, 20, 30]).await;
    let calls = chain.calls();
    let started = Instant::now();
    let error = chain.ask("text", ms(20)).await.unwrap_err();
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(chain.calls(), calls, "nobody was called");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(status::read(&error).reason, "TOO_LITTLE_TIME");
    assert_eq!(status::read(&error).metadata["pipeline"], "chain");
    let message = error.message();
    assert!(
        message.starts_with("pipeline chain cannot answer within 20ms: it lately took "),
        "{message}"
    );
    // The last node can be spared.
    chain.ask("text", ms(45)).await.unwrap();
    let [a, b, c] = chain.calls();
    assert_eq!(
        [a, b, c],
        [calls[0] + 1, calls[1] + 1, calls[2]],
        "it was not even tried"
    );

    // A node that took longer than usual leaves too little for the next one that must be.
    chain.takes[0].store(60, Ordering::SeqCst);
    let error = chain.ask("text", ms(75)).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(status::read(&error).metadata["node"], "a");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_forecast_mends_itself() {
    // Large requests tell nothing about small ones.
    let chain = Chain::new([100, 100, 0]);
    let large = "text".repeat(1000);
    for _ in 0..10 {
        chain.ask(&large, ms(5000)).await.unwrap();
    }
    tokio::time::sleep(ms(60)).await;
    chain.ask(&large, ms(100)).await.unwrap_err();
    let before = chain.calls();
    let error = chain.ask("text", ms(100)).await.unwrap_err();
    assert_ne!(status::read(&error).reason, "TOO_LITTLE_TIME");
    assert_eq!(chain.calls()[0], before[0] + 1);

    // One of 16 goes on, and when it proves quick, the others do.
    chain
        .takes
        .iter()
        .for_each(|t| t.store(10, Ordering::SeqCst));
    let mut refused = 0;
    while chain.ask(&large, ms(100)).await.is_err() {
        refused += 1;
        assert!(refused <= 16);
    }
    assert!(refused > 1);
    tokio::time::sleep(ms(60)).await;
    for _ in 0..20 {
        chain.ask(&large, ms(100)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_a_model_teaches_no_latency() {
    let takes = Arc::new(AtomicU64::new(0));
    let model = {
        let takes = takes.clone();
        FakeModel::new(move |request| {
            let takes = takes.load(Ordering::SeqCst);
            async move {
                tokio::time::sleep(ms(takes.max(1))).await;
                let too_short = status::StatusBuilder::new(Reason::DeadlineTooShort, "100 ms");
                match takes {
                    0 => Err(too_short.build()),
                    _ => Ok(lengths_of(request)),
                }
            }
        })
    };
    let others = [0, 0].map(timed);
    let retried = CHAIN.replace("$text } }", "$text }, retry: { max: 2 } }");
    let plan = plan(
        &retried,
        &[
            ("first", &model),
            ("second", &others[0].0),
            ("third", &others[1].0),
        ],
    );
    let text = [Tensor::strings(["text"])];
    for _ in 0..10 {
        let error = run_within(&plan, &text, ms(50)).await.unwrap_err();
        assert_eq!(status::read(&error).reason, "DEADLINE_TOO_SHORT");
        assert_eq!(status::read(&error).metadata["node"], "a");
    }
    assert_eq!(model.seen().len(), 10, "none was made again");
    // Its circuit is closed. It takes 100 ms, which is then all that is known of it.
    takes.store(100, Ordering::SeqCst);
    for _ in 0..8 {
        run_within(&plan, &text, ms(5000)).await.unwrap();
    }
    tokio::time::sleep(ms(60)).await;
    let error = run_within(&plan, &text, ms(50)).await.unwrap_err();
    assert_eq!(status::read(&error).reason, "TOO_LITTLE_TIME");
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_requests_are_tried_again() {
    let chain = Chain::learnt([100, 100, 0]).await;
    let refused = chain.ask("text", ms(100)).await.unwrap_err();
    assert_eq!(status::read(&refused).reason, "TOO_LITTLE_TIME");
    tokio::time::sleep(Duration::from_secs(15)).await;
    let attempted = chain.ask("text", ms(100)).await.unwrap_err();
    assert_ne!(status::read(&attempted).reason, "TOO_LITTLE_TIME");
}

#[tokio::test]
async fn a_nodes_own_priority_wins() {
    let (seen, all) = std::sync::mpsc::channel();
    let model = FakeModel::new(move |request| {
        let priority = oip::integer_parameter(&request.parameters, "priority");
        seen.send(priority.unwrap()).unwrap();
        async move { Ok(lengths_of(request)) }
    });
    let yaml = "
pipeline: urgent
inputs: { text: \"string[N]\" }
nodes:
  a: { model: m, in: { text: $text }, PRIORITY }
outputs: { size: $a.size }
";
    for (own, wanted) in [("priority: 2", 2), ("priority: 0", 0), ("deadline: 1s", 1)] {
        let plan = plan(&yaml.replace("PRIORITY", own), &[("m", &model)]);
        run_within(&plan, &[Tensor::strings(["a"])], ms(5000))
            .await
            .unwrap();
        assert_eq!(
            all.recv().unwrap(),
            Some(wanted),
            "{own}, where the request says 1"
        );
    }
}
