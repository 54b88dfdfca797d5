//! The Drystone binary: the server by default, and the command line beside it.
//!
//! `drystone ctl` does what etcdctl does, `drystone bench` puts load on a server, and `drystone
//! config check` says what a server's configuration means. Called under the name `etcdctl` (a
//! link) it is `drystone ctl`. `drystone completion` and `drystone man` write what shells and
//! readers of manuals want.

mod allocator;
mod manual;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    drystone_server::tell_of_allocator(allocator::statistics);
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    let mut words: Vec<OsString> = words.collect();
    if Path::new(&program).file_name() == Some(OsStr::new("etcdctl")) {
        return drystone_ctl::run_process("etcdctl", words).into();
    }
    match words.first().and_then(|word| word.to_str()) {
        Some("ctl") => drystone_ctl::run_process("drystone ctl", words.into_iter().skip(1)).into(),
        Some("bench") => drystone_bench::run_process(words),
        Some("completion") => report(manual::completion(words)),
        Some("man") => report(manual::man(words)),
        Some("config") => config(words.split_off(1)),
        _ => with_text(words, drystone_server::run),
    }
}

fn report(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drystone: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `drystone config check` is the one command of its group.
fn config(mut words: Vec<OsString>) -> ExitCode {
    if words.first().is_some_and(|word| word == "check") {
        return with_text(words.split_off(1), drystone_server::check_config);
    }
    eprintln!("usage: drystone config check [flags]");
    ExitCode::from(2)
}

fn with_text(words: Vec<OsString>, run: fn(Vec<String>) -> ExitCode) -> ExitCode {
    let words: Result<Vec<String>, OsString> =
        words.into_iter().map(OsString::into_string).collect();
    match words {
        Ok(words) => run(words),
        Err(word) => {
            eprintln!("{} is not valid UTF-8; flags and their values must be", word.display());
            ExitCode::from(2)
        }
    }
}
