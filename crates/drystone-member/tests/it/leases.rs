//! Leases end after a quorum has spoken, a bounded number at a time, and before anything else.

use crate::bench::{Bench, ME, THREE, TWO};
use crate::cluster::Cluster;
use bytes::Bytes;
use drystone_api::etcdserverpb::{
    InternalRaftRequest, LeaseGrantRequest, LeaseRevokeRequest, RequestHeader,
};
use drystone_backend::MemBackend;
use drystone_machine::MachineConfig;
use drystone_member::{Applier, ApplierConfig, Decision, LeaderCommand, Leadership};
use drystone_raft::{Config, MessageKind, ProposeError};
use drystone_types::{Entry, LeaseId, LogIndex, Term};
use drystone_wal::testing::CrashMode;
use prost::Message as _;
use std::sync::Arc;
use std::time::Duration;

fn end(bench: &Bench, id: i64) -> LeaderCommand {
    LeaderCommand {
        decision: Decision::Revoke(LeaseId(id)),
        term: bench.node.leadership().term,
        decided_at: LogIndex(0),
    }
}

/// The leases that appended entries end.
fn ended(bench: &Bench) -> Vec<i64> {
    let requests = bench.appended.iter().map(|entry| InternalRaftRequest::decode(&entry.data[..]));
    requests.flatten().filter_map(|request| Some(request.lease_revoke?.id)).collect()
}

#[test]
fn a_lease_ends_only_after_a_quorum_answered_a_round_that_began_after_the_decision() {
    let mut bench = Bench::leader(&[ME, TWO, THREE]);
    bench.hears = false;
    bench.node.read(1).unwrap();
    bench.settle();
    let command = end(&bench, 7);
    bench.node.propose_as_leader(command).unwrap();
    for _ in 0..3 {
        bench.tick();
    }
    assert!(ended(&bench).is_empty(), "nobody has answered");
    // The answers to the read's round came too early for the decision.
    bench.hears = true;
    let unheard = std::mem::take(&mut bench.unheard);
    unheard.into_iter().for_each(|message| bench.answer(message));
    bench.hears = false;
    bench.settle();
    assert_eq!((&bench.served[..], &ended(&bench)[..]), (&[1][..], &[][..]));
    bench.catch_up();
    bench.settle();
    assert_eq!(ended(&bench), [7]);
}

#[test]
fn a_leader_that_lost_its_term_while_it_asked_ends_no_lease() {
    let mut bench = Bench::leader(&[ME, TWO, THREE]);
    bench.hears = false;
    let command = end(&bench, 7);
    bench.node.propose_as_leader(command.clone()).unwrap();
    bench.settle();
    let term = Term(bench.node.leadership().term.0 + 1);
    let heartbeat = drystone_raft::Message::new(MessageKind::Heartbeat, TWO, ME, term);
    bench.node.receive(heartbeat).unwrap();
    bench.catch_up();
    bench.settle();
    assert!(ended(&bench).is_empty());
    assert_eq!(bench.node.propose_as_leader(command), Err(ProposeError::Dropped));
}

#[test]
fn ends_of_leases_wait_for_room_in_front_of_what_clients_propose() {
    let config =
        Config { uncommitted_bytes_max: 1 << 20, unapplied_bytes_max: 2 << 20, ..Config::new(ME) };
    let mut bench = Bench::with(&[ME, TWO, THREE], config).elected();
    bench.acknowledge = false;
    let large = Bytes::from(vec![0; 1 << 19]);
    while bench.node.propose(large.clone()).is_ok() {
        bench.settle();
    }
    let taken = bench.appended.len();
    for id in 1..=3 {
        let command = end(&bench, id);
        bench.node.propose_as_leader(command).unwrap();
    }
    bench.settle();
    assert_eq!(bench.appended.len(), taken, "there is no room");
    bench.acknowledge = true;
    for peer in [TWO, THREE] {
        let index = bench.appended.last().unwrap().index;
        let term = bench.node.leadership().term;
        let ack = drystone_raft::Message::new(MessageKind::AppendResponse, peer, ME, term);
        bench.node.receive(drystone_raft::Message { index, ..ack }).unwrap();
    }
    bench.settle();
    assert_eq!(ended(&bench), [1, 2, 3], "the room that came is theirs first");
    bench.node.propose(large).unwrap();
    bench.settle();
    assert_eq!(bench.appended.len(), taken + 4);
}

#[test]
fn crowds_of_reads_do_not_keep_leases_from_ending() {
    let mut bench = Bench::leader(&[ME, TWO, THREE]);
    let mut read = 0;
    while bench.node.read(read).is_ok() {
        read += 1;
    }
    let command = end(&bench, 7);
    bench.node.propose_as_leader(command).unwrap();
    bench.settle();
    bench.settle();
    assert_eq!(ended(&bench), [7]);
}

/// Entries that an applier is given, numbered by themselves.
struct Log(u64);

impl Log {
    fn entry(&mut self, data: Bytes) -> Entry {
        self.0 += 1;
        Entry { term: Term(1), index: LogIndex(self.0), data, ..Entry::default() }
    }

    fn request(&mut self, request: InternalRaftRequest) -> Entry {
        let header = Some(RequestHeader::default());
        self.entry(InternalRaftRequest { header, ..request }.encode_to_vec().into())
    }
}

const ENDS_MAX: usize = 250;

#[test]
fn a_crowd_of_leases_that_run_out_together_ends_a_bounded_number_at_a_time() {
    const LEASES: i64 = 100_000;
    let config = ApplierConfig {
        machine: MachineConfig::default(),
        flush_entries: u64::MAX,
        lease_extend: Duration::from_secs(1),
        expiries_max: ENDS_MAX,
        checkpoints_max: 100,
    };
    let mut applier: Applier<u64> = Applier::open(Arc::new(MemBackend::new()), config).unwrap();
    let (mut log, mut now) = (Log(0), Duration::ZERO);
    applier.lead(Leadership { leader: ME, term: Term(1), is_leader: true });
    applier.apply(&[log.entry(Bytes::new())], now).unwrap();
    for from in (1..=LEASES).step_by(10_000) {
        let grants: Vec<_> = (from..from + 10_000)
            .map(|id| {
                let lease_grant = Some(LeaseGrantRequest { ttl: 2, id });
                log.request(InternalRaftRequest { lease_grant, ..Default::default() })
            })
            .collect();
        applier.apply(&grants, now).unwrap();
    }
    assert!(applier.lease_commands(now).is_empty(), "none has run out");

    now += Duration::from_secs(3);
    let (mut under_way, mut passes, mut left) = (Vec::new(), 0, LEASES);
    while left > 0 {
        now += Duration::from_millis(1);
        let commands = applier.lease_commands(now);
        under_way.extend(commands.into_iter().map(|command| command.decision));
        assert!(under_way.len() <= ENDS_MAX, "{} ends are under way", under_way.len());
        assert_eq!(applier.lease_commands(now), [], "until those are applied");
        let revokes: Vec<_> = under_way
            .drain(..)
            .filter_map(|decision| {
                let Decision::Revoke(LeaseId(id)) = decision else { return None };
                let lease_revoke = Some(LeaseRevokeRequest { id });
                Some(log.request(InternalRaftRequest { lease_revoke, ..Default::default() }))
            })
            .collect();
        applier.apply(&revokes, now).unwrap();
        left -= i64::try_from(revokes.len()).unwrap();
        passes += 1;
    }
    assert_eq!(passes, usize::try_from(LEASES).unwrap() / ENDS_MAX);
    assert!(applier.machine().leases().is_empty());
}

#[test]
fn an_end_that_is_lost_on_its_way_is_asked_for_again_and_frees_its_place() {
    let config = ApplierConfig {
        machine: MachineConfig::default(),
        flush_entries: u64::MAX,
        lease_extend: Duration::from_secs(1),
        expiries_max: 2,
        checkpoints_max: 100,
    };
    let retry = config.machine.lease.expiry_retry;
    let mut applier: Applier<u64> = Applier::open(Arc::new(MemBackend::new()), config).unwrap();
    let mut log = Log(0);
    applier.lead(Leadership { leader: ME, term: Term(1), is_leader: true });
    applier.apply(&[log.entry(Bytes::new())], Duration::ZERO).unwrap();
    for id in 1..=3 {
        let lease_grant = Some(LeaseGrantRequest { ttl: 2, id });
        let grant = log.request(InternalRaftRequest { lease_grant, ..Default::default() });
        applier.apply(&[grant], Duration::ZERO).unwrap();
    }
    let ids = |commands: Vec<LeaderCommand>| -> Vec<_> {
        commands.into_iter().map(|command| command.decision).collect()
    };
    let [one, two, three] = [1, 2, 3].map(|id| Decision::Revoke(LeaseId(id)));
    let now = Duration::from_secs(3);
    assert_eq!(ids(applier.lease_commands(now)), [one.clone(), two.clone()]);
    assert_eq!(ids(applier.lease_commands(now + retry / 2)), []);
    // Both are lost: the third had to wait for them only so long.
    let mut again = ids(applier.lease_commands(now + retry));
    again.extend(ids(applier.lease_commands(now + retry + retry)));
    assert!([one, two, three].iter().all(|end| again.contains(end)), "{again:?}");
}

#[test]
fn what_is_left_of_a_lease_survives_a_change_of_leader() {
    const TTL: i64 = 1_000;
    let mut cluster = Cluster::new(3, 4, 1_000);
    cluster.ticks(crate::ELECTION_TICKS);
    let leader = cluster.leader().expect("three members elect a leader");
    assert!(cluster.grant(leader, 7, TTL));
    // 650 s, in which the remainder is logged after 300 s and after 600 s.
    cluster.ticks(6_500);
    let before = cluster.remaining(leader, 7).unwrap();
    assert!((340..=350).contains(&before), "{before}");
    cluster.crash(leader, CrashMode::Lose);
    cluster.ticks(crate::ELECTION_TICKS);
    let successor = cluster.leader().expect("two members elect a leader");
    assert_ne!(successor, leader);
    let after = cluster.remaining(successor, 7).unwrap();
    let full = TTL - 600;
    assert!(after > before - 10, "never early: {before}, then {after}");
    assert!(after <= full + 1, "the granted time does not begin anew: {after}");
    // And it ends by itself, at most what was logged later.
    cluster.ticks(10 * usize::try_from(full + 10).unwrap());
    assert_eq!(cluster.remaining(successor, 7), None);
}
