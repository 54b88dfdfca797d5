//! What the flags of TLS say, checked.

use super::UsageError;
use super::values::Values;
use drystone_tls::{Error, Pair, Settings};
use std::path::PathBuf;

/// TLS of both faces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// For clients.
    pub client: Settings,
    /// For other members, who connect and are connected to.
    pub peer: Settings,
    /// Whether to make a certificate for clients when there is none.
    pub client_auto: bool,
    /// Whether to make one for other members when there is none.
    pub peer_auto: bool,
    /// For how many years such a certificate is valid.
    pub self_signed_years: u64,
}

/// Names of the flags of one face.
struct Names {
    cert: &'static str,
    key: &'static str,
    client_cert: &'static str,
    client_key: &'static str,
    trusted_ca: &'static str,
    client_cert_auth: &'static str,
    crl: &'static str,
    allowed_cn: Option<&'static str>,
    allowed_hostname: &'static str,
}

const CLIENT: Names = Names {
    cert: "cert-file",
    key: "key-file",
    client_cert: "client-cert-file",
    client_key: "client-key-file",
    trusted_ca: "trusted-ca-file",
    client_cert_auth: "client-cert-auth",
    crl: "client-crl-file",
    allowed_cn: None,
    allowed_hostname: "client-cert-allowed-hostname",
};

const PEER: Names = Names {
    cert: "peer-cert-file",
    key: "peer-key-file",
    client_cert: "peer-client-cert-file",
    client_key: "peer-client-key-file",
    trusted_ca: "peer-trusted-ca-file",
    client_cert_auth: "peer-client-cert-auth",
    crl: "peer-crl-file",
    allowed_cn: Some("peer-cert-allowed-cn"),
    allowed_hostname: "peer-cert-allowed-hostname",
};

/// Reads the flags of TLS and compares them with the URLs to listen on.
///
/// # Errors
/// What does not go together, in etcd's words.
pub(super) fn tls(values: &Values) -> Result<TlsConfig, UsageError> {
    let skips = values.bool("peer-skip-client-san-verification");
    let mut config = TlsConfig {
        client: face(values, &CLIENT).map_err(refused)?,
        peer: face(values, &PEER).map_err(refused)?,
        client_auto: values.bool("auto-tls"),
        peer_auto: values.bool("peer-auto-tls"),
        self_signed_years: match values.uint("self-signed-cert-validity") {
            // As in etcd: a file that says nothing leaves 0, on a command line it is meant.
            0 if values.is_from_file() => 1,
            years => years,
        },
    };
    config.peer.check_remote_address = !skips;
    let domain = values.text("discovery-srv");
    if !domain.is_empty() && config.peer.trusted_ca.is_none() {
        // As in etcd: whoever has a certificate for the domain is a member of it. etcd does so at
        // the first start alone.
        config.peer.server_name = Some(domain.to_owned());
    }
    config.client.check().map_err(refused)?;
    config.peer.check().map_err(refused)?;
    check_listeners(values, &config)?;
    Ok(config)
}

fn face(values: &Values, names: &Names) -> Result<Settings, Error> {
    let text = |name| values.text(name);
    let path = |name| Some(text(name)).filter(|path| !path.is_empty()).map(PathBuf::from);
    let list = |name| values.list(name);
    let version_max = text("tls-max-version");
    Ok(Settings {
        pair: Pair::of(text(names.cert), text(names.key))?,
        client_pair: Pair::for_dialling(text(names.client_cert), text(names.client_key))?,
        trusted_ca: path(names.trusted_ca),
        client_cert_auth: values.bool(names.client_cert_auth),
        allowed_cns: names.allowed_cn.map(list).unwrap_or_default(),
        allowed_hostnames: list(names.allowed_hostname),
        crl: path(names.crl),
        version_min: match text("tls-min-version") {
            // An empty word in a file is the default, as everywhere.
            "" => drystone_tls::Version::Tls12,
            word => word.parse()?,
        },
        version_max: (!version_max.is_empty()).then(|| version_max.parse()).transpose()?,
        suites: list("cipher-suites"),
        ..Settings::default()
    })
}

fn check_listeners(values: &Values, config: &TlsConfig) -> Result<(), UsageError> {
    let secure = |list| {
        let mut urls = values.urls(list).into_iter();
        urls.find(|url| url.starts_with("https://") || url.starts_with("unixs:"))
    };
    let no_client_pair = config.client.pair.is_none() && !config.client_auto;
    for list in ["listen-client-urls", "listen-client-http-urls"] {
        if let Some(url) = secure(list).filter(|_| no_client_pair) {
            return Err(UsageError::config(format!(
                "TLS key/cert (--cert-file, --key-file) must be provided for client url {url} \
                 with HTTPS scheme"
            )));
        }
    }
    if secure("listen-metrics-urls").is_some() && no_client_pair {
        return Err(UsageError::config(
            "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url",
        ));
    }
    let no_peer_pair = config.peer.pair.is_none() && !config.peer_auto;
    if let Some(url) = secure("listen-peer-urls").filter(|_| no_peer_pair) {
        let address = url.split_once("://").map_or("", |(_, address)| address);
        return Err(UsageError::config(format!(
            "cannot listen on TLS for {address}: {}",
            Error::NoPair
        )));
    }
    Ok(())
}

fn refused(error: Error) -> UsageError {
    UsageError::config(error.to_string())
}

#[cfg(test)]
mod tests;
