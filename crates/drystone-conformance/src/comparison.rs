//! Runs the tables against two programs and says, row by row, what came of it.

use crate::commands::{Case, CommandError, Runner, Story, stories};
use crate::harness::{Cluster, HarnessError, Launch, Program};
use crate::random;
use crate::rows::{self, Row};
use crate::rpcs::{self, Presence};
use crate::sequences::{DIFFER, ENDED, SEQUENCES, stand};
use crate::transcript::difference;
use futures::StreamExt as _;

/// What came of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Drystone answers as it should, and etcd the same.
    Same,
    /// Drystone answers as it should; this etcd's version rightly answers otherwise.
    Otherwise {
        /// Why.
        reason: String,
    },
    /// Something is wrong.
    Differs {
        /// What, with both answers.
        what: String,
    },
}

/// One row and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The row's group: a story, or a service.
    pub group: String,
    /// The row's name.
    pub name: String,
    /// What came of it.
    pub verdict: Verdict,
}

impl Finding {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        !matches!(self.verdict, Verdict::Differs { .. })
    }
}

/// The two programs, and how many rows run at once.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The one that is held to the tables.
    pub drystone: Program,
    /// The one it is compared with.
    pub etcd: Program,
    /// Clusters of one program that run at the same time.
    pub parallel: usize,
}

/// Rows at once when nothing else is said: most of a row's time is waiting for an election.
const PARALLEL: usize = 3;
/// Set to anything, this variable makes transcripts of commands be printed.
const SHOW: &str = "DRYSTONE_CONFORMANCE_SHOW";

impl Comparison {
    /// Drystone and etcd as [`Program::drystone`] and [`Program::etcd`] find them.
    ///
    /// # Errors
    /// When one of them is missing; the text says how to get it.
    pub fn find() -> Result<Comparison, crate::harness::ProgramError> {
        Ok(Comparison::new(Program::drystone()?, Program::etcd()?))
    }

    /// These two, with as many rows at once as two processors bear.
    pub fn new(drystone: Program, etcd: Program) -> Comparison {
        Comparison { drystone, etcd, parallel: PARALLEL }
    }

    /// The command-line table, on clusters of `members`; stories and cases whose names hold
    /// `only`.
    pub async fn commands(
        &self,
        runner: &Runner,
        members: usize,
        only: &str,
    ) -> Result<Vec<Finding>, anyhow::Error> {
        let mut stories = stories()?;
        stories.retain(|story| story.name.contains(only));
        stories.retain(|story| members == 1 || story.alone.is_none());
        let runs = stories.iter().map(|story| async move {
            let (ours, theirs) = tokio::join!(
                story_on(&self.drystone, runner, members, story),
                story_on(&self.etcd, runner, members, story)
            );
            let theirs = theirs?;
            Ok::<_, anyhow::Error>(match ours {
                Ok(ours) => self.stories_compared(story, &ours, &theirs),
                Err(error) => vec![broken(&story.name, "the whole story", &error.into())],
            })
        });
        let found: Vec<_> = futures::stream::iter(runs).buffered(self.parallel).collect().await;
        let mut findings = Vec::new();
        for found in found {
            findings.extend(found?);
        }
        Ok(findings)
    }

    fn stories_compared(
        &self,
        story: &Story,
        ours: &[Vec<String>],
        theirs: &[Vec<String>],
    ) -> Vec<Finding> {
        let cases = story.cases.iter().zip(ours).zip(theirs);
        let findings = cases.map(|((case, ours), theirs)| Finding {
            group: story.name.clone(),
            name: case.name.clone(),
            verdict: self.case_compared(case, ours, theirs),
        });
        findings.collect()
    }

    fn case_compared(&self, case: &Case, ours: &[String], theirs: &[String]) -> Verdict {
        let otherwise =
            case.otherwise.iter().find(|(version, _)| self.etcd.version().starts_with(version));
        match (difference(ours, theirs), otherwise) {
            (None, _) => Verdict::Same,
            (Some(_), Some((_, reason))) => Verdict::Otherwise { reason: reason.clone() },
            (Some(found), None) => Verdict::Differs {
                what: apart(&self.drystone, &found.first, &self.etcd, &found.second, &found.after),
            },
        }
    }

    /// The gRPC table: rows whose names hold `only`.
    pub async fn rows(&self, only: &str) -> Result<Vec<Finding>, HarnessError> {
        let chosen = rows::all().into_iter().filter(|row| row.name.contains(only));
        let runs = chosen.map(|row| async move {
            let (ours, theirs) = tokio::join!(row.answers(&self.drystone), row.answers(&self.etcd));
            let (group, name) = row.name.split_once(": ").unwrap_or(("", row.name));
            let verdict = match ours {
                Ok(ours) => self.row_compared(row, &ours, &theirs?),
                Err(error) => return Ok(broken(group, name, &error.into())),
            };
            Ok(Finding { group: group.to_owned(), name: name.to_owned(), verdict })
        });
        let found: Vec<_> = futures::stream::iter(runs).buffered(self.parallel).collect().await;
        found.into_iter().collect()
    }

    fn row_compared(&self, row: &Row, ours: &[String], theirs: &[String]) -> Verdict {
        let expected = row.expected_lines();
        if let Some(found) = difference(ours, &expected) {
            let mut what = format!("{} against the reference", self.drystone.title());
            what.push_str(&sides(&found.first, "expected", &found.second, &found.after));
            return Verdict::Differs { what };
        }
        let otherwise =
            row.otherwise.iter().find(|(version, _)| self.etcd.version().starts_with(version));
        match (difference(ours, theirs), otherwise) {
            (None, _) => Verdict::Same,
            (Some(_), Some((_, reason))) => Verdict::Otherwise { reason: (*reason).to_owned() },
            (Some(found), None) => Verdict::Differs {
                what: apart(&self.drystone, &found.first, &self.etcd, &found.second, &found.after),
            },
        }
    }

    /// Sequences that end an etcd, on throw-away clusters of both, and what each does.
    pub async fn sequences(&self, members: usize) -> Result<Vec<Finding>, HarnessError> {
        let runs = SEQUENCES.iter().map(|sequence| async move {
            let (ours, theirs) = tokio::join!(
                stand(&self.drystone, members, sequence),
                stand(&self.etcd, members, sequence)
            );
            let expected = sequence.expected_lines();
            let verdict = match ours {
                Err(error) => return broken("sequence", sequence.name, &error.into()),
                Ok(ours) => match difference(&ours, &expected) {
                    Some(found) => Verdict::Differs {
                        what: sides(&found.first, "expected", &found.second, &found.after),
                    },
                    None => match theirs {
                        Ok(theirs) if theirs == expected => Verdict::Same,
                        theirs => Verdict::Otherwise { reason: fate(&self.etcd, theirs.ok()) },
                    },
                },
            };
            Finding { group: "sequence".into(), name: sequence.name.into(), verdict }
        });
        Ok(futures::stream::iter(runs).buffered(self.parallel).collect().await)
    }

    /// A random stream of requests, done by both in step.
    pub async fn random(&self, config: &random::Config) -> Result<random::Outcome, HarnessError> {
        random::run(&self.drystone, &self.etcd, config, |_| {}).await
    }

    /// Which calls each program has: name, Drystone's, etcd's.
    pub async fn rpcs(&self) -> Result<Vec<(String, Presence, Presence)>, HarnessError> {
        let ask = async |program: &Program| {
            let cluster = Cluster::start(program, &Launch::of(1)).await?;
            Ok::<_, HarnessError>(rpcs::presence(&cluster.client()).await)
        };
        let (ours, theirs) = tokio::join!(ask(&self.drystone), ask(&self.etcd));
        let both = ours?.into_iter().zip(theirs?);
        Ok(both.map(|((name, ours), (_, theirs))| (name, ours, theirs)).collect())
    }
}

async fn story_on(
    program: &Program,
    runner: &Runner,
    members: usize,
    story: &Story,
) -> Result<Vec<Vec<String>>, CommandError> {
    let cluster = Cluster::start(program, &Launch::of(members)).await?;
    match runner.story(&cluster, story).await {
        Ok(transcripts) => {
            show(program, members, story, &transcripts);
            Ok(transcripts)
        }
        Err(error) => {
            eprintln!("{} in story {}:\n{}", program.title(), story.name, cluster.logs());
            Err(error)
        }
    }
}

/// Prints transcripts, for those who write cases.
fn show(program: &Program, members: usize, story: &Story, transcripts: &[Vec<String>]) {
    if std::env::var_os(SHOW).is_none() {
        return;
    }
    for (case, lines) in story.cases.iter().zip(transcripts) {
        let title =
            format!("{}, {members} member(s), {}: {}", program.title(), story.name, case.name);
        eprintln!("== {title}\n{}\n", lines.join("\n"));
    }
}

fn broken(group: &str, name: &str, error: &anyhow::Error) -> Finding {
    let what = format!("{error:#}");
    Finding { group: group.into(), name: name.into(), verdict: Verdict::Differs { what } }
}

fn apart(
    drystone: &Program,
    ours: &Option<String>,
    etcd: &Program,
    theirs: &Option<String>,
    after: &str,
) -> String {
    drystone.title() + &sides(ours, &etcd.title(), theirs, after)
}

fn sides(ours: &Option<String>, other: &str, theirs: &Option<String>, after: &str) -> String {
    let line = |line: &Option<String>| line.clone().unwrap_or_else(|| "(nothing more)".into());
    format!(" after `{after}`:\n    answers  {}\n    {other}  {}", line(ours), line(theirs))
}

/// What became of an etcd that did not answer as Drystone does.
fn fate(etcd: &Program, lines: Option<Vec<String>>) -> String {
    let says = |start: &str| {
        lines.as_ref().is_some_and(|lines| lines.iter().any(|line| line.starts_with(start)))
    };
    let what = match () {
        () if lines.is_none() || says(ENDED) => "ends",
        () if says(DIFFER) => "has members that differ",
        () => "answers otherwise",
    };
    format!("{} {what}", etcd.title())
}
