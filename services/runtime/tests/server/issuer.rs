//! An issuer of tokens: a key, and the address of its key set.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

/// An issuer that runs until the test ends.
pub(crate) struct Issuer {
    address: SocketAddr,
    key: Arc<Mutex<Key>>,
}

struct Key {
    number: usize,
    pair: Ed25519KeyPair,
}

impl Key {
    fn new(number: usize) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("random");
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key");
        Self { number, pair }
    }

    fn set(&self) -> Value {
        let public = URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "kid": self.number.to_string(), "x": public },
        ] })
    }
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let key = Arc::new(Mutex::new(Key::new(0)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = key.clone();
        let page = async move || served.lock().expect("not poisoned").set().to_string();
        let router = Router::new().route("/keys", get(page));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, key }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// Signs with another key from now on, which alone is in the key set.
    pub(crate) fn change_key(&self) {
        let mut key = self.key.lock().expect("not poisoned");
        *key = Key::new(key.number + 1);
    }

    /// A token that expires in so many seconds.
    pub(crate) fn token(&self, subject: &str, seconds: i64) -> String {
        let key = self.key.lock().expect("not poisoned");
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let expires = now.as_secs().saturating_add_signed(seconds);
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(json!({ "alg": "EdDSA", "kid": key.number.to_string() }));
        let claims = part(json!({ "sub": subject, "aud": "motet", "exp": expires }));
        let message = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(key.pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}
