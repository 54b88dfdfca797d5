//! A root file system in a directory: made by `debootstrap`, entered by `chroot`.

use super::recipe::Stage;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where programs lie in a root.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where the image `rust` has cargo's files.
const CARGO_HOME: &str = "/usr/local/cargo";
/// Runs a line in a root: ROOT FOLDER LINE, then pairs of a directory and where the line sees it.
const RUN: &str = r#"mount -t proc proc "$1/proc"
root=$1 folder=$2 line=$3
shift 3
while [ $# -gt 0 ]; do mkdir -p "$root$2"; mount --bind "$1" "$root$2"; shift 2; done
exec chroot "$root" /bin/sh -ec 'cd "$0"; eval "$1"' "$folder" "$line""#;
/// Starts a program in a root that it cannot write: ROOT VOLUMES USER FOLDER WORDS...
const START: &str = r#"mount --bind "$1" "$1"
for volume in $2; do mount --bind "$1$volume" "$1$volume"; done
mount -t proc proc "$1/proc"
mount -o remount,bind,ro "$1"
root=$1 user=$3 folder=$4
shift 4
exec chroot --userspec="$user" --groups= "$root" /bin/sh -c 'cd "$0"; exec "$@"' "$folder" "$@""#;

/// A root file system.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    /// What is kept between runs: packages, and the directories that the recipe calls caches.
    cache: PathBuf,
}

impl Root {
    /// Makes a root as an image's base has it: `debian:SUITE[-slim]`, or `rust:1-SUITE`, which is
    /// Debian with a C compiler and the toolchain that runs this task.
    pub(crate) fn of_image(path: &Path, base: &str, cache: &Path) -> anyhow::Result<Self> {
        let (kind, tag) = base.split_once(':').with_context(|| format!("FROM {base}: no tag"))?;
        let suite = tag.trim_end_matches("-slim").rsplit('-').next().unwrap_or(tag);
        match kind {
            "debian" => Self::debootstrap(path, suite, &[], cache),
            "rust" => {
                let root = Self::debootstrap(path, suite, &["gcc", "g++", "make"], cache)?;
                root.take_toolchain()?;
                Ok(root)
            }
            _ => bail!("FROM {base}: only debian and rust are known here"),
        }
    }

    /// Makes a root with the packages that a suite of Debian cannot be without, and `with`. What
    /// lies there from an earlier run is removed.
    pub(crate) fn debootstrap(
        path: &Path,
        suite: &str,
        with: &[&str],
        cache: &Path,
    ) -> anyhow::Result<Self> {
        let root = Self { path: path.to_owned(), cache: cache.to_owned() };
        if path.exists() {
            std::fs::remove_dir_all(path).context("cannot remove the root of an earlier run")?;
        }
        let packages = cache.join("packages").join(suite);
        for folder in [path, &packages] {
            std::fs::create_dir_all(folder)?;
        }
        let mut make = Command::new("debootstrap");
        make.arg(format!("--cache-dir={}", packages.display())).arg("--variant=minbase");
        make.arg(format!("--include={}", [&["ca-certificates"], with].concat().join(",")));
        succeed(make.arg(suite).arg(path))?;
        root.take_settings_of_this_machine()?;
        Ok(root)
    }

    /// How this machine reaches the registries: its names, certificates and sources
    /// of packages.
    fn take_settings_of_this_machine(&self) -> anyhow::Result<()> {
        for file in ["etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt"] {
            let from = Path::new("/").join(file);
            if from.exists() {
                std::fs::copy(from, self.path.join(file)).with_context(|| file.to_owned())?;
            }
        }
        for folder in ["etc/apt/sources.list.d", "usr/local/share/ca-certificates"] {
            let from = Path::new("/").join(folder);
            if from.exists() {
                self.copy_tree(&from, &self.path.join(folder), &[])?;
            }
        }
        Ok(())
    }

    /// Puts the toolchain that runs this task where the image `rust` has its own.
    fn take_toolchain(&self) -> anyhow::Result<()> {
        let output = Command::new("rustc").args(["--print", "sysroot"]).output()?;
        let sysroot = String::from_utf8(output.stdout).context("rustc's answer")?;
        let sysroot = Path::new(sysroot.trim());
        for part in ["bin", "lib"] {
            self.copy_tree(&sysroot.join(part), &self.path.join("usr/local").join(part), &[])?;
        }
        Ok(())
    }

    /// Where a path of the root lies outside of it.
    pub(crate) fn inside(&self, path: &Path) -> PathBuf {
        self.path.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Copies a directory's content, without the directories of `but` below it.
    pub(crate) fn copy_tree(&self, from: &Path, to: &Path, but: &[&Path]) -> anyhow::Result<()> {
        std::fs::create_dir_all(to)?;
        let mut pack = Command::new("tar");
        for left_out in but.iter().filter_map(|path| path.strip_prefix(from).ok()) {
            pack.arg(format!("--exclude=./{}", left_out.display()));
        }
        pack.arg("--create").arg("--directory").arg(from).arg(".").stdout(Stdio::piped());
        let mut packing = pack.spawn().context("cannot start tar")?;
        let packed = packing.stdout.take().context("tar has no output")?;
        let mut unpack = Command::new("tar");
        unpack.args(["--extract", "--keep-directory-symlink", "--directory"]).arg(to).stdin(packed);
        succeed(&mut unpack)?;
        let status = packing.wait()?;
        anyhow::ensure!(status.success(), "tar of {}: {status}", from.display());
        Ok(())
    }

    /// Runs a line of shell in the root, with its caches mounted.
    pub(crate) fn run(
        &self,
        script: &str,
        folder: &Path,
        caches: &[PathBuf],
    ) -> anyhow::Result<()> {
        eprintln!("image: RUN {script}");
        let mut enter = Command::new("unshare");
        enter.args(["--mount", "sh", "-ec", RUN, "sh"]).arg(&self.path).arg(folder).arg(script);
        for target in caches {
            // A cache goes by its target, as in an engine.
            let name = target.to_string_lossy().trim_start_matches('/').replace('/', "-");
            let kept = self.cache.join("mounts").join(name);
            std::fs::create_dir_all(&kept)?;
            enter.arg(kept).arg(target);
        }
        // As in an engine, nothing of the caller's environment is seen.
        enter.env_clear().envs([("PATH", PATH), ("HOME", "/root"), ("CARGO_HOME", CARGO_HOME)]);
        enter.env("DEBIAN_FRONTEND", "noninteractive");
        succeed(&mut enter)
    }

    /// Starts a stage's entry point as its user. The root is read-only, save for the volumes.
    pub(crate) fn start(&self, stage: &Stage, words: &[String]) -> anyhow::Result<Child> {
        let volumes: Vec<String> =
            stage.volumes.iter().map(|volume| volume.display().to_string()).collect();
        let mut enter = Command::new("unshare");
        enter.args(["--mount", "sh", "-ec", START, "sh"]).arg(&self.path);
        enter.arg(volumes.join(" ")).arg(&stage.user).arg(&stage.folder);
        enter.args(&stage.entry_point).args(words).env_clear().env("PATH", PATH);
        enter.spawn().context("cannot start the entry point")
    }

    /// What the program of the root prints, run as `user`; nothing when it fails.
    pub(crate) fn output(&self, user: &str, words: &[&str]) -> anyhow::Result<Option<String>> {
        let mut client = Command::new("chroot");
        client.arg(format!("--userspec={user}")).arg("--groups=").arg(&self.path).args(words);
        let said = client.env_clear().env("PATH", PATH).output()?;
        Ok(said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned()))
    }
}

/// Where what can be made again is kept for the next run, unless an argument says otherwise.
pub(crate) fn user_cache() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let cache = named.filter(|path| path.is_absolute()).or_else(home);
    Ok(cache.context("HOME is not set, so there is no place for a cache")?.join("drystone/image"))
}

/// Runs a command to its end; an error names it.
pub(crate) fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    anyhow::ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
