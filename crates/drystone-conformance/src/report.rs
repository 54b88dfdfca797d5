//! `docs/compatibility.md`.

use crate::comparison::{Finding, Verdict};
use crate::fields::{self, Exercise};
use crate::random::{Config, EXCUSED, Outcome, Treatment};
use crate::rpcs::Presence;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Everything a page is made of.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Drystone's name and version.
    pub drystone: String,
    /// etcd's name and version.
    pub etcd: String,
    /// The command-line table: findings with one member, and with three.
    pub commands: Vec<(usize, Vec<Finding>)>,
    /// The gRPC table.
    pub rows: Vec<Finding>,
    /// The JSON table.
    pub gateway: Vec<Finding>,
    /// The sequences.
    pub sequences: Vec<Finding>,
    /// The random stream.
    pub random: Option<(Config, Outcome)>,
    /// Which calls there are.
    pub rpcs: Vec<(String, Presence, Presence)>,
}

impl Report {
    /// Everything that is wrong, a text each.
    pub fn faults(&self) -> Vec<String> {
        let commands = self.commands.iter().flat_map(|(members, findings)| {
            findings.iter().map(move |finding| (format!("etcdctl, {members} member(s), "), finding))
        });
        let rest = self.rows.iter().chain(&self.gateway).chain(&self.sequences);
        let rest = rest.map(|finding| (String::new(), finding));
        let mut faults: Vec<String> = commands
            .chain(rest)
            .filter_map(|(place, finding)| match &finding.verdict {
                Verdict::Differs { what } => {
                    Some(format!("{place}{}: {}: {what}", finding.group, finding.name))
                }
                Verdict::Same | Verdict::Otherwise { .. } => None,
            })
            .collect();
        let random = self.random.as_ref().and_then(|(_, outcome)| outcome.difference.clone());
        faults.extend(random.map(|what| format!("random: {what}")));
        faults
    }

    /// The page, without anything that changes from run to run.
    pub fn page(&self) -> String {
        let mut page = String::new();
        self.head(&mut page);
        self.calls(&mut page);
        self.fields(&mut page);
        self.deviations(&mut page);
        self.command_table(&mut page);
        findings(&mut page, "gRPC", &self.rows, GRPC);
        findings(&mut page, "JSON over HTTP", &self.gateway, JSON);
        findings(&mut page, "Where etcd falls", &self.sequences, SEQUENCES);
        self.random(&mut page);
        page
    }

    fn head(&self, page: &mut String) {
        let _ = writeln!(
            page,
            "# Compatibility\n\n\
             Written by `cargo run -p drystone-conformance -- --write docs/compatibility.md`; do \
             not edit.\n\nCompared: **{}** with **{}**. \
             The reference is etcd 3.7: where the etcd at hand is older and answers otherwise, \
             the row says so.\n",
            self.drystone, self.etcd
        );
        let count = |findings: &mut dyn Iterator<Item = &Finding>| {
            let mut counts = [0_usize; 3];
            for finding in findings {
                counts[match finding.verdict {
                    Verdict::Same => 0,
                    Verdict::Otherwise { .. } => 1,
                    Verdict::Differs { .. } => 2,
                }] += 1;
            }
            counts
        };
        page.push_str("| table | same | as 3.7, unlike this etcd | wrong |\n|---|---|---|---|\n");
        let mut line = |name: String, [same, otherwise, wrong]: [usize; 3]| {
            let _ = writeln!(page, "| {name} | {same} | {otherwise} | {wrong} |");
        };
        for (members, table) in &self.commands {
            line(format!("etcdctl, {members} member(s)"), count(&mut table.iter()));
        }
        line("gRPC".into(), count(&mut self.rows.iter()));
        line("JSON over HTTP".into(), count(&mut self.gateway.iter()));
        line("sequences".into(), count(&mut self.sequences.iter()));
        page.push('\n');
    }

    fn calls(&self, page: &mut String) {
        if self.rpcs.is_empty() {
            return;
        }
        page.push_str(
            "## Calls\n\nEach was made once with an empty request; one that is not implemented \
             answers `UNIMPLEMENTED`.\n\n| call | Drystone | this etcd |\n|---|---|---|\n",
        );
        for (name, ours, theirs) in &self.rpcs {
            let word = |presence: &Presence| match presence {
                Presence::There => "yes",
                Presence::Absent => "**not implemented**",
                Presence::Silent => "no answer",
            };
            let _ = writeln!(page, "| `{name}` | {} | {} |", word(ours), word(theirs));
        }
        page.push('\n');
    }

    /// What came of a case, in one word.
    fn word(&self, case: &str) -> &'static str {
        let verdict = |finding: &Finding| match &finding.verdict {
            Verdict::Same => "same",
            Verdict::Otherwise { .. } => "as 3.7",
            Verdict::Differs { .. } => "**differs**",
        };
        if case == "random" {
            return match &self.random {
                None => "not run",
                Some((_, outcome)) if outcome.difference.is_none() => "same",
                Some(_) => "**differs**",
            };
        }
        if case == "calls" {
            return "told there";
        }
        if let Some(story) = case.strip_prefix("etcdctl ") {
            let findings = self.commands.iter().flat_map(|(_, findings)| findings);
            return words(findings.filter(|finding| finding.group == story).map(verdict));
        }
        if let Some(name) = case.strip_prefix("sequence ") {
            let found = self.sequences.iter().find(|finding| finding.name == name);
            return found.map_or("not run", |finding| match &finding.verdict {
                Verdict::Differs { .. } => "**differs**",
                Verdict::Same | Verdict::Otherwise { .. } => "stands",
            });
        }
        let (group, name) = case.split_once(": ").unwrap_or(("", case));
        let found = self.rows.iter().filter(|found| found.group == group && found.name == name);
        words(found.map(verdict))
    }

    fn fields(&self, page: &mut String) {
        page.push_str(FIELDS);
        page.push_str("\n| call | field | exercised by | result |\n|---|---|---|---|\n");
        for Exercise { field, cases } in fields::exercises() {
            let words: BTreeSet<&str> = cases.iter().map(|case| self.word(case)).collect();
            let words: Vec<&str> = words.into_iter().collect();
            let (call, path) = (field.call, field.path);
            let _ = writeln!(
                page,
                "| `{call}` | `{path}` | {} | {} |",
                cases.join("; "),
                words.join(", ")
            );
        }
        page.push('\n');
    }

    fn deviations(&self, page: &mut String) {
        page.push_str("## Known deviations\n\n");
        let faults = self.faults();
        page.push_str(DEVIATIONS);
        if faults.is_empty() {
            page.push_str("\nThe tables show no other.\n\n");
        } else {
            page.push_str("\nFound by the tables, and wrong:\n\n");
        }
        for fault in faults {
            let _ = writeln!(page, "- {}", fault.replace('\n', "\n  "));
        }
        let absent = self.rpcs.iter().filter(|(_, ours, _)| *ours == Presence::Absent);
        let absent: Vec<String> = absent.map(|(name, ..)| format!("`{name}`")).collect();
        if !absent.is_empty() {
            let _ = writeln!(page, "Not implemented, so not compared: {}.\n", absent.join(", "));
        }
    }

    fn command_table(&self, page: &mut String) {
        page.push_str("## etcdctl\n\n");
        page.push_str(COMMANDS);
        page.push_str("\n| story | case |");
        for (members, _) in &self.commands {
            let _ = write!(page, " {members} member(s) |");
        }
        page.push_str("\n|---|---|");
        page.push_str(&"---|".repeat(self.commands.len()));
        page.push('\n');
        let Some((_, first)) = self.commands.first() else { return };
        for finding in first {
            let _ = write!(page, "| {} | {} |", finding.group, finding.name);
            for (_, table) in &self.commands {
                let same =
                    |other: &&Finding| other.group == finding.group && other.name == finding.name;
                let cell = table.iter().find(same).map_or("not run".into(), cell);
                let _ = write!(page, " {cell} |");
            }
            page.push('\n');
        }
        page.push('\n');
    }

    fn random(&self, page: &mut String) {
        page.push_str("## One random stream\n\n");
        page.push_str(RANDOM);
        if let Some((config, outcome)) = &self.random {
            let _ = match &outcome.difference {
                None => writeln!(
                    page,
                    "\nResult of {} operations from seed {}: all answers, {} hashes and {} \
                     events of {} watches equal, over {} compactions, up to revision {}.",
                    outcome.operations,
                    config.seed,
                    outcome.hashes,
                    outcome.heard.events,
                    outcome.heard.watches,
                    outcome.compactions,
                    outcome.revision
                ),
                Some(what) => writeln!(page, "\nResult: **different**: {what}"),
            };
        }
        page.push_str("\n| excused | what is done | against | why |\n|---|---|---|---|\n");
        for excuse in EXCUSED {
            let treatment = match excuse.treatment {
                Treatment::Masked => "not compared",
                Treatment::Awaited => "asked again until both agree",
                Treatment::Alone => "Drystone is held to the reference alone",
                Treatment::KeptOut => "not in the stream",
            };
            let versions = match excuse.before {
                Some([major, minor, patch]) => format!("etcd before {major}.{minor}.{patch}"),
                None => "every etcd".to_owned(),
            };
            let (what, why) = (excuse.what, excuse.reason);
            let _ = writeln!(page, "| {what} | {treatment} | {versions} | {why} |");
        }
    }
}

const RANDOM: &str = "\
`cargo xtask conform --random --seed N` has Drystone and etcd do the same random requests in \
step: reads with every option, writes, deletions, nested transactions, leases, compactions, \
hashes, locks, elections, users, roles and permissions, watches of every kind, and wrong requests \
of every kind, made by root, by users with some rights, and by strangers. Answers are compared \
field by field, revisions and hashes included, and each watch's events with all that happened. Drystone is \
restarted now and then, which must not be noticed. What may differ is in this table, and nothing \
else:\n";
/// The worst of several verdicts.
fn words(verdicts: impl Iterator<Item = &'static str>) -> &'static str {
    let mut worst = None;
    for verdict in verdicts {
        worst = match (worst, verdict) {
            (Some("**differs**"), _) | (_, "**differs**") => Some("**differs**"),
            (Some("as 3.7"), _) | (_, "as 3.7") => Some("as 3.7"),
            _ => Some("same"),
        };
    }
    worst.unwrap_or("not run")
}

const FIELDS: &str = "\
## Requests, field by field

Every field of every request, and the cases that exercise it: rows of the table below, commands of \
etcdctl, sequences, or the random stream. Results: *same* as this etcd; *as 3.7*, unlike this \
etcd, for the reason that the case's row tells; *stands*, where etcd may fall.
";
const DEVIATIONS: &str = "\
By choice, and each with its reason:

- Transactions nest 49 deep at most (`etcdserver: too many operations in txn request`); etcd has \
only its budget of operations, which allows 128. Deeper requests could exhaust a decoder's stack.
- What can fail in a transaction is decided before any of it is applied. etcd lets some through and \
ends, or lets its members differ: see \"Where etcd falls\".
- A transaction that only compares is a linearizable read; etcd answers it from local state.
- An alarm action that does not exist is `INVALID_ARGUMENT`; it ends etcd's handler.
";
const COMMANDS: &str = "\
Debian's `etcdctl` 3.4 runs the same commands against both: output, errors and exit codes are \
compared line by line. Hidden, because servers choose them: ids, addresses, terms, log positions, \
sizes, versions and durations. The cases are text, in \
`crates/drystone-conformance/testdata/commands/`.\n";
const GRPC: &str = "\
Calls whose answers are known from etcd 3.7.1. Drystone must answer exactly those; so must the \
etcd at hand, unless the row says otherwise.\n";
const JSON: &str = "\
Requests under `/v3/`, each path's wrong methods, refusals and streams among them, whose answers \
were recorded from etcd 3.7.1. Drystone must answer the same bytes, numbers of the moment aside; so \
must the etcd at hand, unless the row says otherwise. The shapes of refusals before etcd 3.6 are \
translated. The cases are text, in `crates/drystone-conformance/testdata/gateway/`.\n";
const SEQUENCES: &str = "\
Sequences of requests, on three Drystone members. Afterwards every member must be alive, all must \
answer the same and have equal hashes, and must still do so after each was stopped and started, \
and killed and started. The etcd at hand is a throw-away process.\n";

fn cell(finding: &Finding) -> String {
    match &finding.verdict {
        Verdict::Same => "same".into(),
        Verdict::Otherwise { reason } => format!("as 3.7: {reason}"),
        Verdict::Differs { .. } => "**differs**".into(),
    }
}

fn findings(page: &mut String, title: &str, findings: &[Finding], text: &str) {
    if findings.is_empty() {
        return;
    }
    let _ = writeln!(page, "## {title}\n\n{text}\n| group | row | result |\n|---|---|---|");
    for finding in findings {
        let cell = match (&finding.verdict, finding.group.as_str()) {
            (Verdict::Otherwise { reason }, "sequence") => format!("stands; {reason}"),
            (Verdict::Same, "sequence") => "stands, as this etcd does".into(),
            _ => cell(finding),
        };
        let _ = writeln!(page, "| {} | {} | {cell} |", finding.group, finding.name);
    }
    page.push('\n');
}

#[cfg(test)]
mod tests;
