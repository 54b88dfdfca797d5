//! The end of a run: everything settles, the last writes, and the judgement.

use super::figures::Figures;
use super::listen::Goal;
use super::load::{self, leases};
use super::log;
use super::notebook::Notebook;
use super::stage::Stage;
use crate::harness::Stop;
use crate::torture::finale::hash;
use crate::torture::load::client;
use anyhow::Context as _;
use drystone_api::etcdserverpb as pb;
use drystone_judge::{History, LeaseClock, Verdict, WatchStream};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The longest a lease may live beyond its time once the faults are over.
const LEASE_SLACK: Duration = Duration::from_secs(6);
/// One question to one member.
const QUESTION_MAX: Duration = Duration::from_secs(10);

/// What a run leaves for the judges, as far as it came.
#[derive(Debug, Default)]
pub(super) struct Remains {
    pub(super) history: History,
    /// What is wrong beside what the judges find.
    pub(super) faults: Vec<String>,
}

/// Ends the load in good order and collects the history. `struck` says that the faults went as
/// they should; without that nothing is asked of liveness.
pub(super) async fn collect(
    stage: &mut Stage,
    notebook: &Arc<Notebook>,
    (mut clients, mut watches): (JoinSet<()>, JoinSet<Vec<WatchStream>>),
    goal: &watch::Sender<Goal>,
    struck: bool,
    figures: &mut Figures,
) -> anyhow::Result<Remains> {
    let mut remains = Remains::default();
    let settled_at = notebook.shared.epoch.elapsed();
    notebook.shared.stop();
    while let Some(done) = clients.join_next().await {
        done.context("a client of the load died")?;
    }
    let mut streams: Vec<WatchStream> = Vec::new();
    let mut commit = None;
    if struck {
        match settle(stage, notebook, figures).await {
            Ok((revisions, index)) => {
                remains.history.settled_at = Some(settled_at);
                commit = Some(index);
                goal.send_replace(Some(revisions));
                while let Some(done) = watches.join_next().await {
                    streams.extend(done.context("a watch of the load died")?);
                }
            }
            Err(why) => remains.faults.push(why),
        }
    }
    watches.shutdown().await;
    remains.history.operations = notebook.operations();
    remains.history.streams = streams;
    remains.history.lease_clock = LeaseClock { fastest: 1.0, slack: LEASE_SLACK };
    if let Some(commit) = commit
        && let Err(error) = read_logs(stage, commit, &mut remains).await
    {
        remains.faults.push(format!("{error:#}"));
    }
    Ok(remains)
}

/// Lets leases run out, writes every key once more, and holds members against each other.
/// Gives the revisions of the last writes, and the last committed index.
async fn settle(
    stage: &Stage,
    notebook: &Arc<Notebook>,
    figures: &mut Figures,
) -> Result<(Vec<i64>, u64), String> {
    let ttl = Duration::from_secs(u64::try_from(leases::TTL_SECONDS_MAX).unwrap_or(0));
    tokio::time::sleep(ttl + LEASE_SLACK + Duration::from_secs(1)).await;
    let revisions = load::close(notebook).await?;
    let last = revisions.last().copied().unwrap_or(0);
    let endpoints = stage.cluster.endpoints();
    let mut hashes: BTreeMap<u32, Vec<&String>> = BTreeMap::new();
    for endpoint in &endpoints {
        hashes.entry(hash(endpoint, last).await?).or_default().push(endpoint);
    }
    figures.revisions = last;
    figures.hashes = hashes.iter().map(|(hash, members)| (*hash, members.len())).collect();
    if hashes.len() > 1 {
        return Err(format!("members do not agree: hashes at revision {last}: {hashes:?}"));
    }
    let mut commit = 0;
    for endpoint in &endpoints {
        let status = client(std::slice::from_ref(endpoint), QUESTION_MAX);
        let status = status.status(pb::StatusRequest {}).await.map_err(|e| e.to_string())?;
        commit = commit.max(status.raft_applied_index);
    }
    Ok((revisions, commit))
}

/// Ends the members and reads their logs.
async fn read_logs(stage: &mut Stage, commit: u64, remains: &mut Remains) -> anyhow::Result<()> {
    let cluster = stage.cluster.id();
    let mut logs = Vec::new();
    for n in 0..stage.members() {
        let member = stage.cluster.member_mut(n);
        let ended = member.stop(Stop::Terminate).await?;
        if let Some(status) = ended.filter(|status| !ended_as_told(*status)) {
            remains.faults.push(format!("{} was asked to end: {status}", member.name()));
        }
        logs.push(log::read(member.data_dir(), (cluster, member.id()))?);
    }
    remains.history.log = log::agree(&logs, commit, &mut remains.faults);
    log::assign(&mut remains.history);
    Ok(())
}

/// A server that was told to end dies by that signal once all is written, as etcd does.
fn ended_as_told(status: std::process::ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.success() || status.signal() == Some(rustix::process::Signal::TERM.as_raw())
}

/// Judges a history by all judges. Leases are judged last: what is noted in the log for them is
/// for them alone.
pub(super) fn judge(history: &mut History) -> Verdict {
    let mut verdict = drystone_judge::witness(history);
    verdict.extend(drystone_judge::watches(history));
    log::time_expiries(history);
    verdict.extend(drystone_judge::leases(history));
    verdict
}
