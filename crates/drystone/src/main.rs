//! The Drystone binary: the server by default, and the command line beside it.
//!
//! `drystone ctl` does what etcdctl does and `drystone bench` puts load on a server. Called
//! under the name `etcdctl` (a link) it is `drystone ctl`. `drystone completion` and
//! `drystone man` write what shells and readers of manuals want.

mod manual;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// Requests allocate and free many small buffers on many threads, which the system's
/// allocator serves slowly and gives back late.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    if Path::new(&program).file_name() == Some(OsStr::new("etcdctl")) {
        return drystone_ctl::run_process("etcdctl", words).into();
    }
    match words.first().and_then(|word| word.to_str()) {
        Some("ctl") => drystone_ctl::run_process("drystone ctl", words.into_iter().skip(1)).into(),
        Some("bench") => drystone_bench::run_process(words),
        Some("completion") => report(manual::completion(words)),
        Some("man") => report(manual::man(words)),
        _ => serve(words),
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

fn serve(words: Vec<OsString>) -> ExitCode {
    let words: Result<Vec<String>, OsString> =
        words.into_iter().map(OsString::into_string).collect();
    match words {
        Ok(words) => drystone_server::run(words),
        Err(word) => {
            eprintln!("{} is not valid UTF-8; flags and their values must be", word.display());
            ExitCode::from(2)
        }
    }
}
