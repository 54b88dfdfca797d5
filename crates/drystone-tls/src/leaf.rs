//! What a certificate says: names, addresses, serial number, validity.

use rustls::pki_types::CertificateDer;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName};
use x509_parser::prelude::{FromDer, X509Certificate};

/// What is looked at in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// The last common name of the subject, as Go reads it.
    pub(crate) common_name: Option<String>,
    pub(crate) dns_names: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) serial: Vec<u8>,
    /// Seconds since 1970.
    valid: (i64, i64),
    /// Whether it may be shown by clients, and by servers.
    usable: (bool, bool),
}

impl Leaf {
    /// Reads a certificate.
    ///
    /// # Errors
    /// What is wrong with its form.
    pub(crate) fn of(der: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, cert) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let mut leaf = Self {
            common_name: cert
                .subject()
                .iter_common_name()
                .filter_map(|name| name.as_str().ok())
                .last()
                .map(str::to_owned),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            serial: serial(cert.raw_serial()),
            valid: (cert.validity().not_before.timestamp(), cert.validity().not_after.timestamp()),
            usable: (true, true),
        };
        let named = cert.subject_alternative_name().map_err(|error| error.to_string())?;
        for name in named.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::DNSName(name) => leaf.dns_names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => leaf.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        if let Some(usage) = cert.extended_key_usage().map_err(|error| error.to_string())? {
            let ExtendedKeyUsage { any, client_auth, server_auth, .. } = usage.value;
            leaf.usable = (*any || *client_auth, *any || *server_auth);
        }
        Ok(leaf)
    }

    /// Whether the certificate is valid for `host`: a name, or an address, also in brackets.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return self.addresses.contains(&address.to_canonical());
        }
        self.dns_names.iter().any(|pattern| matches(pattern, host))
    }

    pub(crate) fn is_valid_at(&self, seconds: i64) -> bool {
        (self.valid.0..=self.valid.1).contains(&seconds)
    }

    pub(crate) fn may_be_clients(&self) -> bool {
        self.usable.0
    }

    pub(crate) fn may_be_servers(&self) -> bool {
        self.usable.1
    }

    /// The last moment it is valid.
    pub(crate) fn expires(&self) -> Option<SystemTime> {
        let seconds = u64::try_from(self.valid.1).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }
}

/// A serial number without leading zeros.
pub(crate) fn serial(raw: &[u8]) -> Vec<u8> {
    raw.iter().copied().skip_while(|byte| *byte == 0).collect()
}

/// A serial number as etcd's messages have it.
pub(crate) fn serial_text(serial: &[u8]) -> String {
    let text: String = serial.iter().map(|byte| format!("{byte:02x}")).collect();
    match text.trim_start_matches('0') {
        "" => "0".to_owned(),
        text => text.to_owned(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .map(|address| address.to_canonical())
        .ok()
}

/// Whether a name in a certificate stands for `host`. A `*` stands for one whole first label.
fn matches(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() || pattern.is_empty() {
        return false;
    }
    match pattern.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => pattern.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_first_label() {
        for (pattern, host, holds) in [
            ("etcd.example", "ETCD.example", true),
            ("etcd.example", "etcd.example.", true),
            ("*.example", "etcd.example", true),
            ("*.example", "a.etcd.example", false),
            ("*.example", "example", false),
            ("*.example", ".example", false),
            ("*", "example", false),
            ("e*.example", "etcd.example", false),
            ("", "", false),
        ] {
            assert_eq!(matches(pattern, host), holds, "{pattern} {host}");
        }
    }

    #[test]
    fn serial_numbers_are_written_as_etcd_writes_them() {
        assert_eq!(serial(&[0, 0, 0x0a, 0xff]), [0x0a, 0xff]);
        assert_eq!(serial_text(&[0x0a, 0xff]), "aff");
        assert_eq!(serial_text(&[]), "0");
    }

    #[test]
    fn bytes_that_are_no_certificate_are_an_error() {
        assert!(Leaf::of(&CertificateDer::from(vec![0x30, 0x82, 0xff, 0xff, 1])).is_err());
        assert!(Leaf::of(&CertificateDer::from(Vec::new())).is_err());
    }
}
