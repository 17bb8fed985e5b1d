use super::*;

#[test]
fn what_is_built_is_read_back() {
    let status = resource_exhausted("the queue is full", Some(Duration::from_millis(250)))
        .reason(Reason::QueueFull)
        .model("minilm")
        .with("max_queue_size", "1024")
        .build();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let details = read(&status);
    assert_eq!(details.reason, "QUEUE_FULL");
    assert_eq!(details.domain, DOMAIN);
    assert_eq!(details.metadata["model"], "minilm");
    assert_eq!(details.metadata["max_queue_size"], "1024");
    assert_eq!(details.retry_after, Some(Duration::from_millis(250)));
    assert_eq!(details.violations, []);

    let status = invalid_arguments([("top_n", "is 0, must be 1 to 100"), ("query", "is missing")]);
    let status = Status::from(status);
    assert_eq!(
        status.message(),
        "top_n: is 0, must be 1 to 100; query: is missing"
    );
    let fields: Vec<_> = read(&status).violations.into_iter().map(|v| v.0).collect();
    assert_eq!(fields, ["top_n", "query"]);

    let status = not_found(Resource::Pipeline, "ragg").build();
    assert_eq!(read(&status).reason, "PIPELINE_NOT_FOUND");
    assert_eq!(read(&status).metadata["pipeline"], "ragg");
    assert_eq!(read(&Status::internal("bare")), Details::default());
    assert_eq!(
        read(&Status::with_details(
            Code::Internal,
            "",
            vec![0xff, 1].into()
        )),
        Details::default()
    );
}

#[test]
fn an_annotated_error_keeps_everything_else() {
    let unknown = Any {
        type_url: "type.example.com/Other".to_owned(),
        value: vec![1, 2, 3],
    };
    let original = invalid_argument("text", "is empty").model("minilm").build();
    let mut details = pb::Status::decode(original.details()).expect("own").details;
    details.push(unknown.clone());
    let original = assemble(original.code(), original.message().to_owned(), details);

    let once = annotate(&original, [("node", "d"), ("pipeline", "rag")]);
    assert_eq!(
        (once.code(), once.message()),
        (original.code(), original.message())
    );
    let kept = pb::Status::decode(once.details()).expect("own").details;
    assert_eq!(kept.last(), Some(&unknown));
    let read_once = read(&once);
    assert_eq!(read_once.violations, read(&original).violations);
    assert_eq!(read_once.reason, "INVALID_ARGUMENT");
    for (key, value) in [("model", "minilm"), ("node", "d"), ("pipeline", "rag")] {
        assert_eq!(read_once.metadata[key], value);
    }

    let twice = read(&annotate(&once, [("node", "sub"), ("pipeline", "outer")]));
    assert_eq!(twice.metadata["node"], "sub/d");
    assert_eq!(twice.metadata["pipeline"], "outer/rag");

    let bare = read(&annotate(&Status::unavailable("gone"), [("node", "q")]));
    assert_eq!(
        (bare.reason.as_str(), bare.metadata["node"].as_str()),
        ("UNAVAILABLE", "q")
    );
}

#[test]
fn errors_stay_small_enough_for_headers() {
    let long = "é".repeat(10_000);
    let mistakes = (0..1000).map(|i| (format!("field_{i}"), long.clone()));
    let status = invalid_arguments(mistakes)
        .with("value", long.clone())
        .build();
    assert!(status.message().len() <= MESSAGE_BYTES_MAX);
    let details = read(&status);
    assert_eq!(details.violations.len(), VIOLATIONS_MAX);
    assert_eq!(details.violations[VIOLATIONS_MAX - 1].1, "and 989 more");
    assert!(details.metadata["value"].ends_with("..."));
    let mut headers = http::HeaderMap::new();
    status.add_header(&mut headers).expect("valid headers");
    let size: usize = headers
        .iter()
        .map(|(k, v)| k.as_str().len() + v.len() + 32)
        .sum();
    assert!(size < 8 << 10, "{size} bytes");
}

#[test]
fn a_report_is_longer_than_a_message_and_still_fits_headers() {
    for line in ["error: no node is named `é`\n", "{ } \"<>\n", "plain\n"] {
        let mut report = String::new();
        while report_size(&report) + 3 * 60 < REPORT_SIZE_MAX {
            report.push_str(line);
        }
        assert!(report.len() > MESSAGE_BYTES_MAX);
        let builder = StatusBuilder::new(Reason::BadPipeline, "").field("yaml", "has mistakes");
        let status = builder.clone().report(report.clone()).build();
        assert_eq!(status.message(), report);
        let mut headers = http::HeaderMap::new();
        status.add_header(&mut headers).expect("valid headers");
        let sizes = headers.iter().map(|(k, v)| k.as_str().len() + v.len() + 32);
        let size: usize = sizes.sum();
        assert!(size < 8 << 10, "{size} bytes");
        let longer = builder.report(report.repeat(2)).build();
        assert!(longer.message().len() <= MESSAGE_BYTES_MAX);
    }
}

#[test]
fn every_reason_is_its_own_and_reads_back() {
    let names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert!(names.is_sorted() && names.windows(2).all(|two| two[0] != two[1]));
    for reason in Reason::ALL.iter().copied() {
        let status = StatusBuilder::new(reason, "x").build();
        assert_eq!(status.code(), reason.code());
        assert_eq!(read(&status).reason, reason.name());
        assert_eq!(Reason::of(&status), Some(reason));
        for sentence in [reason.meaning(), reason.fix()] {
            assert!(sentence.ends_with('.'), "{sentence}");
        }
    }
    for code in (0..=16)
        .map(Code::from_i32)
        .filter(|code| *code != Code::Ok)
    {
        let reason = Reason::from_code(code);
        assert_eq!((reason.code(), reason.name()), (code, code_name(code)));
    }
    let of_another = pb::ErrorInfo {
        reason: Reason::QueueFull.name().to_owned(),
        domain: "example.com".to_owned(),
        ..pb::ErrorInfo::default()
    };
    let details = vec![any(TYPE_ERROR_INFO, &of_another)];
    let status = assemble(Code::ResourceExhausted, String::new(), details);
    assert_eq!(Reason::of(&status), None);
}

#[test]
fn the_page_is_generated_from_the_reasons() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, page()).expect("the page can be written");
    }
    let held = std::fs::read_to_string(path).expect("the page is there");
    assert_eq!(held, page(), "regenerate it with UPDATE_DOCS=1");
}

/// An error of another server with details of its own.
fn foreign(code: Code, message: &str, details: Vec<Any>) -> Status {
    let mut status = assemble(code, message.to_owned(), details);
    let value = "10.0.0.1".parse().expect("ascii");
    status.metadata_mut().insert("x-served-by", value);
    status
}

fn error_info(domain: &str, reason: &str) -> Any {
    let info = pb::ErrorInfo {
        reason: reason.to_owned(),
        domain: domain.to_owned(),
        metadata: HashMap::from([("zone".to_owned(), "b".to_owned())]),
    };
    any(TYPE_ERROR_INFO, &info)
}

fn retry_info(seconds: i64) -> Any {
    let retry_delay = Some(prost_types::Duration { seconds, nanos: 0 });
    any(TYPE_RETRY_INFO, &pb::RetryInfo { retry_delay })
}

#[test]
fn codes_of_other_servers_become_what_they_mean_for_callers() {
    use Code::{
        Aborted, AlreadyExists, Cancelled, DataLoss, DeadlineExceeded, FailedPrecondition,
        Internal, InvalidArgument, NotFound, OutOfRange, PermissionDenied, ResourceExhausted,
        Unauthenticated, Unavailable, Unimplemented, Unknown,
    };
    // The server's error, the caller's error, and whether a delay is passed on.
    let cases = [
        (Cancelled, Unavailable, "UNAVAILABLE", true),
        (Unknown, Unknown, "UNKNOWN", false),
        (InvalidArgument, InvalidArgument, "INVALID_ARGUMENT", false),
        (
            DeadlineExceeded,
            DeadlineExceeded,
            "DEADLINE_EXCEEDED",
            true,
        ),
        (NotFound, NotFound, "NOT_FOUND", false),
        (AlreadyExists, AlreadyExists, "ALREADY_EXISTS", false),
        (PermissionDenied, Internal, "UPSTREAM_DENIED", false),
        (
            ResourceExhausted,
            ResourceExhausted,
            "RESOURCE_EXHAUSTED",
            true,
        ),
        (
            FailedPrecondition,
            FailedPrecondition,
            "FAILED_PRECONDITION",
            false,
        ),
        (Aborted, Aborted, "ABORTED", true),
        (OutOfRange, OutOfRange, "OUT_OF_RANGE", false),
        (Unimplemented, Internal, "UPSTREAM_UNIMPLEMENTED", false),
        (Internal, Internal, "INTERNAL", false),
        (Unavailable, Unavailable, "UNAVAILABLE", true),
        (DataLoss, DataLoss, "DATA_LOSS", false),
        (Unauthenticated, Internal, "UPSTREAM_DENIED", false),
    ];
    assert_eq!(cases.len(), upstream::CODES.len());
    for (code, expected, reason, is_delayed) in cases {
        let details = vec![error_info("ocr.example.com", "TOO_BLURRED"), retry_info(3)];
        let passed_on = from_upstream(&foreign(code, "no", details));
        assert_eq!((passed_on.code(), passed_on.message()), (expected, "no"));
        assert!(
            passed_on.metadata().is_empty(),
            "{:?}",
            passed_on.metadata()
        );
        let details = read(&passed_on);
        assert_eq!(
            (details.domain.as_str(), details.reason.as_str()),
            (DOMAIN, reason)
        );
        assert_eq!(details.retry_after.is_some(), is_delayed, "{code:?}");
        let mut metadata =
            HashMap::from([("upstream_reason".to_owned(), "TOO_BLURRED".to_owned())]);
        if code != expected {
            metadata.insert("upstream_code".to_owned(), code_name(code).to_owned());
        }
        assert_eq!(details.metadata, metadata);
    }
}

#[test]
fn errors_of_other_motets_keep_their_reason() {
    let theirs = invalid_argument("text", "is empty")
        .model("minilm")
        .retry_after(Duration::from_secs(1))
        .build();
    let passed_on = from_upstream(&theirs);
    assert_eq!(passed_on.code(), Code::InvalidArgument);
    let (theirs, ours) = (read(&theirs), read(&passed_on));
    assert_eq!(
        (ours.reason, ours.metadata),
        (theirs.reason, theirs.metadata)
    );
    assert_eq!(ours.violations, theirs.violations);
    // A reason of a later version counts for nothing, and so does a code that is not its own.
    for (code, reason, expected) in [
        (Code::PermissionDenied, "OF_LATER", Code::Internal),
        (Code::Ok, "QUEUE_FULL", Code::ResourceExhausted),
    ] {
        let error = foreign(code, "x", vec![error_info(DOMAIN, reason)]);
        assert_eq!(from_upstream(&error).code(), expected);
    }
}

#[test]
fn delays_that_make_no_sense_are_left_out() {
    for (seconds, is_kept) in [(0, true), (3600, true), (3601, false), (-1, false)] {
        let error = foreign(Code::ResourceExhausted, "full", vec![retry_info(seconds)]);
        let passed_on = from_upstream(&error);
        assert_eq!(
            read(&passed_on).retry_after.is_some(),
            is_kept,
            "{seconds} s"
        );
    }
}

#[test]
fn hidden_words_are_for_receipts_only() {
    let error = resource_exhausted("quota of tenant 7", Some(Duration::from_secs(2)))
        .with("tenant", "7")
        .build();
    let named = annotate(&hidden(&error), [("node", "a")]);
    let named = reworded(&named, format!("node a: {}", named.message()));
    assert_eq!(
        named.message(),
        "node a: the call failed (RESOURCE_EXHAUSTED)"
    );
    let details = read(&named);
    assert_eq!(
        details.metadata,
        HashMap::from([("node".to_owned(), "a".to_owned())])
    );
    assert_eq!(details.retry_after, Some(Duration::from_secs(2)));
    let mut headers = http::HeaderMap::new();
    named.add_header(&mut headers).expect("valid headers");
    assert!(!format!("{headers:?}").contains("tenant"));
    assert_eq!(
        for_receipt(&named),
        "node a: the call failed (RESOURCE_EXHAUSTED): quota of tenant 7"
    );
    assert_eq!(for_receipt(&error), "quota of tenant 7");
}
