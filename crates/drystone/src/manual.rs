//! Manual pages and shell completion, made from the tables that also parse the command lines.

use anyhow::{Context, bail};
use clap::{Args, Command, CommandFactory, Parser};
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::PathBuf;

/// Prints a script that completes drystone's words and flags.
#[derive(Debug, Parser)]
#[command(name = "drystone completion", disable_help_subcommand = true)]
struct Completion {
    /// The shell that reads the script.
    shell: Shell,
}

/// Writes the manual pages, one a command, into a directory that exists.
#[derive(Debug, Parser)]
#[command(name = "drystone man", disable_help_subcommand = true)]
struct Man {
    /// The directory.
    directory: PathBuf,
}

/// The whole binary as `clap` describes one: the server, and the words that pick another program.
fn describe() -> Command {
    let completion = Completion::augment_args(
        Command::new("completion").about("Print a script that completes words and flags"),
    );
    let man = Man::augment_args(Command::new("man").about("Write the manual pages"));
    let bench = drystone_bench::Bench::command().name("bench");
    let check = Command::new("check").about("Say what a server's flags, variables and file mean");
    let config = Command::new("config").about("Look at a configuration").subcommand(check);
    drystone_server::describe("drystone").version(env!("CARGO_PKG_VERSION")).subcommands([
        drystone_ctl::describe("ctl"),
        bench,
        config,
        completion,
        man,
    ])
}

/// `drystone completion SHELL`.
pub(crate) fn completion(words: Vec<OsString>) -> anyhow::Result<()> {
    let wanted = Completion::parse_from(words);
    clap_complete::generate(wanted.shell, &mut describe(), "drystone", &mut std::io::stdout());
    Ok(())
}

/// `drystone man DIRECTORY`.
pub(crate) fn man(words: Vec<OsString>) -> anyhow::Result<()> {
    let Man { directory } = Man::parse_from(words);
    if !directory.is_dir() {
        bail!("{} is not a directory; make it first", directory.display());
    }
    clap_mangen::generate_to(describe(), &directory)
        .with_context(|| format!("cannot write the pages into {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn the_description_of_the_whole_binary_is_one_that_clap_accepts() {
        describe().debug_assert();
    }
}
