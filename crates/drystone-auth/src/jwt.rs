//! Signed tokens: JSON web tokens (RFC 7519) in the compact form of RFC 7515.
//!
//! Any member that has the key can tell for whom such a token speaks, without having heard of
//! it. The algorithm is the configuration's, never the token's: a header that names another is
//! refused, and so is `none`. Nothing of this is replicated, so signatures need not be equal
//! on all members.

mod key;

pub use key::{Algorithm, UnknownAlgorithm};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use key::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Bytes of a token; a longer one is refused before any of it is read.
pub const JWT_BYTES_MAX: usize = 8 << 10;

/// Why a key or a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwtError {
    /// Neither key that the algorithm could use was given.
    #[error("no key for the algorithm {0}: give priv-key, or pub-key to verify only")]
    MissingKey(&'static str),
    /// A key cannot be read.
    #[error("{place} is not a key for the algorithm {algorithm}: {reason}")]
    Key {
        /// `pub-key` or `priv-key`.
        place: &'static str,
        /// The algorithm's name.
        algorithm: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// The two keys are no pair.
    #[error("pub-key and priv-key do not belong together")]
    KeyMismatch,
    /// There is only a public key; the text is a contract.
    #[error("auth: token signing attempted with verify-only key")]
    VerifyOnly,
    /// The library refused to sign.
    #[error("a token could not be signed")]
    Sign,
    /// The token is not one of ours: its form, its algorithm, its signature or its time.
    #[error("not a valid token: {0}")]
    Invalid(&'static str),
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user for whom it speaks.
    pub user: String,
    /// The auth revision under which it was made.
    pub revision: u64,
}

/// The header that is written. `typ` is for readers that want it.
#[derive(Serialize)]
struct Written {
    alg: &'static str,
    typ: &'static str,
}

/// The header that is read. What else stands in it changes nothing, but for `crit`, which
/// names extensions that a reader must understand; this one knows none.
#[derive(Deserialize)]
struct Header {
    alg: String,
    crit: Option<serde_json::Value>,
}

/// The claims as they are written and read. Times are seconds since 1970; some issuers write
/// fractions.
#[derive(Serialize, Deserialize)]
struct Payload {
    username: String,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<f64>,
}

/// Makes and reads signed tokens.
pub struct Jwt {
    algorithm: Algorithm,
    ttl: Duration,
    signing: Option<SigningKey>,
    verifying: VerifyingKey,
}

/// Says what it does, not with which key.
impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt")
            .field("algorithm", &self.algorithm)
            .field("ttl", &self.ttl)
            .field("signs", &self.signing.is_some())
            .finish_non_exhaustive()
    }
}

impl Jwt {
    /// Tokens of one algorithm that are valid for `ttl`. Keys are PEM, but for HMAC, where the
    /// bytes of `private` are the secret. With `public` alone tokens can only be read.
    ///
    /// # Errors
    /// [`JwtError`] for keys that are missing, unreadable, of another algorithm, or no pair.
    pub fn new(
        algorithm: Algorithm,
        public: Option<&[u8]>,
        private: Option<&[u8]>,
        ttl: Duration,
    ) -> Result<Self, JwtError> {
        let signing = private.map(|bytes| SigningKey::read(algorithm, bytes)).transpose()?;
        // An HMAC has one secret; a public key given along is not looked at, as in etcd.
        let given = public
            .filter(|_| !algorithm.is_hmac())
            .map(|bytes| VerifyingKey::read(algorithm, bytes))
            .transpose()?;
        let derived = signing.as_ref().map(SigningKey::verifying).transpose()?;
        let verifying = match (given, derived) {
            (Some(given), Some(derived)) if given != derived => {
                return Err(JwtError::KeyMismatch);
            }
            (_, Some(key)) | (Some(key), None) => key,
            (None, None) => return Err(JwtError::MissingKey(algorithm.name())),
        };
        Ok(Self { algorithm, ttl, signing, verifying })
    }

    /// A token for `user` under the auth revision `revision`; `now` is the time since 1970.
    ///
    /// # Errors
    /// [`JwtError::VerifyOnly`] without a private key.
    pub fn sign(&self, user: &str, revision: u64, now: Duration) -> Result<String, JwtError> {
        let key = self.signing.as_ref().ok_or(JwtError::VerifyOnly)?;
        let header = Written { alg: self.algorithm.name(), typ: "JWT" };
        let ends = now.saturating_add(self.ttl).as_secs();
        let payload = serde_json::json!({ "username": user, "revision": revision, "exp": ends });
        let header = serde_json::to_vec(&header).map_err(|_| JwtError::Sign)?;
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload.to_string(), &mut token);
        let signature = key.sign(self.algorithm, token.as_bytes()).ok_or(JwtError::Sign)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// What `token` says, when it was signed with our key and its time has come and has not
    /// passed; `now` is the time since 1970. A token without an end has none: that is the
    /// affair of who issued it.
    ///
    /// # Errors
    /// [`JwtError::Invalid`], whose text has nothing of the token.
    pub fn verify(&self, token: &str, now: Duration) -> Result<Claims, JwtError> {
        if token.len() > JWT_BYTES_MAX {
            return Err(JwtError::Invalid("too long"));
        }
        let not_jwt = JwtError::Invalid("not in the compact form");
        let (signed, signature) = token.rsplit_once('.').ok_or(not_jwt.clone())?;
        let (header, payload) = signed.split_once('.').ok_or(not_jwt.clone())?;
        if payload.contains('.') {
            return Err(not_jwt);
        }
        let header: Header = read(header)?;
        if header.alg != self.algorithm.name() {
            return Err(JwtError::Invalid("another algorithm"));
        }
        if header.crit.is_some() {
            return Err(JwtError::Invalid("an extension that is not known here"));
        }
        let signature = decode(signature)?;
        if !self.verifying.verify(self.algorithm, signed.as_bytes(), &signature) {
            return Err(JwtError::Invalid("the signature"));
        }
        let payload: Payload = read(payload)?;
        let now = now.as_secs_f64();
        if payload.exp.is_some_and(|ends| now >= ends) {
            return Err(JwtError::Invalid("its time is over"));
        }
        if payload.nbf.is_some_and(|begins| now < begins) {
            return Err(JwtError::Invalid("its time has not come"));
        }
        Ok(Claims { user: payload.username, revision: payload.revision })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, JwtError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Invalid("not base64"))
}

fn read<T: for<'a> Deserialize<'a>>(part: &str) -> Result<T, JwtError> {
    serde_json::from_slice(&decode(part)?).map_err(|_| JwtError::Invalid("not what it must say"))
}

#[cfg(test)]
mod tests;
