use super::*;
use std::collections::BTreeSet;

#[test]
fn rows_have_names_of_their_own_and_expectations() {
    let rows = all();
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len());
    assert!(rows.iter().all(|row| !row.expected_lines().is_empty()));
}
