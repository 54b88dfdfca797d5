//! The pages that say which test guards against which bug: what they name must be there.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use drystone_sim::faults::FAULTS;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a row says that has no test, and why.
const WITHOUT: [&str; 2] = ["no such code here", "comes with "];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Names of tests, each with its crate.
fn tests() -> BTreeSet<(String, String)> {
    let mut tests = BTreeSet::new();
    for of_crate in fs::read_dir(root().join("crates")).unwrap() {
        let path = of_crate.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut open = vec![path.join("src"), path.join("tests")];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(path).unwrap();
                tests.extend(tests_in(&text).map(|test| (name.clone(), test.to_owned())));
            }
        }
    }
    tests
}

/// Functions whose attributes, which stand right above them, make them tests.
fn tests_in(text: &str) -> impl Iterator<Item = &str> {
    let mut is_test = false;
    text.lines().filter_map(move |line| {
        let line = line.trim_start();
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            return None;
        }
        let function = line.trim_start_matches("async ").strip_prefix("fn ")?;
        let found = is_test.then(|| function.split(['(', '<']).next().unwrap());
        is_test = false;
        found
    })
}

/// Cells of the tables' rows: the last one of each, with the first.
fn rows(page: &str) -> Vec<(&str, &str)> {
    let lines = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("|--"));
    let cut = |line| {
        let row = str::trim_matches(line, ['|', ' ']);
        row.split_once(" | ").map(|(first, rest)| (first, rest.rsplit(" | ").next().unwrap()))
    };
    lines.filter_map(cut).collect()
}

/// What stands in backticks.
fn spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Fails unless a span that names a test, or a planted fault, names one that is there. Gives
/// whether it names any.
fn check(tests: &BTreeSet<(String, String)>, span: &str) -> bool {
    let word =
        |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b"_0123456789".contains(&b));
    if let Some((of_crate, name)) = span.split_once(": ")
        && of_crate.starts_with("drystone-")
    {
        let name = name.rsplit("::").next().unwrap();
        let there = tests.contains(&(of_crate.to_owned(), name.to_owned()));
        assert!(there, "`{span}` is no test; name the one that took its place");
        return true;
    }
    if let Some((of_crate, what)) = span.split_once('.')
        && word(of_crate)
        && what.contains('_')
        && word(what)
    {
        assert!(FAULTS.iter().any(|fault| fault.name == span), "`{span}` is no planted fault");
        return true;
    }
    // Without its crate a test is known by its sentence.
    if word(span) && span.matches('_').count() >= 3 {
        assert!(tests.iter().any(|(_, name)| name == span), "`{span}` is no test");
        return true;
    }
    false
}

#[test]
fn every_advisory_names_tests_that_are_there_or_says_why_there_is_none() {
    let tests = tests();
    let page = fs::read_to_string(root().join("docs/advisories.md")).unwrap();
    let mut held = 0;
    for (id, cell) in rows(&page) {
        if cell == "held by" {
            continue;
        }
        let named = spans(cell).filter(|span| check(&tests, span)).count();
        held += usize::from(named > 0);
        let excused = WITHOUT.iter().any(|reason| cell.contains(reason));
        assert!(named > 0 || excused, "{id}: {cell:?} names no test and gives no reason");
    }
    assert!(held > 50, "only {held} rows were read");
}

#[test]
fn every_test_that_the_ledger_of_bugs_names_is_there() {
    let tests = tests();
    let page = fs::read_to_string(root().join("docs/bugs.md")).unwrap();
    let cells = rows(&page).into_iter().map(|(_, last)| last);
    let named = cells.flat_map(spans).filter(|span| check(&tests, span)).count();
    assert!(named > 60, "only {named} names were read");
}

#[test]
fn a_name_that_is_gone_is_noticed() {
    let tests = BTreeSet::from([("drystone-a".to_owned(), "it_is_as_it_was".to_owned())]);
    let fails = |span: &'static str| {
        let tests = tests.clone();
        std::panic::catch_unwind(move || check(&tests, span)).is_err()
    };
    for span in
        ["drystone-a: it_is_as_it_was", "drystone-a: it::it_is_as_it_was", "it_is_as_it_was"]
    {
        assert!(check(&tests, span), "{span}");
    }
    for span in ["drystone-b: it_is_as_it_was", "it_is_not_so_anymore", "mvcc.no_such_fault"] {
        assert!(fails(span), "{span}");
    }
    for span in ["Machine", "MaintenanceService::alarm", "etcdserver: key not found"] {
        assert!(!check(&tests, span), "{span}");
    }
    assert_eq!(tests_in("#[test]\n#[ignore]\nfn a() {\nfn b() {}\n}").collect::<Vec<_>>(), ["a"]);
}
