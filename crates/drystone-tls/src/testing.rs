//! Certificates for tests, made when they are needed.

use crate::Pair;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber,
};
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};

/// An authority that signs what a test asks for. Not for anything else: it panics where a test
/// could not go on.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, in PEM.
    pub pem: String,
}

/// What is asked of an authority.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The subject's common name.
    pub common_name: &'a str,
    /// Names and addresses.
    pub hosts: &'a [&'a str],
    /// The serial number.
    pub serial: u64,
    /// Days from now on; less than 0 is over already.
    pub days: i64,
    /// Whether servers may show it.
    pub for_servers: bool,
    /// Whether clients may show it.
    pub for_clients: bool,
}

impl Default for Order<'_> {
    fn default() -> Self {
        Self {
            common_name: "somebody",
            hosts: &["localhost", "127.0.0.1"],
            serial: 1,
            days: 30,
            for_servers: true,
            for_clients: true,
        }
    }
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub cert: String,
    /// The private key.
    pub key: String,
}

impl Issued {
    /// Writes both as `NAME.crt` and `NAME.key`, one after the other.
    ///
    /// # Panics
    /// When they cannot be written.
    #[must_use]
    pub fn write(&self, folder: &Path, name: &str) -> Pair {
        let pair = Pair {
            cert: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        };
        write(&pair.cert, self.cert.as_bytes());
        write(&pair.key, self.key.as_bytes());
        pair
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key can be made");
        let pem = params.self_signed(&key).expect("an authority can be made").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Signs a certificate.
    ///
    /// # Panics
    /// When the order makes no sense.
    #[must_use]
    pub fn issue(&self, order: &Order<'_>) -> Issued {
        let hosts: Vec<String> = order.hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("the hosts are sound");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, order.common_name);
        params.serial_number = Some(SerialNumber::from(order.serial));
        let now = OffsetDateTime::now_utc();
        params.not_before = now - Duration::days(order.days.abs() + 2);
        params.not_after = now + Duration::days(order.days);
        let servers = order.for_servers.then_some(ExtendedKeyUsagePurpose::ServerAuth);
        let clients = order.for_clients.then_some(ExtendedKeyUsagePurpose::ClientAuth);
        params.extended_key_usages = servers.into_iter().chain(clients).collect();
        let key = KeyPair::generate().expect("a key can be made");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate can be made");
        Issued { cert: cert.pem(), key: key.serialize_pem() }
    }

    /// A list that revokes these serial numbers, in DER.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn revoke(&self, serials: &[u64]) -> Vec<u8> {
        let now = OffsetDateTime::now_utc();
        let entry = |&serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: now,
            next_update: now + Duration::days(30),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a list can be made").der().to_vec()
    }
}

/// Writes a file, whole at one moment, and gives its path.
///
/// # Panics
/// When it cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> PathBuf {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).expect("a test's folder can be written to");
    std::fs::rename(&new, path).expect("a test's file can be replaced");
    path.to_owned()
}
