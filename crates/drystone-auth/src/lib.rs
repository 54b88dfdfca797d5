//! Who may do what: etcd's role-based access control.
//!
//! # What it is
//! [`Auth`] is the replicated state: whether permissions are asked for, the auth revision, users
//! and roles. Changes that the log orders are applied on every member and write their records
//! into a [`drystone_backend::Batch`], in etcd's tables and bytes. [`Auth::decide`] answers
//! whether somebody may do what a request takes ([`Need`]); it is the only place that does.
//!
//! Beside it, and apart from it, are the things a member does on its own account, which are not
//! replicated: hashes of passwords, and tokens, [`SimpleTokens`] and [`Jwt`].
//!
//! # What it is not
//! It does not say what a request takes: whoever knows the requests does (`drystone-machine`).
//! It has no clock, no randomness of its own, no lock.
//!
//! # The model
//! A user has roles, a role has permissions on keys or ranges of keys. The ranges of a role are
//! kept merged, those for reading and those for writing apart. A range may be read when the
//! ranges of all the user's roles *together* cover it. Whoever has the role `root` may do
//! everything; the role need not exist.
//!
//! A clone shares all it can: a snapshot for readers costs two reference counts, and a change
//! after it the path to one user or role.
//!
//! # Example
//! ```
//! use drystone_auth::{Auth, Denied, Identity, Need, Permission, PermissionKind};
//! use drystone_backend::{Batch, MemBackend};
//! use drystone_types::KeyRange;
//!
//! let mut auth = Auth::open(&MemBackend::new())?;
//! let mut batch = Batch::new();
//! for user in ["root", "ada"] {
//!     auth.add_user(&mut batch, user, Some("a hash".into()), false)?;
//! }
//! auth.grant_role(&mut batch, "root", "root")?;
//! auth.add_role(&mut batch, "reader")?;
//! let songs = Permission::new(PermissionKind::Read, "song/", "song0");
//! auth.grant_permission(&mut batch, "reader", songs)?;
//! auth.grant_role(&mut batch, "ada", "reader")?;
//! auth.enable(&mut batch)?;
//!
//! let ada = Identity { user: "ada".to_owned(), revision: auth.revision() };
//! let song = KeyRange::key("song/1");
//! assert_eq!(auth.decide(Some(&ada), &[Need::Read(song.clone())]), Ok(()));
//! let denied = auth.decide(Some(&ada), &[Need::Write(song)]);
//! assert_eq!(denied, Err(Denied::PermissionDenied));
//! assert_eq!(auth.decide(None, &[Need::User]), Err(Denied::UserEmpty));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Invariants
//! * Equal changes in equal order give equal states, records and errors.
//! * A change that is refused changes nothing. Every other but [`Auth::enable`] and what was so
//!   already raises the auth revision by one.
//! * While permissions are asked for, the user `root` has the role `root`.
//! * A range is granted only if every key in it is, whether it exists or not.
//! * Memory is in proportion to users, their roles, and permissions; nothing else is kept.

mod access;
mod auth;
mod error;
mod jwt;
mod password;
mod record;
mod simple;
mod spans;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod token_spec;

pub use access::{Denied, Identity, Need};
pub use auth::{Auth, ROOT};
pub use error::Error;
pub use jwt::{Algorithm, Claims, JWT_BYTES_MAX, Jwt, JwtError, UnknownAlgorithm};
pub use password::{
    COMPARE_COST_MAX, COST_MAX, COST_MIN, PASSWORD_BYTES_MAX, PasswordError, decode_hash,
    encode_hash, hash_password, password_matches,
};
pub use record::{Permission, PermissionKind, Role, User};
pub use simple::{SIMPLE_TOKENS_MAX, SimpleTokens, WORD_LETTERS, random_word, token_index};
pub use token_spec::{JWT_TTL_DEFAULT, JwtSpec, TokenSpec, TokenSpecError};
