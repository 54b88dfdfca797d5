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
    order(disk, dir);
    missing(disk, dir);
    replaced(disk, dir);
    removed(disk, dir);
    contents(disk, dir);
    handles(disk, dir);
    cached(disk, dir);
    room(disk, dir);
    room_again(disk, dir);
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

/// Names come in the order of their bytes, those of files only, and of this directory only.
fn order(disk: &dyn Disk, dir: &Path) {
    let names = ["00ff.free", "00fe-01.wal", "b", "B", "a-1", "a", "aa", "a.b", "_", "0100"];
    let inner = dir.join("inner");
    disk.create_dir_all(&inner.join("most")).expect("directories are created");
    drop(disk.create(&inner.join("a0")).expect("a file is created elsewhere"));
    for name in names {
        drop(disk.create(&dir.join(name)).expect("a file is created"));
    }
    let mut sorted = names;
    sorted.sort_unstable();
    assert_eq!(files(disk, dir), sorted);
    assert_eq!(files(disk, &inner), ["a0"]);
    for name in names {
        disk.remove(&dir.join(name)).expect("a file is removed");
    }
    assert_eq!(files(disk, &inner), ["a0"], "a name is of its directory");
    assert_eq!(kind(disk.create(&inner)), Some(ErrorKind::AlreadyExists), "by a directory");
    disk.remove(&inner.join("a0")).expect("a file is removed");
}

/// What is not there is `NotFound`, and nothing is made on the way.
fn missing(disk: &dyn Disk, dir: &Path) {
    let (none, inside) = (dir.join("none"), dir.join("none/file"));
    let not_found = Some(ErrorKind::NotFound);
    assert_eq!(kind(disk.list(&none)), not_found);
    assert_eq!(kind(disk.lock(&none)), not_found);
    assert_eq!(kind(disk.sync_dir(&none)), not_found);
    assert_eq!(kind(disk.create(&inside)), not_found);
    assert_eq!(kind(disk.open(&inside)), not_found);
    assert_eq!(kind(disk.remove(&inside)), not_found);
    assert_eq!(kind(disk.rename(&inside, &none)), not_found);
    assert_eq!(kind(disk.open(&none)), not_found);
    assert_eq!(files(disk, dir), [] as [&str; 0]);
}

/// A rename changes a name and no bytes: who has a file open keeps that file.
fn replaced(disk: &dyn Disk, dir: &Path) {
    let (new, name) = (dir.join("new"), dir.join("name"));
    let mut old_file = disk.create(&name).expect("a file is created");
    old_file.write_at(0, b"old").expect("it is written");
    old_file.sync_data().expect("it is synced");
    let mut new_file = disk.create(&new).expect("another file is created");
    new_file.write_at(0, b"newer").expect("it is written and not synced");
    disk.rename(&new, &name).expect("it takes the name");
    assert_eq!(text(&*disk.open(&name).expect("the name is there")), b"newer");
    old_file.write_at(3, b"!").expect("a file without a name is written");
    old_file.sync_data().expect("and synced");
    assert_eq!(text(&*old_file), b"old!", "a replaced file is whole");
    new_file.sync_data().expect("bytes are synced under a new name");
    assert_eq!(text(&*disk.open(&name).expect("the name is there")), b"newer");

    disk.rename(&name, &name).expect("a file keeps its name");
    assert_eq!(files(disk, dir), ["name"]);
    disk.rename(&name, &new).expect("a file is renamed");
    disk.rename(&new, &name).expect("and back");
    disk.sync_dir(dir).expect("a directory is synced");
    assert_eq!(text(&*disk.open(&name).expect("the name is there")), b"newer");
    disk.remove(&name).expect("a file is removed");
}

/// A removed file lives on for who has it open, and its name is free.
fn removed(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("removed");
    let mut first = disk.create(&path).expect("a file is created");
    first.write_at(0, b"first").expect("it is written");
    disk.remove(&path).expect("it is removed");
    let mut second = disk.create(&path).expect("its name is free at once");
    assert_eq!(text(&*second), b"", "a new file is empty");
    second.write_at(0, b"2").expect("it is written");
    first.write_at(5, b"!").expect("the other one, too");
    first.sync_data().expect("and synced");
    assert_eq!(text(&*first), b"first!");
    assert_eq!(text(&*disk.open(&path).expect("the new file is there")), b"2");
    disk.remove(&path).expect("it is removed");
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
    file.write_at(50, b"").expect("nothing is written");
    assert_eq!(text(&*file), b"a\0x", "nothing makes no file longer");
    file.truncate(0).expect("a file is emptied");
    assert!(file.is_empty().expect("a file has a length"));
    disk.remove(&path).expect("a file is removed");
}

/// Handles of one file see the same bytes at once, and a sync of one is a sync of the file.
fn handles(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("handles");
    let mut first = disk.create(&path).expect("a file is created");
    let mut second = disk.open(&path).expect("it is opened again");
    first.write_at(0, b"one").expect("it is written");
    assert_eq!(text(&*second), b"one");
    second.write_at(1, b"NE and more").expect("it is written through the other");
    assert_eq!(text(&*first), b"oNE and more");
    first.sync_data().expect("it is synced");
    first.truncate(2).expect("it is cut");
    assert_eq!(text(&*second), b"oN");
    drop(first);
    second.write_at(2, b"!").expect("one handle does not need the other");
    assert_eq!(text(&*disk.open(&path).expect("it is there")), b"oN!");
    disk.remove(&path).expect("a file is removed");
}

/// Forgetting what is cached changes no byte that was written, synced or not.
fn cached(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("cached");
    let mut file = disk.create(&path).expect("a file is created");
    file.drop_cached();
    let synced = [7; 10_000];
    file.write_at(0, &synced).expect("it is written");
    file.sync_data().expect("it is synced");
    file.drop_cached();
    assert_eq!(text(&*file), synced);
    file.write_at(9_000, &[8; 10_000]).expect("it is written and not synced");
    file.drop_cached();
    let both = [&synced[..9_000], &[8; 10_000][..]].concat();
    assert_eq!(text(&*file), both);
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

/// New room reads as zeros also where other bytes were before, and beside what is not synced.
fn room_again(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("room");
    let mut file = disk.create(&path).expect("a file is created");
    file.write_at(0, &[5; 5000]).expect("a file is written");
    file.truncate(1000).expect("it is cut");
    file.lay_out(200_000).expect("there is room");
    let laid = text(&*file);
    assert_eq!(laid.len(), 200_000);
    assert_eq!(laid[..1000], [5; 1000]);
    assert!(laid[1000..].iter().all(|byte| *byte == 0), "what was cut does not come back");
    file.write_at(199_999, b"ab").expect("it may grow beyond its room");
    file.sync_data().expect("it is synced");
    let grown = text(&*disk.open(&path).expect("it is there"));
    assert_eq!(grown.len(), 200_001);
    assert_eq!(grown[..199_999], laid[..199_999]);
    assert_eq!(grown[199_999..], *b"ab");
    disk.remove(&path).expect("a file is removed");
}

fn locks(disk: &dyn Disk, dir: &Path) {
    let blocked = Some(ErrorKind::WouldBlock);
    let other = dir.join("other");
    disk.create_dir_all(&other).expect("a directory is created");
    let held = disk.lock(dir).expect("a directory is locked");
    assert_eq!(kind(disk.lock(dir)), blocked, "by one holder only");
    // On some systems whoever closes a file that it could not lock ends the other's lock.
    assert_eq!(kind(disk.lock(dir)), blocked, "also after one was turned away");
    std::thread::scope(|scope| {
        let from_elsewhere = scope.spawn(|| kind(disk.lock(dir)));
        assert_eq!(from_elsewhere.join().expect("the thread ends"), blocked);
    });
    let beside = disk.lock(&other).expect("another directory is another lock");
    drop(disk.create(&dir.join("a")).expect("a locked directory is used"));
    disk.remove(&dir.join("a")).expect("a locked directory is used");
    disk.sync_dir(dir).expect("a locked directory is synced");
    drop(held);
    let held = disk.lock(dir).expect("a lock ends with its guard");
    assert_eq!(kind(disk.lock(&other)), blocked, "and with no other");
    drop(beside);
    assert_eq!(kind(disk.lock(dir)), blocked);
    drop(held);
    drop(disk.lock(dir).expect("a lock may be taken again and again"));
}
