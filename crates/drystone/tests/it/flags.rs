//! Every flag, by the command line, by its variable and in the file: taken, refused, and what it
//! does. The table is held against `--help`, which is made from the server's own: a flag without a
//! row fails.

mod effects;
mod etcd;
mod faces;
mod refusals;
mod server;
mod table;
mod wire;

use crate::drystone;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};
use table::{Key, Kind, ROWS, Row};

/// What `--help` says becomes of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Used,
    NoEffect,
    Refused,
}

/// What `--help` says of a flag.
struct Told {
    default: String,
    text: String,
}

impl Told {
    fn fate(&self) -> Fate {
        match self.text.split_once(": ") {
            Some(("No effect", _)) => Fate::NoEffect,
            Some(("Refused", _)) => Fate::Refused,
            _ => Fate::Used,
        }
    }
}

/// A way to give a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    Flag,
    Variable,
    File,
}

pub(crate) const WAYS: [Way; 3] = [Way::Flag, Way::Variable, Way::File];

/// Every flag, as `--help` tells of it.
fn told() -> BTreeMap<String, Told> {
    let help = drystone(&["--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8(help.stderr).unwrap().starts_with("Usage:\n"));
    let help = String::from_utf8(help.stdout).unwrap();
    let mut flags = BTreeMap::new();
    let mut found = None;
    for line in help.lines() {
        if let Some(flag) = line.strip_prefix("  --") {
            let (name, default) = flag.split_once(" '").unwrap();
            found = Some((name.to_owned(), default.trim_end_matches('\'').to_owned()));
        } else if let Some((name, default)) = found.take() {
            let text = line.trim().strip_suffix('.').unwrap().to_owned();
            flags.insert(name, Told { default, text });
        }
    }
    flags
}

pub(crate) fn variable(name: &str) -> String {
    format!("ETCD_{}", name.to_uppercase().replace('-', "_"))
}

pub(crate) fn row(name: &str) -> &'static Row {
    ROWS.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{name} has no row"))
}

/// A duration as the file wants it.
fn nanoseconds(value: &str) -> u64 {
    let (number, unit) = value.split_at(value.find(|c: char| !c.is_ascii_digit()).unwrap());
    let unit = match unit {
        "ns" => 1,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        other => panic!("{other:?} is no unit that the table uses"),
    };
    number.parse::<u64>().unwrap() * unit
}

/// A value as YAML writes it: quoted text, a list, a bare number, nanoseconds.
fn yaml(kind: Kind, value: &str) -> String {
    match kind {
        Kind::Bool | Kind::Number(_) => value.to_owned(),
        Kind::Duration => nanoseconds(value).to_string(),
        Kind::List => {
            let items: Vec<String> = value.split(',').map(|item| format!("'{item}'")).collect();
            format!("[{}]", items.join(", "))
        }
        Kind::Text | Kind::Urls | Kind::Origins | Kind::Words(_) | Kind::Gates => {
            format!("'{value}'")
        }
    }
}

/// A file with these settings, each already as YAML writes it; blocks are written in one line.
fn file(settings: &[(&Row, String)]) -> String {
    let mut text = String::new();
    // The keys of each block, the innermost blocks last.
    let mut blocks: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (row, value) in settings {
        match row.key {
            Key::At(path, _) => {
                let (block, key) = path.rsplit_once('.').unwrap();
                blocks.entry(block.to_owned()).or_default().push(format!("{key}: {value}"));
            }
            Key::Own | Key::None => text.push_str(&format!("{}: {value}\n", row.name)),
        }
    }
    while let Some((block, keys)) = blocks.pop_last() {
        let keys = format!("{{{}}}", keys.join(", "));
        match block.rsplit_once('.') {
            Some((outer, name)) => {
                blocks.entry(outer.to_owned()).or_default().push(format!("{name}: {keys}"));
            }
            None => text.push_str(&format!("{block}: {keys}\n")),
        }
    }
    text
}

/// The words before the flags, the flags, given in one way, and variables of no one else.
pub(crate) fn command(
    folder: &Path,
    words: &[&str],
    way: Way,
    settings: &[(&Row, &str)],
) -> Command {
    let written: Vec<_> =
        settings.iter().map(|(row, value)| (*row, yaml(row.kind, value))).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_drystone"));
    command.args(words);
    give(&mut command, folder, way, settings, &file(&written));
    command
}

/// Gives a command its settings: as they are, or as this text of a file.
fn give(command: &mut Command, folder: &Path, way: Way, settings: &[(&Row, &str)], text: &str) {
    command.current_dir(folder).env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    match way {
        Way::Flag => {
            command.args(settings.iter().map(|(row, value)| format!("--{}={value}", row.name)));
        }
        Way::Variable => {
            command.envs(settings.iter().map(|(row, value)| (variable(row.name), *value)));
        }
        Way::File => {
            let path = folder.join("drystone.yml");
            std::fs::write(&path, text).unwrap();
            command.arg(format!("--config-file={}", path.display()));
        }
    }
}

fn with_companions<'a>(row: &'a Row, value: &'a str) -> Vec<(&'a Row, &'a str)> {
    let with = row.with.iter().map(|(name, value)| (self::row(name), *value));
    [(row, value)].into_iter().chain(with).collect()
}

fn both(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn every_flag_has_its_row() {
    let known: BTreeSet<String> = told().into_keys().collect();
    let rows: BTreeSet<String> = ROWS.iter().map(|row| row.name.to_owned()).collect();
    assert_eq!(ROWS.len(), rows.len(), "a flag has two rows");
    let missing: Vec<_> = known.difference(&rows).collect();
    assert!(missing.is_empty(), "flags without a row in tests/it/flags/table.rs: {missing:?}");
    let extra: Vec<_> = rows.difference(&known).collect();
    assert!(extra.is_empty(), "rows without a flag: {extra:?}");
}

/// A line for each flag and none for another, with its key, its default and what becomes of it.
#[test]
fn the_page_of_flags_says_what_the_help_says() {
    let page = include_str!("../../../../docs/configuration.md");
    let told = told();
    let in_code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
    let mut lines = BTreeSet::new();
    for (name, told) in &told {
        let key = match row(name).key {
            Key::Own => String::new(),
            Key::At(path, _) => in_code(path),
            Key::None => "none".to_owned(),
        };
        let text =
            told.text.replace("No effect: ", "no effect: ").replace("Refused: ", "refused: ");
        lines.insert(format!("| `--{name}` | {key} | {} | {text} |", in_code(&told.default)));
    }
    let found: BTreeSet<String> =
        page.lines().filter(|line| line.starts_with("| `--")).map(str::to_owned).collect();
    let missing: Vec<_> = lines.difference(&found).collect();
    let wrong: Vec<_> = found.difference(&lines).collect();
    assert!(
        missing.is_empty() && wrong.is_empty(),
        "docs/configuration.md lacks\n{missing:#?}\nand should not have\n{wrong:#?}"
    );
}

/// What is understood, and from where; without effect only with a word; refused with one.
#[test]
fn good_values_are_taken_in_every_way_or_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let told = told();
    for row in ROWS.iter().filter(|row| !row.good.is_empty()) {
        for way in WAYS {
            let settings = with_companions(row, row.good);
            let output =
                command(folder.path(), &["config", "check"], way, &settings).output().unwrap();
            let text = both(&output);
            let what = || format!("{} by {way:?}:\n{text}", row.name);
            if way == Way::File && row.key == Key::None {
                let dropped = "has a key that is not known here and is ignored";
                assert!(text.contains(&format!("{dropped} (key: {})", row.name)), "{}", what());
                continue;
            }
            let source = match (way, row.key) {
                (Way::Flag, _) => format!("flag --{}", row.name),
                (Way::Variable, _) => format!("variable {}", variable(row.name)),
                (Way::File, Key::At(path, _)) => format!("file, key {path}"),
                (Way::File, _) => format!("file, key {}", row.name),
            };
            let shown = match row.kind {
                Kind::Duration if way == Way::File => format!("{}ns", nanoseconds(row.good)),
                _ if ["discovery-password", "discovery-token"].contains(&row.name) => {
                    "(not shown)".to_owned()
                }
                _ => row.good.to_owned(),
            };
            let (fate, end) = match told[row.name].fate() {
                Fate::Used => (0, ")"),
                Fate::NoEffect => (0, "; no effect)"),
                Fate::Refused => (1, "; refused)"),
            };
            let line = format!("  {} = {shown}  ({source}{end}\n", row.name);
            assert!(text.contains(&line), "{line} is missing, {}", what());
            assert_eq!(output.status.code(), Some(fate), "{}", what());
            let is_default = row.good == told[row.name].default;
            let warned = text.contains("has no effect: ") || is_default;
            assert!(end != "; no effect)" || warned, "{}", what());
            assert!(fate == 0 || text.contains("cannot be served: "), "{}", what());
        }
    }
}
