//! Help and usage texts.

use std::fmt::Write as _;

use super::{Command, Flag, Kind};

/// What `--help` prints for a command.
pub(crate) fn help(program: &str, path: &[&'static Command]) -> String {
    let about = path.last().map_or("", |command| command.about);
    let mut out = format!("{about}\n\n{}", usage(program, path));
    let _ = writeln!(out, "\nUse \"{program} options\" for the flags that every command takes.");
    out
}

/// What follows a message about a bad flag.
pub(crate) fn usage(program: &str, path: &[&'static Command]) -> String {
    let Some((command, _)) = path.split_last() else { return String::new() };
    let names: Vec<&str> = path.iter().skip(1).map(|command| command.name).collect();
    let words: Vec<&str> = [program].into_iter().chain(names).collect();
    let name = words.join(" ");
    let mut out = String::from("Usage:\n");
    if command.children.is_empty() {
        let arguments = match command.arguments {
            "" => String::new(),
            arguments => format!(" {arguments}"),
        };
        let _ = writeln!(out, "  {name}{arguments} [flags]");
    } else {
        let _ = writeln!(out, "  {name} [command]\n\nAvailable Commands:");
        for child in command.children {
            let _ = writeln!(out, "  {:<14}{}", child.name, child.about);
        }
    }
    let shared = path.iter().skip(1).flat_map(|command| command.shared);
    let flags: Vec<Flag> = command.flags.iter().chain(shared).copied().collect();
    let _ = write!(out, "\nFlags:\n{}", list(&flags));
    let _ = writeln!(out, "  -h, --help   help for {}", command.name);
    out
}

/// One line a flag.
pub(crate) fn list(flags: &[Flag]) -> String {
    let mut out = String::new();
    for flag in flags {
        let short = flag.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
        let kind = match flag.kind {
            Kind::Bool => "",
            Kind::Text => " string",
            Kind::Int => " int",
            Kind::Duration => " duration",
            Kind::List => " strings",
        };
        let default = match (flag.kind, flag.default) {
            (_, "" | "false" | "0") => String::new(),
            (Kind::Text, default) => format!(" (default {default:?})"),
            (_, default) => format!(" (default {default})"),
        };
        let _ = writeln!(out, "  {short}--{}{kind}   {}{default}", flag.name, flag.about);
    }
    out
}
