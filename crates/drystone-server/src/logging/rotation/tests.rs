//! Rotation on a real folder.

use super::*;
use std::io::Read as _;

fn rotation() -> LogRotation {
    LogRotation { megabytes_max: 1, days_max: 0, backups_max: 0, compress: false }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_full_file_gives_way_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep").join("server.log");
    let mut log = LogFile::open(&path, Some(rotation())).unwrap();
    let line = [vec![b'x'; 600 << 10], b"\n".to_vec()].concat();
    log.write(&line).unwrap();
    log.write(&line).unwrap();
    let folder = path.parent().unwrap();
    let found = names(folder);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(put_aside_at(&path, &found[0]).is_some(), "{found:?}");
    assert_eq!(found[1], "server.log");
    for name in found {
        assert_eq!(std::fs::read(folder.join(name)).unwrap(), line);
    }
    // One that is opened again goes on where it was.
    let mut again = LogFile::open(&path, Some(rotation())).unwrap();
    again.write(b"end\n").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), [line, b"end\n".to_vec()].concat());
}

#[test]
fn without_rotation_a_file_grows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut log = LogFile::open(&path, None).unwrap();
    for _ in 0..3 {
        log.write(&vec![b'x'; 1 << 20]).unwrap();
    }
    assert_eq!(names(folder.path()), ["log"]);
    assert!(LogFile::open(&folder.path().join("no").join("log"), None).is_err());
}

#[test]
fn names_of_backups_are_read_as_they_are_written() {
    for name in ["/x/etcd.log", "/x/etcd", "/x/a.b-c.log"] {
        let path = Path::new(name);
        let moment = at(1_790_000_000) + Duration::from_millis(7);
        let backup = backup_path(path, moment);
        let backup = backup.file_name().unwrap().to_str().unwrap();
        assert_eq!(put_aside_at(path, backup), Some(moment), "{backup}");
        assert_eq!(put_aside_at(path, &format!("{backup}.gz")), Some(moment));
    }
    let backup = backup_path(Path::new("/x/etcd.log"), at(1_790_000_000));
    assert_eq!(backup, Path::new("/x/etcd-2026-09-21T14-13-20.000.log"));
    for other in ["etcd.log", "etcd-old.log", "etcd-2026-09-21T14-13.log", "x", ""] {
        assert_eq!(put_aside_at(Path::new("/x/etcd.log"), other), None, "{other}");
    }
}

#[test]
fn old_files_beyond_the_bounds_go_and_the_others_are_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.txt");
    let now = at(1_790_000_000);
    let day = Duration::from_secs(24 * 3_600);
    let backups: Vec<PathBuf> =
        (1..=6).map(|days| backup_path(&path, now - day * days + day / 2)).collect();
    for backup in &backups {
        std::fs::write(backup, "a line\n").unwrap();
    }
    let strange = folder.path().join("log-mine.txt");
    std::fs::write(&strange, "kept").unwrap();
    let rules = LogRotation { days_max: 4, backups_max: 3, compress: true, ..rotation() };
    tidy(&path, &rules, now).unwrap();
    // A second time finds them compressed, and lets them be.
    tidy(&path, &rules, now).unwrap();
    let left = names(folder.path());
    assert_eq!(left.len(), 4, "{left:?}");
    for backup in &backups[..3] {
        let packed = format!("{}.gz", backup.display());
        let mut text = String::new();
        let file = File::open(&packed).unwrap();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "a line\n");
    }
    let fewer = LogRotation { days_max: 2, backups_max: 0, ..rules };
    tidy(&path, &fewer, now).unwrap();
    assert_eq!(names(folder.path()).len(), 3, "two days and the strange one");
}
