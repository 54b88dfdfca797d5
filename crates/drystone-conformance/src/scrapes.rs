//! Scrapes of Drystone and of etcd after the same work, side by side.

mod values;

use crate::harness::{Cluster, Launch, Program};
use crate::web;
use anyhow::Context as _;
use bytes::Bytes;
use drystone_api::etcdserverpb as pb;
use drystone_client::Client;
use drystone_metrics::{Family, Scrape, Scraped, find};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Members of each cluster.
const MEMBERS: usize = 3;
/// How long the numbers may take to be as expected: probes between members are half a minute
/// apart.
const SHOWN_MAX: Duration = Duration::from_secs(120);
/// Pause between two scrapes.
const PAUSE: Duration = Duration::from_millis(500);

/// Families that some etcd has and Drystone has not: a name or its beginning, and why.
const EXCEPTIONS: [(&str, &str); 6] = [
    ("go_", "Go's runtime; what dashboards ask for has a counterpart in docs/metrics.md"),
    ("etcd_debugging_mvcc_range_total", "gone since etcd 3.6; etcd_mvcc_range_total stays"),
    ("etcd_debugging_mvcc_put_total", "gone since etcd 3.5; etcd_mvcc_put_total stays"),
    ("etcd_debugging_mvcc_delete_total", "gone since etcd 3.5; etcd_mvcc_delete_total stays"),
    ("etcd_debugging_mvcc_txn_total", "gone since etcd 3.5; etcd_mvcc_txn_total stays"),
    (
        "etcd_debugging_mvcc_db_total_size_in_bytes",
        "gone since etcd 3.5; etcd_mvcc_db_total_size_in_bytes stays",
    ),
];

/// Labels of buckets and quantiles, which are no labels of the family.
const PARTS: [&str; 2] = ["le", "quantile"];

/// What the comparison found; [`fmt::Display`] prints it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The two programs.
    pub programs: [String; 2],
    /// Families that both have, alike.
    pub alike: usize,
    /// Families of etcd that are left out, with the reason.
    pub left_out: Vec<(String, &'static str)>,
    /// Families that only Drystone has.
    pub more: usize,
    /// Numbers that were looked at on both.
    pub values: usize,
    /// What differs and should not.
    pub faults: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [drystone, etcd] = &self.programs;
        writeln!(f, "{drystone} with {etcd}")?;
        writeln!(f, "  families alike in type, labels and buckets: {}", self.alike)?;
        writeln!(f, "  only in Drystone: {}", self.more)?;
        writeln!(f, "  numbers looked at: {}", self.values)?;
        writeln!(f, "  left out: {}", self.left_out.len())?;
        for (name, why) in self.left_out.iter().filter(|(name, _)| !name.starts_with("go_")) {
            writeln!(f, "    {name}: {why}")?;
        }
        Ok(())
    }
}

/// Starts three members of each, has both do the same, and compares what they tell. Numbers that
/// the work decides, and those that dashboards and alerts look at, are looked at on both, so that
/// what is expected of Drystone is what etcd says.
///
/// # Errors
/// A member could not be started, used or scraped.
pub async fn run(drystone: &Program, etcd: &Program) -> anyhow::Result<Outcome> {
    let (ours, theirs) = tokio::try_join!(scrape_after_work(drystone), scrape_after_work(etcd))?;
    let mut outcome =
        compare([drystone.title(), etcd.title()], &ours.scrapes[0], &theirs.scrapes[0]);
    outcome.values = values::ROWS.len();
    for (program, after) in [(drystone, &ours), (etcd, &theirs)] {
        let faults = after.faults.iter().map(|fault| format!("{}: {fault}", program.title()));
        outcome.faults.extend(faults);
    }
    Ok(outcome)
}

/// What the members of a cluster told after the work.
struct After {
    scrapes: Vec<Scrape>,
    /// Numbers that are not as expected.
    faults: Vec<String>,
}

async fn scrape_after_work(program: &Program) -> anyhow::Result<After> {
    let launch = Launch {
        members: MEMBERS,
        flags: vec!["--metrics=extensive".to_owned()],
        ..Launch::default()
    };
    let cluster = Cluster::start(program, &launch).await?;
    let member = cluster.members()[0].client();
    work(&member).await.context("the work before the scrape failed")?;
    let end = Instant::now() + SHOWN_MAX;
    loop {
        let mut scrapes = Vec::with_capacity(MEMBERS);
        for member in cluster.members() {
            let text = web::get(member.client_address(), "/metrics").await?;
            scrapes.push(Scrape::parse(&text)?);
        }
        let faults = values::faults(&scrapes);
        if faults.is_empty() || Instant::now() > end {
            return Ok(After { scrapes, faults });
        }
        sleep(PAUSE).await;
    }
}

/// A little of everything that is counted.
pub(crate) async fn work(client: &Client) -> anyhow::Result<()> {
    let key = || Bytes::from("metrics/a");
    let put = || pb::PutRequest { key: key(), value: "1".into(), ..Default::default() };
    client.put(put()).await?;
    client.put(put()).await?;
    client.range(pb::RangeRequest { key: key(), ..Default::default() }).await?;
    let op = |put| pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put)) };
    let other = pb::PutRequest { key: "metrics/b".into(), ..Default::default() };
    let success = vec![op(put()), op(other)];
    client.txn(pb::TxnRequest { success, ..Default::default() }).await?;
    client.delete_range(pb::DeleteRangeRequest { key: key(), ..Default::default() }).await?;
    let granted = client.lease_grant(pb::LeaseGrantRequest { ttl: 60, id: 0 }).await?;
    client.lease_revoke(pb::LeaseRevokeRequest { id: granted.id }).await?;
    Ok(())
}

/// Compares two scrapes, Drystone's first.
#[must_use]
pub fn compare(programs: [String; 2], ours: &Scrape, theirs: &Scrape) -> Outcome {
    let mut outcome = Outcome {
        programs,
        alike: 0,
        left_out: Vec::new(),
        more: 0,
        values: 0,
        faults: Vec::new(),
    };
    for (name, there) in &theirs.families {
        let exception = EXCEPTIONS.iter().find(|(beginning, _)| name.starts_with(beginning));
        match (exception, ours.families.get(name)) {
            // A family with labels has no series until something happens that it counts.
            (_, None) if find(name).is_some_and(|family| may_be_silent(family, there)) => {
                outcome.alike += 1;
            }
            (_, Some(here)) if find(name).is_some() => match difference(here, there) {
                None => outcome.alike += 1,
                // Counterparts may have a part of what Go has.
                Some(_) if exception.is_some() => outcome.alike += 1,
                Some(what) => outcome.faults.push(format!("{name}: {what}")),
            },
            (Some((_, why)), _) => outcome.left_out.push((name.clone(), why)),
            (None, _) => outcome.faults.push(format!("{name} ({}) is missing", there.kind)),
        }
    }
    outcome.more = ours.families.keys().filter(|name| !theirs.families.contains_key(*name)).count();
    outcome
}

/// Whether a family without series here is nevertheless that of etcd: it has labels, and those.
fn may_be_silent(family: &Family, there: &Scraped) -> bool {
    let labels: BTreeSet<&str> = family.labels.iter().copied().collect();
    let theirs = labels_of(there);
    let same = theirs.iter().map(String::as_str).eq(labels.iter().copied());
    !labels.is_empty() && same && family.kind.word() == there.kind
}

/// The labels of a family, without those of its parts.
fn labels_of(family: &Scraped) -> BTreeSet<String> {
    let all = family.samples.iter().flat_map(|sample| sample.labels.keys());
    all.filter(|label| !PARTS.contains(&label.as_str())).cloned().collect()
}

/// How a family differs; values are not compared.
fn difference(here: &Scraped, there: &Scraped) -> Option<String> {
    if here.kind != there.kind {
        return Some(format!("a {} here, a {} in etcd", here.kind, there.kind));
    }
    // A family that has no sample there says nothing of its labels.
    let (ours, theirs) = (labels_of(here), labels_of(there));
    if ours != theirs && !there.samples.is_empty() {
        return Some(format!("labels {ours:?} here, {theirs:?} in etcd"));
    }
    let bounds = |family: &Scraped| -> BTreeSet<String> {
        family.samples.iter().filter_map(|sample| sample.labels.get("le")).cloned().collect()
    };
    (bounds(here) != bounds(there) && !there.samples.is_empty())
        .then(|| format!("buckets {:?} here, {:?} in etcd", bounds(here), bounds(there)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(ours: &str, theirs: &str) -> Outcome {
        let parse = |text: &str| Scrape::parse(text).unwrap();
        compare(["Drystone".into(), "etcd".into()], &parse(ours), &parse(theirs))
    }

    #[test]
    fn a_missing_name_another_type_and_other_labels_are_faults() {
        let gauge = "# TYPE etcd_server_has_leader gauge\netcd_server_has_leader 1\n";
        assert_eq!(compared(gauge, gauge).faults, Vec::<String>::new());
        assert_eq!(compared("", gauge).faults.len(), 1);
        assert_eq!(compared(&gauge.replace("gauge", "counter"), gauge).faults.len(), 1);
        let labelled = gauge.replace("leader 1", "leader{a=\"b\"} 1");
        assert_eq!(compared(gauge, &labelled).faults.len(), 1);
        let old = "# TYPE etcd_debugging_mvcc_put_total counter\netcd_debugging_mvcc_put_total 1\n";
        let outcome = compared("", old);
        assert_eq!((outcome.faults.len(), outcome.left_out.len()), (0, 1));
    }

    #[test]
    fn a_family_with_labels_may_wait_for_what_it_counts() {
        let name = "etcd_network_disconnected_peers_total";
        let family = |labels: &str| format!("# TYPE {name} counter\n{name}{{{labels}}} 1\n");
        let outcome = compared("", &family("Local=\"1\",Remote=\"2\""));
        assert_eq!((outcome.faults.len(), outcome.alike), (0, 1));
        assert_eq!(compared("", &family("To=\"2\"")).faults.len(), 1);
    }
}
