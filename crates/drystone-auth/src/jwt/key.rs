//! Keys and algorithms of signed tokens.

use super::JwtError;
use p256::pkcs8::spki::SubjectPublicKeyInfoRef;
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey};
use ring::signature::{
    self, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair, RsaParameters, UnparsedPublicKey,
};
use ring::{hmac, rand::SystemRandom};
use std::str::FromStr;

macro_rules! algorithms {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// How a token is signed, with the names of RFC 7518.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Algorithm {
            $($(#[$doc])* $name,)*
        }

        impl Algorithm {
            /// All of them.
            pub const ALL: &[Algorithm] = &[$(Algorithm::$name),*];

            /// The name in a token's header and in `--auth-token`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

algorithms! {
    /// HMAC with SHA-256.
    Hs256 = "HS256";
    /// HMAC with SHA-384.
    Hs384 = "HS384";
    /// HMAC with SHA-512.
    Hs512 = "HS512";
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256 = "RS256";
    /// RSA (PKCS #1 v1.5) with SHA-384.
    Rs384 = "RS384";
    /// RSA (PKCS #1 v1.5) with SHA-512.
    Rs512 = "RS512";
    /// RSA (PSS) with SHA-256.
    Ps256 = "PS256";
    /// RSA (PSS) with SHA-384.
    Ps384 = "PS384";
    /// RSA (PSS) with SHA-512.
    Ps512 = "PS512";
    /// ECDSA over P-256 with SHA-256.
    Es256 = "ES256";
    /// ECDSA over P-384 with SHA-384.
    Es384 = "ES384";
    /// ECDSA over P-521 with SHA-512.
    Es512 = "ES512";
    /// Ed25519.
    EdDsa = "EdDSA";
}

/// There is no algorithm of this name, or none that would be safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an algorithm for tokens")]
pub struct UnknownAlgorithm;

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL.iter().copied().find(|known| known.name() == name).ok_or(UnknownAlgorithm)
    }
}

impl Algorithm {
    pub(super) fn is_hmac(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    fn bad(self, place: &'static str, reason: &'static str) -> JwtError {
        JwtError::Key { place, algorithm: self.name(), reason }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Hs384 => hmac::HMAC_SHA384,
            Self::Hs512 => hmac::HMAC_SHA512,
            _ => hmac::HMAC_SHA256,
        }
    }

    fn rsa(self) -> (&'static dyn RsaEncoding, &'static RsaParameters) {
        use signature as s;
        match self {
            Self::Rs384 => (&s::RSA_PKCS1_SHA384, &s::RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => (&s::RSA_PKCS1_SHA512, &s::RSA_PKCS1_2048_8192_SHA512),
            Self::Ps256 => (&s::RSA_PSS_SHA256, &s::RSA_PSS_2048_8192_SHA256),
            Self::Ps384 => (&s::RSA_PSS_SHA384, &s::RSA_PSS_2048_8192_SHA384),
            Self::Ps512 => (&s::RSA_PSS_SHA512, &s::RSA_PSS_2048_8192_SHA512),
            _ => (&s::RSA_PKCS1_SHA256, &s::RSA_PKCS1_2048_8192_SHA256),
        }
    }
}

const PRIVATE: &str = "priv-key";
const PUBLIC: &str = "pub-key";
/// Object identifiers of keys (RFC 8017, RFC 8410).
const RSA: &str = "1.2.840.113549.1.1.1";
const ED25519: &str = "1.3.101.112";

/// What signs. Each variant serves the algorithms of its family alone.
pub(super) enum SigningKey {
    Hmac(Vec<u8>),
    Rsa(Box<RsaKeyPair>),
    P256(Box<p256::ecdsa::SigningKey>),
    P384(Box<p384::ecdsa::SigningKey>),
    P521(Box<p521::ecdsa::SigningKey>),
    Ed(Box<Ed25519KeyPair>),
}

/// What verifies.
#[derive(PartialEq, Eq)]
pub(super) enum VerifyingKey {
    Hmac(Vec<u8>),
    /// DER of PKCS #1's `RSAPublicKey`.
    Rsa(Vec<u8>),
    P256(Box<p256::ecdsa::VerifyingKey>),
    P384(Box<p384::ecdsa::VerifyingKey>),
    P521(Box<p521::ecdsa::VerifyingKey>),
    Ed(Vec<u8>),
}

/// One of the blocks of a PEM file that holds a key. `openssl ecparam` writes another first.
fn pem_block(bytes: &[u8], wanted: &[&str]) -> Option<(String, Vec<u8>)> {
    let blocks = pem::parse_many(bytes).ok()?;
    let found = blocks.into_iter().find(|block| wanted.contains(&block.tag()))?;
    Some((found.tag().to_owned(), found.into_contents()))
}

/// Reads an elliptic curve's private key, in either of the two forms.
macro_rules! curve {
    ($curve:ident, $tag:expr, $der:expr) => {{
        let secret = if $tag == "EC PRIVATE KEY" {
            $curve::SecretKey::from_sec1_der($der).ok()
        } else {
            $curve::SecretKey::from_pkcs8_der($der).ok()
        };
        secret.map(|secret| Box::new($curve::ecdsa::SigningKey::from(secret)))
    }};
}

impl SigningKey {
    pub(super) fn read(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, JwtError> {
        use Algorithm as A;
        if algorithm.is_hmac() {
            // A secret of no bytes would let anybody sign.
            let none = || algorithm.bad(PRIVATE, "the file is empty");
            return (!bytes.is_empty()).then(|| Self::Hmac(bytes.to_vec())).ok_or_else(none);
        }
        let tags = ["RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY"];
        let (tag, der) = pem_block(bytes, &tags)
            .ok_or_else(|| algorithm.bad(PRIVATE, "it is no private key in PEM"))?;
        let key = match algorithm {
            A::Es256 => curve!(p256, tag, &der).map(Self::P256),
            A::Es384 => curve!(p384, tag, &der).map(Self::P384),
            A::Es512 => curve!(p521, tag, &der).map(Self::P521),
            A::EdDsa => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
                .ok()
                .map(|pair| Self::Ed(Box::new(pair))),
            _ if tag == "RSA PRIVATE KEY" => {
                RsaKeyPair::from_der(&der).ok().map(|pair| Self::Rsa(Box::new(pair)))
            }
            _ => RsaKeyPair::from_pkcs8(&der).ok().map(|pair| Self::Rsa(Box::new(pair))),
        };
        key.ok_or_else(|| algorithm.bad(PRIVATE, "it is of another kind, damaged, or too short"))
    }

    /// The key that verifies what this one signs.
    pub(super) fn verifying(&self) -> Result<VerifyingKey, JwtError> {
        Ok(match self {
            Self::Hmac(secret) => VerifyingKey::Hmac(secret.clone()),
            Self::Rsa(pair) => VerifyingKey::Rsa(pair.public_key().as_ref().to_vec()),
            Self::P256(key) => VerifyingKey::P256(Box::new(*key.verifying_key())),
            Self::P384(key) => VerifyingKey::P384(Box::new(*key.verifying_key())),
            Self::P521(key) => VerifyingKey::P521(Box::new(*key.verifying_key())),
            Self::Ed(pair) => VerifyingKey::Ed(pair.public_key().as_ref().to_vec()),
        })
    }

    /// The signature of `message`; `None` when the library refuses.
    pub(super) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        use p256::ecdsa::signature::Signer;
        Some(match self {
            Self::Hmac(secret) => {
                let key = hmac::Key::new(algorithm.hmac(), secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                // PSS salts its signatures. They are not replicated, and no test can foresee
                // them, so the randomness may be the library's own.
                pair.sign(algorithm.rsa().0, &SystemRandom::new(), message, &mut signature).ok()?;
                signature
            }
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign(message).ok()?;
                signature.to_bytes().to_vec()
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::Signature = key.try_sign(message).ok()?;
                signature.to_bytes().to_vec()
            }
            Self::P521(key) => {
                let signature: p521::ecdsa::Signature = key.try_sign(message).ok()?;
                signature.to_bytes().to_vec()
            }
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }
}

impl VerifyingKey {
    pub(super) fn read(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, JwtError> {
        use Algorithm as A;
        let (tag, der) = pem_block(bytes, &["PUBLIC KEY", "RSA PUBLIC KEY"])
            .ok_or_else(|| algorithm.bad(PUBLIC, "it is no public key in PEM"))?;
        let key = match algorithm {
            A::Es256 => p256::ecdsa::VerifyingKey::from_public_key_der(&der)
                .ok()
                .map(|key| Self::P256(Box::new(key))),
            A::Es384 => p384::ecdsa::VerifyingKey::from_public_key_der(&der)
                .ok()
                .map(|key| Self::P384(Box::new(key))),
            A::Es512 => p521::ecdsa::VerifyingKey::from_public_key_der(&der)
                .ok()
                .map(|key| Self::P521(Box::new(key))),
            A::EdDsa => subject_key(&der, ED25519).filter(|key| key.len() == 32).map(Self::Ed),
            _ if tag == "RSA PUBLIC KEY" => Some(Self::Rsa(der)),
            _ => subject_key(&der, RSA).map(Self::Rsa),
        };
        key.ok_or_else(|| algorithm.bad(PUBLIC, "it is of another kind, or damaged"))
    }

    /// True when `signature` is one of `message`. A key of another family verifies nothing.
    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        use p256::ecdsa::signature::Verifier;
        match self {
            Self::Hmac(secret) => {
                let key = hmac::Key::new(algorithm.hmac(), secret);
                hmac::verify(&key, message, signature).is_ok()
            }
            Self::Rsa(der) => {
                UnparsedPublicKey::new(algorithm.rsa().1, der).verify(message, signature).is_ok()
            }
            Self::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::P521(key) => p521::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::Ed(key) => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature).is_ok()
            }
        }
    }
}

/// The key inside X.509's `SubjectPublicKeyInfo`, when it is of this kind.
fn subject_key(der: &[u8], kind: &str) -> Option<Vec<u8>> {
    let info = SubjectPublicKeyInfoRef::try_from(der).ok()?;
    let key = info.subject_public_key.as_bytes()?;
    (info.algorithm.oid.to_string() == kind).then(|| key.to_vec())
}
