use std::time::SystemTime;

use ::ring::hmac;
use ::ring::rand::SystemRandom;
use ::ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::json;

use super::*;
use crate::auth::Rights;
use crate::config::KeySetSource;

/// Modulus of an RSA key of 2,048 bits, whose private part was thrown away.
const RSA_MODULUS: &str = "\
     ipyKvvKNeLoHqc1UjQO2OEjb6OEasYn-SoYcZs3-\
     78RZhOlpF3TCzPHf_zZtYRgb346ETWQMlHJuSqYFM7Qy_tQZY7nNGZ3yct5edW6beV2NNPa4xZTYNi99\
     2N8374tcsmcu5E3C2Pg-0IYHW01VF3oBhPasf04YwgwpQCuZC-\
     pex2ga6rbFekEIFCznOYRAU6s-JzHvwIps9vpydfoSIBdEZq9wjE_-fE4SvrBSeQQlXORRNh33Zhd_6h\
     1T2aW2fNcc_Yp3L_LzFj1CS-\
     B3i4wUIMxyPu0QF9WRY3qwyU1aRARP2yf2K66P8G9w37LZgbOsKocph7-sp-hstAbMEQ";
/// A token that it signed: of alice, with the scope `call:rag openid`, until the year 2100.
const RSA_TOKEN: &str = "\
     eyJhbGciOiAiUlMyNTYiLCAidHlwIjogIkpXVCIsICJraWQiOiAiciJ9.eyJzdWIiOiAiYWxpY2UiLCA\
     iZXhwIjogNDEwMjQ0NDgwMCwgImF1ZCI6ICJtb3RldCIsICJpc3MiOiAiaHR0cHM6Ly9pc3N1ZXIuZXh\
     hbXBsZSIsICJzY29wZSI6ICJjYWxsOnJhZyBvcGVuaWQifQ.Iw8Lslnh1CCIWNhY65oBlpHmi5Z0Ri3C\
     dW4kMzFadfzzN3YvTy7Mw3LSUeJBrtHh6C02i79ml_8YRFl1JaqPyKsk02TeaZBbLlGCziRC8qp5klV0\
     KNPESDDmbe8ruqpcP6lFqHOIx7cGzfrtBwN5lV_UGzS7Y6YmpP7vBqbgRRBD5E0s1Hwks0rFYX5d5nbs\
     oHko43htHZDgfydPzlhABNLuSBL3P9eQqvjjF-QXsDqNnBU6ru1UdFc_pA6Wz6JYq-\
     19VEyKASibfjVDqVYTLeOx0HtcwluWdjTkmzELETvA6EVfdaWXVqhPb3688-\
     6eRYl2e6p44Kbas__kPv39CA";

const ISSUER: &str = "https://issuer.example";

/// A key that signs tokens.
struct Signer {
    ed25519: Ed25519KeyPair,
    p256: EcdsaKeyPair,
    random: SystemRandom,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).expect("random");
        let ecdsa = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let p256 = EcdsaKeyPair::generate_pkcs8(ecdsa, &random).expect("random");
        Self {
            ed25519: Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).expect("a key"),
            p256: EcdsaKeyPair::from_pkcs8(ecdsa, p256.as_ref(), &random).expect("a key"),
            random,
        }
    }

    /// The public keys, with the ids `e` and `p`, and the RSA key `r`.
    fn key_set(&self) -> Value {
        let point = self.p256.public_key().as_ref();
        let b64 = |bytes: &[u8]| BASE64.encode(bytes);
        json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "kid": "e", "use": "sig",
               "x": b64(self.ed25519.public_key().as_ref()) },
            { "kty": "EC", "crv": "P-256", "kid": "p", "alg": "ES256",
               "x": b64(&point[1..33]), "y": b64(&point[33..]) },
            { "kty": "RSA", "kid": "r", "n": RSA_MODULUS, "e": "AQAB" },
            { "kty": "RSA", "kid": "for-encryption", "use": "enc", "n": RSA_MODULUS, "e": "AQAB" },
        ] })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = match header["alg"].as_str() {
            Some("EdDSA") => self.ed25519.sign(message.as_bytes()).as_ref().to_vec(),
            Some("ES256") => {
                let signature = self.p256.sign(&self.random, message.as_bytes());
                signature.expect("a signature").as_ref().to_vec()
            }
            // With the public key as the secret, as an attacker has it.
            Some("HS256") => {
                let secret = self.ed25519.public_key();
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref());
                hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{message}.{}", BASE64.encode(signature))
    }
}

fn spec() -> JwtSpec {
    JwtSpec {
        jwks: KeySetSource::File("unused".into()),
        issuer: Some(ISSUER.to_owned()),
        audience: Some("motet".to_owned()),
        leeway: Duration::from_secs(60),
        scope_claim: "scope".to_owned(),
        rights: Rights::default(),
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

fn claims(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = json!({
        "sub": "alice", "iss": ISSUER, "aud": "motet", "exp": now() + 600,
        "scope": "openid call:rag model:m*",
    });
    change(&mut claims);
    claims
}

fn verifier(keys: &Value) -> TokenVerifier {
    let keys = KeySet::parse(keys.to_string().as_bytes()).expect("a key set");
    TokenVerifier::new(&spec(), keys)
}

#[test]
fn tokens_of_every_kind_of_key_are_accepted() {
    let signer = Signer::new();
    let verifier = verifier(&signer.key_set());
    for (alg, kid) in [("EdDSA", Some("e")), ("EdDSA", None), ("ES256", Some("p"))] {
        let token = signer.sign(&json!({ "alg": alg, "kid": kid }), &claims(|_| ()));
        let token = verifier.verify(&token).expect(alg);
        assert_eq!(token.subject, "alice");
        assert!(token.grants.pipeline("rag") && token.grants.model("minilm"));
        assert!(!token.grants.pipeline("other"));
    }
    let token = verifier.verify(RSA_TOKEN).expect("RS256");
    assert_eq!(token.subject, "alice");
    assert!(token.grants.pipeline("rag"));
}

#[test]
fn a_token_that_is_not_right_is_refused() {
    let signer = Signer::new();
    let verifier = verifier(&signer.key_set());
    let header = json!({ "alg": "EdDSA", "kid": "e" });
    for (change, expected) in [
        (
            (|c| c["exp"] = (now() - 120).into()) as fn(&mut Value),
            Refusal::ExpiredToken,
        ),
        (|c| c["nbf"] = (now() + 120).into(), Refusal::WrongToken),
        (|c| c["aud"] = "another".into(), Refusal::WrongToken),
        (
            |c| c["iss"] = "https://elsewhere.example".into(),
            Refusal::WrongToken,
        ),
        (|c| c["aud"] = Value::Null, Refusal::WrongToken),
        (
            |c| drop(c.as_object_mut().expect("a map").remove("exp")),
            Refusal::WrongToken,
        ),
        (
            |c| drop(c.as_object_mut().expect("a map").remove("sub")),
            Refusal::WrongToken,
        ),
        (
            |c| drop(c.as_object_mut().expect("a map").remove("iss")),
            Refusal::WrongToken,
        ),
    ] {
        let claims = claims(change);
        let refused = verifier.verify(&signer.sign(&header, &claims)).map(drop);
        assert_eq!(refused, Err(Rejected::from(expected)), "{claims}");
    }
    // Clocks may differ by a minute.
    for change in [
        (|c| c["exp"] = (now() - 30).into()) as fn(&mut Value),
        |c| c["nbf"] = (now() + 30).into(),
        |c| c["aud"] = json!(["another", "motet"]),
    ] {
        let claims = claims(change);
        assert!(
            verifier.verify(&signer.sign(&header, &claims)).is_ok(),
            "{claims}"
        );
    }
}

#[test]
fn only_signatures_of_the_keys_count() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let verifier = verifier(&signer.key_set());
    let claims = claims(|_| ());
    let refusal = |token: &str| verifier.verify(token).map(drop).map_err(|r| r.refusal);
    let header = |alg: &str, kid: &str| json!({ "alg": alg, "kid": kid });
    let good = signer.sign(&header("EdDSA", "e"), &claims);
    let parts: Vec<&str> = good.split('.').collect();
    let other = BASE64.encode(json!({ "sub": "admin", "exp": now() + 600 }).to_string());
    for token in [
        stranger.sign(&header("EdDSA", "e"), &claims),
        signer.sign(&header("none", "e"), &claims),
        signer.sign(&header("HS256", "e"), &claims),
        signer.sign(&json!({ "alg": "HS256" }), &claims),
        signer.sign(&header("ES256", "e"), &claims),
        signer.sign(&header("EdDSA", "p"), &claims),
        signer.sign(&header("ES256", "r"), &claims),
        format!("{}.{other}.{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        "a.b.c".to_owned(),
        "..".to_owned(),
    ] {
        assert_eq!(refusal(&token), Err(Refusal::BadToken), "{token}");
    }
    let unknown = verifier
        .verify(&signer.sign(&header("EdDSA", "new"), &claims))
        .map(drop);
    assert!(unknown.is_err_and(|rejected| rejected.is_of_unknown_key));
    verifier.set_keys(KeySet::parse(stranger.key_set().to_string().as_bytes()).expect("keys"));
    assert_eq!(refusal(&good), Err(Refusal::BadToken));
    assert_eq!(
        refusal(&stranger.sign(&header("EdDSA", "e"), &claims)),
        Ok(())
    );
}

#[test]
fn a_key_set_that_accepts_nothing_or_anyone_is_refused() {
    for (json, expected) in [
        ("", "it is no JSON web key set: "),
        ("[]", "it is no JSON web key set: "),
        (r#"{ "keys": [] }"#, "it has no key that signs"),
        (
            r#"{ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }] }"#,
            "it has a symmetric key",
        ),
        (
            r#"{ "keys": [{ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" }] }"#,
            "it has no key that signs",
        ),
    ] {
        let error = KeySet::parse(json.as_bytes()).expect_err(json).to_string();
        assert!(error.starts_with(expected), "{json}: {error}");
    }
}
