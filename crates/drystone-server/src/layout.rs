//! What lies where in a data directory, and how a store is replaced without a moment at which
//! a crash would leave none.
//!
//! ```text
//! member/identity.json          who this is: cluster and member
//! member/rejoining.json         how far a member is that comes back by itself
//! member/wal/                   the log
//! member/store/CURRENT          name of the store in use
//! member/store/db-<hex>/        stores: the one in use, and one that is being installed
//! member/snapshots/             checkpoints on their way to or from other members
//! ```

use crate::rejoin::{Note, read_note};
use anyhow::{Context, bail};
use drystone_types::{ClusterId, LogIndex, MemberId};
use serde_json::{Value, json};
use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const IDENTITY: &str = "identity.json";
const REJOINING: &str = "rejoining.json";
const CURRENT: &str = "CURRENT";
const STORE_PREFIX: &str = "db-";
/// Nobody else may look into what this member keeps.
const DIR_MODE: u32 = 0o700;

/// The folders of one member.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    member: PathBuf,
    wal: PathBuf,
}

impl Layout {
    /// The layout under `data_dir`, with the log in `wal_dir` if given.
    pub(crate) fn new(data_dir: &Path, wal_dir: Option<&Path>) -> Self {
        let member = data_dir.join("member");
        let wal = wal_dir.map_or_else(|| member.join("wal"), Path::to_path_buf);
        Self { member, wal }
    }

    /// Creates what is missing, for this user alone. What is there already and open to others is
    /// warned of in etcd's words, and left as it is: its mode may be somebody's intent.
    pub(crate) fn create(&self) -> anyhow::Result<()> {
        for error in self.open_to_others() {
            tracing::warn!(error, "check file permission");
        }
        for folder in [self.stores(), self.snapshots()] {
            DirBuilder::new()
                .recursive(true)
                .mode(DIR_MODE)
                .create(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(())
    }

    /// What is wrong with the modes of folders that are there already.
    fn open_to_others(&self) -> Vec<String> {
        let folders = self.member.parent().into_iter().chain([&*self.member, &*self.wal]);
        let warnings = folders.filter_map(|folder| {
            let mode = fs::metadata(folder).ok()?.permissions().mode() & 0o777;
            (mode & !DIR_MODE != 0).then(|| {
                format!(
                    "directory {:?} exist, but the permission is \"d{}\". The recommended \
                     permission is \"-rwx------\" to prevent possible unprivileged access to the \
                     data",
                    folder.display().to_string(),
                    letters(mode)
                )
            })
        });
        warnings.collect()
    }

    pub(crate) fn wal(&self) -> &Path {
        &self.wal
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.member.join("snapshots")
    }

    fn stores(&self) -> PathBuf {
        self.member.join("store")
    }

    /// Who this data directory belongs to; `None` for a new one.
    pub(crate) fn identity(&self) -> anyhow::Result<Option<(ClusterId, MemberId)>> {
        let path = self.member.join(IDENTITY);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
        };
        let value: Value = serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged", path.display()))?;
        let id = |name: &str| {
            value[name]
                .as_str()
                .and_then(|hex| u64::from_str_radix(hex, 16).ok())
                .with_context(|| format!("{} has no {name} id", path.display()))
        };
        Ok(Some((ClusterId(id("cluster")?), MemberId(id("member")?))))
    }

    /// Notes whom the data directory belongs to, durably.
    pub(crate) fn set_identity(&self, cluster: ClusterId, member: MemberId) -> anyhow::Result<()> {
        let text = json!({"cluster": cluster.to_string(), "member": member.to_string()});
        replace(&self.member, IDENTITY, &format!("{text:#}\n"))
    }

    /// What is noted of a member that comes back by itself.
    pub(crate) fn rejoining(&self) -> anyhow::Result<Option<Note>> {
        let path = self.member.join(REJOINING);
        match fs::read(&path) {
            Ok(text) => {
                let note = read_note(&text);
                note.map(Some).with_context(|| format!("{} is damaged", path.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(format!("cannot read {}", path.display())),
        }
    }

    /// Notes how far a member is that comes back by itself, durably.
    pub(crate) fn set_rejoining(&self, note: &Note) -> anyhow::Result<()> {
        replace(&self.member, REJOINING, &format!("{:#}\n", note.to_json()))
    }

    /// Forgets that note.
    pub(crate) fn clear_rejoining(&self) -> anyhow::Result<()> {
        let path = self.member.join(REJOINING);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context(format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Removes all stores, of a member that begins anew.
    pub(crate) fn discard_stores(&self) -> anyhow::Result<()> {
        let stores = self.stores();
        fs::remove_dir_all(&stores)
            .with_context(|| format!("cannot remove {}", stores.display()))?;
        self.create()
    }

    /// The store in use; a name for a first one when there is none.
    pub(crate) fn current_store(&self) -> anyhow::Result<PathBuf> {
        let path = self.stores().join(CURRENT);
        match fs::read_to_string(&path) {
            Ok(name) => {
                let name = name.trim();
                if !name.starts_with(STORE_PREFIX) || name.contains(['/', '\\']) {
                    bail!("{} names {name:?}, which is no store", path.display());
                }
                Ok(self.stores().join(name))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(self.store_at(LogIndex(0)))
            }
            Err(error) => Err(error).context(format!("cannot read {}", path.display())),
        }
    }

    /// Where a store made from the snapshot at `index` lies.
    pub(crate) fn store_at(&self, index: LogIndex) -> PathBuf {
        self.stores().join(format!("{STORE_PREFIX}{:016x}", index.0))
    }

    /// Makes `store` the one in use, durably and at once.
    pub(crate) fn set_current_store(&self, store: &Path) -> anyhow::Result<()> {
        let name = store.file_name().context("a store has a name")?.to_string_lossy();
        replace(&self.stores(), CURRENT, &format!("{name}\n"))
    }

    /// Removes all stores but `keep`, and all checkpoints: at start, when nothing is on its way.
    pub(crate) fn sweep(&self, keep: &Path) -> anyhow::Result<()> {
        for entry in fs::read_dir(self.stores())? {
            let path = entry?.path();
            if path.is_dir() && path != keep {
                fs::remove_dir_all(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        for entry in fs::read_dir(self.snapshots())? {
            let path = entry?.path();
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }
}

impl Layout {
    /// Removes all stores older than `keep`, by the index in their names, and keeps newer
    /// ones: a snapshot may be coming in.
    pub(crate) fn sweep_stores(&self, keep: &Path) -> anyhow::Result<()> {
        for entry in fs::read_dir(self.stores())? {
            let path = entry?.path();
            if path.is_dir() && path.file_name() < keep.file_name() {
                fs::remove_dir_all(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }
}

/// A mode as `ls` shows it.
fn letters(mode: u32) -> String {
    let letter = |bit: u32| if mode & (1 << bit) != 0 { b"xwr"[bit as usize % 3] } else { b'-' };
    (0..9).rev().map(|bit| char::from(letter(bit))).collect()
}

/// Replaces a small file so that a crash leaves the old content or the new.
fn replace(folder: &Path, name: &str, content: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    let fresh = folder.join(format!("{name}.new"));
    let write = || {
        let mut file = File::create(&fresh)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Moves a folder to its new place, durably.
pub(crate) fn move_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::rename(from, to)?;
    for folder in [from.parent(), to.parent()].into_iter().flatten() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_replaced_at_once_and_the_rest_swept() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path(), None);
        layout.create().unwrap();
        assert_eq!(layout.identity().unwrap(), None);
        layout.set_identity(ClusterId(0xc1), MemberId(0xa)).unwrap();
        assert_eq!(layout.identity().unwrap(), Some((ClusterId(0xc1), MemberId(0xa))));

        let first = layout.current_store().unwrap();
        fs::create_dir(&first).unwrap();
        layout.set_current_store(&first).unwrap();
        let second = layout.store_at(LogIndex(9));
        let incoming = layout.snapshots().join("x");
        fs::create_dir(&incoming).unwrap();
        move_folder(&incoming, &second).unwrap();
        layout.set_current_store(&second).unwrap();
        assert_eq!(layout.current_store().unwrap(), second);
        layout.sweep(&second).unwrap();
        assert!(!first.exists() && second.exists());
    }

    /// CVE-2020-15113: etcd took a directory that was there with whatever mode it had.
    #[test]
    fn cve_2020_15113_what_is_made_is_closed_and_what_is_open_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let data = folder.path().join("some/data");
        let layout = Layout::new(&data, None);
        layout.create().unwrap();
        let made = ["", "member", "member/store", "member/snapshots"];
        for made in made {
            assert_eq!(mode(&data.join(made)), 0o700, "{made}");
        }
        assert!(layout.open_to_others().is_empty());

        let (open, log) = (folder.path().join("open"), folder.path().join("log"));
        for folder in [&open, &log] {
            fs::create_dir(folder).unwrap();
        }
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&log, fs::Permissions::from_mode(0o720)).unwrap();
        let layout = Layout::new(&open, Some(&log));
        layout.create().unwrap();
        assert_eq!((mode(&open), mode(&log)), (0o755, 0o720), "they may be meant so");
        assert_eq!(mode(&open.join("member")), 0o700, "and nobody gets further");
        let warnings = layout.open_to_others();
        assert_eq!(warnings.len(), 2);
        let text = format!("directory {open:?} exist, but the permission is \"drwxr-xr-x\".");
        assert!(warnings[0].starts_with(&text), "{}", warnings[0]);
        assert!(warnings[1].contains("\"drwx-w----\""), "{}", warnings[1]);
    }

    #[test]
    fn damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path(), None);
        layout.create().unwrap();
        fs::write(folder.path().join("member").join(IDENTITY), "{}").unwrap();
        assert!(layout.identity().unwrap_err().to_string().contains(IDENTITY));
        fs::write(folder.path().join("member/store").join(CURRENT), "../x").unwrap();
        assert!(layout.current_store().is_err());
    }
}
