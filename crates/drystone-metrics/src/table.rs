//! The table: every metric there is, by section.
//!
//! Names, types, labels and buckets of what begins with `etcd_`, `grpc_`, `os_`, `process_`, `go_`
//! and `promhttp_` are etcd 3.7's, which dashboards and alerts depend on; odd ones are kept odd.

mod disk;
mod grpc;
mod legacy;
mod network;
mod own;
mod process;
mod server;
mod store;

use crate::{Family, Section};

/// A section's families, with the section in each.
const fn of<const N: usize>(section: Section, families: [Family; N]) -> [Family; N] {
    let mut placed = families;
    let mut at = 0;
    while at < N {
        placed[at].section = section;
        at += 1;
    }
    placed
}

/// All families, by section.
pub const TABLE: &[&[Family]] = &[
    &server::FAMILIES,
    &disk::FAMILIES,
    &store::FAMILIES,
    &network::FAMILIES,
    &grpc::FAMILIES,
    &process::FAMILIES,
    &legacy::FAMILIES,
    &own::FAMILIES,
];

/// The family of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Family> {
    TABLE.iter().flat_map(|section| section.iter()).find(|family| family.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bounds, Kind};
    use std::collections::BTreeSet;

    #[test]
    fn every_name_is_there_once_and_says_what_it_is() {
        let mut names = BTreeSet::new();
        for family in TABLE.iter().flat_map(|section| section.iter()) {
            assert!(names.insert(family.name), "{} is there twice", family.name);
            assert!(family.help.ends_with('.'), "{}: {}", family.name, family.help);
            let is_histogram = family.kind == Kind::Histogram;
            assert_eq!(is_histogram, family.bounds != Bounds::None, "{}", family.name);
            let bounds = family.bounds.values();
            assert!(bounds.is_sorted_by(|a, b| a < b), "{}", family.name);
            let own = family.name.starts_with("drystone_");
            assert_eq!(own, family.section == Section::Own, "{}", family.name);
        }
    }
}
