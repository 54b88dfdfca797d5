//! From words to an exit code.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt;

use crate::cli::{self, Action, ParseError, Resolved};
use crate::commands;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::tree::ROOT;

/// Runs one command line: `args` are the words after the program's name, `program` is what
/// messages call it.
///
/// Never fails: what goes wrong is said on `io.stderr` and told by the exit code.
pub async fn run(program: &str, args: impl IntoIterator<Item = OsString>, io: &mut Io) -> Exit {
    let words: Vec<Vec<u8>> = args.into_iter().map(OsStringExt::into_vec).collect();
    let failure = match dispatch(program, &words, io).await {
        Ok(exit) => return exit,
        Err(failure) => failure,
    };
    // There is nobody left to tell if standard error is closed.
    if !failure.message.is_empty() {
        let _ = writeln!(io.stderr, "Error: {}", failure.message);
    }
    let _ = io.stderr.write_all(failure.after.as_bytes());
    let _ = io.stderr.flush();
    failure.exit
}

/// [`run`] with the process's streams and a runtime of its own, for `main`.
pub fn run_process(program: &str, args: impl IntoIterator<Item = OsString>) -> Exit {
    let mut io = Io::process();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(run(program, args, &mut io));
            // A thread may still wait for standard input.
            runtime.shutdown_background();
            exit
        }
        Err(error) => {
            let _ = writeln!(io.stderr, "Error: {error}");
            Exit::ERROR
        }
    }
}

async fn dispatch(program: &str, words: &[Vec<u8>], io: &mut Io) -> Result<Exit, Failure> {
    let resolved = cli::resolve(&ROOT, words);
    if let Some(word) = &resolved.unknown {
        // `--help` beside an unknown word is still a wish for help.
        if let Err(ParseError::Help) = cli::parse(&resolved.flags(), &resolved.words) {
            return say(io, cli::help(program, &resolved.path));
        }
        return Err(unknown_command(program, word));
    }
    let flags = match cli::parse(&resolved.flags(), &resolved.words) {
        Ok(flags) => flags,
        Err(ParseError::Help) => return say(io, cli::help(program, &resolved.path)),
        Err(ParseError::Bad(message)) => {
            let after = cli::usage(program, &resolved.path) + "\n";
            return Err(Failure { after, ..Failure::new(Exit::ERROR, message) });
        }
    };
    match resolved.command().action {
        None => say(io, cli::help(program, &resolved.path)),
        Some(Action::Help) => {
            let Resolved { path, unknown, .. } = cli::resolve(&ROOT, &flags.args);
            match unknown {
                Some(word) => Err(unknown_command(program, &word)),
                None => say(io, cli::help(program, &path)),
            }
        }
        Some(action) => {
            let mut context = Context { io, flags };
            commands::run(action, &mut context).await
        }
    }
}

fn say(io: &mut Io, text: String) -> Result<Exit, Failure> {
    io.stdout.write_all(text.as_bytes())?;
    io.stdout.flush()?;
    Ok(Exit::SUCCESS)
}

fn unknown_command(program: &str, word: &str) -> Failure {
    let near = ROOT.suggestions(word);
    let mut after = String::new();
    if !near.is_empty() {
        after += "\nDid you mean this?\n";
        for name in near {
            after += &format!("\t{name}\n");
        }
        after += "\n";
    }
    after += &format!("Run '{program} --help' for usage.\n");
    let message = format!("unknown command {word:?} for {program:?}");
    Failure { after, ..Failure::new(Exit::ERROR, message) }
}
