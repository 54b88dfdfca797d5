//! What the program says of itself: its usage, its flags and its version.

use super::flags::{FLAGS, Fate};

/// The forms of the command.
pub(super) const USAGE: &str = "\
Usage:

  drystone [flags]
    Start a member. No flag is needed.

  drystone --config-file FILE
    Start a member as the file says. Other flags and variables are ignored then.

  drystone config check [flags]
    Say what the flags, variables and file mean, and start nothing.

  drystone --version
    Show the version.

  drystone -h | --help
    Show every flag.

  drystone ctl ...
    Do what etcdctl does.

  drystone bench ...
    Put load on any etcd v3 server.

  drystone completion SHELL, drystone man DIRECTORY
    Write what shells and readers of manuals want.

Every flag --a-b can be given as the variable ETCD_A_B.
";

/// Every flag, in groups.
pub(super) fn flags() -> String {
    let mut text = String::new();
    for (title, flags) in FLAGS {
        text.push_str(&format!("\n{title}:\n"));
        for flag in *flags {
            let note = match flag.fate {
                Fate::Used => flag.help.to_owned(),
                Fate::NoEffect(reason) => format!("No effect: {reason}"),
                Fate::Refused(reason) => format!("Refused: {reason}"),
            };
            text.push_str(&format!("  --{} '{}'\n    {note}.\n", flag.name, flag.default));
            if flag.name == "feature-gates" {
                text.push_str(&super::gates::help());
            }
        }
    }
    text
}

/// The lines of `--version`: etcd's four, so that what reads them goes on reading them.
pub(super) fn version() -> String {
    format!(
        "etcd Version: {}\nGit SHA: drystone-{}\nGo Version: none (Drystone is written in Rust)\n\
         Go OS/Arch: linux/{}\n",
        crate::ETCD_VERSION,
        env!("CARGO_PKG_VERSION"),
        arch()
    )
}

/// This machine's architecture, as Go names it.
pub(crate) fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "x86" => "386",
        other => other,
    }
}
