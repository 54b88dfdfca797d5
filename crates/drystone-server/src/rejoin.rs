//! `--auto-join`: a member whose data was lost comes back by itself, as a new member under its
//! name and peer URLs.
//!
//! What it is about to do is noted in the data directory first, so that a crash between any two
//! steps is taken up where it happened:
//!
//! 1. It finds its old entry with the members that run, makes a new id, and notes both
//!    ([`Stage::Replacing`]).
//! 2. It asks the leader to put a learner with the new id in the old entry's place. Asking again
//!    changes nothing more.
//! 3. It notes that it is about to begin under the new id ([`Stage::Learning`]), and makes its
//!    log. From here on the id is used: should the log be lost again, it takes another one.
//! 4. It runs, catches up, and asks to be promoted until it votes. Then the note goes.

use crate::config::{ClusterState, Config};
use crate::founding::{lost_its_data, was_started};
use crate::join::{Joining, check_versions, other_urls};
use crate::layout::Layout;
use crate::resolve::same_text;
use crate::shared::Shared;
use anyhow::{Context, bail};
use drystone_machine::member_id;
use drystone_member::Founding;
use drystone_peer::{
    ClusterInfo, Fetch, FetchError, MemberInfo, PeerUrl, ReplaceRefused, Replacement,
};
use drystone_types::{ClusterId, MemberId};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// How long a member may take to answer one question.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long another member may take to say whom it knows, when nobody need be there.
const FIRST_ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a member tries to be replaced before it ends. The next start goes on.
const REPLACE_MAX: Duration = Duration::from_secs(300);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// How far a member is that comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The cluster is asked to replace it.
    Replacing,
    /// It has begun, or is about to begin, under its new id.
    Learning,
}

/// What is noted of a member that comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) stage: Stage,
    pub(crate) cluster: ClusterId,
    pub(crate) old: MemberId,
    pub(crate) new: MemberId,
    /// Whether it had a vote, and so is to get one again.
    pub(crate) votes: bool,
}

impl Note {
    pub(crate) fn to_json(&self) -> Value {
        let stage = match self.stage {
            Stage::Replacing => "replacing",
            Stage::Learning => "learning",
        };
        json!({
            "stage": stage,
            "cluster": self.cluster.to_string(),
            "old": self.old.to_string(),
            "new": self.new.to_string(),
            "votes": self.votes,
        })
    }

    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let id = |name: &str| u64::from_str_radix(value[name].as_str()?, 16).ok();
        Some(Self {
            stage: match value["stage"].as_str()? {
                "replacing" => Stage::Replacing,
                "learning" => Stage::Learning,
                _ => return None,
            },
            cluster: ClusterId(id("cluster")?),
            old: MemberId(id("old")?),
            new: MemberId(id("new")?),
            votes: value["votes"].as_bool()?,
        })
    }
}

/// Brings a member without a log back into the cluster that knows it; `None` when no cluster
/// does, and so when it is none of `--auto-join`'s business how it begins.
///
/// # Errors
/// The cluster refuses for good, or did not do it in time.
pub(crate) async fn come_back(config: &Config, layout: &Layout) -> anyhow::Result<Option<Joining>> {
    let noted = layout.rejoining()?;
    let dialer = crate::tls::dialer(config)?;
    let fetch = Fetch::new(dialer.clone(), ASK_TIMEOUT);
    let first = match noted {
        Some(_) => fetch.clone(),
        None => Fetch::new(dialer, FIRST_ASK_TIMEOUT),
    };
    let until = Instant::now() + REPLACE_MAX;
    let told = loop {
        match any_cluster(&first, config).await {
            Some(told) => break told,
            None if noted.is_none() => return Ok(None),
            None if Instant::now() > until => bail!("no other member could be asked to come back"),
            None => tokio::time::sleep(PAUSE).await,
        }
    };
    // A log under the noted id may have been there and lost: the id is not used again.
    let noted = noted.map(|note| match note.stage {
        Stage::Replacing => note,
        Stage::Learning => Note { old: note.new, ..note },
    });
    let note = match noted {
        Some(note) if note.cluster != told.cluster => bail!(
            "this member was about to come back to cluster {}, but the other members are of {}",
            note.cluster,
            told.cluster
        ),
        Some(note) if note.new != note.old => note,
        Some(note) => Note { stage: Stage::Replacing, new: fresh_id(config, &told), ..note },
        None => match own_entry(config, &told)? {
            Some(own) => Note {
                stage: Stage::Replacing,
                cluster: told.cluster,
                old: own.member(),
                new: fresh_id(config, &told),
                votes: !own.is_learner || !was_started(own),
            },
            None => return Ok(None),
        },
    };
    check_versions(&fetch, &told, note.old).await?;
    layout.create()?;
    layout.set_rejoining(&note)?;
    tracing::warn!(
        old = %note.old,
        new = %note.new,
        "this member's data was lost; it asks to come back as a new member"
    );
    let members = be_replaced(&fetch, config, layout, &note, told, until).await?;
    layout.set_rejoining(&Note { stage: Stage::Learning, ..note.clone() })?;
    let told = ClusterInfo { cluster: note.cluster, members };
    Ok(Some(Joining { replaces: true, ..Joining::new(&told, note.new) }))
}

/// What any other member of `--initial-cluster` says of its cluster.
async fn any_cluster(fetch: &Fetch, config: &Config) -> Option<ClusterInfo> {
    let urls = other_urls(config);
    let answers = futures::future::join_all(urls.iter().map(|url| fetch.members(url))).await;
    answers.into_iter().flatten().next()
}

/// The entry that is this member's and whose data is lost; `None` when there is none.
fn own_entry<'a>(config: &Config, told: &'a ClusterInfo) -> anyhow::Result<Option<&'a MemberInfo>> {
    let urls = &config.initial_advertise_peer_urls;
    let own = told.members.iter().find(|member| same_text(&member.peer_urls, urls));
    let Some(own) = own else { return Ok(None) };
    if !own.name.is_empty() && own.name != config.name {
        bail!(
            "the cluster has {:?} at {}, not {:?}",
            own.name,
            own.peer_urls.join(","),
            config.name
        );
    }
    if was_started(own) {
        return Ok(Some(own));
    }
    // One that waits for its first start: it joins, or founds. But a founder has another id than
    // one that was on its way back when it lost its data once more.
    let founding = Founding::new(&config.initial_cluster, &config.initial_cluster_token)?;
    let founds = config.initial_cluster_state == ClusterState::New;
    let is_other = founds && founding.id_of(&config.name) != Some(own.member());
    Ok(is_other.then_some(own))
}

/// An id that nobody in the cluster has.
fn fresh_id(config: &Config, told: &ClusterInfo) -> MemberId {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let id = |seconds| member_id(&config.initial_advertise_peer_urls, "", Some(seconds));
    let taken = |id: MemberId| told.members.iter().any(|member| member.member() == id);
    (now..).map(id).find(|id| !taken(*id)).expect("a cluster does not have all ids")
}

/// Asks the members until one of them, the leader, has replaced this one: the members there are
/// then.
async fn be_replaced(
    fetch: &Fetch,
    config: &Config,
    layout: &Layout,
    note: &Note,
    told: ClusterInfo,
    until: Instant,
) -> anyhow::Result<Vec<MemberInfo>> {
    let replacement = Replacement {
        name: config.name.clone(),
        peer_urls: config.initial_advertise_peer_urls.clone(),
        old: note.old,
        new: note.new,
    };
    let mut urls = other_urls(config);
    for member in told.members.iter().filter(|member| member.member() != note.old) {
        let more = member.peer_urls.iter().filter_map(|url| url.parse::<PeerUrl>().ok());
        urls.extend(
            more.filter(|url| !config.initial_advertise_peer_urls.contains(&url.to_string())),
        );
    }
    urls.sort_by_key(ToString::to_string);
    urls.dedup();
    let mut last = String::from("no member answered");
    while Instant::now() < until {
        for url in &urls {
            match fetch.replace_member(url, note.cluster, &replacement).await {
                Ok(members) => return Ok(members),
                Err(FetchError::Refused(ReplaceRefused::NotLeader)) => {}
                Err(FetchError::Refused(ReplaceRefused::Later(reason))) => {
                    if reason != last {
                        tracing::warn!(%url, reason, "not replaced yet");
                        last = reason;
                    }
                }
                Err(FetchError::Refused(ReplaceRefused::Never(reason))) => {
                    layout.clear_rejoining()?;
                    bail!("the cluster refuses: {reason}. {}", lost_its_data(note.old, config));
                }
                Err(error) => tracing::debug!(%url, %error, "a member could not be asked"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!("not replaced within {REPLACE_MAX:?} ({last}); the next start goes on")
}

/// Asks for this member's vote until it has one, if it came back by itself.
pub(crate) async fn vote_again(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let note = match shared.layout.rejoining() {
        Ok(Some(note)) if note.new == shared.member => note,
        Ok(_) => return,
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "cannot tell whether to ask for a vote");
            return;
        }
    };
    loop {
        let own = shared.membership().member(shared.member).cloned();
        match own {
            Some(own) if !own.is_learner || !note.votes => break,
            Some(_) => ask_for_vote(&shared).await,
            None => {}
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = stop.changed() => return,
        }
    }
    match shared.layout.clear_rejoining() {
        Ok(()) => tracing::info!(member = %shared.member, "came back by itself"),
        Err(error) => tracing::warn!(error = format!("{error:#}"), "the note of it stays"),
    }
}

async fn ask_for_vote(shared: &Shared) {
    for url in shared.leader_urls() {
        match shared.fetch.promote_replacement(&url, shared.cluster, shared.member).await {
            Ok(_) => return,
            Err(error) => tracing::debug!(%url, %error, "no vote yet"),
        }
    }
}

/// Reads a note.
///
/// # Errors
/// It is none; what helps is named by the caller.
pub(crate) fn read_note(text: &[u8]) -> anyhow::Result<Note> {
    let value: Value = serde_json::from_slice(text)?;
    Note::from_json(&value).context("it is not a note of a member that comes back")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Parsed, parse};

    fn config(state: &str) -> Config {
        let words = [
            "--name=c".to_owned(),
            "--initial-advertise-peer-urls=http://127.0.0.1:3".to_owned(),
            "--initial-cluster=a=http://127.0.0.1:1,c=http://127.0.0.1:3".to_owned(),
            format!("--initial-cluster-state={state}"),
        ];
        match parse(words, []).unwrap() {
            Parsed::Run { config, .. } => *config,
            Parsed::Print(text) => panic!("{text}"),
        }
    }

    fn told(id: u64, name: &str, started: bool) -> ClusterInfo {
        let own = MemberInfo {
            id,
            name: name.to_owned(),
            peer_urls: vec!["http://127.0.0.1:3".to_owned()],
            client_urls: if started { vec!["http://c:1".to_owned()] } else { Vec::new() },
            ..MemberInfo::default()
        };
        ClusterInfo { cluster: ClusterId(9), members: vec![own] }
    }

    #[test]
    fn notes_are_read_as_they_were_written() {
        for (stage, votes) in [(Stage::Replacing, true), (Stage::Learning, false)] {
            let (cluster, old, new) = (ClusterId(0xc), MemberId(u64::MAX), MemberId(2));
            let note = Note { stage, cluster, old, new, votes };
            assert_eq!(read_note(note.to_json().to_string().as_bytes()).unwrap(), note);
        }
        assert!(read_note(b"{}").is_err() && read_note(b"").is_err());
    }

    /// A member that has yet to start for the first time is not one that lost its data, and a
    /// founder must never be taken for one: the cluster would be torn down while it begins.
    #[test]
    fn only_a_member_that_had_data_comes_back() {
        for state in ["new", "existing"] {
            let config = config(state);
            let founder = Founding::new(&config.initial_cluster, "etcd-cluster").unwrap();
            let founder = founder.id_of("c").unwrap().0;
            let id = |told: &ClusterInfo| own_entry(&config, told).unwrap().map(|own| own.id);
            assert_eq!(id(&told(founder, "c", true)), Some(founder));
            assert_eq!(id(&told(77, "c", true)), Some(77));
            assert_eq!(id(&told(founder, "c", false)), None, "a founder that begins");
            let on_its_way = id(&told(77, "", false));
            assert_eq!(on_its_way, (state == "new").then_some(77), "{state}");
            assert!(own_entry(&config, &told(77, "x", true)).is_err(), "another's URLs");
        }
    }

    #[test]
    fn a_fresh_id_is_nobodys() {
        let config = config("new");
        let first = fresh_id(&config, &told(1, "c", true));
        let mut told = told(first.0, "c", true);
        assert_ne!(fresh_id(&config, &told), first);
        told.members.clear();
    }
}
