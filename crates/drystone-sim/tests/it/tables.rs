//! The tables of marks and planted faults against the sources.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use drystone_sim::faults::FAULTS;
use drystone_sim::marks::{MARKS, OUT_OF_REACH};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The sources of every crate but the one whose documentation shows what the macros do.
fn sources() -> Vec<PathBuf> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut open: Vec<PathBuf> = fs::read_dir(crates)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap() != "drystone-probe")
        .map(|path| path.join("src"))
        .collect();
    let mut files = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The names that the sources give to a macro, each with the crates that do.
fn names(of: &str) -> BTreeMap<String, Vec<String>> {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in sources() {
        let text = fs::read_to_string(&file).unwrap();
        let of_crate = file.ancestors().find(|path| path.ends_with("src")).unwrap();
        let of_crate = of_crate.parent().unwrap().file_name().unwrap().to_str().unwrap();
        for rest in text.split(of).skip(1) {
            let rest = rest.trim_start().strip_prefix('"');
            let name = rest.and_then(|rest| rest.split('"').next());
            let name = name.unwrap_or_else(|| panic!("{of} without a name in {}", file.display()));
            names.entry(name.to_owned()).or_default().push(of_crate.to_owned());
        }
    }
    names
}

fn ascending_once(table: &[&str]) {
    for pair in table.windows(2) {
        assert!(pair[0] < pair[1], "{} comes before {}", pair[0], pair[1]);
    }
}

fn same(macro_name: &str, table: &[&str]) {
    ascending_once(table);
    let sources = names(macro_name);
    for (name, crates) in &sources {
        assert!(table.contains(&name.as_str()), "{name} is not in the table");
        let (of_crate, what) = name.split_once('.').unwrap();
        let lower = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        assert!(what.bytes().all(lower), "{name} is not a name");
        for found in crates {
            assert_eq!(found, &format!("drystone-{of_crate}"), "{name} stands in another crate");
        }
    }
    for name in table {
        assert!(sources.contains_key(*name), "{name} is in no source");
    }
}

#[test]
fn every_mark_of_the_sources_is_in_the_table_and_every_one_of_the_table_in_a_source() {
    same("mark!(", MARKS);
}

#[test]
fn every_planted_fault_of_the_sources_is_in_the_table_and_says_who_finds_it() {
    let table: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    same("planted!(", &table);
    for fault in FAULTS {
        assert!(fault.what.ends_with('.') && !fault.judges.is_empty(), "{}", fault.name);
    }
}

#[test]
fn a_mark_out_of_reach_is_a_mark_and_has_a_reason() {
    ascending_once(&OUT_OF_REACH.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (name, reason) in OUT_OF_REACH {
        assert!(MARKS.contains(name) && !reason.is_empty(), "{name}");
    }
}

#[test]
fn a_mark_counts_one_branch() {
    for (name, crates) in names("mark!(") {
        assert_eq!(crates.len(), 1, "{name} counts {} branches as one", crates.len());
    }
}
