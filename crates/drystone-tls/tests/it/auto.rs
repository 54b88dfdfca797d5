//! Certificates that a process makes for itself.

use drystone_tls::{Acceptor, Error, Settings, self_signed};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

#[test]
fn a_pair_is_made_once_and_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("fixtures/peer");
    let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = self_signed(&dir, &hosts, 2).unwrap();
    assert!(made.made_until.is_some());
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(dir.join("key.pem")), mode(dir.clone())), (0o600, 0o700));
    let key = std::fs::read(dir.join("key.pem")).unwrap();
    let again = self_signed(&dir, &hosts, 2).unwrap();
    assert_eq!((again.pair.clone(), again.made_until), (made.pair.clone(), None));
    assert_eq!(std::fs::read(dir.join("key.pem")).unwrap(), key);

    let settings = Settings { pair: Some(made.pair), ..Settings::default() };
    let expires = Acceptor::new(&settings).unwrap().expiries()[0].at;
    let days = expires.duration_since(SystemTime::now()).unwrap().as_secs() / (24 * 60 * 60);
    assert!((729..=730).contains(&days), "{days}");
}

#[test]
fn half_of_a_pair_that_was_left_behind_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key.pem"), "half").unwrap();
    std::fs::write(folder.path().join("cert.pem.new"), "half").unwrap();
    let made = self_signed(folder.path(), &[], 1).unwrap();
    let settings = Settings { pair: Some(made.pair), ..Settings::default() };
    Acceptor::new(&settings).unwrap();
}

#[test]
fn a_time_that_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |years| self_signed(folder.path(), &[], years).unwrap_err();
    assert_eq!(
        refused(0).to_string(),
        "selfSignedCertValidity is invalid,it should be greater than 0"
    );
    for years in [9000, u64::MAX / 365, u64::MAX] {
        assert!(matches!(refused(years), Error::Validity { .. }), "{years}");
    }
    assert!(SystemTime::now() + Duration::from_secs(1) > SystemTime::UNIX_EPOCH);
}
