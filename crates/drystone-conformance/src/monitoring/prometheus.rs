//! Prometheus as a process of this run, and promtool.

use crate::harness::free_ports;
use crate::web;
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long it may take to answer.
const READY_MAX: Duration = Duration::from_secs(60);
/// The job that scrapes the members.
pub(super) const JOB: &str = "drystone";
const PAUSE: Duration = Duration::from_millis(100);

/// A rule as Prometheus tells of it.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) query: String,
    pub(super) state: String,
    pub(super) health: String,
}

/// A Prometheus that ends with this value.
#[derive(Debug)]
pub(super) struct Prometheus {
    address: String,
    _process: Child,
    /// What it says of itself.
    log: PathBuf,
    _dir: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes `targets` every second, as the job [`JOB`], and evaluates
    /// `rules` as often.
    pub(super) async fn start(rules: &Path, targets: &[&str]) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir().context("no temporary directory")?;
        let rules = rules.canonicalize().context("the rules are not there")?;
        let config = serde_json::json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [rules],
            "scrape_configs": [
                { "job_name": JOB, "static_configs": [{ "targets": targets }] }
            ],
        });
        // JSON is YAML.
        let path = dir.path().join("prometheus.yaml");
        std::fs::write(&path, config.to_string()).context("cannot write its configuration")?;
        let port = free_ports(1).context("no free port")?[0];
        let address = format!("127.0.0.1:{port}");
        let log = dir.path().join("log");
        let said = std::fs::File::create(&log).context("cannot make its log")?;
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .stdout(Stdio::null())
            .stderr(said)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start prometheus")?;
        let prometheus = Self { address, _process: process, log, _dir: dir };
        prometheus.ready().await?;
        Ok(prometheus)
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let end = Instant::now() + READY_MAX;
        loop {
            let rules = match web::get(&self.address, "/-/ready").await {
                Ok(_) => self.rules().await.unwrap_or_default(),
                Err(_) => Vec::new(),
            };
            if !rules.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                let said = std::fs::read_to_string(&self.log).unwrap_or_default();
                bail!("prometheus is not ready after {READY_MAX:?}: {said}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The values that a query gives now.
    pub(super) async fn query(&self, query: &str) -> anyhow::Result<Vec<f64>> {
        let path = format!("/api/v1/query?query={}", web::escape(query));
        let answer = self.ask(&path).await.with_context(|| format!("cannot ask for {query}"))?;
        let results = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        let value = |result: &Value| result["value"][1].as_str().and_then(|text| text.parse().ok());
        Ok(results.iter().filter_map(value).collect())
    }

    /// All rules, and how they stand.
    pub(super) async fn rules(&self) -> anyhow::Result<Vec<Rule>> {
        let answer = self.ask("/api/v1/rules").await?;
        let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
        let rules = groups.iter().filter_map(|group| group["rules"].as_array()).flatten();
        let text = |rule: &Value, key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        let rule = |rule: &Value| Rule {
            name: text(rule, "name"),
            query: text(rule, "query"),
            state: text(rule, "state"),
            health: text(rule, "health"),
        };
        Ok(rules.map(rule).collect())
    }

    async fn ask(&self, path: &str) -> anyhow::Result<Value> {
        let answer: Value = serde_json::from_str(&web::get(&self.address, path).await?)?;
        if answer["status"] != "success" {
            bail!("prometheus answered {answer}");
        }
        Ok(answer)
    }
}

/// promtool.
pub(super) mod tool {
    use anyhow::{Context as _, ensure};
    use std::path::Path;
    use std::process::Command;

    /// Whether Prometheus and promtool are installed.
    pub(in super::super) fn is_there() -> bool {
        ["prometheus", "promtool"].iter().all(|name| {
            let asked = Command::new(name).arg("--version").output();
            asked.is_ok_and(|output| output.status.success())
        })
    }

    /// Checks the rules in a folder, and runs their tests.
    pub(in super::super) fn check(dir: &Path) -> anyhow::Result<()> {
        for words in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]] {
            let output = Command::new("promtool")
                .args(words)
                .current_dir(dir)
                .output()
                .context("cannot run promtool")?;
            let said = [&output.stdout[..], &output.stderr[..]].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            ensure!(output.status.success(), "promtool {}: {said}", words.join(" "));
        }
        Ok(())
    }
}
