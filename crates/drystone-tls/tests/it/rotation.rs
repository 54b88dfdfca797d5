//! Files that change while connections come and go.

use crate::rig::{Rig, meet};
use drystone_tls::testing::{Authority, Order, write};
use drystone_tls::{Acceptor, Connector};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_pair_that_is_half_written_leaves_the_old_one_in_force() {
    let rig = Rig::new();
    let acceptor = Acceptor::new(&rig.listens()).unwrap();
    let connector = Connector::new(&rig.dials(), &[]).unwrap();
    meet(&acceptor, &connector, "localhost").await.1.unwrap();
    let next = rig.authority.issue(&Order { hosts: &["next.example"], ..Order::default() });
    write(&rig.path("server.crt"), next.cert.as_bytes());
    meet(&acceptor, &connector, "localhost").await.1.unwrap();
    write(&rig.path("server.crt"), &next.cert.as_bytes()[..next.cert.len() / 2]);
    meet(&acceptor, &connector, "localhost").await.1.unwrap();
    std::fs::remove_file(rig.path("server.key")).unwrap();
    meet(&acceptor, &connector, "localhost").await.1.unwrap();
    write(&rig.path("server.key"), next.key.as_bytes());
    write(&rig.path("server.crt"), next.cert.as_bytes());
    assert!(meet(&acceptor, &connector, "localhost").await.1.is_err());
    meet(&acceptor, &connector, "next.example").await.1.unwrap();
}

#[tokio::test]
async fn a_connection_that_stands_outlives_its_authority() {
    let rig = Rig::new();
    rig.issue("alice", &Order { common_name: "alice", ..Order::default() });
    let acceptor = Acceptor::new(&rig.demands()).unwrap();
    let connector = Connector::new(&rig.dials_as("alice"), &[]).unwrap();
    let (near, far) = tokio::io::duplex(1024);
    let (accepted, dialled) =
        tokio::join!(acceptor.accept(near, None), connector.connect(far, "localhost"));
    let (mut accepted, mut dialled) = (accepted.unwrap(), dialled.unwrap());

    let other = Authority::new("B");
    write(&rig.path("ca.crt"), other.pem.as_bytes());
    let (near, _) = meet(&acceptor, &connector, "localhost").await;
    assert!(near.is_err(), "new connections are judged anew");
    dialled.write_u8(1).await.unwrap();
    dialled.flush().await.unwrap();
    assert_eq!(accepted.stream.read_u8().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_authority_are_replaced_without_one_failed_handshake() {
    const ROUNDS: u64 = 6;
    let rig = Rig::new();
    rig.issue("alice", &Order { common_name: "alice", ..Order::default() });
    let acceptor = Acceptor::new(&rig.demands()).unwrap();
    let connector = Connector::new(&rig.dials_as("alice"), &["h2"]).unwrap();
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (acceptor, connector) = (acceptor.clone(), connector.clone());
            let (stop, count) = (stop.clone(), count.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let (near, far) = meet(&acceptor, &connector, "localhost").await;
                    near.unwrap();
                    far.unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let more = async |handshakes| {
        let goal = count.load(Ordering::Relaxed) + handshakes;
        while count.load(Ordering::Relaxed) < goal && !load.iter().any(|task| task.is_finished()) {
            tokio::task::yield_now().await;
        }
    };
    let mut old = rig.authority.pem.clone();
    for round in 0..ROUNDS {
        let next = Authority::new("B");
        // Both are trusted, then every certificate is replaced, then the old one goes.
        write(&rig.path("ca.crt"), format!("{old}{}", next.pem).as_bytes());
        more(8).await;
        let order = Order { serial: round + 10, ..Order::default() };
        let _ = next.issue(&order).write(rig.folder(), "server");
        more(8).await;
        let _ = next.issue(&order).write(rig.folder(), "alice");
        more(8).await;
        write(&rig.path("ca.crt"), next.pem.as_bytes());
        more(8).await;
        old = next.pem;
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    assert!(u64::from(count.load(Ordering::Relaxed)) >= ROUNDS * 32);
}
