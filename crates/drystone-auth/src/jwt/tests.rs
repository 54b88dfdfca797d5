//! Signed tokens: made and read, made elsewhere, and everything that must be refused.

use super::*;
use proptest::prelude::*;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const TTL: Duration = Duration::from_secs(300);

macro_rules! file {
    ($name:literal) => {
        &include_bytes!(concat!("../../testdata/jwt/", $name))[..]
    };
}

/// Public and private key of an algorithm, in the older or the newer form.
fn keys(algorithm: Algorithm, newer: bool) -> (Option<&'static [u8]>, &'static [u8]) {
    use Algorithm as A;
    match (algorithm, newer) {
        (A::Hs256 | A::Hs384 | A::Hs512, _) => (None, file!("secret.txt")),
        (A::Es256, false) => (Some(file!("p256.pub")), file!("p256.pem")),
        (A::Es256, true) => (Some(file!("p256.pub")), file!("p256-pkcs8.pem")),
        (A::Es384, false) => (Some(file!("p384.pub")), file!("p384.pem")),
        (A::Es384, true) => (Some(file!("p384.pub")), file!("p384-pkcs8.pem")),
        (A::Es512, false) => (Some(file!("p521.pub")), file!("p521.pem")),
        (A::Es512, true) => (Some(file!("p521.pub")), file!("p521-pkcs8.pem")),
        (A::EdDsa, _) => (Some(file!("ed25519.pub")), file!("ed25519.pem")),
        (_, false) => (Some(file!("rsa-pkcs1.pub")), file!("rsa.pem")),
        (_, true) => (Some(file!("rsa.pub")), file!("rsa-pkcs8.pem")),
    }
}

fn jwt(algorithm: Algorithm) -> Jwt {
    let (public, private) = keys(algorithm, false);
    Jwt::new(algorithm, public, Some(private), TTL).unwrap()
}

fn token_of(header: &serde_json::Value, payload: &serde_json::Value, signature: &[u8]) -> String {
    let part = |text: &[u8]| URL_SAFE_NO_PAD.encode(text);
    let header = part(header.to_string().as_bytes());
    format!("{header}.{}.{}", part(payload.to_string().as_bytes()), part(signature))
}

/// A token with this payload that is signed with the secret.
fn signed(payload: &serde_json::Value) -> String {
    let key = SigningKey::read(Algorithm::Hs256, file!("secret.txt")).unwrap();
    let token = token_of(&serde_json::json!({ "alg": "HS256" }), payload, b"");
    let message = token.trim_end_matches('.');
    let signature = key.sign(Algorithm::Hs256, message.as_bytes()).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn every_algorithm_reads_what_it_signed_with_keys_in_either_form() {
    for algorithm in Algorithm::ALL.iter().copied() {
        for newer in [false, true] {
            let (public, private) = keys(algorithm, newer);
            let both = Jwt::new(algorithm, public, Some(private), TTL).unwrap();
            let token = both.sign("alice", 7, NOW).unwrap();
            let claims = Claims { user: "alice".into(), revision: 7 };
            assert_eq!(both.verify(&token, NOW), Ok(claims.clone()), "{algorithm:?}");
            let private_only = Jwt::new(algorithm, None, Some(private), TTL).unwrap();
            assert_eq!(private_only.verify(&token, NOW), Ok(claims.clone()), "{algorithm:?}");
            let Some(public) = public else { continue };
            let reader = Jwt::new(algorithm, Some(public), None, TTL).unwrap();
            assert_eq!(reader.verify(&token, NOW), Ok(claims), "{algorithm:?}");
            let error = reader.sign("alice", 7, NOW).unwrap_err();
            let text = "auth: token signing attempted with verify-only key";
            assert_eq!(error.to_string(), text);
        }
        assert_eq!(algorithm.name().parse(), Ok(algorithm));
    }
}

#[test]
fn tokens_that_openssl_signed_are_read() {
    let lines = include_str!("../../testdata/jwt/tokens.txt");
    let mut seen = 0;
    for line in lines.lines() {
        let (name, token) = line.split_once(' ').unwrap();
        let claims = jwt(name.parse().unwrap()).verify(token, NOW).unwrap();
        assert_eq!(claims, Claims { user: "alice".into(), revision: 7 }, "{name}");
        seen += 1;
    }
    assert_eq!(seen, Algorithm::ALL.len());
}

#[test]
fn a_token_of_one_algorithm_is_refused_by_every_other() {
    for signer in Algorithm::ALL.iter().copied() {
        let token = jwt(signer).sign("alice", 7, NOW).unwrap();
        for reader in Algorithm::ALL.iter().copied().filter(|reader| *reader != signer) {
            let refused = jwt(reader).verify(&token, NOW);
            assert_eq!(refused, Err(JwtError::Invalid("another algorithm")));
        }
    }
}

#[test]
fn a_public_key_is_no_secret_for_an_hmac() {
    // The classic: the token says HS256, and the forger signs with the public key's bytes.
    let forger = Jwt::new(Algorithm::Hs256, None, Some(file!("rsa.pub")), TTL).unwrap();
    let forged = forger.sign("root", 7, NOW).unwrap();
    assert!(jwt(Algorithm::Rs256).verify(&forged, NOW).is_err());
    // The same with a header that names the right algorithm.
    let (message, _) = forged.rsplit_once('.').unwrap();
    let (_, payload) = message.split_once('.').unwrap();
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
    let key = SigningKey::read(Algorithm::Hs256, file!("rsa.pub")).unwrap();
    let message = format!("{header}.{payload}");
    let signature = key.sign(Algorithm::Hs256, message.as_bytes()).unwrap();
    let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    let refused = jwt(Algorithm::Rs256).verify(&forged, NOW);
    assert_eq!(refused, Err(JwtError::Invalid("the signature")));
}

#[test]
fn an_unsigned_token_is_refused() {
    let payload = serde_json::json!({ "username": "root", "revision": 7 });
    for name in ["none", "None", "NONE", ""] {
        let token = token_of(&serde_json::json!({ "alg": name }), &payload, b"");
        for algorithm in Algorithm::ALL.iter().copied() {
            assert!(jwt(algorithm).verify(&token, NOW).is_err(), "{name} {algorithm:?}");
        }
    }
    for algorithm in Algorithm::ALL.iter().copied() {
        for signature in [&b""[..], &[0; 32], &[0; 64], &[0; 96], &[0; 132], &[0; 256]] {
            let header = serde_json::json!({ "alg": algorithm.name() });
            let refused = jwt(algorithm).verify(&token_of(&header, &payload, signature), NOW);
            assert_eq!(refused, Err(JwtError::Invalid("the signature")));
        }
    }
}

#[test]
fn a_changed_token_is_refused_wherever_it_was_changed() {
    for algorithm in [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es512, Algorithm::EdDsa] {
        let reader = jwt(algorithm);
        let token = reader.sign("alice", 7, NOW).unwrap();
        for place in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(reader.verify(&changed, NOW).is_err(), "{algorithm:?} at {place}");
        }
        for end in 0..token.len() {
            assert!(reader.verify(&token[..end], NOW).is_err());
        }
        assert!(reader.verify(&format!("{token}A"), NOW).is_err());
        assert!(reader.verify(&format!("{token}=="), NOW).is_err());
        assert!(reader.verify(&format!("{token}.{token}"), NOW).is_err());
    }
}

#[test]
fn a_token_ends_at_its_end() {
    let jwt = jwt(Algorithm::Hs256);
    let token = jwt.sign("alice", 7, NOW).unwrap();
    assert!(jwt.verify(&token, NOW + TTL - Duration::from_secs(1)).is_ok());
    let over = Err(JwtError::Invalid("its time is over"));
    assert_eq!(jwt.verify(&token, NOW + TTL), over);
    let early = signed(&serde_json::json!({ "username": "a", "revision": 1, "nbf": 1.9e9 }));
    assert_eq!(jwt.verify(&early, NOW), Err(JwtError::Invalid("its time has not come")));
    let endless = signed(&serde_json::json!({ "username": "a", "revision": 1, "aud": "x" }));
    assert_eq!(jwt.verify(&endless, NOW), Ok(Claims { user: "a".into(), revision: 1 }));
}

#[test]
fn claims_that_are_missing_or_of_another_type_are_refused() {
    let jwt = jwt(Algorithm::Hs256);
    for payload in [
        serde_json::json!({ "revision": 1 }),
        serde_json::json!({ "username": "a" }),
        serde_json::json!({ "username": 1, "revision": 1 }),
        serde_json::json!({ "username": "a", "revision": -1 }),
        serde_json::json!({ "username": "a", "revision": "1" }),
        serde_json::json!({ "username": "a", "revision": 1, "exp": "never" }),
        serde_json::json!(["a", 1]),
    ] {
        let refused = jwt.verify(&signed(&payload), NOW);
        assert_eq!(refused, Err(JwtError::Invalid("not what it must say")), "{payload}");
    }
}

#[test]
fn a_header_that_is_too_large_is_not_read() {
    let jwt = jwt(Algorithm::Hs256);
    let huge = serde_json::json!({ "alg": "HS256", "x": "y".repeat(JWT_BYTES_MAX) });
    let token = token_of(&huge, &serde_json::json!({}), b"");
    assert_eq!(jwt.verify(&token, NOW), Err(JwtError::Invalid("too long")));
    let dots = ".".repeat(JWT_BYTES_MAX);
    assert_eq!(jwt.verify(&dots, NOW), Err(JwtError::Invalid("not in the compact form")));
    let deep = format!("{{\"alg\":{}", "[".repeat(JWT_BYTES_MAX / 2));
    let token = format!("{}.e30.", URL_SAFE_NO_PAD.encode(deep));
    assert_eq!(jwt.verify(&token, NOW), Err(JwtError::Invalid("not what it must say")));
}

#[test]
fn an_extension_that_must_be_understood_is_refused() {
    let header = serde_json::json!({ "alg": "HS256", "crit": ["exp"], "exp": 1 });
    let token = token_of(&header, &serde_json::json!({}), b"");
    let refused = jwt(Algorithm::Hs256).verify(&token, NOW);
    assert_eq!(refused, Err(JwtError::Invalid("an extension that is not known here")));
}

#[test]
fn keys_of_another_kind_are_refused() {
    for algorithm in Algorithm::ALL.iter().copied().filter(|known| !known.is_hmac()) {
        for other in Algorithm::ALL.iter().copied().filter(|known| !known.is_hmac()) {
            let (public, private) = keys(other, true);
            let same = keys(algorithm, true).1 == private;
            assert_eq!(Jwt::new(algorithm, None, Some(private), TTL).is_ok(), same);
            assert_eq!(Jwt::new(algorithm, public, None, TTL).is_ok(), same);
        }
        let garbage = Jwt::new(algorithm, None, Some(b"-----BEGIN"), TTL);
        assert!(matches!(garbage.unwrap_err(), JwtError::Key { place: "priv-key", .. }));
        let missing = Jwt::new(algorithm, None, None, TTL).unwrap_err();
        assert_eq!(missing, JwtError::MissingKey(algorithm.name()));
    }
    let short = Jwt::new(Algorithm::Rs256, None, Some(file!("rsa-short.pem")), TTL);
    assert!(short.is_err(), "1024 bits are too few");
    let (public, private) = (file!("rsa-other.pub"), file!("rsa.pem"));
    let pair = Jwt::new(Algorithm::Rs256, Some(public), Some(private), TTL);
    assert_eq!(pair.unwrap_err(), JwtError::KeyMismatch);
    assert!(Jwt::new(Algorithm::Hs256, None, Some(b""), TTL).is_err());
    assert!(Jwt::new(Algorithm::Hs256, Some(file!("rsa.pub")), None, TTL).is_err());
}

#[test]
fn debug_output_has_no_key() {
    let shown = format!("{:?}", jwt(Algorithm::Hs256));
    assert!(shown.contains("Hs256") && !shown.contains("secret"), "{shown}");
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[A-Za-z0-9_.=-]{0,200}", bytes: Vec<u8>) {
        let reader = jwt(Algorithm::Es256);
        prop_assert!(reader.verify(&text, NOW).is_err());
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
        let bytes = URL_SAFE_NO_PAD.encode(bytes);
        let token = format!("{header}.{bytes}.{bytes}");
        prop_assert!(reader.verify(&token, NOW).is_err());
    }

    #[test]
    fn no_bytes_make_the_readers_of_keys_panic(bytes: Vec<u8>) {
        let pem = |tag| pem::encode(&pem::Pem::new(tag, bytes.clone())).into_bytes();
        for algorithm in Algorithm::ALL.iter().copied().filter(|known| !known.is_hmac()) {
            for tag in ["RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY"] {
                prop_assert!(Jwt::new(algorithm, None, Some(&pem(tag)), TTL).is_err());
            }
            let _ = Jwt::new(algorithm, Some(&pem("PUBLIC KEY")), None, TTL);
            let _ = Jwt::new(algorithm, Some(&pem("RSA PUBLIC KEY")), None, TTL);
        }
    }
}
