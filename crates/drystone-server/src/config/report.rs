//! `config check`: what a configuration means, without starting anything.

use super::file::key_of;
use super::flags::{FLAGS, Fate, Flag, is_retired, is_secret};
use super::help;
use super::note::{Note, NoteLevel};
use super::parse::{build, gather};
use super::usage::UsageError;
use super::values::{Source, Values};
use super::words::Asked;
use crate::discovery::check_list;
use std::collections::BTreeMap;

/// Says what a command line, the environment and the file they may name mean: each value and
/// where it comes from, then what is worth a word, then what is wrong. Secrets are not shown.
/// Returns the text and the exit code that a server would have ended with, or 0.
pub fn report(
    words: impl IntoIterator<Item = String>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> (String, u8) {
    let environment: BTreeMap<String, String> = environment.into_iter().collect();
    let mut notes = Vec::new();
    let mut text = String::new();
    let built = match gather(words, &environment, &mut notes) {
        Ok(Asked::Run(values)) => {
            text.push_str(&listed(&values));
            build(&values, &mut notes)
        }
        Ok(Asked::Help | Asked::Version) => return (help::USAGE.to_owned(), 0),
        Err(error) => Err(error),
    };
    text.push_str(&told(&notes));
    match built.map(|config| check_list(&config)) {
        Ok(Ok(())) => {
            text.push_str("\nThis configuration can be used.\n");
            (text, 0)
        }
        Ok(Err(fault)) => {
            text.push_str(&format!(
                "\nOnly a member that has begun can use this configuration:\n  {fault}\n"
            ));
            (text, 1)
        }
        Err(error) => {
            text.push_str(&format!("\nThis configuration cannot be used:\n  {}\n", lines(&error)));
            (text, error.code)
        }
    }
}

fn lines(error: &UsageError) -> String {
    error.to_string().replace('\n', "\n  ")
}

fn told(notes: &[Note]) -> String {
    let mut text = String::new();
    for (level, title) in [(NoteLevel::Warn, "Warnings"), (NoteLevel::Info, "Notes")] {
        let mut of_level = notes.iter().filter(|note| note.level == level).peekable();
        if of_level.peek().is_some() {
            text.push_str(&format!("\n{title}:\n"));
        }
        for note in of_level {
            text.push_str(&format!("  {note}\n"));
        }
    }
    text
}

/// A line for each flag; of old names and refused flags only those that were given.
fn listed(values: &Values) -> String {
    let mut text = String::new();
    for (title, flags) in FLAGS {
        let shown = |flag: &&Flag| {
            let quiet = is_retired(flag) || matches!(flag.fate, Fate::Refused(_));
            values.is_set(flag.name) || !quiet
        };
        let mut shown = flags.iter().filter(shown).peekable();
        if shown.peek().is_some() {
            text.push_str(&format!("{title}:\n"));
        }
        for flag in shown {
            text.push_str(&line(values, flag));
        }
    }
    text
}

fn line(values: &Values, flag: &Flag) -> String {
    let value = match values.text(flag.name) {
        "" => "''",
        _ if is_secret(flag.name) => "(not shown)",
        text => text,
    };
    let source = match values.given(flag.name) {
        None => "default".to_owned(),
        Some(given) => match given.source {
            Source::Flag => format!("flag {}", given.spelled),
            Source::Variable => format!("variable {}", given.spelled),
            Source::File => {
                format!("file, key {}", key_of(flag).unwrap_or_else(|| given.spelled.clone()))
            }
        },
    };
    let idle = match flag.fate {
        Fate::NoEffect(_) => "; no effect",
        Fate::Refused(_) => "; refused",
        Fate::Used => "",
    };
    format!("  {} = {value}  ({source}{idle})\n", flag.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], environment: &[(&str, &str)]) -> (String, u8) {
        let words = words.iter().map(|word| (*word).to_owned());
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        report(words, environment.iter().map(owned))
    }

    #[test]
    fn each_value_is_told_with_its_source() {
        let (text, code) =
            check(&["-name=a", "--backend-batch-limit=5"], &[("ETCD_MAX_TXN_OPS", "7")]);
        assert_eq!(code, 0, "{text}");
        for line in [
            "  name = a  (flag --name)\n",
            "  max-txn-ops = 7  (variable ETCD_MAX_TXN_OPS)\n",
            "  heartbeat-interval = 100  (default)\n",
            "  backend-batch-limit = 5  (flag --backend-batch-limit; no effect)\n",
            "--backend-batch-limit=5 has no effect",
            "'data-dir' was empty; using default (data-dir: a.etcd)",
            "This configuration can be used.",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_the_servers_exit_code() {
        let (text, code) = check(&["--heartbeat-interval=0"], &[]);
        assert_eq!(code, 1);
        assert!(text.contains("cannot be used:\n  --heartbeat-interval must be >0"), "{text}");
        let (text, code) = check(&["--initial-cluster=a=http://127.0.0.1:1"], &[]);
        assert_eq!(code, 1);
        let only =
            "Only a member that has begun can use this configuration:\n  couldn't find local";
        assert!(text.contains(only), "{text}");
        let (text, code) = check(&["--frob"], &[]);
        assert_eq!(code, 2, "{text}");
    }

    #[test]
    fn no_secret_is_shown() {
        let secrets = [
            ("ETCD_DISCOVERY_PASSWORD", "s3cret"),
            ("ETCD_DISCOVERY_TOKEN", "s3cret"),
            ("ETCD_PASSWORD", "s3cret"),
        ];
        let (text, _) = check(&["--discovery-endpoints=http://127.0.0.1:1"], &secrets);
        assert!(text.contains("discovery-password = (not shown)"), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}
