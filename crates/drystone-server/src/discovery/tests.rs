use super::*;
use crate::config::{Parsed, parse};

fn config(words: &[&str]) -> Config {
    match parse(words.iter().map(|word| (*word).to_owned()), []).unwrap() {
        Parsed::Run { config, .. } => *config,
        Parsed::Print(text) => panic!("{text}"),
    }
}

#[tokio::test]
async fn a_list_is_checked_as_etcd_checks_it() {
    let own = "--initial-advertise-peer-urls=http://127.0.0.1:1";
    let two = "--initial-advertise-peer-urls=http://127.0.0.1:1,http://127.0.0.1:2";
    for (list, advertised, message) in [
        (
            "a=http://127.0.0.1:1",
            own,
            r#"couldn't find local name "default" in the initial cluster configuration"#,
        ),
        (
            "default=http://127.0.0.1:1,b=http://127.0.0.1:1",
            own,
            "initial cluster b=http://127.0.0.1:1,default=http://127.0.0.1:1 has duplicate url",
        ),
        (
            "default=http://127.0.0.1:2",
            own,
            "--initial-cluster has default=http://127.0.0.1:2 but missing from \
             --initial-advertise-peer-urls=http://127.0.0.1:1 (",
        ),
        (
            "default=http://127.0.0.1:1",
            two,
            "--initial-advertise-peer-urls has http://127.0.0.1:2 but missing from \
             --initial-cluster=default=http://127.0.0.1:1",
        ),
        (
            "default",
            own,
            "error setting up initial cluster: URL scheme must be http, https, unix, or unixs:  \
             (in --initial-cluster=default; ",
        ),
    ] {
        let config = config(&[&format!("--initial-cluster={list}"), advertised]);
        let error = find_members(&config).await.unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[tokio::test]
async fn a_list_with_this_member_at_the_same_place_is_taken() {
    let list = "--initial-cluster=b=http://127.0.0.1:2,default=http://localhost:1";
    let listed = config(&[list, "--initial-advertise-peer-urls=http://localhost:1"]);
    find_members(&listed).await.unwrap();
    assert_eq!(listed.initial_cluster.len(), 2);
    // Nothing is listed: the member is alone.
    find_members(&config(&["--name=a"])).await.unwrap();
}
