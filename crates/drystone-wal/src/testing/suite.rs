//! What every [`Disk`] must do while nothing fails.

use crate::disk::{Disk, DiskFile};
use std::io::ErrorKind;
use std::path::Path;

/// Holds a disk against the contract of [`Disk`] and [`DiskFile`], in `dir`, which must not
/// exist yet. What a crash leaves is beyond it: only a simulated disk can be asked.
///
/// # Panics
/// When the disk breaks the contract.
pub fn suite(disk: &dyn Disk, dir: &Path) {
    assert_eq!(kind(disk.list(dir)), Some(ErrorKind::NotFound), "there is no directory yet");
    disk.create_dir_all(dir).expect("a directory is created");
    disk.create_dir_all(dir).expect("an existing directory is fine");
    assert_eq!(files(disk, dir), [] as [&str; 0]);
    names(disk, dir);
    contents(disk, dir);
    room(disk, dir);
    locks(disk, dir);
}

fn kind<T>(result: std::io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// The names in `dir` but for those that the lock may leave.
fn files(disk: &dyn Disk, dir: &Path) -> Vec<String> {
    let mut names = disk.list(dir).expect("the directory is listed");
    names.retain(|name| name != "LOCK");
    names
}

fn text(file: &dyn DiskFile) -> Vec<u8> {
    let len = usize::try_from(file.len().expect("a file has a length")).expect("it is short");
    let mut buffer = vec![0xee; len + 3];
    let read = file.read_at(0, &mut buffer).expect("a file is read");
    assert_eq!(read, len, "a read ends at the end of the file");
    buffer.truncate(len);
    buffer
}

fn names(disk: &dyn Disk, dir: &Path) {
    let (a, b) = (dir.join("a"), dir.join("b"));
    assert_eq!(kind(disk.open(&b)), Some(ErrorKind::NotFound));
    drop(disk.create(&b).expect("a file is created"));
    let mut file = disk.create(&a).expect("another file is created");
    assert_eq!(kind(disk.create(&a)), Some(ErrorKind::AlreadyExists));
    file.write_at(0, b"one").expect("a file is written");
    assert_eq!(files(disk, dir), ["a", "b"], "names are listed in order");

    disk.rename(&a, &b).expect("a file is renamed over another");
    assert_eq!(files(disk, dir), ["b"]);
    file.write_at(3, b"!").expect("an open file survives its name");
    assert_eq!(text(&*disk.open(&b).expect("it has the new name")), b"one!");
    assert_eq!(kind(disk.rename(&a, &b)), Some(ErrorKind::NotFound));

    disk.sync_dir(dir).expect("a directory is synced");
    disk.remove(&b).expect("a file is removed");
    assert_eq!(kind(disk.remove(&b)), Some(ErrorKind::NotFound));
    assert_eq!(kind(disk.open(&b)), Some(ErrorKind::NotFound));
    assert_eq!(files(disk, dir), [] as [&str; 0]);
}

fn contents(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("contents");
    let mut file = disk.create(&path).expect("a file is created");
    assert!(file.is_empty().expect("a file has a length"));
    file.write_at(2, b"cd").expect("a gap may be left");
    assert_eq!(text(&*file), b"\0\0cd", "a gap reads as zeros");
    file.write_at(0, b"abC").expect("bytes are replaced");
    assert_eq!(text(&*file), b"abCd");
    file.sync_data().expect("a file is synced");

    let mut two = [0; 2];
    assert_eq!(file.read_at(1, &mut two).expect("a part is read"), 2);
    assert_eq!(&two, b"bC");
    assert_eq!(file.read_at(4, &mut two).expect("the end is read"), 0);
    assert_eq!(file.read_at(9, &mut two).expect("the void is read"), 0);

    file.truncate(9).expect("cutting at a greater length is nothing");
    assert_eq!(text(&*file), b"abCd");
    file.truncate(1).expect("a file is cut");
    file.write_at(2, b"x").expect("it grows again");
    assert_eq!(text(&*file), b"a\0x", "what was cut does not come back");
    disk.remove(&path).expect("a file is removed");
}

fn room(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("room");
    let mut file = disk.create(&path).expect("a file is created");
    file.write_at(0, b"kept").expect("a file is written");
    file.lay_out(6000).expect("there is room");
    let laid = text(&*file);
    assert_eq!(laid.len(), 6000);
    assert_eq!(&laid[..4], b"kept");
    assert!(laid[4..].iter().all(|byte| *byte == 0), "new room reads as zeros");
    file.lay_out(10).expect("a long file stays as it is");
    assert_eq!(text(&*file), laid);
    disk.remove(&path).expect("a file is removed");
}

fn locks(disk: &dyn Disk, dir: &Path) {
    let held = disk.lock(dir).expect("a directory is locked");
    assert_eq!(kind(disk.lock(dir)), Some(ErrorKind::WouldBlock), "by one holder only");
    drop(held);
    drop(disk.lock(dir).expect("a lock ends with its guard"));
}
