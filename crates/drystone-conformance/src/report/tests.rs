use super::*;

fn finding(name: &str, verdict: Verdict) -> Finding {
    Finding { group: "put".into(), name: name.into(), verdict }
}

fn report() -> Report {
    let differs = Verdict::Differs { what: "answers 1\nexpected 2".into() };
    let otherwise = Verdict::Otherwise { reason: "newer".into() };
    Report {
        drystone: "Drystone 1".into(),
        etcd: "etcd 2".into(),
        commands: vec![
            (1, vec![finding("a", Verdict::Same), finding("b", otherwise)]),
            (3, vec![finding("a", differs)]),
        ],
        rpcs: vec![("KV/Put".into(), Presence::Absent, Presence::There)],
        ..Report::default()
    }
}

#[test]
fn a_difference_is_a_fault_and_a_version_is_none() {
    let faults = report().faults();
    assert_eq!(faults, ["etcdctl, 3 member(s), put: a: answers 1\nexpected 2"]);
}

#[test]
fn the_page_has_a_line_for_every_row() {
    let page = report().page();
    assert!(page.contains("| put | a | same | **differs** |"), "{page}");
    assert!(page.contains("| put | b | as 3.7: newer | not run |"), "{page}");
    assert!(page.contains("| `KV/Put` | **not implemented** | yes |"), "{page}");
    assert_eq!(page, report().page());
}

/// The page as it would be, had every table been run.
fn expected() -> String {
    let same = |group: &str, name: &str| Finding {
        group: group.into(),
        name: name.into(),
        verdict: Verdict::Same,
    };
    let stories = crate::commands::stories().unwrap();
    let cases = |story: &crate::commands::Story| {
        let cases = story.cases.iter().map(|case| same(&story.name, &case.name));
        cases.collect::<Vec<_>>()
    };
    let rows = crate::rows::all().into_iter().map(|row| {
        let (group, name) = row.name.split_once(": ").unwrap_or(("", row.name));
        same(group, name)
    });
    let gateway = crate::gateway::stories().unwrap();
    let gateway = gateway.iter().flat_map(|story| {
        let group = format!("gateway, {}", story.name);
        story.cases.iter().map(move |case| same(&group, &case.name))
    });
    let sequences = crate::sequences::SEQUENCES.iter().map(|row| same("sequence", row.name));
    let rpcs =
        crate::rpcs::names().into_iter().map(|name| (name, Presence::There, Presence::There));
    Report {
        commands: vec![(1, stories.iter().flat_map(cases).collect())],
        rows: rows.collect(),
        gateway: gateway.collect(),
        sequences: sequences.collect(),
        rpcs: rpcs.collect(),
        ..Report::default()
    }
    .page()
}

/// Headings and what the lines of tables are about, without what was found.
fn structure(page: &str) -> BTreeSet<String> {
    let about = |line: &str| {
        let cells: Vec<&str> = line.split(" | ").collect();
        match cells.as_slice() {
            _ if line.starts_with('#') => Some(line.to_owned()),
            [first, ..] if first.starts_with("| `") && cells.len() == 3 => {
                Some((*first).to_owned())
            }
            // How many there are of a verdict.
            [_, second, ..] if second.parse::<usize>().is_ok() => None,
            [first, second, ..] if line.starts_with("| ") => Some(format!("{first} {second}")),
            _ => None,
        }
    };
    page.lines().filter_map(about).collect()
}

#[test]
fn the_page_in_the_docs_has_the_lines_of_the_tables() {
    let written = structure(include_str!("../../../../docs/compatibility.md"));
    let expected = structure(&expected());
    let missing: Vec<_> = expected.difference(&written).collect();
    let excess: Vec<_> = written.difference(&expected).collect();
    assert!(
        missing.is_empty() && excess.is_empty(),
        "docs/compatibility.md is stale: run `cargo xtask conform`\n{missing:#?}\n{excess:#?}"
    );
}
