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
