//! Why settings or files cannot be used. The texts that etcd has are etcd's.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why settings or files cannot be used. Fix them and start again, or, for files that are
/// followed, just fix them.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A certificate without its key, or the other way round.
    #[error("KeyFile and CertFile must both be present[key: {key}, cert: {cert}]")]
    HalfPair {
        /// The key's file, empty when it is missing.
        key: String,
        /// The certificate's file, empty when it is missing.
        cert: String,
    },
    /// The same of the pair for dialling.
    #[error(
        "ClientKeyFile and ClientCertFile must both be present or both absent: key: {key}, \
         cert: {cert}]"
    )]
    HalfClientPair {
        /// The key's file, empty when it is missing.
        key: String,
        /// The certificate's file, empty when it is missing.
        cert: String,
    },
    /// A listener without a certificate.
    #[error("KeyFile and CertFile are not presented")]
    NoPair,
    /// Two kinds of lists of who may come in.
    #[error(
        "AllowedCNs and AllowedHostnames are mutually exclusive (cns={cns:?}, \
         hostnames={hostnames:?})"
    )]
    TwoLists {
        /// The common names.
        cns: Vec<String>,
        /// The host names.
        hostnames: Vec<String>,
    },
    /// A word that is no version.
    #[error("unexpected TLS version {word:?} (must be one of: TLS1.2, TLS1.3)")]
    Version {
        /// The word.
        word: String,
    },
    /// No version is left.
    #[error("min version ({min}) is greater than max version ({max})")]
    Versions {
        /// The lowest that is asked for.
        min: crate::Version,
        /// The highest that is asked for.
        max: crate::Version,
    },
    /// A word that is no suite.
    #[error("unexpected TLS cipher suite {name:?}")]
    Suite {
        /// The word.
        name: String,
    },
    /// Suites are chosen where none can be.
    #[error("cipher suites cannot be configured when only TLS1.3 is enabled")]
    SuitesOfTls13,
    /// None of the chosen suites exists here.
    #[error(
        "none of the cipher suites {names:?} is served, and TLS1.3 is shut: add one with ECDHE \
         and AES-GCM or CHACHA20, or let TLS1.3 in"
    )]
    NoSuite {
        /// What was chosen.
        names: Vec<String>,
    },
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// A file is larger than anything that is read here.
    #[error("{path} has more than {bytes_max} bytes")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The bound.
        bytes_max: u64,
    },
    /// A file does not hold what it should.
    #[error("{path} holds {what}: {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What it holds or lacks.
        what: &'static str,
        /// What the reader of the form says.
        reason: String,
    },
    /// A certificate and a key that are not of one another.
    #[error("the private key in {key} does not match the certificate in {cert}")]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        cert: PathBuf,
    },
    /// There is nobody whose word could be taken.
    #[error(
        "no certificate authority is known: name a file of trusted ones, or install the system's"
    )]
    NoAuthorities,
    /// A time of validity that a certificate cannot have.
    #[error("selfSignedCertValidity is invalid,it should be greater than 0")]
    NoValidity,
    /// A time of validity that ends after the year 9999.
    #[error("a certificate cannot be valid for {years} years")]
    Validity {
        /// What was asked for.
        years: u64,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {reason}")]
    Make {
        /// Why.
        reason: String,
    },
    /// A certificate that was made cannot be kept.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// rustls does not take what was made of the settings.
    #[error("the TLS settings cannot be used: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
}

/// An error and its sources, as one line.
pub(crate) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(deeper) = source {
        text = format!("{text}: {deeper}");
        source = deeper.source();
    }
    text
}
