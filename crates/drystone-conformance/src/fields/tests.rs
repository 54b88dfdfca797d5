use super::*;
use crate::sequences::SEQUENCES;
use crate::{commands, rows};
use std::collections::BTreeSet;

#[test]
fn every_field_of_every_request_has_a_case() {
    let fields: BTreeSet<Field> = fields().into_iter().collect();
    let exercised: BTreeSet<Field> =
        exercises().into_iter().map(|exercise| exercise.field).collect();
    let missing: Vec<_> = fields.difference(&exercised).collect();
    let excess: Vec<_> = exercised.difference(&fields).collect();
    assert!(missing.is_empty() && excess.is_empty(), "missing {missing:?}\nexcess {excess:?}");
    assert!(fields.len() > 130, "{}", fields.len());
}

#[test]
fn every_case_is_one() {
    let mut known: BTreeSet<String> = rows::all().iter().map(|row| row.name.to_owned()).collect();
    known.extend(["random".to_owned(), "calls".to_owned()]);
    known.extend(commands::stories().unwrap().iter().map(|s| format!("etcdctl {}", s.name)));
    known.extend(SEQUENCES.iter().map(|row| format!("sequence {}", row.name)));
    for exercise in exercises() {
        for case in &exercise.cases {
            assert!(known.contains(*case), "{:?}: there is no case `{case}`", exercise.field);
        }
    }
}

#[test]
fn requests_inside_requests_are_not_opened() {
    let fields: Vec<String> = fields()
        .into_iter()
        .filter(|field| field.call == "KV/Txn" && field.path.starts_with("success"))
        .map(|field| field.path)
        .collect();
    let paths = [
        "success.request_range",
        "success.request_put",
        "success.request_delete_range",
        "success.request_txn",
    ];
    assert_eq!(fields, paths);
}
