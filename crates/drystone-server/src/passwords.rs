//! Hashing of passwords, away from the workers and bounded.

use bytes::Bytes;
use drystone_api::errors::EtcdError;
use drystone_auth::{
    COMPARE_COST_MAX, PasswordError, encode_hash, hash_password, password_matches,
};
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;

/// Passwords that are hashed at once: each keeps a core busy for as long as its cost says.
const RUNNING_MAX: usize = 2;
/// Passwords that wait for that or are hashed; beyond it a caller is refused.
const WAITING_MAX: usize = 64;

/// A shorter password is taken, as by etcd, with a warning (CVE-2020-15115): how long one must be
/// is for those to say who run the cluster, and their old ones must go on to work.
const ADVISED_CHARS_MIN: usize = 8;

/// Hashes and compares passwords with one cost.
#[derive(Debug)]
pub(crate) struct Passwords {
    cost: u32,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Compared with the passwords of users that do not exist, so that their refusal takes as
    /// long as that of others.
    decoy: Arc<OnceLock<Vec<u8>>>,
}

impl Passwords {
    /// `cost` is bcrypt's, from 4 to 31.
    pub(crate) fn new(cost: u32) -> Self {
        Self {
            cost,
            running: Arc::new(Semaphore::new(RUNNING_MAX)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            decoy: Arc::default(),
        }
    }

    /// The hash of a password, as it is proposed.
    ///
    /// # Errors
    /// The password is too long, or too many are hashed at once.
    pub(crate) async fn hash(&self, password: String) -> Result<String, EtcdError> {
        if is_short(&password) {
            // Not whose: readers of the log need not know where to begin.
            tracing::warn!("a password of fewer than {ADVISED_CHARS_MIN} characters was set");
        }
        let cost = self.cost;
        let hash = self.run(move || hash_password(password.as_bytes(), cost, rand::random()));
        match hash.await? {
            Ok(hash) => Ok(encode_hash(&hash)),
            Err(PasswordError::TooLong) => Err(EtcdError::PasswordTooLong),
            Err(error) => {
                tracing::error!(%error, "a password could not be hashed");
                Err(EtcdError::Stopped)
            }
        }
    }

    /// Whether `hash` was made of `password`. Without a hash it takes as long and says no.
    ///
    /// # Errors
    /// Too many are compared at once.
    pub(crate) async fn matches(
        &self,
        password: String,
        hash: Option<Bytes>,
    ) -> Result<bool, EtcdError> {
        let cost = self.cost;
        let cost_max = cost.max(COMPARE_COST_MAX);
        let decoy = self.decoy.clone();
        self.run(move || match hash {
            Some(hash) => password_matches(password.as_bytes(), &hash, cost_max),
            None => {
                let decoy = decoy.get_or_init(|| {
                    let nobodys: [u8; 32] = rand::random();
                    hash_password(&nobodys, cost, rand::random()).unwrap_or_default()
                });
                let _ = password_matches(password.as_bytes(), decoy, cost_max);
                false
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, EtcdError> {
        let waits = self.waiting.clone().try_acquire_owned();
        let waits = waits.map_err(|_| EtcdError::RequestTooManyRequests)?;
        let runs = self.running.clone().acquire_owned().await;
        let runs = runs.map_err(|_| EtcdError::Stopped)?;
        // The permits go along: a caller that goes away does not make room that is not there.
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop((waits, runs));
            result
        });
        done.await.map_err(|_| EtcdError::Stopped)
    }
}

fn is_short(password: &str) -> bool {
    password.chars().count() < ADVISED_CHARS_MIN
}

#[cfg(test)]
mod tests {
    use super::*;
    use drystone_auth::decode_hash;

    #[tokio::test]
    async fn a_password_matches_its_hash_and_nothing_matches_nobodys() {
        let passwords = Passwords::new(4);
        let hash = passwords.hash("p".into()).await.unwrap();
        let hash = Bytes::from(decode_hash(&hash).unwrap());
        assert!(passwords.matches("p".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.matches("q".into(), Some(hash)).await.unwrap());
        assert!(!passwords.matches("p".into(), None).await.unwrap());
        let long = passwords.hash("x".repeat(73)).await;
        assert_eq!(long, Err(EtcdError::PasswordTooLong));
    }

    /// CVE-2020-15115: etcd says nothing about passwords of one character.
    #[tokio::test]
    async fn cve_2020_15115_a_short_password_is_taken_and_told_from_a_long_one() {
        let passwords = Passwords::new(4);
        for (password, short) in [("", true), ("x", true), ("päßwört", true), ("päßwörter", false)]
        {
            assert_eq!(is_short(password), short, "{password}");
            let hash = passwords.hash(password.into()).await.unwrap();
            let hash = Bytes::from(decode_hash(&hash).unwrap());
            assert!(passwords.matches(password.into(), Some(hash)).await.unwrap(), "{password}");
        }
    }

    #[tokio::test]
    async fn too_many_at_once_are_refused() {
        let passwords = Arc::new(Passwords::new(4));
        let all = u32::try_from(WAITING_MAX).unwrap();
        let held = passwords.waiting.clone().acquire_many_owned(all).await.unwrap();
        let refused = passwords.matches("p".into(), None).await;
        assert_eq!(refused, Err(EtcdError::RequestTooManyRequests));
        drop(held);
        assert_eq!(passwords.matches("p".into(), None).await, Ok(false));
    }
}
