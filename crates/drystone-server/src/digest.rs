//! Rolling digests compared all the time: a member that writes something else than the majority
//! finds out within seconds, says from which revision on, and sets itself aside.
//!
//! etcd finds such a member when hashes of whole stores are compared, if ever, and then stops
//! writes everywhere. Here the others go on.

use crate::access::Authority;
use crate::shared::{Input, Shared};
use drystone_member::{Comparison, Standing, compare};
use drystone_mvcc::DigestMark;
use drystone_peer::PeerUrl;
use drystone_types::MemberId;
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// How often a member asks the others.
const INTERVAL: Duration = Duration::from_secs(1);
/// Marks that one question asks for while the first differing revision is looked for.
const NARROW_MARKS: i64 = 64;
/// Questions that look for it; each narrows 64 times.
const NARROW_QUESTIONS: usize = 8;

/// Why a member serves nobody any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aside {
    /// The first revision known to differ from what the majority wrote.
    pub(crate) revision: i64,
}

/// Compares until told to stop, or set aside.
pub(crate) async fn compare_always(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut reported = Standing::Sound;
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = stop.changed() => return,
        }
        let standing = look(&shared).await;
        match &standing {
            Standing::Minority(right) => {
                let Some(right) = right.first() else { continue };
                let revision = first_difference(&shared, *right).await;
                set_aside(&shared, revision.unwrap_or_else(|| shared.revision()));
                return;
            }
            Standing::Majority(wrong) if standing != reported => {
                for member in wrong {
                    let revision = first_difference(&shared, *member).await;
                    tracing::error!(
                        %member, revision,
                        "a member writes something else than the majority from this revision on"
                    );
                }
            }
            Standing::Undecided(others) if standing != reported => {
                for member in others {
                    let revision = first_difference(&shared, *member).await;
                    tracing::error!(
                        %member, revision,
                        "this member and another one write different things from this revision \
                         on, and no majority tells who is right; compare them with \
                         `endpoint hashkv`"
                    );
                }
            }
            Standing::Sound | Standing::Majority(_) | Standing::Undecided(_) => {}
        }
        reported = standing;
    }
}

/// Asks all others for the marks of this member's revisions.
async fn look(shared: &Shared) -> Standing {
    let own = own_marks(shared);
    let membership = shared.view.read().membership.clone();
    let members = membership.members().count();
    if members < 2 || own.len() < 2 {
        return Standing::Sound;
    }
    let revisions: Vec<i64> = own.iter().map(|mark| mark.revision).collect();
    let others = membership.members().map(|member| member.member_id());
    let others = others.filter(|member| *member != shared.member);
    let revisions = &revisions;
    let answers =
        others.map(|member| async move { (member, ask(shared, member, revisions).await) });
    let answers = join_all(answers).await;
    Standing::of(&own, &answers, members)
}

fn own_marks(shared: &Shared) -> Vec<DigestMark> {
    shared.view.read().reader(&Authority::of_this_member()).digest_marks()
}

/// What of this member's own marks at `revisions` is still there.
pub(crate) fn marks_at(shared: &Shared, revisions: &[i64]) -> Vec<DigestMark> {
    shared.view.read().reader(&Authority::of_this_member()).digests_at(revisions)
}

/// The marks that a member has of `revisions`; none when it cannot be asked.
async fn ask(shared: &Shared, member: MemberId, revisions: &[i64]) -> Vec<DigestMark> {
    let membership = shared.view.read().membership.clone();
    let urls = membership.member(member).map(|member| member.peer_urls.clone());
    for url in urls.unwrap_or_default().iter().filter_map(|url| url.parse::<PeerUrl>().ok()) {
        if let Ok(marks) = shared.fetch.digests(&url, shared.cluster, revisions).await {
            let mark = |mark: &drystone_peer::DigestMark| DigestMark {
                revision: mark.revision,
                sum: mark.sum,
            };
            return marks.iter().map(mark).collect();
        }
    }
    Vec::new()
}

/// The first revision in which this member and `other` differ; when their marks do not reach it
/// any more, the first known to lie behind it. `None` when the other does not answer now.
async fn first_difference(shared: &Shared, other: MemberId) -> Option<i64> {
    let mut own = own_marks(shared);
    let mut found = None;
    for _ in 0..NARROW_QUESTIONS {
        let revisions: Vec<i64> = own.iter().map(|mark| mark.revision).collect();
        let theirs = ask(shared, other, &revisions).await;
        let Comparison::Differs { after, upto } = compare(&own, &theirs) else { break };
        if found.is_some_and(|found| upto >= found) {
            break;
        }
        found = Some(upto);
        let step = (upto - after) / NARROW_MARKS + 1;
        let between: Vec<i64> =
            (0..=NARROW_MARKS).map(|n| after.saturating_add(n * step).min(upto)).collect();
        own = marks_at(shared, &between);
        own.dedup();
        if upto - after <= 1 {
            break;
        }
    }
    found
}

/// Sets this member aside: it serves no client, leads nobody and calls no election. It goes on
/// to keep the log and to vote, both of which are sound.
fn set_aside(shared: &Shared, revision: i64) {
    tracing::error!(
        revision,
        "this member writes something else than the majority from this revision on: it is set \
         aside and serves no clients. Stop it, remove it from the cluster, and let it join again \
         with an empty data directory"
    );
    let _ = shared.aside.set(Aside { revision });
    // Without it the others find after an election timeout that it does not lead any more.
    let (done, _) = oneshot::channel();
    let _ = shared.inbox.try_send(Input::HandOver(done));
}
