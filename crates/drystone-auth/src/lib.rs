//! Who may do what: etcd's role-based access control.

mod access;
mod jwt;
mod password;
mod simple;
mod token_spec;

pub use access::{Identity, Need};
pub use jwt::{Algorithm, Claims, JWT_BYTES_MAX, Jwt, JwtError, UnknownAlgorithm};
pub use password::{
    COMPARE_COST_MAX, COST_MAX, COST_MIN, PASSWORD_BYTES_MAX, PasswordError, decode_hash,
    encode_hash, hash_password, password_matches,
};
pub use simple::{SIMPLE_TOKENS_MAX, SimpleTokens, WORD_LETTERS, random_word, token_index};
pub use token_spec::{JWT_TTL_DEFAULT, JwtSpec, TokenSpec, TokenSpecError};
