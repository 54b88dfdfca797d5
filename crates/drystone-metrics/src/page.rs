//! The page that operators read, made from the table.

use crate::{Bounds, Family, Here, Section, TABLE};
use std::fmt::Write as _;

const HEAD: &str = "\
# Metrics

`GET /metrics` on a client URL, or on one of `--listen-metrics-urls`, answers in the text format of
Prometheus. Names that begin with `etcd_`, `grpc_`, `os_`, `process_`, `promhttp_` and `go_` are
etcd 3.7's, with its types, labels and buckets, and its meaning unless the table says otherwise;
what is Drystone's alone begins with `drystone_`. Dashboards and alerts for both are in
`deploy/monitoring`.

This page is made from the table in `crates/drystone-metrics/src/table`; a test fails when it is
behind (`UPDATE=1 cargo test -p drystone-metrics` writes it).

How to read it:

- A series appears with its first use, unless it has no labels: those are there from the start, and
  so is every call of KV, Watch, Lease, Cluster, Auth, Maintenance and the health service with every
  code, at 0. The calls of Lock and Election appear after their first use, as in etcd.
- *Idle* series are there because something asks for them, and never move, for the reason given.
- Buckets written `a × 2, n` are `n` bounds, each twice the one before, from `a` on.
- A family whose labels come from outside (members, versions of clients, errors) has at most 128
  series; what comes beyond is counted under `other`. etcd has no such bound.
- What is read off the server's state, and not counted, is sampled when a scrape asks.

Decided about Go's runtime: dashboards look at its threads, tasks and memory, so those names show
their nearest counterparts. There is no collector of garbage, so `go_gc_*`, the other
`go_memstats_*` and the names that `--metrics=extensive` adds in etcd are not there; of those,
`grpc_server_handling_seconds` is.
";

/// `docs/metrics.md`.
#[must_use]
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for section in TABLE {
        let Some(first) = section.first() else { continue };
        let _ = write!(page, "\n## {}\n\n", title(first.section));
        page.push_str("| Name | Type | Labels | Buckets | Says |\n|---|---|---|---|---|\n");
        for family in *section {
            row(&mut page, family);
        }
    }
    page
}

fn title(section: Section) -> &'static str {
    match section {
        Section::Server => "Member, consensus, applying",
        Section::Disk => "Log, store, snapshots",
        Section::Store => "Keys, watchers, leases",
        Section::Network => "Other members, clients' bytes",
        Section::Grpc => "Calls",
        Section::Process => "Process",
        Section::Legacy => "Names that etcd still carries",
        Section::Own => "Drystone's own",
    }
}

fn row(page: &mut String, family: &Family) {
    let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
    let buckets = match family.bounds {
        Bounds::None => String::new(),
        Bounds::Exponential { start, factor, count } => format!("{start} × {factor}, {count}"),
        Bounds::Listed(bounds) => {
            bounds.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
    };
    let here = match family.here {
        Here::Same => String::new(),
        Here::Nearest(what) => format!(" Here: {what}."),
        Here::Idle(why) => format!(" *Idle*: {why}."),
    };
    let (name, kind, help) = (family.name, family.kind.word(), family.help);
    let labels = labels.join(", ");
    let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {buckets} | {help}{here} |");
}
