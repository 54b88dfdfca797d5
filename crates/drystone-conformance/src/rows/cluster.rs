//! The cluster's members, a member's state, its hash and its health.

use super::session::{delete_to, op, put, range, txn};
use super::{Row, Session, rows};
use drystone_api::etcdserverpb::alarm_request::AlarmAction;
use drystone_api::etcdserverpb::maintenance_client::MaintenanceClient;
use drystone_api::etcdserverpb::{
    AlarmRequest, AlarmType, DefragmentRequest, HashRequest, MemberListRequest, ResponseHeader,
    StatusRequest, TxnRequest,
};
use drystone_api::health::health_check_response::ServingStatus;
use drystone_api::health::health_client::HealthClient;
use drystone_api::health::{HealthCheckRequest, HealthListRequest};

fn who(session: &Session, header: Option<&ResponseHeader>) -> String {
    let Some(header) = header else { return "no header".to_owned() };
    let member = if header.member_id == session.member { "its id" } else { "another id" };
    let set = |value: u64| if value == 0 { "no" } else { "a" };
    format!(
        "header with {member}, {} cluster, {} term, rev {}",
        set(header.cluster_id),
        set(header.raft_term),
        header.revision
    )
}

async fn alarm(session: &mut Session, action: AlarmAction, member_id: u64, alarm: AlarmType) {
    let request = AlarmRequest { action: action.into(), member_id, alarm: alarm.into() };
    let answer = session.client.alarm(request).await;
    session.note(answer, |answer| {
        let alarms = answer.alarms.iter();
        let alarms: Vec<String> = alarms
            .map(|alarm| format!("{} {}", alarm.member_id, alarm.alarm().as_str_name()))
            .collect();
        format!("alarms [{}]", alarms.join(", "))
    });
}

pub(super) const ROWS: &[Row] = rows! {
    "Cluster: the list of members", &[], "
        header with its id, a cluster, a term, rev 0
        member: its id true, named true, 1 peer URL, 1 client URL, learner false
        header with its id, a cluster, a term, rev 0
        member: its id true, named true, 1 peer URL, 1 client URL, learner false
    ", |s| {
        let _ = s.client.put(put("a", "1")).await;
        for linearizable in [true, false] {
            match s.client.member_list(MemberListRequest { linearizable }).await {
                Err(error) => s.say(error.to_string()),
                Ok(answer) => {
                    s.say(who(s, answer.header.as_ref()));
                    for member in answer.members {
                        s.say(format!(
                            "member: its id {}, named {}, {} peer URL, {} client URL, learner {}",
                            member.id == s.member,
                            !member.name.is_empty(),
                            member.peer_ur_ls.len(),
                            member.client_ur_ls.len(),
                            member.is_learner
                        ));
                    }
                }
            }
        }
    }

    "Maintenance: a member's state", &[], "
        header with its id, a cluster, a term, rev 2
        a version of three numbers, leads true, learner false, errors []
        applied up to committed true, in a term true, size in use within size true
    ", |s| {
        let _ = s.client.put(put("a", "1")).await;
        match s.client.status(StatusRequest::default()).await {
            Err(error) => s.say(error.to_string()),
            Ok(status) => {
                s.say(who(s, status.header.as_ref()));
                let numbers = status.version.split('.').filter(|part| part.parse::<u32>().is_ok());
                let version = if numbers.count() == 3 { "a" } else { "no" };
                s.say(format!(
                    "{version} version of three numbers, leads {}, learner {}, errors {:?}",
                    status.leader == s.member, status.is_learner, status.errors
                ));
                s.say(format!(
                    "applied up to committed {}, in a term {}, size in use within size {}",
                    status.raft_applied_index > 0 && status.raft_applied_index <= status.raft_index,
                    status.raft_term > 0,
                    status.db_size > 0 && status.db_size_in_use <= status.db_size
                ));
            }
        }
    }

    "Maintenance: the hash of everything is the same when asked twice", &[], "
        header with its id, a cluster, a term, rev 2
        the same true
    ", |s| {
        let _ = s.client.put(put("a", "1")).await;
        let mut client = MaintenanceClient::new(s.client.transport());
        let mut hashes = Vec::new();
        for round in 0..2 {
            match client.hash(HashRequest {}).await {
                Err(status) => s.say(format!("{:?}: {}", status.code(), status.message())),
                Ok(answer) => {
                    let answer = answer.into_inner();
                    if round == 0 {
                        s.say(who(s, answer.header.as_ref()));
                    }
                    hashes.push(answer.hash);
                }
            }
        }
        s.say(format!("the same {}", hashes.len() == 2 && hashes[0] == hashes[1]));
    }

    "Maintenance: an alarm for want of space", &[], "
        alarms []
        alarms [99 NOSPACE]
        alarms [99 NOSPACE]
        alarms [99 NOSPACE]
        ResourceExhausted: etcdserver: mvcc: database space exceeded
        ResourceExhausted: etcdserver: mvcc: database space exceeded
        ResourceExhausted: etcdserver: mvcc: database space exceeded
        txn: rev 2, true {delete: rev 2, 0}
        range: rev 2, count 1 [a=1 c2 m2 v1]
        compact: rev 2
        alarms []
        alarms [99 NOSPACE]
        alarms []
        put: rev 3
    ", |s| {
        let _ = s.client.put(put("a", "1")).await;
        alarm(s, AlarmAction::Get, 0, AlarmType::None).await;
        alarm(s, AlarmAction::Activate, 99, AlarmType::Nospace).await;
        alarm(s, AlarmAction::Activate, 99, AlarmType::Nospace).await;
        alarm(s, AlarmAction::Get, 7, AlarmType::None).await;
        s.put(put("b", "1")).await;
        s.grant(5, 1000).await;
        s.txn(TxnRequest { failure: vec![op(put("b", "1"))], ..Default::default() }).await;
        s.txn(txn(vec![op(delete_to("b", "c"))])).await;
        s.range(range("a")).await;
        s.compact(2, false).await;
        alarm(s, AlarmAction::Deactivate, 0, AlarmType::Nospace).await;
        alarm(s, AlarmAction::Deactivate, 99, AlarmType::Nospace).await;
        alarm(s, AlarmAction::Get, 0, AlarmType::None).await;
        s.put(put("b", "1")).await;
    }

    "Maintenance: defragmentation, and what was there is there", &[], "
        defragment: no header
        range: rev 2, count 1 [a=1 c2 m2 v1]
    ", |s| {
        let _ = s.client.put(put("a", "1")).await;
        let answer = s.client.defragment(DefragmentRequest {}).await;
        s.note(answer, |answer| match answer.header {
            None => "defragment: no header".to_owned(),
            Some(header) => format!("defragment: {header:?}"),
        });
        s.range(range("a")).await;
    }

    "Health: the service's check", &[], "
        Serving
        NotFound: unknown service
    ", |s| {
        for service in ["", "no.such.Service"] {
            let mut client = HealthClient::new(s.client.transport());
            let request = HealthCheckRequest { service: service.to_owned() };
            match client.check(request).await {
                Ok(answer) => s.say(format!("{:?}", answer.into_inner().status())),
                Err(status) => s.say(format!("{:?}: {}", status.code(), status.message())),
            }
        }
    }

    "Health: the list, and one that is told of changes", &[
        ("3.4", "the service has Check alone before 3.6"),
        ("3.5", "the service has Check alone before 3.6"),
    ], "
        1 of them, serving true
        Serving
        ServiceUnknown
    ", |s| {
        let mut client = HealthClient::new(s.client.transport());
        match client.list(HealthListRequest {}).await {
            Ok(answer) => {
                let statuses = answer.into_inner().statuses;
                let serving = statuses.values().all(|answer| {
                    answer.status() == ServingStatus::Serving
                });
                s.say(format!("{} of them, serving {serving}", statuses.len()));
            }
            Err(status) => s.say(format!("{:?}: {}", status.code(), status.message())),
        }
        for service in ["", "no.such.Service"] {
            let request = HealthCheckRequest { service: service.to_owned() };
            let first = match client.watch(request).await {
                Ok(stream) => stream.into_inner().message().await,
                Err(status) => Err(status),
            };
            s.say(match first {
                Ok(Some(answer)) => format!("{:?}", answer.status()),
                Ok(None) => "ended".to_owned(),
                Err(status) => format!("{:?}: {}", status.code(), status.message()),
            });
        }
    }
};
