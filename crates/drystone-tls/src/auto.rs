//! Certificates that a process makes for itself: `--auto-tls` and `--peer-auto-tls`.

use crate::{Error, Pair};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use time::{Duration, OffsetDateTime};

/// A pair that signs for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfSigned {
    /// Where it lies.
    pub pair: Pair,
    /// When it expires, if it was made now and not found.
    pub made_until: Option<String>,
}

/// Bytes of a random serial number.
const SERIAL_BYTES: usize = 16;

/// Finds `cert.pem` and `key.pem` in `dir`, or makes them: for `hosts` (names and addresses),
/// for `years` of 365 days. Blocks on files, and syncs them.
///
/// Such a pair encrypts, it proves nothing: whoever dials its owner must skip verification.
/// The key is on P-384, where etcd's is on P-521, which ring does not sign with. Both are
/// accepted nowhere by their curve, since nobody verifies them.
///
/// # Errors
/// [`Error::NoValidity`] for no years at all, [`Error::Validity`] for too many, or what cannot
/// be made or written.
pub fn self_signed(dir: &Path, hosts: &[String], years: u64) -> Result<SelfSigned, Error> {
    if years == 0 {
        return Err(Error::NoValidity);
    }
    let pair = Pair { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
    if pair.cert.exists() && pair.key.exists() {
        return Ok(SelfSigned { pair, made_until: None });
    }
    let failed = |error: rcgen::Error| Error::Make { reason: error.to_string() };
    let now = OffsetDateTime::now_utc();
    let until = i64::try_from(years)
        .ok()
        .and_then(|years| years.checked_mul(365))
        .and_then(|days| days.checked_mul(24 * 60 * 60))
        .and_then(|seconds| now.checked_add(Duration::seconds(seconds)))
        .ok_or(Error::Validity { years })?;
    let mut params = CertificateParams::new(hosts.to_vec()).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "etcd");
    params.serial_number = Some(serial()?);
    params.not_before = now;
    params.not_after = until;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::CrlSign,
    ];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(failed)?;
    let cert = params.self_signed(&key).map_err(failed)?;
    let folder = |source: io::Error| unwritten(dir, source);
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(folder)?;
    // The certificate comes last: with it alone the next start would have no key.
    write(&pair.key, key.serialize_pem().as_bytes(), 0o600)?;
    write(&pair.cert, cert.pem().as_bytes(), 0o644)?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(folder)?;
    Ok(SelfSigned { pair, made_until: Some(until.to_string()) })
}

fn serial() -> Result<SerialNumber, Error> {
    let mut bytes = [0; SERIAL_BYTES];
    let random = SystemRandom::new().fill(&mut bytes);
    random.map_err(|_| Error::Make { reason: "the system gives no randomness".to_owned() })?;
    // Serial numbers are positive and have no zero in front.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn unwritten(path: &Path, source: io::Error) -> Error {
    Error::Write { path: path.to_owned(), source: Arc::new(source) }
}

/// Writes a file so that it is there whole or not at all.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let new = path.with_extension("pem.new");
    let put = || {
        // What an interrupted start left has another key and perhaps another mode.
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::options().write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    put().map_err(|source| unwritten(path, source))
}
