//! The server's command line as `clap` describes one, for manual pages and completion only:
//! parsing follows Go's rules and is done by [`parse()`](super::parse()).

use super::flags::{Fate, Flag, all};
use super::kind::Kind;

/// Describes the server's flags. Flags without effect and retired names are hidden, so that pages
/// and completions show what is worth setting.
#[must_use]
pub fn describe(name: &'static str) -> clap::Command {
    let command = clap::Command::new(name)
        .about("A distributed, strongly consistent key-value store that speaks etcd v3")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(switch("help", "print the flags"))
        .arg(switch("version", "print the version"));
    command.args(all().map(argument))
}

fn switch(name: &'static str, help: &'static str) -> clap::Arg {
    clap::Arg::new(name).long(name).help(help).action(clap::ArgAction::SetTrue)
}

fn argument(flag: &Flag) -> clap::Arg {
    let argument = clap::Arg::new(flag.name)
        .long(flag.name)
        .help(flag.help)
        .hide(flag.fate != Fate::Used || flag.name.starts_with("experimental-"))
        .require_equals(flag.kind == Kind::Bool)
        .num_args(if flag.kind == Kind::Bool { 0..=1 } else { 1..=1 });
    let argument = match flag.kind {
        Kind::OneOf(words) => argument.value_parser(words.to_vec()),
        Kind::Bool => argument.value_parser(["true", "false"]),
        _ if is_path(flag.name) => argument.value_hint(clap::ValueHint::AnyPath),
        _ => argument,
    };
    if flag.default.is_empty() { argument } else { argument.default_value(flag.default) }
}

/// Whether a flag's value names a file or a directory.
fn is_path(name: &str) -> bool {
    ["-dir", "-file"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn the_description_is_one_that_clap_accepts() {
        describe("drystone").debug_assert();
    }
}
