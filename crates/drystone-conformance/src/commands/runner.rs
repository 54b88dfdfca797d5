//! Runs stories with `etcdctl`.

use super::script::{Case, Step, Story};
use crate::harness::{Cluster, HarnessError, Limits, ProgramError};
use crate::transcript::{Mask, Output};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// Why a command could not be run. That it failed is no such reason: that is its transcript.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The client cannot be started or talked to.
    #[error("cannot run {}", path.display())]
    Io {
        /// The client.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The cluster does not answer.
    #[error(transparent)]
    Harness(#[from] HarnessError),
}

/// Runs commands of one `etcdctl`, version 3.4, on which the table is written.
#[derive(Clone, Debug)]
pub struct Runner {
    etcdctl: PathBuf,
}

/// What a case knows while it runs.
struct Run<'a> {
    cluster: &'a Cluster,
    mask: &'a mut Mask,
    leases: &'a mut BTreeMap<String, String>,
    started: Option<(String, Child)>,
    lines: Vec<String>,
}

impl Runner {
    /// With `$ETCDCTL_BIN`, else Debian's `etcdctl`, else the first in `PATH`.
    pub fn find() -> Result<Runner, ProgramError> {
        Ok(Runner { etcdctl: crate::harness::etcdctl()? })
    }

    /// The client's path.
    pub fn path(&self) -> &std::path::Path {
        &self.etcdctl
    }

    /// Runs the cases in order; the transcript of each.
    pub async fn story(
        &self,
        cluster: &Cluster,
        story: &Story,
    ) -> Result<Vec<Vec<String>>, CommandError> {
        let mut mask = cluster.mask();
        let mut leases = BTreeMap::new();
        let mut transcripts = Vec::new();
        for case in &story.cases {
            let run = Run {
                cluster,
                mask: &mut mask,
                leases: &mut leases,
                started: None,
                lines: Vec::new(),
            };
            transcripts.push(self.case(run, case).await?);
        }
        Ok(transcripts)
    }

    async fn case(&self, mut run: Run<'_>, case: &Case) -> Result<Vec<String>, CommandError> {
        for step in &case.steps {
            match step {
                Step::Run { words, stdin, lease, sorted } => {
                    let words = run.words(words);
                    let output = self.run(run.cluster, &words, stdin).await?;
                    if let Some(name) = lease {
                        run.remember(name, &output);
                    }
                    let mut lines = run.mask.output(&output);
                    if *sorted {
                        lines.sort();
                    }
                    run.say(&words);
                    run.lines.extend(lines);
                    // Another member may be asked next: it must not lag behind.
                    run.cluster.settle().await?;
                }
                Step::Start { words } => {
                    let words = run.words(words);
                    let child = self.command(run.cluster, &words).spawn();
                    let child = child.map_err(|source| self.io(source))?;
                    run.started = Some((words.join(" "), child));
                }
                Step::Until { text } => run.until(text).await,
            }
        }
        Ok(run.lines)
    }

    fn command(&self, cluster: &Cluster, words: &[String]) -> Command {
        let mut command = Command::new(&self.etcdctl);
        command
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", cluster.endpoints().join(",")))
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn run(
        &self,
        cluster: &Cluster,
        words: &[String],
        stdin: &[u8],
    ) -> Result<Output, CommandError> {
        let limits: &Limits = cluster.limits();
        let mut child = self.command(cluster, words).spawn().map_err(|source| self.io(source))?;
        let pipe = child.stdin.take();
        let feed = async move {
            if let Some(mut pipe) = pipe {
                // A client that ends before it has read everything is part of the case.
                let _ = pipe.write_all(stdin).await;
            }
        };
        let both = async { tokio::join!(feed, child.wait_with_output()).1 };
        match tokio::time::timeout(limits.command, both).await {
            Ok(output) => {
                let output = output.map_err(|source| self.io(source))?;
                Ok(Output {
                    stdout: output.stdout,
                    stderr: output.stderr,
                    code: output.status.code(),
                })
            }
            Err(_) => Ok(Output::default()),
        }
    }

    fn io(&self, source: std::io::Error) -> CommandError {
        CommandError::Io { path: self.etcdctl.clone(), source }
    }
}

impl Run<'_> {
    /// The words with remembered leases in them.
    fn words(&self, words: &[String]) -> Vec<String> {
        let fill = |word: &String| {
            self.leases
                .iter()
                .fold(word.clone(), |word, (name, id)| word.replace(&format!("{{{name}}}"), id))
        };
        words.iter().map(fill).collect()
    }

    fn say(&mut self, words: &[String]) {
        let line = words.join(" ");
        self.lines.push(format!("$ {}", self.mask.text(&line)));
    }

    fn remember(&mut self, name: &str, output: &Output) {
        let text = String::from_utf8_lossy(&output.stdout);
        let word = text.split_whitespace().nth(1).unwrap_or_default();
        if let Ok(id) = u64::from_str_radix(word, 16) {
            self.mask.hide_id(id, &format!("LEASE-{name}"));
            self.leases.insert(name.to_owned(), word.to_owned());
        }
    }

    /// Reads the started command up to the line that holds `text`, then ends it.
    async fn until(&mut self, text: &str) {
        let Some((words, mut child)) = self.started.take() else {
            self.lines.push("nothing was started".to_owned());
            return;
        };
        let Some(stdout) = child.stdout.take() else { return };
        let mut reader = BufReader::new(stdout).lines();
        let mut printed = String::new();
        let read = async {
            while let Ok(Some(line)) = reader.next_line().await {
                printed.push_str(&line);
                printed.push('\n');
                if line.contains(text) {
                    return true;
                }
            }
            false
        };
        let found = tokio::time::timeout(self.cluster.limits().command, read).await;
        // Fails only when it has ended already.
        let _ = child.kill().await;
        self.say(&[words]);
        let lines = self.mask.stdout(printed.as_bytes());
        self.lines.extend(lines);
        match found {
            Ok(true) => {}
            Ok(false) => self.lines.push("ended by itself".to_owned()),
            Err(_) => self.lines.push(format!("no line with {text}")),
        }
    }
}
