//! Passwords: bcrypt, as etcd keeps them.
//!
//! A password is hashed by the member that is asked, before anything is proposed: neither the
//! log nor another member ever sees it. What travels is the bcrypt string in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes of a password that bcrypt looks at; a longer one is refused instead of cut.
pub const PASSWORD_BYTES_MAX: usize = 72;
/// The least work that bcrypt may do, as a power of two.
pub const COST_MIN: u32 = 4;
/// The most work that bcrypt may do, as a power of two.
pub const COST_MAX: u32 = 31;
/// The most work done for a hash that is compared, unless more is configured (2^16 rounds are
/// some seconds). A hash that its owner brought along could otherwise take days.
pub const COMPARE_COST_MAX: u32 = 16;

/// Why a password cannot be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// Longer than [`PASSWORD_BYTES_MAX`]; the text is a contract.
    #[error("bcrypt: password length exceeds 72 bytes")]
    TooLong,
    /// The cost is not between [`COST_MIN`] and [`COST_MAX`].
    #[error("bcrypt: cost {0} is outside allowed inclusive range 4..31")]
    Cost(u32),
}

/// Hashes `password` with 2^`cost` rounds and `salt`, which must be random: the bytes of a
/// bcrypt string. Takes tens of milliseconds and more; it is no work for a thread that others
/// wait for.
///
/// # Errors
/// [`PasswordError`] for a password that is too long and for a cost that bcrypt has not.
pub fn hash_password(password: &[u8], cost: u32, salt: [u8; 16]) -> Result<Vec<u8>, PasswordError> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(PasswordError::TooLong);
    }
    let parts =
        bcrypt::hash_with_salt(password, cost, salt).map_err(|_| PasswordError::Cost(cost))?;
    Ok(parts.format_for_version(bcrypt::Version::TwoA).into_bytes())
}

/// True when `hash`, the bytes of a bcrypt string, was made of `password`. A hash that would
/// take more than 2^`cost_max` rounds, and bytes that are no hash, match nothing.
#[must_use]
pub fn password_matches(password: &[u8], hash: &[u8], cost_max: u32) -> bool {
    let Ok(hash) = std::str::from_utf8(hash) else { return false };
    let allowed = hash
        .parse::<bcrypt::HashParts>()
        .is_ok_and(|parts| (COST_MIN..=cost_max.min(COST_MAX)).contains(&parts.get_cost()));
    // A password longer than bcrypt looks at was never hashed here, but may have been elsewhere.
    allowed && bcrypt::verify(password, hash).unwrap_or(false)
}

/// A hash as it is proposed: base64 of the bcrypt string.
#[must_use]
pub fn encode_hash(hash: &[u8]) -> String {
    STANDARD.encode(hash)
}

/// The hash in a proposal; `None` when it is not base64.
#[must_use]
pub fn decode_hash(encoded: &str) -> Option<Vec<u8>> {
    STANDARD.decode(encoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go's `bcrypt.GenerateFromPassword` writes; this one is of OpenBSD's test vectors.
    const KNOWN: &[u8] = b"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

    #[test]
    fn a_hash_matches_its_password_only() {
        for password in [&b""[..], b"a", b"sea salt \0 and more", &[0xff; 72]] {
            let hash = hash_password(password, 4, [7; 16]).unwrap();
            assert!(hash.starts_with(b"$2a$04$"), "{hash:?}");
            assert_eq!(hash.len(), 60);
            assert!(password_matches(password, &hash, COMPARE_COST_MAX));
            assert!(!password_matches(b"another", &hash, COMPARE_COST_MAX));
            let again = hash_password(password, 4, [8; 16]).unwrap();
            assert_ne!(hash, again, "the salt is part of it");
        }
    }

    #[test]
    fn hashes_of_other_programs_are_understood() {
        assert!(password_matches(b"U*U", KNOWN, COMPARE_COST_MAX));
        assert!(!password_matches(b"U*V", KNOWN, COMPARE_COST_MAX));
    }

    #[test]
    fn a_password_that_would_be_cut_is_refused_with_etcds_text() {
        let error = hash_password(&[b'x'; 73], 4, [0; 16]).unwrap_err();
        assert_eq!(error.to_string(), "bcrypt: password length exceeds 72 bytes");
        assert_eq!(hash_password(b"x", 3, [0; 16]), Err(PasswordError::Cost(3)));
        assert_eq!(hash_password(b"x", 32, [0; 16]), Err(PasswordError::Cost(32)));
    }

    #[test]
    fn a_hash_that_would_take_days_matches_nothing_at_once() {
        let costly = String::from_utf8_lossy(KNOWN).replace("$05$", "$31$");
        assert!(!password_matches(b"U*U", costly.as_bytes(), COMPARE_COST_MAX));
    }

    #[test]
    fn bytes_that_are_no_hash_match_nothing() {
        for hash in [&b""[..], b"plain", &[0xff; 60], &KNOWN[..59], &[b'$'; 60], b"$2a$99$"] {
            assert!(!password_matches(b"", hash, COST_MAX));
        }
    }

    #[test]
    fn a_hash_travels_in_base64() {
        assert_eq!(decode_hash(&encode_hash(KNOWN)).as_deref(), Some(KNOWN));
        assert_eq!(decode_hash("not base64!"), None);
    }
}
