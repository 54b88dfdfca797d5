//! The Drystone binary. Without a word it is the server.

use std::process::ExitCode;

fn main() -> ExitCode {
    drystone_server::run(std::env::args().skip(1))
}
