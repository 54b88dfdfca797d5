//! What `--auth-token` asks for.

use crate::jwt::Algorithm;
use std::path::PathBuf;
use std::time::Duration;

/// How long a signed token is valid when nothing is said.
pub const JWT_TTL_DEFAULT: Duration = Duration::from_secs(5 * 60);

/// Which tokens a member gives out and takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSpec {
    /// None: nobody can log in with a password.
    Off,
    /// Random words that members remember.
    Simple,
    /// Signed tokens.
    Jwt(JwtSpec),
}

/// Signed tokens, with the files that hold their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSpec {
    /// How tokens are signed.
    pub algorithm: Algorithm,
    /// File of the public key.
    pub public_key: Option<PathBuf>,
    /// File of the private key, or of the secret.
    pub private_key: Option<PathBuf>,
    /// How long a token is valid.
    pub ttl: Duration,
}

/// Why `--auth-token` is not understood; the texts are etcd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenSpecError {
    /// An unknown kind of token, an option twice or without a value, or a TTL that is none.
    #[error("auth: invalid auth options")]
    Options,
    /// `sign-method` is missing or unknown.
    #[error("auth: invalid auth signature method")]
    SignMethod,
}

impl TokenSpec {
    /// Reads etcd's `simple`, `jwt,pub-key=F,priv-key=F,sign-method=M,ttl=D`, or nothing.
    /// `duration` reads a duration as Go writes it. Options that are not known are passed
    /// over, as in etcd.
    ///
    /// # Errors
    /// [`TokenSpecError`], in etcd's words.
    pub fn parse(
        text: &str,
        duration: impl Fn(&str) -> Option<Duration>,
    ) -> Result<Self, TokenSpecError> {
        let mut words = text.split(',');
        let kind = words.next().unwrap_or_default();
        let mut options: Vec<(&str, &str)> = Vec::new();
        for word in words {
            let (name, value) = word.split_once('=').ok_or(TokenSpecError::Options)?;
            if options.iter().any(|(known, _)| *known == name) {
                return Err(TokenSpecError::Options);
            }
            options.push((name, value));
        }
        let option = |wanted: &str| {
            options.iter().find(|(name, value)| *name == wanted && !value.is_empty()).map(|o| o.1)
        };
        match kind {
            "" => Ok(Self::Off),
            "simple" => Ok(Self::Simple),
            "jwt" => {
                let ttl = match option("ttl") {
                    None => JWT_TTL_DEFAULT,
                    Some(text) => duration(text).ok_or(TokenSpecError::Options)?,
                };
                let algorithm = option("sign-method").unwrap_or_default().parse();
                Ok(Self::Jwt(JwtSpec {
                    algorithm: algorithm.map_err(|_| TokenSpecError::SignMethod)?,
                    public_key: option("pub-key").map(PathBuf::from),
                    private_key: option("priv-key").map(PathBuf::from),
                    ttl,
                }))
            }
            _ => Err(TokenSpecError::Options),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TokenSpec, TokenSpecError> {
        TokenSpec::parse(text, |text| {
            text.strip_suffix('m')?
                .parse()
                .ok()
                .map(|minutes: u64| Duration::from_secs(60 * minutes))
        })
    }

    #[test]
    fn the_kinds_of_tokens() {
        assert_eq!(parse(""), Ok(TokenSpec::Off));
        assert_eq!(parse("simple"), Ok(TokenSpec::Simple));
        let spec = JwtSpec {
            algorithm: Algorithm::Rs256,
            public_key: Some("a.pub".into()),
            private_key: Some("a=b".into()),
            ttl: Duration::from_secs(600),
        };
        let text = "jwt,pub-key=a.pub,priv-key=a=b,sign-method=RS256,ttl=10m";
        assert_eq!(parse(text), Ok(TokenSpec::Jwt(spec)));
        let Ok(TokenSpec::Jwt(spec)) = parse("jwt,sign-method=EdDSA,other=1") else {
            panic!("an unknown option is no error");
        };
        assert_eq!(spec.ttl, JWT_TTL_DEFAULT);
        assert_eq!(spec.public_key, None);
    }

    #[test]
    fn what_is_not_understood_is_refused_in_etcds_words() {
        for text in ["words", "jwt,sign-method", "jwt,ttl=1m,ttl=2m", "jwt,sign-method=HS256,ttl=x"]
        {
            let error = parse(text).unwrap_err();
            assert_eq!(error.to_string(), "auth: invalid auth options", "{text}");
        }
        for text in ["jwt", "jwt,sign-method=none", "jwt,sign-method=", "jwt,sign-method=hs256"] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.to_string(), "auth: invalid auth signature method", "{text}");
        }
    }
}
