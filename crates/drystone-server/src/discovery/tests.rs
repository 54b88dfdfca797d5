use super::*;
use crate::config::{Parsed, parse};
use drystone_client::Resolver;
use drystone_client::testing::{NameServer, SrvRecord};

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
        let mut config = config(&[&format!("--initial-cluster={list}"), advertised]);
        let error = find_members(&mut config).await.unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[tokio::test]
async fn a_list_with_this_member_at_the_same_place_is_taken() {
    let list = "--initial-cluster=b=http://127.0.0.1:2,default=http://localhost:1";
    let mut listed = config(&[list, "--initial-advertise-peer-urls=http://localhost:1"]);
    find_members(&mut listed).await.unwrap();
    assert_eq!(listed.initial_cluster.len(), 2);
    // Nothing is listed: the member is alone.
    find_members(&mut config(&["--name=a"])).await.unwrap();
}

/// What a member with these flags finds when DNS has these records of `example.test`.
async fn by_srv(records: &[(&str, &str, u16)], words: &[&str]) -> anyhow::Result<Config> {
    let record = |&(service, target, port): &(&str, &str, u16)| {
        SrvRecord::new(&format!("_{service}._tcp.example.test"), target, port)
    };
    let server = NameServer::start(records.iter().map(record).collect()).await?;
    let words = [&["--name=own", "--discovery-srv=example.test"], words].concat();
    let mut config = config(&words);
    match &mut config.bootstrap {
        Bootstrap::Srv(srv) => srv.resolver = Resolver::At(server.address()),
        other => panic!("{other:?}"),
    }
    find_members(&mut config).await.map(|()| config)
}

#[tokio::test]
async fn records_of_both_services_make_a_cluster_with_this_member_in_it() {
    let records = [
        ("etcd-server-blue", "b.example.test", 7001),
        ("etcd-server-blue", "localhost", 7002),
        ("etcd-server-ssl-blue", "c.example.test", 7004),
        ("etcd-server-ssl-blue", "localhost", 7002),
        ("etcd-server", "other.example.test", 7003),
    ];
    let own = "--initial-advertise-peer-urls=http://127.0.0.1:7002";
    let found = by_srv(&records, &[own, "--discovery-srv-name=blue"]).await.unwrap();
    let member = |name: &str, url: &str| (name.to_owned(), vec![url.to_owned()]);
    assert_eq!(
        found.initial_cluster,
        [
            member("0", "https://c.example.test:7004"),
            member("1", "http://b.example.test:7001"),
            member("own", "http://localhost:7002"),
        ]
    );
    assert_eq!(found.initial_advertise_peer_urls, ["http://localhost:7002"]);
}

#[tokio::test]
async fn no_other_member_gets_this_ones_name() {
    let records =
        [("etcd-server", "b.example.test", 7001), ("etcd-server", "a.example.test", 7002)];
    let own = ["--name=0", "--initial-advertise-peer-urls=http://a.example.test:7002"];
    let found = by_srv(&records, &own).await.unwrap();
    let names: Vec<&str> = found.initial_cluster.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["0", "1"]);
}

#[tokio::test]
async fn records_without_this_member_are_refused_in_etcds_words() {
    let records = [("etcd-server-ssl", "localhost", 7002)];
    let refused = async |records: &[(&str, &str, u16)], urls: &str| {
        let own = format!("--initial-advertise-peer-urls={urls}");
        format!("{:#}", by_srv(records, &[&own]).await.unwrap_err())
    };
    assert_eq!(
        refused(&records, "http://127.0.0.1:7009").await,
        "error setting up initial cluster: cannot find local etcd member \"own\" in SRV records"
    );
    assert_eq!(
        refused(&records, "http://127.0.0.1:7002").await,
        "error setting up initial cluster: error querying DNS SRV records for _etcd-server-ssl \
         bootstrap at https://localhost:7002 from DNS for etcd-server-ssl has scheme mismatch \
         with expected peer http://127.0.0.1:7002; error querying DNS SRV records for \
         _etcd-server lookup _etcd-server._tcp.example.test: no such host"
    );
    assert_eq!(
        refused(&records, "https://127.0.0.1:7002,https://127.0.0.1:7003").await,
        "error setting up initial cluster: --initial-advertise-peer-urls has \
         https://127.0.0.1:7003 but missing from --initial-cluster=own=https://localhost:7002"
    );
    let none = refused(&[], "http://127.0.0.1:7002").await;
    let begin = "error setting up initial cluster: error querying DNS SRV records for \
                 _etcd-server-ssl lookup _etcd-server-ssl._tcp.example.test: ";
    assert!(none.starts_with(begin), "{none}");
}
