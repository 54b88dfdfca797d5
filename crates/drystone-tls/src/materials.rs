//! What handshakes are made of, as the files have it at this moment.

use crate::bundle::{self, Bundle};
use crate::files::Followed;
use crate::pair::{self, Shown};
use crate::protocol::Chosen;
use crate::revoked::{self, Revoked};
use crate::{Error, Settings};
use std::sync::Arc;
use std::time::SystemTime;

/// Until when something that is in force is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// `certificate`, `client_certificate` or `trusted_ca`.
    pub of: &'static str,
    /// The last moment; of a bundle, that of the certificate that expires first.
    pub at: SystemTime,
}

/// Which certificates are turned away although their path is good.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) allowed_cns: Vec<String>,
    pub(crate) allowed_hostnames: Vec<String>,
    pub(crate) revoked: Option<Arc<Revoked>>,
}

/// The files behind one face.
#[derive(Debug)]
pub(crate) struct Materials {
    pub(crate) settings: Settings,
    pub(crate) chosen: Chosen,
    pair: Option<(&'static str, Followed<Shown>)>,
    trusted: Option<Followed<Bundle>>,
    revoked: Option<Followed<Revoked>>,
}

/// What was found in the files. Two are [`Found::same`] if nothing changed between them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) pair: Option<Arc<Shown>>,
    /// The authorities of the bundle, or the system's.
    pub(crate) trusted: Option<Arc<Bundle>>,
    pub(crate) revoked: Option<Arc<Revoked>>,
}

impl Found {
    pub(crate) fn same(&self, other: &Self) -> bool {
        fn same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
            a.map(Arc::as_ptr) == b.map(Arc::as_ptr)
        }
        same(self.pair.as_ref(), other.pair.as_ref())
            && same(self.trusted.as_ref(), other.trusted.as_ref())
            && same(self.revoked.as_ref(), other.revoked.as_ref())
    }
}

/// Which side of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Accepts,
    Dials,
}

impl Materials {
    /// Checks the settings and reads the files once, all but the list of revocations: that is
    /// read when somebody comes.
    pub(crate) fn open(settings: &Settings, side: Side) -> Result<Self, Error> {
        settings.check()?;
        let chosen = Chosen::of(settings)?;
        if !chosen.weak.is_empty() {
            let suites = &chosen.weak;
            tracing::warn!(?suites, "these weak cipher suites are not served");
        }
        let shown = match side {
            Side::Accepts => settings.pair.as_ref().map(|pair| ("certificate", pair)),
            Side::Dials => {
                let own = settings.client_pair.as_ref();
                own.or(settings.pair.as_ref()).map(|pair| ("client_certificate", pair))
            }
        };
        let materials = Self {
            settings: settings.clone(),
            pair: shown.map(|(of, pair)| (of, pair::follow(pair, chosen.provider.clone()))),
            trusted: settings.trusted_ca.as_deref().map(bundle::follow),
            revoked: settings.crl.as_deref().map(revoked::follow),
            chosen,
        };
        if let Some((_, pair)) = &materials.pair {
            pair.open()?;
        }
        if let Some(trusted) = &materials.trusted {
            trusted.open()?;
        }
        Ok(materials)
    }

    /// Looks at the files. Blocks on them.
    ///
    /// # Errors
    /// Nothing can be used, or the list of revocations cannot.
    pub(crate) fn find(&self, system_too: bool) -> Result<Found, Error> {
        let found = self.find_without_revoked(system_too)?;
        let revoked = self.revoked.as_ref().map(Followed::open).transpose()?;
        Ok(Found { revoked, ..found })
    }

    /// [`Materials::find`], but for the list of revocations.
    ///
    /// # Errors
    /// Nothing can be used.
    pub(crate) fn find_without_revoked(&self, system_too: bool) -> Result<Found, Error> {
        let pair = self.pair.as_ref().map(|(_, pair)| last_good(pair)).transpose()?;
        let trusted = match &self.trusted {
            Some(trusted) => Some(last_good(trusted)?),
            None => system_too.then(bundle::of_system),
        };
        Ok(Found { pair, trusted, revoked: None })
    }

    pub(crate) fn rules(&self, found: &Found) -> Rules {
        Rules {
            allowed_cns: self.settings.allowed_cns.clone(),
            allowed_hostnames: self.settings.allowed_hostnames.clone(),
            revoked: found.revoked.clone(),
        }
    }

    /// Until when what is in force is valid.
    pub(crate) fn expiries(&self) -> Vec<Expiry> {
        let pair = self.pair.as_ref().and_then(|(of, pair)| {
            let at = pair.look().last_good?.expires?;
            Some(Expiry { of, at })
        });
        let trusted = self.trusted.as_ref().and_then(|trusted| {
            let at = trusted.look().last_good?.expires?;
            Some(Expiry { of: "trusted_ca", at })
        });
        pair.into_iter().chain(trusted).collect()
    }
}

/// What was good last, while the files are being replaced.
fn last_good<T>(followed: &Followed<T>) -> Result<Arc<T>, Error> {
    let look = followed.look();
    look.last_good.ok_or_else(|| look.trouble.unwrap_or(Error::NoPair))
}
