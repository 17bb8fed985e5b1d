use super::*;

#[test]
fn timeouts_are_read_as_the_protocol_says() {
    let good = [
        ("1H", Duration::from_secs(3600)),
        ("2M", Duration::from_secs(120)),
        ("30S", Duration::from_secs(30)),
        ("250m", Duration::from_millis(250)),
        ("7u", Duration::from_micros(7)),
        ("99999999n", Duration::from_nanos(99_999_999)),
        ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ("00000001S", Duration::from_secs(1)),
        ("0n", Duration::ZERO),
    ];
    for (text, expected) in good {
        assert_eq!(parse_timeout(text.as_bytes()), Ok(expected), "{text}");
    }
    for text in [
        "",
        "S",
        "1",
        "100000000S",
        "1s",
        "-1S",
        "+1S",
        " 1S",
        "1 S",
        "1.5S",
        "1SS",
        "1é",
        "0x1S",
    ] {
        let error = parse_timeout(text.as_bytes()).expect_err(text);
        assert!(error.to_string().contains("grpc-timeout"), "{error}");
    }
    assert!(parse_timeout(&[0xff, b'S']).is_err());
}

#[test]
fn written_timeouts_fit_and_never_grow() {
    let cases = [
        (Duration::ZERO, "0n"),
        (Duration::from_nanos(99_999_999), "99999999n"),
        (Duration::from_millis(100), "100000u"),
        (Duration::from_secs(2), "2000000u"),
        (Duration::from_nanos(99_999_999_999), "99999999u"),
        (Duration::from_secs(100), "100000m"),
        (Duration::from_secs(100_000), "100000S"),
        (Duration::from_secs(100_000_000), "1666666M"),
        (Duration::MAX, "99999999H"),
    ];
    for (timeout, expected) in cases {
        let text = format_timeout(timeout);
        assert_eq!(text, expected);
        let read = parse_timeout(text.as_bytes()).expect("own output");
        assert!(read <= timeout, "{text} is longer than {timeout:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_written_and_enforced() {
    let deadline = Deadline::within(Duration::from_millis(500));
    tokio::time::advance(Duration::from_millis(200)).await;
    let mut request = tonic::Request::new(());
    request
        .metadata_mut()
        .insert(GRPC_TIMEOUT, "9H".parse().expect("ascii"));
    deadline.write(request.metadata_mut());
    let values: Vec<_> = request.metadata().get_all(GRPC_TIMEOUT).iter().collect();
    assert_eq!(values, ["300000u"]);

    let late = deadline
        .run(std::future::pending::<Result<(), Status>>())
        .await
        .expect_err("it never answers");
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert!(deadline.is_past(Instant::now()));
    assert_eq!(deadline.remaining(Instant::now()), Duration::ZERO);

    let again = Deadline::within(Duration::from_secs(1));
    let from_transport = again
        .run(async { Err::<(), _>(Status::cancelled(tonic::TimeoutExpired(()).to_string())) })
        .await
        .expect_err("an error goes in");
    assert_eq!(from_transport.code(), Code::DeadlineExceeded);
    let own = again
        .run(async { Err::<(), _>(Status::cancelled("by the user")) })
        .await
        .expect_err("an error goes in");
    assert_eq!(own.code(), Code::Cancelled);
}

#[test]
fn the_stricter_deadline_wins() {
    let now = Instant::now();
    let short = Deadline::after(now, Duration::from_secs(1));
    let long = Deadline::after(now, Duration::from_secs(2));
    assert_eq!(long.capped(Some(short)), short);
    assert_eq!(short.capped(Some(long)), short);
    assert_eq!(short.capped(None), short);
    assert!(Deadline::after(now, Duration::MAX) > long);
}
