//! The command line as cobra and pflag read it, which is what etcdctl's users type.

mod command;
mod flags;
mod help;

pub(crate) use command::{Action, Command, Resolved, resolve};
pub(crate) use flags::{Flag, Kind, ParseError, Parsed, parse};
pub(crate) use help::{help, list, usage};
