//! A file that changes, in the ways files change.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Follows a file that holds a number, and counts how often it was made anew.
fn followed(path: &Path) -> (Followed<u32>, Arc<AtomicUsize>) {
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let follows = Followed::new("numbers", &[path], move |contents| {
        count.fetch_add(1, Ordering::Relaxed);
        let text = String::from_utf8_lossy(&contents[0]);
        text.trim().parse().map_err(|_| Error::Make { reason: text.into_owned() })
    });
    (follows, made)
}

fn age(path: &Path) {
    // A stamp of an hour ago stands for a file that nobody touches.
    let then = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

#[test]
fn what_did_not_change_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("number");
    std::fs::write(&path, "1").unwrap();
    let (follows, made) = followed(&path);
    for _ in 0..10 {
        assert_eq!(*follows.open().unwrap(), 1);
    }
    std::fs::write(&path, "1").unwrap();
    assert_eq!(*follows.open().unwrap(), 1);
    assert_eq!(made.load(Ordering::Relaxed), 1, "equal contents are not made again");
}

#[test]
fn a_change_is_seen_even_when_size_and_time_stay_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("number");
    std::fs::write(&path, "1").unwrap();
    age(&path);
    let (follows, _) = followed(&path);
    assert_eq!(*follows.open().unwrap(), 1);
    for number in 2..9 {
        std::fs::write(&path, number.to_string()).unwrap();
        age(&path);
        assert_eq!(*follows.open().unwrap(), number);
    }
    // As a secret that is mounted changes: by a link that leads elsewhere.
    let (old, new, link) =
        (folder.path().join("old"), folder.path().join("new"), folder.path().join("link"));
    std::fs::write(&old, "1").unwrap();
    std::fs::write(&new, "2").unwrap();
    std::os::unix::fs::symlink(&old, &link).unwrap();
    let (follows, _) = followed(&link);
    assert_eq!(*follows.open().unwrap(), 1);
    let moved = folder.path().join("moved");
    std::os::unix::fs::symlink(&new, &moved).unwrap();
    std::fs::rename(&moved, &link).unwrap();
    assert_eq!(*follows.open().unwrap(), 2);
}

#[test]
fn the_last_good_stays_while_a_file_is_broken_or_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("number");
    let (follows, _) = followed(&path);
    assert!(matches!(follows.open().unwrap_err(), Error::Read { .. }));
    std::fs::write(&path, "1").unwrap();
    assert_eq!(*follows.open().unwrap(), 1);
    std::fs::write(&path, "half a num").unwrap();
    for _ in 0..2 {
        let look = follows.look();
        assert_eq!(look.last_good.as_deref(), Some(&1));
        assert!(matches!(look.trouble, Some(Error::Make { .. })));
    }
    std::fs::remove_file(&path).unwrap();
    let look = follows.look();
    assert_eq!(look.last_good.as_deref(), Some(&1));
    assert!(matches!(look.trouble, Some(Error::Read { .. })));
    std::fs::write(&path, "1").unwrap();
    assert_eq!(*follows.open().unwrap(), 1);
    assert!(follows.look().trouble.is_none());
}

#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    let (follows, _) = followed(Path::new("/dev/zero"));
    assert!(matches!(follows.open().unwrap_err(), Error::TooLong { .. }));
}
