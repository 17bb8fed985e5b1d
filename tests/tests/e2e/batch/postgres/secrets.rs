//! Passwords and TLS.

use motet_tests::certificates::Authority;
use motet_tests::postgres::{PASSWORD, Postgres};
use motet_tests::program::Ended;

use super::{Based, Place, ROWS, ends, files};

/// Asserts that nobody said the password, and that no file has it.
fn keeps_the_secret(place: &Place, ended: &Ended) {
    for text in [&ended.stdout, &ended.stderr] {
        assert!(!text.contains("planted"), "{text}");
    }
    for (name, bytes) in files(place.0.path()) {
        let has = String::from_utf8_lossy(&bytes).contains("planted");
        assert!(!has || name == "passwords", "{name} has the password");
    }
}

#[tokio::test]
async fn a_password_comes_from_several_places_and_is_told_nowhere() {
    let Some(based) = Based::new(30).await else {
        return;
    };
    let (place, address) = (&based.place, based.database.address);
    let with = |url: &str, args: &str| {
        let args = format!("best -f best.yaml --in {url} --id id {args}");
        let batch = place.batch(&args).args(["--query", ROWS]);
        batch.env("HOME", place.0.path())
    };
    let in_url = format!("postgres://app:{PASSWORD}@{address}/test");
    let ended = ends(with(&in_url, "--unit 7 --out url"), 0).await;
    keeps_the_secret(place, &ended);
    // Without it the plan is the same.
    let plain = based.database.url();
    let ended = ends(based.best("--unit 7 --out url"), 0).await;
    keeps_the_secret(place, &ended);
    let file = format!(
        "*:*:*:other:no\n127.0.0.1:{}:test:app:{PASSWORD}\n",
        address.port()
    );
    let path = place.0.file("passwords", &file);
    let named = format!("{plain}?passfile={}", path.display());
    let ended = ends(with(&named, "--out file"), 42).await;
    let expected = "others may read the file: chmod 600";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, closed).expect("it is ours");
    ends(with(&named, "--out file"), 0).await;
    let by_variable = with(&plain, "--out variable").env("PGPASSFILE", &path);
    ends(by_variable, 0).await;
    std::fs::copy(&path, place.path(".pgpass")).expect("it is ours");
    ends(with(&plain, "--out home"), 0).await;
    std::fs::remove_file(place.path(".pgpass")).expect("it is ours");
    // By its socket it wants none.
    let port = address.port();
    let socket = based.database.socket().display();
    let socket = format!("postgres://app@:{port}/test?host={socket}");
    ends(with(&socket, "--out socket"), 0).await;
    for (url, expected) in [
        (plain.clone(), "password missing; it is in PGPASSWORD"),
        (
            format!("postgres://app:planted-wrong@{address}/test"),
            "password authentication failed for user \"app\"",
        ),
        (
            format!("postgres://app:{PASSWORD}@{address}/absent"),
            "database \"absent\" does not exist",
        ),
        (
            format!("postgres://app:{PASSWORD}/@{address}/test"),
            "it has no user",
        ),
        (
            format!("postgres://app:{PASSWORD}@{address}/test?sslmode=require"),
            "server does not support TLS; sslmode=disable goes without",
        ),
    ] {
        let ended = ends(with(&url, "--out none"), 42).await;
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
        keeps_the_secret(place, &ended);
    }
    let away = format!("postgres://app:{PASSWORD}@127.0.0.1:1/test");
    let ended = ends(with(&away, "--out none --retry-for 100ms"), 75).await;
    assert!(
        ended.stderr.contains("it was tried for 100ms"),
        "{}",
        ended.stderr
    );
    keeps_the_secret(place, &ended);
}

#[tokio::test]
async fn a_server_is_known_by_its_certificate() {
    let authority = Authority::new("issuer");
    let certificate = authority.server(&["db.example"]);
    let Some(database) = Postgres::with_tls(&certificate).await else {
        return;
    };
    let based = Based {
        place: Place::new(3),
        database,
    };
    based.fill(3);
    let issuers = based.place.0.file("issuers.pem", authority.pem());
    let others = based
        .place
        .0
        .file("others.pem", Authority::new("other").pem());
    let (issuers, others) = (issuers.display(), others.display());
    let broken = based.place.0.file("broken.pem", "nothing");
    let broken = broken.display();
    for (number, (settings, expected)) in [
        ("sslmode=require".to_owned(), Ok(())),
        (format!("sslmode=verify-ca&sslrootcert={issuers}"), Ok(())),
        (
            format!("sslmode=verify-ca&sslrootcert={others}"),
            Err("invalid peer certificate: UnknownIssuer"),
        ),
        // The certificate is for another name.
        (
            format!("sslmode=verify-full&sslrootcert={issuers}"),
            Err("invalid peer certificate: certificate not valid for name"),
        ),
        ("sslmode=disable".to_owned(), Err("no encryption")),
        (
            format!("sslmode=verify-full&sslrootcert={broken}"),
            Err("broken.pem has no certificate"),
        ),
        (
            "sslmode=verify-full&sslrootcert=absent.pem".to_owned(),
            Err("absent.pem: "),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let url = format!("{}?{settings}", based.database.url());
        let args = format!("best -f best.yaml --in {url} --id id --out out-{number}");
        let batch = based.batch(&args).args(["--query", ROWS]);
        match expected {
            Ok(()) => drop(ends(batch, 0).await),
            Err(part) => {
                let ended = ends(batch, 42).await;
                assert!(ended.stderr.contains(part), "{settings}: {}", ended.stderr);
            }
        }
    }
    // By the right name, which this machine does not know as an address of its own.
    let certificate = authority.server(&["127.0.0.1", "localhost"]);
    let Some(database) = Postgres::with_tls(&certificate).await else {
        return;
    };
    let based = Based {
        place: based.place,
        database,
    };
    based.fill(3);
    let url = format!(
        "{}?sslmode=verify-full&sslrootcert={issuers}",
        based.database.url()
    );
    let args = format!("best -f best.yaml --in {url} --id id --out verified");
    ends(based.batch(&args).args(["--query", ROWS]), 0).await;
}
