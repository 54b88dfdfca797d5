//! The tokens that this member gives out and takes.

use anyhow::Context;
use drystone_auth::{
    Claims, Jwt, JwtError, JwtSpec, SIMPLE_TOKENS_MAX, SimpleTokens, TokenSpec, WORD_LETTERS,
    random_word,
};
use parking_lot::{Mutex, RwLock};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// How often it is looked whether the files of keys have changed.
const KEYS_PAUSE: Duration = Duration::from_secs(5);
/// Bytes that the file of a key may have.
const KEY_BYTES_MAX: u64 = 64 << 10;

/// Tokens of one kind, as `--auth-token` asks.
#[derive(Debug)]
pub(crate) enum Tokens {
    /// Nobody gets one, and none is taken.
    Off,
    /// Words that the log makes known to every member.
    Simple(Mutex<SimpleTokens>),
    /// Signed ones.
    Jwt(Keys),
}

/// For whom a token speaks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Spoken {
    pub(crate) user: String,
    /// The auth revision that the token itself names; a simple one names none.
    pub(crate) revision: Option<u64>,
}

impl Tokens {
    /// Reads the keys, where there are any. `ttl` is that of simple tokens.
    ///
    /// # Errors
    /// The key that cannot be used, and why, after etcd's text.
    pub(crate) fn open(spec: &TokenSpec, ttl: Duration) -> anyhow::Result<Self> {
        Ok(match spec {
            TokenSpec::Off => Self::Off,
            TokenSpec::Simple => {
                Self::Simple(Mutex::new(SimpleTokens::new(ttl, SIMPLE_TOKENS_MAX)))
            }
            TokenSpec::Jwt(spec) => {
                Self::Jwt(Keys::open(spec).context("--auth-token: auth: invalid auth options")?)
            }
        })
    }

    /// For whom `token` speaks; `None` when it is none of ours. `now` is the server's own
    /// time. A simple token so lives on for another TTL.
    pub(crate) fn read(&self, token: &str, now: Duration) -> Option<Spoken> {
        match self {
            Self::Off => None,
            Self::Simple(tokens) => {
                let user = tokens.lock().user(token, now)?.to_owned();
                Some(Spoken { user, revision: None })
            }
            Self::Jwt(keys) => match keys.jwt().verify(token, since_1970()) {
                Ok(Claims { user, revision }) => Some(Spoken { user, revision: Some(revision) }),
                Err(error) => {
                    tracing::debug!(%error, "a token was refused");
                    None
                }
            },
        }
    }

    /// The random part of a new simple token.
    pub(crate) fn word() -> String {
        let random: [u32; WORD_LETTERS] = std::array::from_fn(|_| rand::random());
        random_word(random)
    }

    /// A signed token; `None` when tokens are not signed here.
    pub(crate) fn sign(&self, user: &str, revision: u64) -> Option<Result<String, JwtError>> {
        match self {
            Self::Jwt(keys) => Some(keys.jwt().sign(user, revision, since_1970())),
            Self::Off | Self::Simple(_) => None,
        }
    }

    /// Takes up a simple token that the log made known.
    pub(crate) fn assign(&self, token: String, user: String, now: Duration) {
        if let Self::Simple(tokens) = self {
            tokens.lock().assign(token, user, now);
        }
    }

    /// Ends the simple tokens of one user.
    pub(crate) fn end_of(&self, user: &str) {
        if let Self::Simple(tokens) = self {
            tokens.lock().invalidate_user(user);
        }
    }

    /// Ends all simple tokens.
    pub(crate) fn end_all(&self) {
        if let Self::Simple(tokens) = self {
            tokens.lock().clear();
        }
    }

    /// Takes up keys whose files have changed. Blocks on files. Keys that cannot be used are
    /// warned of, and the old ones stay: a pair may be seen while it is being replaced.
    fn follow_keys(&self) {
        if let Self::Jwt(keys) = self {
            match keys.follow() {
                Ok(false) => {}
                Ok(true) => tracing::info!("took up the changed keys of --auth-token"),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "the changed keys of --auth-token cannot be used yet");
                }
            }
        }
    }
}

/// JSON web tokens and the files of their keys.
#[derive(Debug)]
pub(crate) struct Keys {
    spec: JwtSpec,
    loaded: RwLock<Loaded>,
}

#[derive(Clone)]
struct Loaded {
    public: Option<Vec<u8>>,
    private: Option<Vec<u8>>,
    jwt: Arc<Jwt>,
}

/// Shows no key.
impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.jwt.fmt(f)
    }
}

impl Keys {
    fn open(spec: &JwtSpec) -> anyhow::Result<Self> {
        Ok(Self { spec: spec.clone(), loaded: RwLock::new(load(spec)?) })
    }

    fn jwt(&self) -> Arc<Jwt> {
        self.loaded.read().jwt.clone()
    }

    /// True when other keys were taken up.
    fn follow(&self) -> anyhow::Result<bool> {
        let now = load(&self.spec)?;
        let changed = {
            let loaded = self.loaded.read();
            loaded.public != now.public || loaded.private != now.private
        };
        if changed {
            *self.loaded.write() = now;
        }
        Ok(changed)
    }
}

fn load(spec: &JwtSpec) -> anyhow::Result<Loaded> {
    let public = spec.public_key.as_deref().map(read_key).transpose()?;
    let private = spec.private_key.as_deref().map(read_key).transpose()?;
    let jwt = Jwt::new(spec.algorithm, public.as_deref(), private.as_deref(), spec.ttl)?;
    Ok(Loaded { public, private, jwt: Arc::new(jwt) })
}

fn read_key(path: &Path) -> anyhow::Result<Vec<u8>> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(KEY_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().with_context(|| format!("cannot read the key {}", path.display()))
}

/// Takes up the keys of signed tokens when their files change, until told to stop.
pub(crate) async fn follow_keys(tokens: Arc<Tokens>, mut stop: watch::Receiver<bool>) {
    if !matches!(*tokens, Tokens::Jwt(_)) {
        return;
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(KEYS_PAUSE) => {}
            _ = stop.changed() => return,
        }
        let tokens = tokens.clone();
        if tokio::task::spawn_blocking(move || tokens.follow_keys()).await.is_err() {
            return;
        }
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use drystone_auth::{Algorithm, JWT_TTL_DEFAULT};

    #[test]
    fn keys_are_taken_up_when_their_files_change_and_kept_when_they_cannot_be_used() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "the first").unwrap();
        let spec = TokenSpec::Jwt(JwtSpec {
            algorithm: Algorithm::Hs256,
            public_key: None,
            private_key: Some(secret.clone()),
            ttl: JWT_TTL_DEFAULT,
        });
        let tokens = Tokens::open(&spec, Duration::ZERO).unwrap();
        let read = |token: &str| tokens.read(token, Duration::ZERO);
        let sign = || tokens.sign("alice", 7).unwrap().unwrap();
        let first = sign();
        let alice = Spoken { user: "alice".into(), revision: Some(7) };
        assert_eq!(read(&first), Some(alice));
        tokens.follow_keys();
        assert!(read(&first).is_some());

        std::fs::write(&secret, "").unwrap();
        tokens.follow_keys();
        assert!(read(&first).is_some(), "the old key stays");

        std::fs::write(&secret, "the second").unwrap();
        tokens.follow_keys();
        assert_eq!(read(&first), None);
        assert!(read(&sign()).is_some());
        assert!(!format!("{tokens:?}").contains("the second"));
    }

    #[test]
    fn a_key_that_is_not_there_stops_the_start_with_its_name() {
        let spec = TokenSpec::Jwt(JwtSpec {
            algorithm: Algorithm::Rs256,
            public_key: Some("/nowhere/key.pub".into()),
            private_key: None,
            ttl: JWT_TTL_DEFAULT,
        });
        let text = format!("{:#}", Tokens::open(&spec, Duration::ZERO).unwrap_err());
        assert!(
            text.contains("auth: invalid auth options: cannot read the key /nowhere"),
            "{text}"
        );
    }
}
