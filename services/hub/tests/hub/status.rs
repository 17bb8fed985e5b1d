//! Answers that are none.

use std::time::{Duration, Instant};

use motet_hub::{HubError, Token};

use crate::fake::{FakeHub, Fault};
use crate::{TestCache, fetch, model};

/// Fetches with a fault, and returns the error.
fn error_with(fault: Fault, times: usize) -> HubError {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    hub.commit("org/name", model(1));
    hub.fault("/org/name/", times, fault);
    fetch(&cache.hub(&hub), "org/name").unwrap_err()
}

#[test]
fn each_refusal_has_its_own_message() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    hub.commit("org/private", model(1));
    hub.protect("org/private", "hf_secret", false);
    hub.commit("org/gated", model(2));
    hub.protect("org/gated", "hf_secret", true);
    hub.commit("org/open", model(3));
    let with = |token: &str| {
        let mut settings = cache.settings(&hub);
        settings.token = Token::new(token);
        motet_hub::Hub::new(settings)
    };
    let gated = format!("is gated: ask for access at {}/org/gated", hub.endpoint());
    for (repository, token, expected) in [
        ("org/private", "", "set HF_TOKEN"),
        ("org/private", "hf_other", "does not accept the token"),
        ("org/gated", "", gated.as_str()),
        ("org/gated", "hf_other", gated.as_str()),
        ("org/absent", "", "has no repository `org/absent` (404)"),
        ("org/open@v9", "", "has no revision `v9` (404)"),
    ] {
        let error = fetch(&with(token), repository).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(expected), "{repository}: {message}");
        assert!(
            message.starts_with(&format!("hf:{repository}")),
            "{message}"
        );
        assert!(
            !message.contains("hf_other") && !message.contains('\n'),
            "{message}"
        );
        assert!(!format!("{error:?}").contains("hf_other"));
        assert!(!error.is_temporary(), "{message}");
    }
    fetch(&with("hf_secret"), "org/private").unwrap();
    fetch(&with("hf_secret"), "org/gated").unwrap();
    let forbidden = error_with(Fault::Status(403, vec![("x-error-message", "not you")]), 1);
    assert!(
        forbidden
            .to_string()
            .contains(r#"refuses access (403): "not you""#),
        "{forbidden}"
    );
}

#[test]
fn a_file_that_is_listed_and_not_given_is_named() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    hub.commit("org/name", model(1));
    hub.fault(
        "tokenizer.json",
        1,
        Fault::Status(404, vec![("x-error-code", "EntryNotFound")]),
    );
    let error = fetch(&cache.hub(&hub), "org/name").unwrap_err();
    assert!(matches!(error, HubError::NoFile { .. }), "{error}");
    assert!(
        error.to_string().contains("tokenizer.json (404)"),
        "{error}"
    );
}

#[test]
fn a_hub_that_fails_for_a_moment_is_asked_again() {
    for (status, headers) in [
        (500, vec![]),
        (503, vec![("retry-after", "0")]),
        (429, vec![("retry-after", "0")]),
        (429, vec![]),
    ] {
        let (hub, cache) = (FakeHub::start(), TestCache::new());
        hub.commit("org/name", model(1));
        hub.fault("/org/name/", 3, Fault::Status(status, headers.clone()));
        hub.fault("model.safetensors", 2, Fault::Status(status, headers));
        fetch(&cache.hub(&hub), "org/name").unwrap_or_else(|error| panic!("{status}: {error}"));
    }
}

#[test]
fn a_hub_that_goes_on_failing_is_not_asked_for_ever() {
    let error = error_with(Fault::Status(502, vec![]), 1000);
    assert!(
        error.to_string().contains("fails (status 502), 5 times"),
        "{error}"
    );
    let began = Instant::now();
    let error = error_with(Fault::Status(429, vec![("retry-after", "3600")]), 1000);
    assert!(
        error.to_string().contains("(429), and again in 3600 s"),
        "{error}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    let asked = error_with(Fault::Status(429, vec![]), 1000);
    assert!(
        matches!(asked, HubError::RateLimited { wait: None, .. }),
        "{asked}"
    );
}

#[test]
fn a_retry_after_is_waited_for() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    hub.commit("org/name", model(1));
    hub.fault(
        "/org/name/",
        1,
        Fault::Status(429, vec![("retry-after", "1")]),
    );
    let began = Instant::now();
    fetch(&cache.hub(&hub), "org/name").unwrap();
    assert!(
        began.elapsed() >= Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_hub_that_is_not_there_is_told() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    let mut settings = cache.settings(&hub);
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for (endpoint, expected) in [
        (format!("http://127.0.0.1:{port}"), "cannot be reached"),
        (
            "http://no-such-host.invalid".to_owned(),
            "no-such-host.invalid cannot be reached",
        ),
    ] {
        settings.endpoint = endpoint;
        let error = fetch(&motet_hub::Hub::new(settings.clone()), "org/name").unwrap_err();
        assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
        let message = error.to_string();
        for part in [expected, "HTTPS_PROXY", "HF_ENDPOINT", "HF_HUB_OFFLINE=1"] {
            assert!(message.contains(part), "{message}");
        }
    }
    for wrong in ["ftp://host", "not an address", "https://user:pass@host", ""] {
        settings.endpoint = wrong.to_owned();
        let error = fetch(&motet_hub::Hub::new(settings.clone()), "org/name").unwrap_err();
        assert!(
            matches!(error, HubError::Setting { .. }),
            "{wrong}: {error}"
        );
        assert!(!error.to_string().contains("pass@"), "{error}");
    }
}

#[test]
fn a_server_that_is_no_hub_is_told() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    hub.commit("org/name", model(1));
    hub.fault("/org/name/resolve", 1, Fault::Status(200, vec![]));
    let error = fetch(&cache.hub(&hub), "org/name").unwrap_err().to_string();
    assert!(error.contains("does not answer as a hub does"), "{error}");
    hub.fault("/org/name/tree", 1, Fault::Status(200, vec![]));
    let error = fetch(&cache.hub(&hub), "org/name").unwrap_err().to_string();
    assert!(
        error.contains("does not answer as a hub does: the listing"),
        "{error}"
    );
}

#[test]
fn weights_of_other_formats_are_told_before_anything_is_fetched() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    let files = [
        ("config.json", b"{}".to_vec()),
        ("pytorch_model.bin", vec![0; 9000]),
    ];
    hub.commit("org/name", files);
    let error = fetch(&cache.hub(&hub), "org/name").unwrap_err();
    assert!(matches!(error, HubError::NoWeights { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("no weights as safetensors, only pytorch_model.bin"),
        "{message}"
    );
    let asked = hub.asked();
    assert!(
        !asked
            .iter()
            .any(|asked| asked.method == "GET" && asked.path.contains("resolve"))
    );
}
