//! Locks and elections.

use super::session::{delete, put, range, range_to};
use super::{Row, Session, render, rows};
use drystone_api::etcdserverpb::ResponseHeader;
use drystone_api::v3electionpb as epb;
use drystone_api::v3electionpb::election_client::ElectionClient;
use drystone_api::v3lockpb::lock_client::LockClient;
use drystone_api::v3lockpb::{LockRequest, LockResponse, UnlockRequest};
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::{Response, Status, Streaming};

const GIVEN_ALL_THE_SAME: &str = "who has lost his key is given the lock, which 3.5 mended";

/// How long a call that must come to its end may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a call that must wait is watched waiting.
const SILENCE: Duration = Duration::from_millis(300);

/// A call under way.
type Pending<T> = JoinHandle<Result<Response<T>, Status>>;

fn revision(header: Option<&ResponseHeader>) -> String {
    render::revision(header)
}

fn refused(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

fn begin_lock(session: &Session, name: &str, lease: i64) -> Pending<LockResponse> {
    let mut client = LockClient::new(session.client.transport());
    let request = LockRequest { name: name.to_owned().into(), lease };
    tokio::spawn(async move { client.lock(request).await })
}

fn begin_campaign(
    session: &Session,
    name: &str,
    lease: i64,
    value: &str,
) -> Pending<epb::CampaignResponse> {
    let mut client = ElectionClient::new(session.client.transport());
    let (name, value) = (name.to_owned().into(), value.to_owned().into());
    let request = epb::CampaignRequest { name, lease, value };
    tokio::spawn(async move { client.campaign(request).await })
}

/// Keeps the answer of a call that comes to its end.
async fn end<T>(session: &mut Session, call: Pending<T>, show: fn(&T) -> String) -> Option<T> {
    let (line, answer) = match tokio::time::timeout(ANSWER, call).await {
        Ok(Ok(Ok(answer))) => (show(answer.get_ref()), Some(answer.into_inner())),
        Ok(Ok(Err(status))) => (refused(&status), None),
        Ok(Err(panic)) => (panic.to_string(), None),
        Err(_) => ("no answer".to_owned(), None),
    };
    session.say(line);
    answer
}

/// Keeps a line that a call waits, or that it does not.
async fn waits<T>(session: &mut Session, call: &mut Pending<T>) {
    let done = tokio::time::timeout(SILENCE, call).await;
    session.say(if done.is_err() { "waits" } else { "does not wait" });
}

/// Waits until a name has so many keys: those who wait have entered the queue.
async fn queued(session: &Session, name: &str, keys: i64) {
    let all = range_to(&format!("{name}/"), &format!("{name}0"));
    let entered = async {
        while !matches!(session.client.range(all.clone()).await, Ok(found) if found.count == keys) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // What is missing then shows in the row's next lines.
    let _ = tokio::time::timeout(ANSWER, entered).await;
}

async fn lock(session: &mut Session, name: &str, lease: i64) -> Option<LockResponse> {
    let call = begin_lock(session, name, lease);
    end(session, call, show_lock).await
}

fn show_lock(answer: &LockResponse) -> String {
    format!("lock: {}, key {}", revision(answer.header.as_ref()), answer.key.escape_ascii())
}

async fn unlock(session: &mut Session, key: &[u8]) {
    let request = UnlockRequest { key: key.to_vec().into() };
    let answer = LockClient::new(session.client.transport()).unlock(request).await;
    session.say(match answer {
        Ok(answer) => format!("unlock: {}", revision(answer.get_ref().header.as_ref())),
        Err(status) => refused(&status),
    });
}

async fn campaign(
    session: &mut Session,
    name: &str,
    lease: i64,
    value: &str,
) -> Option<epb::LeaderKey> {
    let call = begin_campaign(session, name, lease, value);
    end(session, call, show_campaign).await.and_then(|answer| answer.leader)
}

fn show_campaign(answer: &epb::CampaignResponse) -> String {
    let leader = answer.leader.clone().unwrap_or_default();
    format!(
        "campaign: {}, {} by {} at {} with lease {}",
        revision(answer.header.as_ref()),
        leader.name.escape_ascii(),
        leader.key.escape_ascii(),
        leader.rev,
        leader.lease
    )
}

async fn proclaim(session: &mut Session, leader: Option<epb::LeaderKey>, value: &str) {
    let request = epb::ProclaimRequest { leader, value: value.to_owned().into() };
    let answer = ElectionClient::new(session.client.transport()).proclaim(request).await;
    session.say(match answer {
        Ok(answer) => format!("proclaim: {}", revision(answer.get_ref().header.as_ref())),
        Err(status) => refused(&status),
    });
}

async fn resign(session: &mut Session, leader: Option<epb::LeaderKey>) {
    let request = epb::ResignRequest { leader };
    let answer = ElectionClient::new(session.client.transport()).resign(request).await;
    session.say(match answer {
        Ok(answer) => format!("resign: {}", revision(answer.get_ref().header.as_ref())),
        Err(status) => refused(&status),
    });
}

fn show_leader(answer: &epb::LeaderResponse) -> String {
    let kv = answer.kv.clone().unwrap_or_default();
    format!(
        "leader: {}, {}={} c{} m{} l{}",
        revision(answer.header.as_ref()),
        kv.key.escape_ascii(),
        kv.value.escape_ascii(),
        kv.create_revision,
        kv.mod_revision,
        kv.lease
    )
}

async fn leader(session: &mut Session, name: &str) {
    let request = epb::LeaderRequest { name: name.to_owned().into() };
    let answer = ElectionClient::new(session.client.transport()).leader(request).await;
    session.say(match answer {
        Ok(answer) => show_leader(answer.get_ref()),
        Err(status) => refused(&status),
    });
}

fn observe(session: &Session, name: &str) -> Pending<Streaming<epb::LeaderResponse>> {
    let mut client = ElectionClient::new(session.client.transport());
    let request = epb::LeaderRequest { name: name.to_owned().into() };
    // Servers answer the call itself when there is a leader.
    tokio::spawn(async move { client.observe(request).await })
}

async fn next(session: &mut Session, leaders: &mut Streaming<epb::LeaderResponse>) {
    let line = match tokio::time::timeout(ANSWER, leaders.message()).await {
        Ok(Ok(Some(answer))) => show_leader(&answer),
        Ok(Ok(None)) => "observe: ended".to_owned(),
        Ok(Err(status)) => refused(&status),
        Err(_) => "observe: nothing came".to_owned(),
    };
    session.say(line);
}

pub(super) const ROWS: &[Row] = rows! {
    "Lock: the key, twice with one lease, and its end", &[], "
        grant: rev 1, id 100, ttl 1000
        lock: rev 2, key L/64
        lock: rev 2, key L/64
        range: rev 2, count 1 [L/64= c2 m2 v1 l100]
        unlock: rev 3
        unlock: rev 3
        lock: rev 4, key L/64
    ", |s| {
        s.grant(100, 1000).await;
        lock(s, "L", 100).await;
        lock(s, "L", 100).await;
        s.range(range("L/64")).await;
        unlock(s, b"L/64").await;
        unlock(s, b"L/64").await;
        lock(s, "L", 100).await;
    }

    "Lock: what is refused", &[], "
        Unknown: etcdserver: requested lease not found
        Unknown: etcdserver: key is not provided
        range: rev 1, count 0 []
    ", |s| {
        lock(s, "L", 99).await;
        unlock(s, b"").await;
        s.range(range_to("L/", "L0")).await;
    }

    "Lock: names that are empty or hold a slash, and a negative lease", &[], "
        grant: rev 1, id 100, ttl 1000
        grant: rev 1, id -31, ttl 1000
        lock: rev 2, key /64
        lock: rev 3, key a/b/64
        lock: rev 4, key L/-1f
    ", |s| {
        s.grant(100, 1000).await;
        s.grant(-31, 1000).await;
        lock(s, "", 100).await;
        lock(s, "a/b", 100).await;
        lock(s, "L", -31).await;
    }

    "Lock: a lease of its own lives a minute", &[], "
        key below the name: true, lease in the key: true
        granted for 60
    ", |s| {
        let request = LockRequest { name: "L".into(), lease: 0 };
        let Ok(answer) = LockClient::new(s.client.transport()).lock(request).await else {
            return s.say("refused");
        };
        let key = answer.into_inner().key;
        let found = s.client.range(range(&String::from_utf8_lossy(&key))).await;
        let lease = found.ok().and_then(|found| found.kvs.first().map(|kv| kv.lease)).unwrap_or(0);
        s.say(format!(
            "key below the name: {}, lease in the key: {}",
            key.starts_with(b"L/"),
            key.ends_with(format!("/{lease:x}").as_bytes())
        ));
        let request =
            drystone_api::etcdserverpb::LeaseTimeToLiveRequest { id: lease, keys: false };
        let granted = s.client.lease_time_to_live(request).await;
        s.say(format!("granted for {}", granted.map_or(0, |granted| granted.granted_ttl)));
    }

    "Lock: those who wait take turns in the order they came", &[], "
        grant: rev 1, id 1, ttl 1000
        grant: rev 1, id 2, ttl 1000
        grant: rev 1, id 3, ttl 1000
        lock: rev 2, key L/1
        waits
        waits
        unlock: rev 5
        lock: rev 5, key L/3
        waits
        revoke: rev 6
        lock: rev 6, key L/2
    ", |s| {
        for id in [1, 2, 3] {
            s.grant(id, 1000).await;
        }
        lock(s, "L", 1).await;
        let mut third = begin_lock(s, "L", 3);
        queued(s, "L", 2).await;
        let mut second = begin_lock(s, "L", 2);
        queued(s, "L", 3).await;
        waits(s, &mut third).await;
        waits(s, &mut second).await;
        unlock(s, b"L/1").await;
        end(s, third, show_lock).await;
        waits(s, &mut second).await;
        s.revoke(3).await;
        end(s, second, show_lock).await;
    }

    "Lock: who waits is served though the one before him leaves the middle", &[], "
        grant: rev 1, id 1, ttl 1000
        grant: rev 1, id 2, ttl 1000
        grant: rev 1, id 3, ttl 1000
        lock: rev 2, key L/1
        waits
        lock: rev 6, key L/3
    ", |s| {
        for id in [1, 2, 3] {
            s.grant(id, 1000).await;
        }
        lock(s, "L", 1).await;
        let second = begin_lock(s, "L", 2);
        queued(s, "L", 2).await;
        let mut third = begin_lock(s, "L", 3);
        queued(s, "L", 3).await;
        // His caller goes away: his key is deleted.
        second.abort();
        queued(s, "L", 2).await;
        waits(s, &mut third).await;
        let _ = s.client.delete_range(delete("L/1")).await;
        end(s, third, show_lock).await;
    }

    "Lock: who loses his key while he waits", &[("3.4", GIVEN_ALL_THE_SAME)], "
        grant: rev 1, id 1, ttl 1000
        grant: rev 1, id 2, ttl 1000
        lock: rev 2, key L/1
        revoke: rev 4
        unlock: rev 5
        Unknown: mutex: session is expired
    ", |s| {
        s.grant(1, 1000).await;
        s.grant(2, 1000).await;
        lock(s, "L", 1).await;
        let second = begin_lock(s, "L", 2);
        queued(s, "L", 2).await;
        s.revoke(2).await;
        unlock(s, b"L/1").await;
        end(s, second, show_lock).await;
    }

    "Election: campaign, proclaim, resign", &[], "
        Unknown: election: no leader
        grant: rev 1, id 100, ttl 1000
        campaign: rev 2, E by E/64 at 2 with lease 100
        leader: rev 2, E/64=one c2 m2 l100
        campaign: rev 2, E by E/64 at 2 with lease 100
        proclaim: rev 3
        leader: rev 3, E/64=two c2 m3 l100
        campaign: rev 3, E by E/64 at 2 with lease 100
        leader: rev 4, E/64=three c2 m4 l100
        resign: rev 5
        resign: rev 5
        Unknown: election: not leader
        Unknown: election: no leader
    ", |s| {
        leader(s, "E").await;
        s.grant(100, 1000).await;
        let key = campaign(s, "E", 100, "one").await;
        leader(s, "E").await;
        campaign(s, "E", 100, "one").await;
        proclaim(s, key.clone(), "two").await;
        leader(s, "E").await;
        campaign(s, "E", 100, "three").await;
        leader(s, "E").await;
        resign(s, key.clone()).await;
        resign(s, key.clone()).await;
        proclaim(s, key, "four").await;
        leader(s, "E").await;
    }

    "Election: what is refused", &[], "
        Unknown: \"leader\" field must be provided
        Unknown: \"leader\" field must be provided
        Unknown: etcdserver: requested lease not found
        Unknown: election: no leader
    ", |s| {
        proclaim(s, None, "a").await;
        resign(s, None).await;
        campaign(s, "E", 99, "a").await;
        leader(s, "").await;
    }

    "Election: who waits leads next, with the header of his coming", &[], "
        grant: rev 1, id 1, ttl 1000
        grant: rev 1, id 2, ttl 1000
        campaign: rev 2, E by E/1 at 2 with lease 1
        waits
        leader: rev 3, E/1=one c2 m2 l1
        resign: rev 4
        campaign: rev 3, E by E/2 at 3 with lease 2
        leader: rev 4, E/2=two c3 m3 l2
    ", |s| {
        s.grant(1, 1000).await;
        s.grant(2, 1000).await;
        let first = campaign(s, "E", 1, "one").await;
        let mut second = begin_campaign(s, "E", 2, "two");
        queued(s, "E", 2).await;
        waits(s, &mut second).await;
        leader(s, "E").await;
        resign(s, first).await;
        end(s, second, show_campaign).await;
        leader(s, "E").await;
    }

    "Election: leaders are observed one after the other", &[], "
        grant: rev 1, id 1, ttl 1000
        grant: rev 1, id 2, ttl 1000
        put: rev 2
        campaign: rev 3, E by E/1 at 3 with lease 1
        leader: rev 3, E/1=one c3 m3 l1
        proclaim: rev 4
        leader: rev 4, E/1=more c3 m4 l1
        resign: rev 6
        leader: rev 6, E/2=two c5 m5 l2
    ", |s| {
        s.grant(1, 1000).await;
        s.grant(2, 1000).await;
        s.put(put("other", "")).await;
        let first = campaign(s, "E", 1, "one").await;
        let Ok(Ok(Ok(leaders))) = tokio::time::timeout(ANSWER, observe(s, "E")).await else {
            return s.say("observe: refused");
        };
        let mut leaders = leaders.into_inner();
        next(s, &mut leaders).await;
        proclaim(s, first.clone(), "more").await;
        next(s, &mut leaders).await;
        let second = begin_campaign(s, "E", 2, "two");
        queued(s, "E", 2).await;
        resign(s, first).await;
        next(s, &mut leaders).await;
        second.abort();
    }

    "Election: an observer hears of the first leader there will be", &[], "
        grant: rev 1, id 1, ttl 1000
        campaign: rev 2, E by E/1 at 2 with lease 1
        leader: rev 2, E/1=one c2 m2 l1
    ", |s| {
        s.grant(1, 1000).await;
        let observer = observe(s, "E");
        campaign(s, "E", 1, "one").await;
        let Ok(Ok(Ok(leaders))) = tokio::time::timeout(ANSWER, observer).await else {
            return s.say("observe: refused");
        };
        next(s, &mut leaders.into_inner()).await;
    }

    "Election: a lease of its own is told in the key", &[], "
        granted for 60, key names it: true
    ", |s| {
        let request = epb::CampaignRequest { name: "E".into(), lease: 0, value: "v".into() };
        let answer = ElectionClient::new(s.client.transport()).campaign(request).await;
        let leader = answer.ok().and_then(|answer| answer.into_inner().leader).unwrap_or_default();
        let request =
            drystone_api::etcdserverpb::LeaseTimeToLiveRequest { id: leader.lease, keys: false };
        let granted = s.client.lease_time_to_live(request).await;
        s.say(format!(
            "granted for {}, key names it: {}",
            granted.map_or(0, |granted| granted.granted_ttl),
            leader.key.ends_with(format!("/{:x}", leader.lease).as_bytes())
        ));
    }
};
