//! The binaries that are compared, and where they are found.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A server binary that takes etcd's flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    kind: String,
    version: String,
}

/// Why a binary cannot be used. The text says how to get it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// There is none.
    #[error("no {name}: {remedy}")]
    Missing {
        /// Which one.
        name: &'static str,
        /// What to do.
        remedy: String,
    },
    /// There is one, but it does not say its version.
    #[error("{} does not answer --version: {why}", path.display())]
    Mute {
        /// The binary.
        path: PathBuf,
        /// What it did instead.
        why: String,
    },
}

impl Program {
    /// The binary at `path`, called `kind` in reports; asks it for its version.
    pub fn at(kind: &str, path: impl Into<PathBuf>) -> Result<Program, ProgramError> {
        let path = path.into();
        let mute = |why: String| ProgramError::Mute { path: path.clone(), why };
        let output = Command::new(&path)
            .arg("--version")
            .output()
            .map_err(|error| mute(error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.split_whitespace().find(|word| {
            word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.')
        });
        match version {
            Some(version) => {
                let version = version.to_owned();
                Ok(Program { path, kind: kind.to_owned(), version })
            }
            None => Err(mute(format!("{}: {}", output.status, text.trim()))),
        }
    }

    /// Drystone: `$DRYSTONE_BIN`, else `drystone` in the directory that cargo put the calling
    /// executable's target into.
    pub fn drystone() -> Result<Program, ProgramError> {
        let path = std::env::var_os("DRYSTONE_BIN").map(PathBuf::from).or_else(|| {
            let exe = std::env::current_exe().ok()?;
            // target/debug/drystone-conformance, target/debug/deps/it-…, target/debug/examples/….
            exe.ancestors().skip(1).take(2).map(|dir| dir.join("drystone")).find(|p| p.is_file())
        });
        match path {
            Some(path) => Program::at("Drystone", path),
            None => Err(ProgramError::Missing {
                name: "drystone",
                remedy: "build it with `cargo build -p drystone`, or name one in DRYSTONE_BIN"
                    .into(),
            }),
        }
    }

    /// etcd: `$ETCD_BIN`, else Debian's, else the first in `PATH`.
    pub fn etcd() -> Result<Program, ProgramError> {
        Program::at("etcd", find("etcd", "ETCD_BIN")?)
    }

    /// The binary.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose program it is: `Drystone` or `etcd`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What it answers to `--version`, for example `3.4.23`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Kind and version.
    pub fn title(&self) -> String {
        format!("{} {}", self.kind, self.version)
    }
}

/// etcdctl: `$ETCDCTL_BIN`, else Debian's, else the first in `PATH`.
pub(crate) fn etcdctl() -> Result<PathBuf, ProgramError> {
    find("etcdctl", "ETCDCTL_BIN")
}

fn find(name: &'static str, variable: &str) -> Result<PathBuf, ProgramError> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    // Debian's first: what a PATH holds may be a script that starts something else, and the
    // table is written for these versions.
    let debian = Path::new("/usr/bin").join(name);
    if debian.is_file() {
        return Ok(debian);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file()).ok_or_else(
        || ProgramError::Missing {
            name,
            remedy: format!(
                "run `apt-get install etcd-server etcd-client` (`cargo xtask test` does so), \
                 or name one in {variable}"
            ),
        },
    )
}
