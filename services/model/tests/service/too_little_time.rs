//! Calls with less time than their own work takes.

use std::time::Duration;

use motet_proto::inference::ModelInferResponse;
use motet_runtime::status;
use tonic::{Code, Request, Status};

use crate::harness::*;

async fn embed_within(rows: &[&str], time: Duration) -> Result<ModelInferResponse, Status> {
    let mut request = Request::new(request("minilm", &[texts(rows)]));
    request.set_timeout(time);
    let answer = client().await.model_infer(request).await;
    answer.map(tonic::Response::into_inner)
}

#[test]
fn a_call_with_less_time_than_its_work_takes_is_told_to_allow_more() {
    block_on(async {
        // 50,000 tokens: seconds of work.
        let long = "word ".repeat(300);
        let rows = vec![long.as_str(); LIMITS.rows];
        let allowed = Duration::from_millis(300);
        for _ in 0..3 {
            let error = embed_within(&rows, allowed).await.unwrap_err();
            assert_eq!(error.code(), Code::DeadlineExceeded, "{error:?}");
            let details = status::read(&error);
            assert_eq!(details.reason, "DEADLINE_TOO_SHORT", "{error:?}");
            assert_eq!(details.retry_after, None);
            assert_eq!(details.metadata["model"], "minilm");
            let ms = |key: &str| details.metadata[key].parse::<u128>().unwrap();
            assert!(ms("allowed_ms") <= allowed.as_millis(), "{error:?}");
            assert!(ms("needed_ms") > ms("allowed_ms"), "{error:?}");
            let message = error.message();
            assert!(message.contains("allow more time"), "{message}");
        }
        let answer = embed_within(&["short"], Duration::from_secs(30)).await;
        assert_eq!(output(&answer.unwrap(), "embedding").shape(), [1, 384]);
    });
}
