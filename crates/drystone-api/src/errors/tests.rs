//! The catalogue against its table of facts.

use std::collections::BTreeSet;

use super::{Code, EtcdError};

const TABLE: &str = include_str!("../../testdata/errors.txt");

/// Lines of the table that are neither comments nor blank.
fn rows() -> impl Iterator<Item = &'static str> {
    TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#') && *line != "outside")
}

fn row(error: EtcdError) -> String {
    let code = match (error.code().name(), error.wire_code().name()) {
        (code, wire) if code == wire => code.to_owned(),
        (code, wire) => format!("{code} -> {wire}"),
    };
    format!("{} | {code} | {}", error.name(), error.message())
}

#[test]
fn the_catalogue_is_the_table() {
    let ours: Vec<String> = EtcdError::ALL.iter().copied().map(row).collect();
    let table: Vec<&str> = rows().collect();
    assert_eq!(ours, table);
}

#[test]
fn a_message_leads_back_to_its_error() {
    for &error in EtcdError::ALL {
        assert_eq!(EtcdError::from_message(error.message()), Some(error));
        assert_eq!(error.to_string(), error.message());
    }
    let messages: BTreeSet<&str> = EtcdError::ALL.iter().map(|error| error.message()).collect();
    assert_eq!(messages.len(), EtcdError::ALL.len());
    assert_eq!(EtcdError::from_message("etcdserver: Key is not provided"), None);
    assert_eq!(EtcdError::from_message(""), None);
}

#[test]
fn codes_count_from_zero_to_sixteen() {
    let numbers: Vec<u8> = Code::ALL.iter().map(|code| code.number()).collect();
    assert_eq!(numbers, (0..=16).collect::<Vec<u8>>());
}

#[cfg(feature = "grpc")]
#[test]
fn a_status_carries_the_code_of_the_wire() {
    for &error in EtcdError::ALL {
        let status = tonic::Status::from(error);
        assert_eq!(Code::from(status.code()), error.wire_code());
        assert_eq!(status.code() as i32, i32::from(error.wire_code().number()));
        assert_eq!(status.message(), error.message());
        assert!(status.details().is_empty());
    }
    let status = tonic::Status::from(EtcdError::RequestTooManyRequests);
    assert_eq!(status.code(), tonic::Code::Unknown);
}
