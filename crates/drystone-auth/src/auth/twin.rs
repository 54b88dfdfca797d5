//! Changes and decisions against the naive model that looks at every key.

use crate::Auth;
use crate::testing::{Change, Naive, draw_change, draw_identity, draw_needs, founding};
use drystone_backend::{Backend, Batch, MemBackend};
use rand::prelude::*;
use rand::rngs::SmallRng;

/// How many decisions are compared unless `DRYSTONE_AUTH_DECISIONS` says otherwise.
const DECISIONS: u64 = 200_000;
/// Decisions between changes.
const DECISIONS_OF_ROUND: u64 = 1_000;
/// Changes of a round: some to begin with, then few.
const CHANGES_FIRST: usize = 40;
const CHANGES_LATER: usize = 6;
/// After so many rounds everything begins anew.
const ROUNDS_OF_STATE: u64 = 20;

#[test]
fn decisions_are_those_of_a_model_that_looks_at_every_key() {
    let wanted = std::env::var("DRYSTONE_AUTH_DECISIONS")
        .map_or(DECISIONS, |text| text.parse().expect("a number of decisions"));
    let mut random = SmallRng::seed_from_u64(26);
    let (mut made, mut granted, mut round) = (0, 0, 0);
    let (mut auth, mut naive, mut store) = begin(&mut random);
    while made < wanted {
        if round % ROUNDS_OF_STATE == 0 {
            (auth, naive, store) = begin(&mut random);
        }
        round += 1;
        for _ in 0..CHANGES_LATER {
            make(&draw_change(&mut random), &mut auth, &mut naive, &store);
        }
        assert_eq!(Auth::open(&store).unwrap(), auth, "what the store holds");
        for _ in 0..DECISIONS_OF_ROUND {
            let who = draw_identity(&mut random, auth.revision());
            let needs = draw_needs(&mut random);
            let decided = auth.decide(who.as_ref(), &needs);
            let expected = naive.decide(who.as_ref(), &needs);
            assert_eq!(decided, expected, "{who:?} {needs:?} {naive:?}");
            if auth.is_open_to(who.as_ref()) {
                assert_eq!(decided, Ok(()), "{who:?} may do everything");
            }
            made += 1;
            granted += u64::from(decided.is_ok());
        }
    }
    println!("{made} decisions, {granted} granted, {round} rounds of changes");
    assert!(granted > made / 10 && granted < made * 9 / 10, "both answers are common");
}

fn begin(random: &mut SmallRng) -> (Auth, Naive, MemBackend) {
    let store = MemBackend::new();
    let (mut auth, mut naive) = (Auth::open(&store).unwrap(), Naive::default());
    let drawn: Vec<Change> = (0..CHANGES_FIRST).map(|_| draw_change(random)).collect();
    for change in drawn.into_iter().chain(founding()) {
        make(&change, &mut auth, &mut naive, &store);
    }
    (auth, naive, store)
}

/// Makes a change on both sides, and writes its records.
fn make(change: &Change, auth: &mut Auth, naive: &mut Naive, store: &MemBackend) {
    let before = auth.clone();
    let mut batch = Batch::new();
    let out = &mut batch;
    let result = match change {
        Change::Enable => auth.enable(out),
        Change::Disable => {
            auth.disable(out);
            Ok(())
        }
        Change::AddUser(user) => auth.add_user(out, user, Some("h".into()), false),
        Change::DeleteUser(user) => auth.delete_user(out, user),
        Change::Password(user) => auth.change_password(out, user, Some("i".into())),
        Change::GrantRole(user, role) => auth.grant_role(out, user, role),
        Change::RevokeRole(user, role) => auth.revoke_role(out, user, role),
        Change::AddRole(role) => auth.add_role(out, role),
        Change::DeleteRole(role) => auth.delete_role(out, role),
        Change::Grant(role, permission) => auth.grant_permission(out, role, permission.clone()),
        Change::Revoke(role, key, end) => auth.revoke_permission(out, role, key, end),
    };
    assert_eq!(result, naive.apply(change), "{change:?} {naive:?}");
    if result.is_err() {
        assert!(*auth == before && batch.is_empty(), "{change:?} was refused");
    }
    assert_eq!((auth.is_enabled(), auth.revision()), (naive.enabled, naive.revision));
    store.write(&batch).unwrap();
}
