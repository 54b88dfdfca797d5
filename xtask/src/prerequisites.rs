//! What the build needs beyond the Rust toolchain, checked and, where possible, installed.

use crate::process::{Step, is_there};
use anyhow::bail;
use std::path::Path;

/// One thing the build or the tests need.
struct Need {
    /// What it is, for people.
    what: &'static str,
    /// Debian's packages that provide it.
    packages: &'static [&'static str],
    /// Whether it is there.
    found: fn() -> bool,
}

const BUILD: &[Need] = &[
    Need { what: "a C++ compiler", packages: &["g++"], found: cxx_found },
    Need {
        what: "libclang, for RocksDB's bindings",
        packages: &["libclang-dev", "clang"],
        found: libclang_found,
    },
];

const COMPARE: &[Need] = &[
    Need { what: "etcd to compare with", packages: &["etcd-server"], found: || is_there("etcd") },
    Need {
        what: "etcdctl to compare with",
        packages: &["etcd-client"],
        found: || is_there("etcdctl"),
    },
    Need {
        what: "protoc, which the crate etcd-client needs to build",
        packages: &["protobuf-compiler"],
        found: || is_there("protoc"),
    },
    Need {
        what: "prometheus with promtool, for alerts and the dashboard",
        packages: &["prometheus"],
        found: || is_there("prometheus") && is_there("promtool"),
    },
    Need {
        what: "python3 with venv, for the Python client",
        packages: &["python3", "python3-venv"],
        found: python_venv_found,
    },
];

const CHAOS: &[Need] = &[
    Need { what: "ip, for network namespaces", packages: &["iproute2"], found: || in_path("ip") },
    Need {
        what: "nft, for cuts of the network",
        packages: &["nftables"],
        found: || in_path("nft"),
    },
    Need {
        what: "mkfs.ext4, for file systems of the members' own",
        packages: &["e2fsprogs"],
        found: || in_path("mkfs.ext4"),
    },
    Need {
        what: "mount and nsenter",
        packages: &["mount", "util-linux"],
        found: || in_path("mount") && in_path("nsenter"),
    },
    Need {
        what: "strace, for syncs that fail",
        packages: &["strace"],
        found: || in_path("strace"),
    },
    Need { what: "python3, for power cuts", packages: &["python3"], found: || in_path("python3") },
];

const DEBOOTSTRAP: Need = Need {
    what: "debootstrap, for bare Debian roots",
    packages: &["debootstrap"],
    found: || in_path("debootstrap"),
};

const BOOT: &[Need] = &[
    DEBOOTSTRAP,
    Need {
        what: "systemd-nspawn, to boot a root",
        packages: &["systemd-container"],
        found: || in_path("systemd-nspawn"),
    },
];

const IMAGE: &[Need] = &[
    DEBOOTSTRAP,
    Need {
        what: "unshare and mount",
        packages: &["mount", "util-linux"],
        found: || in_path("mount") && in_path("unshare"),
    },
];

/// Checks what a build needs; installs what is missing where this process may, and otherwise
/// fails with the exact command.
pub(crate) fn build(root: &Path) -> anyhow::Result<()> {
    ensure(root, BUILD)
}

/// As [`build`], and what the comparison with etcd needs.
pub(crate) fn compare(root: &Path) -> anyhow::Result<()> {
    build(root)?;
    ensure(root, COMPARE)
}

/// What real faults of disks and networks need, beside a build.
pub(crate) fn chaos(root: &Path) -> anyhow::Result<()> {
    ensure(root, CHAOS)
}

/// What the image's steps need where no container engine is.
pub(crate) fn image(root: &Path) -> anyhow::Result<()> {
    ensure(root, IMAGE)
}

/// What booting a package's root needs.
pub(crate) fn boot(root: &Path) -> anyhow::Result<()> {
    ensure(root, BOOT)
}

fn ensure(root: &Path, needs: &[Need]) -> anyhow::Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.found)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        eprintln!("missing: {}", need.what);
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages).copied().collect();
    let packages = packages.join(" ");
    let by_hand = format!("apt-get update && apt-get install -y {packages}");
    if !is_there("apt-get") {
        bail!("install what provides: {packages} (named as in Debian), then run this again");
    }
    let Some(prefix) = privilege() else {
        bail!("not allowed to install packages; run: sudo sh -c '{by_hand}'");
    };
    let apt = |words: &str| match prefix {
        "" => Step::new(root, "apt-get").words(words),
        sudo => Step::new(root, sudo).words("-n apt-get").words(words),
    };
    apt("update -qq").run()?;
    apt("install -y -qq --no-install-recommends")
        .words(&packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()?;
    match missing.iter().find(|need| !(need.found)()) {
        None => Ok(()),
        Some(need) => bail!("{} is still missing after: {by_hand}", need.what),
    }
}

/// How to become root: not at all, by `sudo` without a question, or there is no way.
fn privilege() -> Option<&'static str> {
    let succeeds = |program: &str, words: &[&str]| {
        std::process::Command::new(program)
            .args(words)
            .output()
            .ok()
            .filter(|output| output.status.success())
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match succeeds("id", &["-u"]).as_deref() {
        Some("0") => Some(""),
        _ => succeeds("sudo", &["-n", "true"]).map(|_| "sudo"),
    }
}

/// True when Python can make virtual environments with pip in them.
fn python_venv_found() -> bool {
    std::process::Command::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether a program stands in `PATH`; not all of them answer `--version`.
fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn cxx_found() -> bool {
    ["c++", "g++", "clang++"].iter().any(|compiler| is_there(compiler))
}

fn libclang_found() -> bool {
    if std::env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    let mut folders = vec!["/usr/lib".into(), "/usr/lib64".into(), "/usr/local/lib".into()];
    if let Ok(entries) = std::fs::read_dir("/usr/lib") {
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("llvm-") {
                folders.push(entry.path().join("lib"));
            } else if name.contains("-linux-gnu") {
                folders.push(entry.path());
            }
        }
    }
    folders.iter().any(|folder| {
        std::fs::read_dir(folder).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                name.starts_with("libclang")
                    && name.contains(".so")
                    && !name.starts_with("libclang-cpp")
            })
        })
    })
}
