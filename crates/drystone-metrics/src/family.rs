//! One row of the table.

use crate::Bounds;

/// What a family's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// Observations, counted by size.
    Histogram,
}

impl Kind {
    /// The word of the `# TYPE` line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What a family of etcd says here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Here {
    /// What it says there.
    Same,
    /// Its nearest counterpart, which this names.
    Nearest(&'static str),
    /// Nothing ever happens that it counts, for this reason. It is there for what asks for it.
    Idle(&'static str),
}

/// What a family is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The member, consensus and applying.
    Server,
    /// Log, store and snapshots.
    Disk,
    /// Keys, watchers and leases.
    Store,
    /// Other members and clients' bytes.
    Network,
    /// Calls.
    Grpc,
    /// The process and its runtime.
    Process,
    /// Names that etcd still carries.
    Legacy,
    /// Drystone's own.
    Own,
}

/// A metric: all series of one name.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What its numbers are.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// Its buckets.
    pub bounds: Bounds,
    /// What it says, in a sentence.
    pub help: &'static str,
    /// How that compares with etcd.
    pub here: Here,
    /// True when labels' values come from outside, so that their number must be bounded.
    pub open: bool,
    /// What it is about.
    pub section: Section,
}

/// The labels of a family without any.
pub(crate) const NONE: &[&str] = &[];

/// A family before its section is known.
const fn family(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    let (bounds, here, section) = (Bounds::None, Here::Same, Section::Own);
    Family { name, kind, labels, bounds, help, here, open: false, section }
}

pub(crate) const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    family(name, Kind::Counter, labels, help)
}

pub(crate) const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    family(name, Kind::Gauge, labels, help)
}

pub(crate) const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    bounds: Bounds,
    help: &'static str,
) -> Family {
    let family = family(name, Kind::Histogram, labels, help);
    Family { bounds, ..family }
}

/// Bounds that grow by two.
pub(crate) const fn doubling(start: f64, count: usize) -> Bounds {
    Bounds::Exponential { start, factor: 2.0, count }
}

impl Family {
    pub(crate) const fn nearest(self, what: &'static str) -> Self {
        Self { here: Here::Nearest(what), ..self }
    }

    pub(crate) const fn idle(self, why: &'static str) -> Self {
        Self { here: Here::Idle(why), ..self }
    }

    pub(crate) const fn open(self) -> Self {
        Self { open: true, ..self }
    }
}
