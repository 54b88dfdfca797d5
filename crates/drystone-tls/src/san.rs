//! Whether who connects does so from where its certificate says it is.

use crate::Rejected;
use crate::leaf::Leaf;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// A resolver. Both questions block.
pub trait Names: fmt::Debug + Send + Sync + 'static {
    /// The names of an address, with or without a dot at the end.
    ///
    /// # Errors
    /// Why there is no answer.
    fn names_of(&self, address: IpAddr) -> io::Result<Vec<String>>;

    /// The addresses of a name.
    ///
    /// # Errors
    /// Why there is no answer.
    fn addresses_of(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver, which tells one name of an address.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNames;

impl Names for SystemNames {
    fn names_of(&self, address: IpAddr) -> io::Result<Vec<String>> {
        Ok(vec![dns_lookup::lookup_addr(&address)?])
    }

    fn addresses_of(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(dns_lookup::lookup_host(name)?.collect())
    }
}

/// Lets pass a certificate without addresses and names, one with this address, and one with a
/// name that the resolver connects with this address, in either direction.
pub(crate) async fn check(
    leaf: &Leaf,
    remote: IpAddr,
    names: &Arc<dyn Names>,
) -> Result<(), Rejected> {
    let remote = remote.to_canonical();
    if leaf.addresses.contains(&remote) || (leaf.addresses.is_empty() && leaf.dns_names.is_empty())
    {
        return Ok(());
    }
    let reason = if leaf.dns_names.is_empty() {
        format!(
            "tls: {:?} does not match any of IPAddresses {:?}",
            remote.to_string(),
            leaf.addresses
        )
    } else {
        let (dns_names, names) = (leaf.dns_names.clone(), names.clone());
        let asked = tokio::task::spawn_blocking(move || is_known(remote, &dns_names, &*names));
        match asked.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(errors)) => {
                let shown = remote.to_string();
                let errors = if errors.is_empty() {
                    String::new()
                } else {
                    format!(" (lookup errors {errors:?})")
                };
                let dns_names = &leaf.dns_names;
                format!("tls: {shown:?} does not match any of DNSNames {dns_names:?}{errors}")
            }
            Err(error) => error.to_string(),
        }
    };
    Err(Rejected::Address {
        reason,
        ip_addresses: leaf.addresses.clone(),
        dns_names: leaf.dns_names.clone(),
    })
}

/// Asks for the address's names, then for the addresses of the plain names.
fn is_known(remote: IpAddr, dns_names: &[String], names: &dyn Names) -> Result<(), Vec<String>> {
    let mut errors = Vec::new();
    let of_remote = names.names_of(remote).unwrap_or_else(|error| {
        errors.push(error.to_string());
        Vec::new()
    });
    for name in &of_remote {
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_it = |pattern: &String| match pattern.strip_prefix('*') {
            Some(suffix) if suffix.starts_with('.') => name.ends_with(suffix),
            _ => pattern == name,
        };
        if dns_names.iter().any(is_it) {
            return Ok(());
        }
    }
    for name in dns_names.iter().filter(|name| !name.starts_with("*.")) {
        match names.addresses_of(name) {
            Ok(found) if found.iter().any(|found| found.to_canonical() == remote) => return Ok(()),
            Ok(_) => {}
            Err(error) => errors.push(error.to_string()),
        }
    }
    Err(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed;

    impl Names for Fixed {
        fn names_of(&self, address: IpAddr) -> io::Result<Vec<String>> {
            match address.to_string().as_str() {
                "10.0.0.1" => Ok(vec!["m1.example.".into()]),
                _ => Err(io::Error::other("nobody knows it")),
            }
        }

        fn addresses_of(&self, name: &str) -> io::Result<Vec<IpAddr>> {
            match name {
                "m2.example" => Ok(vec!["10.0.0.2".parse().unwrap()]),
                _ => Err(io::Error::other(format!("no {name}"))),
            }
        }
    }

    #[test]
    fn an_address_is_known_by_its_name_or_by_the_names_address() {
        let known = |remote: &str, names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            is_known(remote.parse().unwrap(), &names, &Fixed)
        };
        assert_eq!(known("10.0.0.1", &["m1.example"]), Ok(()));
        assert_eq!(known("10.0.0.1", &["*.example"]), Ok(()));
        assert_eq!(known("10.0.0.2", &["*.example", "m2.example"]), Ok(()));
        assert_eq!(known("10.0.0.1", &["m2.example"]), Err(vec![]));
        assert_eq!(known("10.0.0.3", &["*.example"]), Err(vec!["nobody knows it".into()]));
    }
}
