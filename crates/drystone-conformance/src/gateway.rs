//! The JSON table: requests of HTTP under `/v3/`, and the answers of etcd 3.7.1 to them.
//!
//! The table lies in `testdata/gateway/`, a file a story; [`script`] says how it is written. A
//! story runs on a fresh member of one program. Drystone must answer what is written there, to
//! the byte after [`masking`]; the etcd at hand must too, unless a case says that its version
//! rightly answers otherwise. What all of etcd 3.5 and before does otherwise (the gateway's
//! first version: another shape of refusals) is not named in each case: [`older`] translates it.
//!
//! `cargo run -p drystone-conformance --example record_gateway -- ETCD` writes the answers of a
//! binary into the table.

mod asking;
mod masking;
mod older;
mod script;

pub use script::{Case, ScriptError, Story};

use crate::comparison::{Finding, Verdict};
use crate::harness::{Cluster, HarnessError, Launch, Program};
use crate::transcript::difference;
use drystone_api::etcdserverpb::StatusRequest;
use masking::{Masking, Names};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a member is asked whether its cluster has a version.
const VERSION_POLL: Duration = Duration::from_millis(50);

/// Every story, in the order of their names.
const STORIES: &[(&str, &str)] = &[
    ("auth", include_str!("../testdata/gateway/auth.txt")),
    ("cluster", include_str!("../testdata/gateway/cluster.txt")),
    ("every_path", include_str!("../testdata/gateway/every_path.txt")),
    ("kv", include_str!("../testdata/gateway/kv.txt")),
    ("lease", include_str!("../testdata/gateway/lease.txt")),
    ("lock", include_str!("../testdata/gateway/lock.txt")),
    ("maintenance", include_str!("../testdata/gateway/maintenance.txt")),
    ("mapping", include_str!("../testdata/gateway/mapping.txt")),
    ("paths", include_str!("../testdata/gateway/paths.txt")),
    ("watch", include_str!("../testdata/gateway/watch.txt")),
];

/// The table.
///
/// # Errors
/// When a file is not written as it should be.
pub fn stories() -> Result<Vec<Story>, ScriptError> {
    STORIES.iter().map(|(name, text)| Story::parse(name, text)).collect()
}

/// What a member of this program answers to each case of a story, as lines.
///
/// # Errors
/// When no member could be started.
pub async fn answers(program: &Program, story: &Story) -> Result<Vec<Vec<String>>, HarnessError> {
    let mut cluster = Cluster::start(program, &Launch::of(1)).await?;
    let is_older = program.kind() == "etcd" && older::is_older(program.version());
    if !is_older {
        agree_on_version(&cluster).await;
    }
    let address = cluster.members()[0].client_address().to_owned();
    let mut masking = Masking::new(&address, cluster.members()[0].peer_address());
    let mut names = Names::default();
    let mut answers = Vec::new();
    for case in &story.cases {
        let mut answer = asking::ask(&address, case, &names, cluster.limits().call).await;
        names.learn(&answer.body);
        if is_older {
            answer = older::translated(answer);
        }
        let mut lines = vec![answer.head];
        lines.extend(masking.text(&answer.body).split('\n').map(str::to_owned));
        if let Some(status) = cluster.member_mut(0).ended() {
            lines.push(format!("the member ended: {status}"));
        }
        answers.push(lines);
    }
    Ok(answers)
}

/// Waits until the cluster knows its version: some answers tell it. Without, they show it.
async fn agree_on_version(cluster: &Cluster) {
    let deadline = Instant::now() + cluster.limits().start;
    while Instant::now() < deadline {
        let status = cluster.client().status(StatusRequest {}).await;
        if status.is_ok_and(|status| !status.storage_version.is_empty()) {
            return;
        }
        sleep(VERSION_POLL).await;
    }
}

/// Holds Drystone to a story, and compares it with an etcd.
///
/// # Errors
/// When etcd could not be started. A Drystone that does not start is a finding.
pub async fn compare(
    drystone: &Program,
    etcd: &Program,
    story: &Story,
) -> Result<Vec<Finding>, HarnessError> {
    let (ours, theirs) = tokio::join!(answers(drystone, story), answers(etcd, story));
    let theirs = theirs?;
    let finding = |name: &str, verdict| Finding {
        group: format!("gateway, {}", story.name),
        name: name.to_owned(),
        verdict,
    };
    let ours = match ours {
        Ok(ours) => ours,
        Err(error) => {
            let what = format!("{error:#}");
            return Ok(vec![finding("the whole story", Verdict::Differs { what })]);
        }
    };
    let cases = story.cases.iter().zip(ours.iter().zip(&theirs));
    Ok(cases
        .map(|(case, (ours, theirs))| finding(&case.name, verdict(case, ours, etcd, theirs)))
        .collect())
}

fn verdict(case: &Case, ours: &[String], etcd: &Program, theirs: &[String]) -> Verdict {
    if let Some(found) = difference(ours, &case.expected) {
        let what = format!("answers {:?}, expected {:?}", found.first, found.second);
        return Verdict::Differs { what };
    }
    let reason = case.otherwise(etcd.version());
    match (difference(ours, theirs), reason) {
        (None, _) => Verdict::Same,
        (Some(_), Some(reason)) => Verdict::Otherwise { reason },
        (Some(found), None) => {
            let what =
                format!("answers {:?}, {} answers {:?}", found.first, etcd.title(), found.second);
            Verdict::Differs { what }
        }
    }
}

#[cfg(test)]
mod tests;
