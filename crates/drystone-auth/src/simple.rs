//! Simple tokens: random words that a member remembers for a while.
//!
//! The member that is asked makes the word, and the log makes it known to all: a token is
//! `word.index`, so that a member that lags can tell a token that is still to come from one
//! that never was. When a token was last used is each member's own affair, and so is when it
//! ends. A restart forgets all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// Letters in the random part of a token.
pub const WORD_LETTERS: usize = 16;
/// Tokens that one member remembers. Beyond it, the one that would end first ends at once.
pub const SIMPLE_TOKENS_MAX: usize = 65_536;

const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The random part of a new token, from randomness that nobody can foresee.
#[must_use]
pub fn random_word(random: [u32; WORD_LETTERS]) -> String {
    // A part in 2^32 of bias costs nothing of 91 bits.
    let letter = |random: u32| (u64::from(random) * LETTERS.len() as u64) >> 32;
    random.iter().map(|random| char::from(LETTERS[usize_of(letter(*random))])).collect()
}

/// The index in a token's tail: `None` when it does not look like one of ours.
#[must_use]
pub fn token_index(token: &str) -> Option<u64> {
    let (word, index) = token.split_once('.')?;
    let letters = word.len() == WORD_LETTERS && word.bytes().all(|b| b.is_ascii_alphabetic());
    let digits = !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit());
    if letters && digits { index.parse().ok() } else { None }
}

/// A number below 52, as an index.
fn usize_of(small: u64) -> usize {
    usize::try_from(small).expect("a number below 52 fits")
}

#[derive(Clone)]
struct Known {
    user: String,
    ends: Duration,
}

/// The tokens that one member knows. Times are durations since an origin of the caller's, and
/// never run backwards.
#[derive(Clone)]
pub struct SimpleTokens {
    ttl: Duration,
    tokens_max: usize,
    tokens: BTreeMap<String, Known>,
    /// The same tokens, by end: what must go first is first.
    ends: BTreeSet<(Duration, String)>,
}

/// Says how many there are. A token is as good as a password and is shown to nobody.
impl fmt::Debug for SimpleTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimpleTokens")
            .field("ttl", &self.ttl)
            .field("count", &self.tokens.len())
            .finish_non_exhaustive()
    }
}

impl SimpleTokens {
    /// No tokens yet. Each will end `ttl` after its last use, and at most `tokens_max` are
    /// remembered.
    #[must_use]
    pub fn new(ttl: Duration, tokens_max: usize) -> Self {
        Self { ttl, tokens_max, tokens: BTreeMap::new(), ends: BTreeSet::new() }
    }

    /// Remembers that `token` speaks for `user`. One that is known already speaks for the user
    /// named last.
    pub fn assign(&mut self, token: String, user: String, now: Duration) {
        self.forget(&token);
        self.expire(now);
        while self.tokens.len() >= self.tokens_max {
            let Some((_, first)) = self.ends.pop_first() else { return };
            self.tokens.remove(&first);
        }
        let ends = now.saturating_add(self.ttl);
        self.ends.insert((ends, token.clone()));
        self.tokens.insert(token, Known { user, ends });
    }

    /// The user for whom `token` speaks, which so is in use for another TTL; `None` when it is
    /// unknown or has ended.
    pub fn user(&mut self, token: &str, now: Duration) -> Option<&str> {
        self.expire(now);
        let known = self.tokens.get_mut(token)?;
        let ends = now.saturating_add(self.ttl);
        if ends != known.ends {
            self.ends.remove(&(known.ends, token.to_owned()));
            self.ends.insert((ends, token.to_owned()));
            known.ends = ends;
        }
        Some(&known.user)
    }

    /// Ends the tokens of one user: it was deleted, or has another password.
    pub fn invalidate_user(&mut self, user: &str) {
        let Self { tokens, ends, .. } = self;
        tokens.retain(|token, known| {
            let stays = known.user != user;
            if !stays {
                ends.remove(&(known.ends, token.clone()));
            }
            stays
        });
    }

    /// Ends all tokens.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.ends.clear();
    }

    /// How many there are, of which some may have ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    fn forget(&mut self, token: &str) {
        if let Some(known) = self.tokens.remove(token) {
            self.ends.remove(&(known.ends, token.to_owned()));
        }
    }

    /// Lets go of what has ended.
    fn expire(&mut self, now: Duration) {
        while self.ends.first().is_some_and(|(ends, _)| *ends <= now) {
            if let Some((_, token)) = self.ends.pop_first() {
                self.tokens.remove(&token);
            }
        }
    }
}

#[cfg(test)]
mod tests;
