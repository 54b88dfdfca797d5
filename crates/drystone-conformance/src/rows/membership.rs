//! Changes of membership, and of the leader.

use super::session::put;
use super::{Row, Session, rows};
use drystone_api::etcdserverpb::{
    Member, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
    MemberUpdateRequest, MoveLeaderRequest,
};

/// URLs that nobody listens at.
const NOBODY: [&str; 3] = ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"];

const VOTES: &str = "new URLs make a learner a voter, which 3.6.12 mended";
const SILENT: &str = "a learner too many is not answered";

/// The members, in their order, without what servers choose.
fn shown(members: &[Member], own: u64) -> String {
    let mut shown: Vec<String> = members
        .iter()
        .map(|member| {
            let id = if member.id == own { "itself" } else { "another" };
            let urls =
                if member.id == own { "its URL".into() } else { member.peer_ur_ls.join(" ") };
            let (named, clients) = (!member.name.is_empty(), member.client_ur_ls.len());
            let learner = member.is_learner;
            format!("{id} at {urls}, named {named}, {clients} client URL, learner {learner}")
        })
        .collect();
    let ascending = members.windows(2).all(|pair| pair[0].id < pair[1].id);
    // By what they are, since ids differ from run to run.
    shown.sort();
    format!("ascending {ascending} [{}]", shown.join("; "))
}

/// Adds a member; its id, 0 if refused.
async fn add(s: &mut Session, urls: &[&str], is_learner: bool) -> u64 {
    let peer_ur_ls = urls.iter().map(|url| (*url).to_owned()).collect();
    let answer = s.client.member_add(MemberAddRequest { peer_ur_ls, is_learner }).await;
    let Some(answer) = s.note(answer, |_| "added".to_owned()) else { return 0 };
    let (member, own) = (answer.member.unwrap_or_default(), s.member);
    let header = answer.header.unwrap_or_default();
    s.say(format!(
        "header of itself {}, rev {}; urls {:?}, learner {}, name {:?}",
        header.member_id == own,
        header.revision,
        member.peer_ur_ls,
        member.is_learner,
        member.name
    ));
    s.say(shown(&answer.members, own));
    member.id
}

async fn remove(s: &mut Session, id: u64) {
    let answer = s.client.member_remove(MemberRemoveRequest { id }).await;
    let own = s.member;
    if let Some(answer) = s.note(answer, |_| "removed".to_owned()) {
        s.say(shown(&answer.members, own));
    }
}

async fn update(s: &mut Session, id: u64, urls: &[&str]) {
    let peer_ur_ls = urls.iter().map(|url| (*url).to_owned()).collect();
    let answer = s.client.member_update(MemberUpdateRequest { id, peer_ur_ls }).await;
    let own = s.member;
    if let Some(answer) = s.note(answer, |_| "updated".to_owned()) {
        s.say(shown(&answer.members, own));
    }
}

async fn promote(s: &mut Session, id: u64) {
    let answer = s.client.member_promote(MemberPromoteRequest { id }).await;
    s.note(answer, |_| "promoted".to_owned());
}

async fn list(s: &mut Session) {
    let answer = s.client.member_list(MemberListRequest { linearizable: true }).await;
    let own = s.member;
    if let Some(answer) = s.note(answer, |_| "listed".to_owned()) {
        s.say(shown(&answer.members, own));
    }
}

pub(super) const ROWS: &[Row] = rows! {
    "Cluster: URLs of a new member that cannot be", &[], "
        InvalidArgument: etcdserver: given member URLs are invalid
        InvalidArgument: etcdserver: given member URLs are invalid
        InvalidArgument: etcdserver: given member URLs are invalid
        InvalidArgument: etcdserver: given member URLs are invalid
        InvalidArgument: etcdserver: given member URLs are invalid
        InvalidArgument: etcdserver: given member URLs are invalid
        listed
        ascending true [itself at its URL, named true, 1 client URL, learner false]
    ", |s| {
        add(s, &[], false).await;
        for url in ["", "127.0.0.1:1", "ftp://127.0.0.1:1", "http://127.0.0.1", "http://127.0.0.1:1/x"] {
            add(s, &[NOBODY[0], url], true).await;
        }
        list(s).await;
    }

    "Cluster: a learner is added, changed and removed", &[("3.4", VOTES), ("3.5", VOTES)], "
        added
        header of itself true, rev 0; urls [\"http://127.0.0.1:1\", \"http://127.0.0.1:2\"], learner true, name \"\"
        ascending true [another at http://127.0.0.1:1 http://127.0.0.1:2, named false, 0 client URL, learner true; itself at its URL, named true, 1 client URL, learner false]
        FailedPrecondition: etcdserver: can only promote a learner member which is in sync with leader
        updated
        ascending true [another at http://127.0.0.1:3, named false, 0 client URL, learner true; itself at its URL, named true, 1 client URL, learner false]
        put: rev 2
        removed
        ascending true [itself at its URL, named true, 1 client URL, learner false]
        NotFound: etcdserver: member not found
        NotFound: etcdserver: member not found
        NotFound: etcdserver: member not found
        put: rev 3
    ", |s| {
        let id = add(s, &[NOBODY[1], NOBODY[0]], true).await;
        promote(s, id).await;
        update(s, id, &[NOBODY[2]]).await;
        s.put(put("a", "1")).await;
        remove(s, id).await;
        remove(s, id).await;
        update(s, id, &[NOBODY[2]]).await;
        promote(s, id).await;
        s.put(put("a", "2")).await;
    }

    "Cluster: one learner, and each URL once", &[("3.5", SILENT)], "
        added
        header of itself true, rev 0; urls [\"http://127.0.0.1:1\"], learner true, name \"\"
        ascending true [another at http://127.0.0.1:1, named false, 0 client URL, learner true; itself at its URL, named true, 1 client URL, learner false]
        FailedPrecondition: etcdserver: Peer URLs already exists
        FailedPrecondition: etcdserver: too many learner members in cluster
        FailedPrecondition: etcdserver: Peer URLs already exists
        FailedPrecondition: etcdserver: can only promote a learner member
    ", |s| {
        add(s, &[NOBODY[0]], true).await;
        add(s, &[NOBODY[0], NOBODY[1]], true).await;
        add(s, &[NOBODY[1]], true).await;
        let own = s.member;
        update(s, own, &[NOBODY[0]]).await;
        promote(s, own).await;
    }

    "Cluster: unknown members, and the last voter", &[], "
        NotFound: etcdserver: member not found
        NotFound: etcdserver: member not found
        NotFound: etcdserver: member not found
        Unknown: etcdserver: re-configuration failed due to not enough started members
        listed
        ascending true [itself at its URL, named true, 1 client URL, learner false]
    ", |s| {
        remove(s, 7).await;
        update(s, 7, &[NOBODY[0]]).await;
        promote(s, 7).await;
        let own = s.member;
        remove(s, own).await;
        list(s).await;
    }

    "Maintenance: leadership moves to a voter only", &[], "
        moved, no header true
        FailedPrecondition: etcdserver: bad leader transferee
        FailedPrecondition: etcdserver: bad leader transferee
        added
        header of itself true, rev 0; urls [\"http://127.0.0.1:1\"], learner true, name \"\"
        ascending true [another at http://127.0.0.1:1, named false, 0 client URL, learner true; itself at its URL, named true, 1 client URL, learner false]
        FailedPrecondition: etcdserver: bad leader transferee
    ", |s| {
        for target_id in [s.member, 7, 0] {
            let answer = s.client.move_leader(MoveLeaderRequest { target_id }).await;
            s.note(answer, |answer| format!("moved, no header {}", answer.header.is_none()));
        }
        let target_id = add(s, &[NOBODY[0]], true).await;
        let answer = s.client.move_leader(MoveLeaderRequest { target_id }).await;
        s.note(answer, |answer| format!("moved, no header {}", answer.header.is_none()));
    }
};
