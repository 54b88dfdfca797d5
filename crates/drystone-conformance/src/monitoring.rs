//! Three members under Prometheus itself, with the rules and the dashboard of this repository.

mod prometheus;

use crate::harness::{Cluster, Launch, Program, Stop};
use crate::scrapes::work;
use anyhow::{Context as _, bail};
use prometheus::{JOB, Prometheus, Rule, tool};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// Members of the cluster.
const MEMBERS: usize = 3;
/// Members without which nothing can be written.
const MAJORITY: usize = 2;
/// How long everything may take to show: probes between members are seconds apart.
const SHOWN_MAX: Duration = Duration::from_secs(240);
/// How long it may take until a cluster without a majority is red: its alert waits for a minute.
const PROVOKED_MAX: Duration = Duration::from_secs(300);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// Scrapes of each member before anything is judged, so that rates are there.
const SCRAPES_MIN: f64 = 10.0;
/// Alerts that may be pending, though not red: one looks hours ahead, and what the others measure
/// is how fast this machine is at the moment.
const MAY_BE_PENDING: [&str; 5] = [
    "etcdExcessiveDatabaseGrowth",
    "etcdGRPCRequestsSlow",
    "etcdMemberCommunicationSlow",
    "etcdHighFsyncDurations",
    "etcdHighCommitDurations",
];

/// What a cluster without a majority comes to, by the alert's own bound of time.
const PROVOKED: [(&str, &[&str]); 3] = [
    ("etcdNoLeader", &["firing"]),
    ("etcdInsufficientMembers", &["pending", "firing"]),
    ("etcdMembersDown", &["pending", "firing"]),
];

/// Names that a cluster without TLS has not.
const OF_TLS: [&str; 1] = ["drystone_certificate_expiry_seconds"];

/// Where the rules and the dashboard are.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of `alerts.yaml`, `alerts_test.yaml` and `dashboard.json`.
    pub dir: PathBuf,
}

/// What was seen; [`fmt::Display`] prints it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Names that rules and dashboard use.
    pub names: usize,
    /// Queries of the dashboard.
    pub queries: usize,
    /// Rules.
    pub rules: usize,
    /// Samples that Prometheus holds of one scrape of one member.
    pub samples: f64,
    /// What is missing, broken or red.
    pub faults: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { names, queries, rules, samples, .. } = self;
        writeln!(f, "names used: {names}, dashboard queries: {queries}, rules: {rules}")?;
        writeln!(f, "samples of one scrape: {samples}")
    }
}

/// Runs it all: a healthy cluster under load, and then one without a majority. `None` where
/// Prometheus is not installed.
///
/// # Errors
/// The cluster or Prometheus could not be started or asked.
pub async fn run(program: &Program, config: &Config) -> anyhow::Result<Option<Outcome>> {
    if !tool::is_there() {
        return Ok(None);
    }
    tool::check(&config.dir)?;
    let launch = Launch {
        members: MEMBERS,
        flags: ["--metrics=extensive", "--quota-backend-bytes=8589934592"].map(Into::into).into(),
        ..Launch::default()
    };
    let mut cluster = Cluster::start(program, &launch).await?;
    let targets: Vec<&str> =
        cluster.members().iter().map(|member| member.client_address()).collect();
    let prometheus = Prometheus::start(&config.dir.join("alerts.yaml"), &targets).await?;
    let members: Vec<_> = cluster.members().iter().map(|member| member.client()).collect();
    let load = async {
        loop {
            for client in &members {
                work(client).await?;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let mut outcome = tokio::select! {
        ended = load => {
            let never: anyhow::Result<std::convert::Infallible> = ended;
            match never {
                Ok(never) => match never {},
                Err(error) => return Err(error.context("the work on the cluster failed")),
            }
        }
        judged = judge(&prometheus, config) => judged?,
    };
    provoke(&prometheus, &mut cluster, &mut outcome).await?;
    Ok(Some(outcome))
}

/// Looks at a healthy cluster.
async fn judge(prometheus: &Prometheus, config: &Config) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let dashboard = std::fs::read_to_string(config.dir.join("dashboard.json"))
        .context("cannot read the dashboard")?;
    let queries = queries(&serde_json::from_str(&dashboard).context("the dashboard is no JSON")?);
    let rules = prometheus.rules().await?;
    let mut names = BTreeSet::new();
    for text in queries.iter().chain(rules.iter().map(|rule| &rule.query)) {
        names.extend(names_in(text));
    }
    (outcome.names, outcome.queries, outcome.rules) = (names.len(), queries.len(), rules.len());
    // One bound for all: what is missing then is missing.
    let end = Instant::now() + SHOWN_MAX;
    let scraped = format!("min(count_over_time(up{{job=\"{JOB}\"}}[5m]))");
    wait(prometheus, &scraped, end, |found| found >= SCRAPES_MIN).await?;
    let mut look = async |what: String, query: &str, enough: &dyn Fn(f64) -> bool| {
        if let Err(error) = wait(prometheus, query, end, enough).await {
            outcome.faults.push(format!("{what}: {error}"));
        }
    };
    for name in names.iter().filter(|name| !OF_TLS.contains(&name.as_str())) {
        let query = format!("count(count by (instance) ({name}{{job=\"{JOB}\"}}))");
        #[expect(clippy::cast_precision_loss, reason = "three")]
        let all = |found: f64| found >= MEMBERS as f64;
        look(format!("{name} is not told by every member"), &query, &all).await;
    }
    for query in &queries {
        look("the dashboard shows nothing".to_owned(), query, &f64::is_finite).await;
    }
    for (query, expected) in values() {
        look("a number is wrong".to_owned(), query, &expected).await;
    }
    let samples = format!("max(scrape_samples_scraped{{job=\"{JOB}\"}})");
    outcome.samples = prometheus.query(&samples).await?.first().copied().unwrap_or_default();
    for rule in evaluated(prometheus).await? {
        let is_calm = match &*rule.state {
            "inactive" => true,
            "pending" => MAY_BE_PENDING.contains(&&*rule.name),
            _ => false,
        };
        if rule.health != "ok" || !is_calm {
            outcome.faults.push(format!("{} is {} and {}", rule.name, rule.state, rule.health));
        }
    }
    Ok(outcome)
}

/// Kills a majority, and waits until Prometheus says so: the alert that has to wait for a minute
/// is red then, and those that wait for longer are about to be. Each alert is red in promtool's
/// tests, where time costs nothing.
async fn provoke(
    prometheus: &Prometheus,
    cluster: &mut Cluster,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    for n in 0..MAJORITY {
        cluster.member_mut(n).stop(Stop::Kill).await?;
    }
    let end = Instant::now() + PROVOKED_MAX;
    loop {
        let rules = prometheus.rules().await?;
        let stands = |(name, states): &(&str, &[&str])| {
            rules.iter().any(|rule| rule.name == *name && states.contains(&&*rule.state))
        };
        let missing: Vec<_> = PROVOKED.iter().filter(|wanted| !stands(wanted)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            let missing = missing.iter().map(|(name, states)| {
                format!("{name} is not {} without a majority", states.join(" or "))
            });
            outcome.faults.extend(missing);
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// All rules, once each was evaluated.
async fn evaluated(prometheus: &Prometheus) -> anyhow::Result<Vec<Rule>> {
    let end = Instant::now() + SHOWN_MAX;
    loop {
        let rules = prometheus.rules().await?;
        if rules.iter().all(|rule| rule.health != "unknown") || Instant::now() > end {
            return Ok(rules);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether a number is as it should be.
type Holds = Box<dyn Fn(f64) -> bool>;

/// What the numbers of a healthy cluster are.
fn values() -> Vec<(&'static str, Holds)> {
    let is = |expected: f64| -> Holds { Box::new(move |found| (found - expected).abs() < 1e-9) };
    let above = |bound: f64| -> Holds { Box::new(move |found| found > bound) };
    vec![
        ("sum(etcd_server_has_leader)", is(3.0)),
        ("sum(etcd_server_is_leader)", is(1.0)),
        ("sum(etcd_server_is_learner)", is(0.0)),
        ("sum(etcd_network_active_peers)", is(6.0)),
        ("sum(etcd_network_known_peers)", is(9.0)),
        ("min(etcd_server_quota_backend_bytes)", is(8_589_934_592.0)),
        // A start may have some: whoever looks for a leader tells the cluster of itself meanwhile.
        ("sum(etcd_server_proposals_failed_total)", Box::new(|found| (0.0..50.0).contains(&found))),
        ("sum(drystone_digest_set_aside)", is(0.0)),
        ("min(etcd_server_leader_changes_seen_total)", above(0.0)),
        ("min(etcd_server_proposals_applied_total)", above(20.0)),
        ("min(etcd_disk_wal_fsync_duration_seconds_count)", above(10.0)),
        ("min(etcd_disk_backend_commit_duration_seconds_count)", above(10.0)),
        ("min(etcd_mvcc_db_total_size_in_bytes)", above(1_000.0)),
        ("min(etcd_mvcc_db_total_size_in_use_in_bytes)", above(100.0)),
        ("min(etcd_mvcc_put_total)", above(10.0)),
        ("sum(etcd_network_peer_sent_bytes_total)", above(1_000.0)),
        ("min(etcd_network_client_grpc_received_bytes_total)", above(100.0)),
        ("min(etcd_network_peer_round_trip_time_seconds_count)", above(0.0)),
        ("min(process_resident_memory_bytes)", above(1_000_000.0)),
        ("time() - min(process_start_time_seconds)", above(0.0)),
        (
            "sum(grpc_server_started_total{grpc_method=\"Put\"}) \
             - sum(grpc_server_handled_total{grpc_method=\"Put\"})",
            Box::new(|found| (0.0..3.0).contains(&found)),
        ),
        (
            "min(etcd_server_proposals_committed_total - etcd_server_proposals_applied_total)",
            Box::new(|found| found >= 0.0),
        ),
    ]
}

/// Waits until a query gives a number that is as wanted.
async fn wait(
    prometheus: &Prometheus,
    query: &str,
    end: Instant,
    enough: impl Fn(f64) -> bool,
) -> anyhow::Result<()> {
    loop {
        let found = prometheus.query(query).await?.first().copied();
        if found.is_some_and(&enough) {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("{query} is {found:?}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The queries of a dashboard's panels, with its variables filled in.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let texts = targets.filter_map(|target| target["expr"].as_str());
    texts.map(|text| text.replace("$cluster", JOB).replace("$__rate_interval", "10s")).collect()
}

/// Names of metrics in a query: words that a brace follows.
fn names_in(query: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names = BTreeSet::new();
    for (brace, _) in query.match_indices('{') {
        let begins = query[..brace].rfind(|c| !word(c)).map_or(0, |before| before + 1);
        names.insert(query[begins..brace].to_owned());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_queries_are_found() {
        let query = "histogram_quantile(0.9, rate(a_bucket{x=\"1\"}[5m])) / up{} > 1";
        assert_eq!(names_in(query), BTreeSet::from(["a_bucket".to_owned(), "up".to_owned()]));
        let dashboard = serde_json::json!({
            "panels": [{"type": "row"}, {"targets": [{"expr": "a{job=\"$cluster\"}"}]}]
        });
        assert_eq!(queries(&dashboard), ["a{job=\"drystone\"}"]);
    }
}
