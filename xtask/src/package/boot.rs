//! `cargo xtask package --boot`: the package in a bare Debian that systemd boots, from its
//! installation to its purge.

use crate::image::root::{self, Root};
use anyhow::{Context, bail};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What is done with the package once the system has booted.
const INSIDE: &str = include_str!("inside.sh");
/// The service that does it. Its end is the system's, and its exit code too.
const SERVICE: &str = "\
[Unit]
After=multi-user.target
SuccessAction=exit
FailureAction=exit
[Service]
Type=exec
ExecStart=/bin/sh /root/inside.sh
StandardOutput=file:/root/said
StandardError=file:/root/said
";
/// How long the system may run.
const RUN_MAX: Duration = Duration::from_secs(300);
/// Pause between two looks whether it ended.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// Boots a fresh system below `into` and does with the package what [`INSIDE`] says.
pub(crate) fn run(package: &Path, into: &Path) -> anyhow::Result<()> {
    let path = into.join("booted");
    let root =
        Root::debootstrap(&path, &suite()?, &["systemd-sysv", "curl"], &root::user_cache()?)?;
    let file = |name: &str| root.inside(Path::new(name));
    std::fs::copy(package, file("/root/drystone.deb"))?;
    std::fs::write(file("/root/inside.sh"), INSIDE)?;
    let units = file("/etc/systemd/system");
    std::fs::write(units.join("inside.service"), SERVICE)?;
    let wants = units.join("multi-user.target.wants");
    std::fs::create_dir_all(&wants)?;
    std::os::unix::fs::symlink("/etc/systemd/system/inside.service", wants.join("inside.service"))?;
    eprintln!("package: booting {}", path.display());
    let ended = boot(&path, &into.join("console"));
    let said = std::fs::read_to_string(file("/root/said")).unwrap_or_default();
    if let Err(error) = ended {
        eprintln!("{said}");
        return Err(
            error.context("the last line above is the command that failed, if it got there")
        );
    }
    eprintln!("package: installed, started, crashed, stopped, upgraded, removed and purged");
    Ok(())
}

/// Boots a root to its end. It has a network of its own, with nothing in it but loopback.
fn boot(path: &Path, console: &Path) -> anyhow::Result<()> {
    let output = std::fs::File::create(console)?;
    let mut container = Command::new("systemd-nspawn");
    container.args(["--boot", "--private-network", "--register=no", "--console=pipe"]);
    if !Path::new("/run/systemd/system").exists() {
        // Without a manager on this side there is nobody to ask for a scope.
        container.arg("--keep-unit");
    }
    container.arg("--directory").arg(path).stdin(std::process::Stdio::null());
    container.stdout(output.try_clone()?).stderr(output);
    let mut system = container.spawn().context("cannot start systemd-nspawn")?;
    let deadline = Instant::now() + RUN_MAX;
    loop {
        if let Some(status) = system.try_wait()? {
            anyhow::ensure!(status.success(), "the system ended with {status}");
            return Ok(());
        }
        if Instant::now() > deadline {
            system.kill()?;
            system.wait()?;
            bail!("no end within {} s; its console: {}", RUN_MAX.as_secs(), console.display());
        }
        std::thread::sleep(LOOK_PAUSE);
    }
}

/// The suite of Debian that the package was built on, and so for.
fn suite() -> anyhow::Result<String> {
    let text = std::fs::read_to_string("/etc/os-release")?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name.context("/etc/os-release has no VERSION_CODENAME")?.trim_matches('"').to_owned())
}
