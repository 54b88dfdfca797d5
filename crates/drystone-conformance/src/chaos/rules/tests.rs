use super::*;

fn addresses() -> Addresses {
    Addresses {
        members: vec!["10.0.0.1".into(), "10.0.0.2".into(), "10.0.0.3".into()],
        clients: "10.0.0.9".into(),
    }
}

/// The rules of both chains.
fn rules(place: usize, cuts: &[Cut]) -> (Vec<String>, Vec<String>) {
    let text = ruleset(place, cuts, &addresses());
    let chain = |name: &str| {
        let after = text.split(&format!("chain {name} {{")).nth(1).unwrap();
        let lines = after.split('}').next().unwrap().lines().map(str::trim);
        lines.filter(|line| line.ends_with("drop")).map(str::to_owned).collect()
    };
    (chain("in"), chain("out"))
}

#[test]
fn a_member_that_no_fault_names_drops_nothing() {
    assert_eq!(rules(2, &[Cut::Isolated(0), Cut::Between(0, 1)]), (vec![], vec![]));
}

#[test]
fn one_way_cuts_drop_one_way() {
    let from = vec!["ip saddr 10.0.0.1 drop".to_owned(), "ip saddr 10.0.0.3 drop".to_owned()];
    let to = vec!["ip daddr 10.0.0.1 drop".to_owned(), "ip daddr 10.0.0.3 drop".to_owned()];
    assert_eq!(rules(1, &[Cut::Deaf(1)]), (from.clone(), vec![]));
    assert_eq!(rules(1, &[Cut::Mute(1)]), (vec![], to.clone()));
    assert_eq!(rules(1, &[Cut::Isolated(1)]), (from, to));
}

#[test]
fn faults_that_meet_add_up() {
    let (from, to) = rules(0, &[Cut::Between(0, 2), Cut::Lossy(0, 30), Cut::Clients(0)]);
    assert_eq!(
        from,
        [
            "ip saddr 10.0.0.3 drop",
            "iif != lo numgen random mod 100 < 30 drop",
            "ip saddr 10.0.0.9 drop"
        ]
    );
    assert_eq!(to, ["ip daddr 10.0.0.3 drop", "ip daddr 10.0.0.9 drop"]);
}

#[test]
fn a_ruleset_replaces_the_one_before() {
    let text = ruleset(0, &[], &addresses());
    assert!(text.starts_with("table inet chaos\ndelete table inet chaos\ntable inet chaos {"));
}
