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
