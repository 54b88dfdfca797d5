//! The etcd version that members compare before they talk.

use std::fmt;
use std::str::FromStr;

/// An etcd version as it stands in `X-Server-Version`. Ordered; only `major.minor` decides
/// whether two members may talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// Breaking generation: 3 for everything this crate can talk to.
    pub major: u64,
    /// Feature release.
    pub minor: u64,
    /// Fix release; plays no part in compatibility.
    pub patch: u64,
}

/// A text that is not `major.minor.patch`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a version: {0:?}")]
pub struct VersionError(pub String);

impl ApiVersion {
    /// What a request without version headers counts as.
    pub const UNKNOWN: Self = Self::new(2, 0, 0);
    /// The oldest far end that etcd 3.4 to 3.7 accept.
    pub const OLDEST: Self = Self::new(3, 0, 0);

    /// The version `major.minor.patch`.
    #[must_use]
    pub const fn new(major: u64, minor: u64, patch: u64) -> Self {
        Self { major, minor, patch }
    }

    /// The part that compatibility is judged by.
    #[must_use]
    pub fn release(self) -> (u64, u64) {
        (self.major, self.minor)
    }

    /// Whether a member of this version may talk with one that announces `server` and that
    /// accepts no peer older than `oldest`.
    #[must_use]
    pub fn may_talk_to(self, server: Self, oldest: Self) -> bool {
        server.release() >= Self::OLDEST.release() && oldest.release() <= self.release()
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for ApiVersion {
    type Err = VersionError;

    /// Takes a pre-release or build suffix and forgets it.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let bad = || VersionError(text.chars().take(64).collect());
        let core = text.split(['-', '+']).next().unwrap_or_default();
        let mut parts = core.split('.').map(|part| {
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            if digits { part.parse::<u64>().ok() } else { None }
        });
        let mut next = || parts.next().flatten().ok_or_else(bad);
        let version = Self::new(next()?, next()?, next()?);
        if parts.next().is_some() { Err(bad()) } else { Ok(version) }
    }
}

#[cfg(test)]
mod tests;
