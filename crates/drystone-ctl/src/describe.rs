//! The command line as `clap` describes one, for manual pages and completion only: parsing
//! follows pflag's rules and is done by `cli`.

use crate::cli::{Command, Flag, Kind};
use crate::tree::ROOT;

/// Describes all commands and their flags.
#[must_use]
pub fn describe(name: &'static str) -> clap::Command {
    command(&ROOT).name(name)
}

fn command(described: &Command) -> clap::Command {
    let shared = described.shared.iter().map(|flag| argument(flag).global(true));
    let arguments = (!described.arguments.is_empty()).then(|| {
        // The usage line shows them as they are written in the table.
        let rest = clap::Arg::new("arguments").value_name(described.arguments);
        rest.num_args(0..).hide(true)
    });
    clap::Command::new(described.name)
        .about(described.about)
        .args(described.flags.iter().map(argument))
        .args(shared)
        .args(arguments)
        .disable_help_subcommand(true)
        .subcommands(described.children.iter().map(command))
}

fn argument(flag: &Flag) -> clap::Arg {
    let argument = clap::Arg::new(flag.name).long(flag.name).help(flag.about);
    let argument = match flag.short {
        Some(short) => argument.short(short),
        None => argument,
    };
    let argument = match flag.kind {
        Kind::Bool => argument.num_args(0..=1).require_equals(true).value_parser(["true", "false"]),
        _ => argument.num_args(1),
    };
    if flag.default.is_empty() { argument } else { argument.default_value(flag.default) }
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn the_description_is_one_that_clap_accepts() {
        describe("etcdctl").debug_assert();
    }
}
