//! The JSON table: Drystone answers as etcd 3.7.1 did, and the etcd at hand as its version may.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use drystone_conformance::gateway::{self, Story};
use drystone_conformance::harness::Program;
use drystone_conformance::{Finding, Verdict};

/// Runs the stories that the names choose, against the etcd at hand, or against the table alone
/// when there is none.
async fn check(chosen: impl Fn(&Story) -> bool) {
    let drystone = Program::drystone().unwrap_or_else(|error| panic!("{error}"));
    let etcd = Program::etcd();
    if let Err(error) = &etcd {
        eprintln!("skipped the comparison with an etcd: {error}");
    }
    for story in gateway::stories().unwrap().iter().filter(|story| chosen(story)) {
        let faults = match &etcd {
            Ok(etcd) => compared(&gateway::compare(&drystone, etcd, story).await.unwrap()),
            Err(_) => alone(story, &gateway::answers(&drystone, story).await.unwrap()),
        };
        let count = story.cases.len();
        assert!(faults.is_empty(), "{} of {count} are wrong:\n{}", faults.len(), faults.join("\n"));
    }
}

fn compared(findings: &[Finding]) -> Vec<String> {
    let fault = |finding: &Finding| match &finding.verdict {
        Verdict::Differs { what } => Some(format!("{}: {}: {what}", finding.group, finding.name)),
        Verdict::Same | Verdict::Otherwise { .. } => None,
    };
    findings.iter().filter_map(fault).collect()
}

fn alone(story: &Story, answers: &[Vec<String>]) -> Vec<String> {
    let cases = story.cases.iter().zip(answers);
    let wrong = cases.filter(|(case, answer)| case.expected != **answer);
    wrong
        .map(|(case, answer)| {
            format!("{}: {}: {answer:?}, expected {:?}", story.name, case.name, case.expected)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_as_json() {
    check(|story| story.name == "every_path").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_roles_and_permissions_as_json() {
    check(|story| story.name == "auth").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_call_answers_as_json() {
    check(|story| story.name != "every_path" && story.name != "auth").await;
}
