//! A member's own disk: an ext4 file system in a file, whose power can fail and whose room can
//! run out.

use super::tool;
use anyhow::{Context as _, ensure};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Size of the file system. The file has holes: it takes what is written.
const BYTES: u64 = 2 << 30;
/// Pieces smaller than this are not worth filling.
const PIECE_MIN: u64 = 4 << 10;
/// How long a file system may stay busy after its last process is gone.
const RELEASE_MAX: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// Shuts file systems down as a power failure would, all in one go: nothing is written any
/// more, not even the journal (`EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`).
const SHUTDOWN: &str = "\
import fcntl, os, struct, sys
mounts = [os.open(path, os.O_RDONLY) for path in sys.argv[1:]]
for mount in mounts:
    fcntl.ioctl(mount, 0x8004587D, struct.pack('I', 2))
";

/// One file system; it is unmounted when this goes.
#[derive(Debug)]
pub(crate) struct Volume {
    image: PathBuf,
    root: PathBuf,
    mounted: bool,
}

impl Volume {
    /// Makes and mounts a file system, with its image and its root in `dir`.
    pub(crate) fn make(dir: &Path, name: &str) -> anyhow::Result<Volume> {
        let image = dir.join(format!("{name}.ext4"));
        let root = dir.join(name);
        fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        let file = File::create_new(&image);
        let file = file.with_context(|| format!("cannot make {}", image.display()))?;
        file.set_len(BYTES).context("cannot size a file system")?;
        tool::run(["mkfs.ext4", "-q", "-F", "-m", "0", tool::word(&image)?])?;
        let mut volume = Volume { image, root, mounted: false };
        volume.mount().context("loop devices do not work here")?;
        Ok(volume)
    }

    /// Where it is mounted.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Mounts it; whether its journal had something to recover.
    pub(crate) fn mount(&mut self) -> anyhow::Result<bool> {
        let (image, root) = (tool::word(&self.image)?, tool::word(&self.root)?);
        let features = tool::run(["dumpe2fs", "-h", image])?;
        tool::run(["mount", "-o", "loop,errors=remount-ro", image, root])?;
        self.mounted = true;
        Ok(features.contains("needs_recovery"))
    }

    /// Unmounts it, once nobody uses it any more.
    pub(crate) fn unmount(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + RELEASE_MAX;
        while self.mounted {
            match tool::run(["umount", tool::word(&self.root)?]) {
                Ok(_) => self.mounted = false,
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => std::thread::sleep(POLL),
            }
        }
        Ok(())
    }

    /// Takes all the room there is.
    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        let ballast = File::create(self.ballast()).context("cannot make a ballast")?;
        let free = statvfs(&self.root).context("cannot ask for the room")?;
        let (mut length, mut piece) = (0, free.f_bfree * free.f_frsize);
        while piece >= PIECE_MIN {
            match fallocate(&ballast, FallocateFlags::empty(), length, piece) {
                Ok(()) => length += piece,
                Err(rustix::io::Errno::NOSPC) => piece /= 2,
                Err(error) => return Err(error).context("cannot grow the ballast"),
            }
        }
        ensure!(length > 0, "there was no room to take");
        Ok(())
    }

    /// Gives the room back, so that no power cut takes it again.
    pub(crate) fn drain(&self) -> anyhow::Result<()> {
        fs::remove_file(self.ballast()).context("cannot remove the ballast")?;
        let root = File::open(&self.root).context("cannot open the volume")?;
        root.sync_all().context("cannot sync the volume's folder")
    }

    fn ballast(&self) -> PathBuf {
        self.root.join("ballast")
    }

    /// Lets the kernel find an error in the file system, upon which it takes no more writes.
    /// What was synced stays. [`Volume::repair`] ends it.
    pub(crate) fn refuse_writes(&self) -> anyhow::Result<()> {
        let device = tool::run(["findmnt", "-n", "-o", "SOURCE", tool::word(&self.root)?])?;
        let name = Path::new(device.trim()).file_name().context("a device without a name")?;
        let trigger = Path::new("/sys/fs/ext4").join(name).join("trigger_fs_error");
        fs::write(&trigger, "1").with_context(|| format!("cannot write {}", trigger.display()))
    }

    /// Lets every write and every sync on it wait, as on a disk that hangs, until the
    /// [`Freeze`] is thawed or goes. What was written before is on the disk.
    pub(crate) fn freeze(&self) -> anyhow::Result<Freeze> {
        let freeze = Freeze { root: self.root.clone(), frozen: true };
        tool::run(["fsfreeze", "-f", tool::word(&self.root)?])?;
        Ok(freeze)
    }

    /// Checks and repairs it while it is not mounted.
    pub(crate) fn repair(&self) -> anyhow::Result<()> {
        let image = tool::word(&self.image)?;
        let output = tool::output(&["e2fsck", "-fy", image], "")?;
        // e2fsck(8): 0 found nothing, 1 mended what it found.
        let mended = output.status.code().is_some_and(|code| code <= 1);
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(mended, "{image} cannot be repaired: {}: {said}", output.status);
        Ok(())
    }
}

/// A file system that stands still. Nobody who waits for it can be ended, not even killed.
#[derive(Debug)]
pub(crate) struct Freeze {
    root: PathBuf,
    frozen: bool,
}

impl Freeze {
    /// Lets it go on.
    pub(crate) fn thaw(mut self) -> anyhow::Result<()> {
        self.release()
    }

    fn release(&mut self) -> anyhow::Result<()> {
        if std::mem::take(&mut self.frozen) {
            tool::run(["fsfreeze", "-u", tool::word(&self.root)?])?;
        }
        Ok(())
    }
}

impl Drop for Freeze {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            eprintln!("chaos: {} may be left frozen: {error:#}", self.root.display());
        }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            eprintln!("chaos: {} is left mounted: {error:#}", self.root.display());
        }
    }
}

/// Cuts the power of these file systems at the same instant.
pub(crate) fn cut_power<'a>(volumes: impl IntoIterator<Item = &'a Volume>) -> anyhow::Result<()> {
    let mut words = vec!["python3", "-c", SHUTDOWN];
    for volume in volumes {
        words.push(tool::word(&volume.root)?);
    }
    tool::run(words).map(drop)
}
