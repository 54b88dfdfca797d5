//! The numbers of one server.

use crate::family::{Family, Kind};
use crate::histogram::Buckets;
use crate::{TABLE, number};
use metrics::{Counter, Gauge, Histogram};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Series that a family may have whose labels come from outside.
pub const SERIES_MAX: usize = 128;
/// The labels' value of what comes beyond.
const OTHER: &str = "other";

/// Where a series keeps its number.
#[derive(Clone, Debug)]
enum Cell {
    /// A whole number that is added to.
    Count(Arc<AtomicU64>),
    /// The bits of a number that is set.
    Level(Arc<AtomicU64>),
    Buckets(Arc<Buckets>),
}

/// Series of one family, by the values of its labels in the order of the table.
type SeriesOf = BTreeMap<Vec<String>, Cell>;

/// The numbers of one server, by the names of [`TABLE`].
#[derive(Debug)]
pub struct Registry {
    families: Mutex<BTreeMap<&'static str, (&'static Family, SeriesOf)>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// A registry without any series.
    #[must_use]
    pub fn new() -> Self {
        let families = TABLE.iter().flat_map(|section| section.iter());
        let families = families.map(|family| (family.name, (family, SeriesOf::new()))).collect();
        Self { families: Mutex::new(families) }
    }

    /// The handle of a counter, which is there from now on. Labels' values are in the order of
    /// the table. Two calls give handles to one number.
    ///
    /// # Panics
    /// When the table has no such counter with so many labels.
    pub fn counter(&self, name: &'static str, labels: &[&str]) -> Counter {
        let new = || Cell::Count(Arc::new(AtomicU64::new(0)));
        match self.series(name, Kind::Counter, labels, new) {
            Cell::Count(cell) => Counter::from_arc(cell),
            other => panic!("{name} is kept as {other:?}"),
        }
    }

    /// The handle of a gauge. See [`Registry::counter`].
    ///
    /// # Panics
    /// When the table has no such gauge with so many labels.
    pub fn gauge(&self, name: &'static str, labels: &[&str]) -> Gauge {
        self.level(name, Kind::Gauge, labels)
    }

    /// The handle of a counter that is not added to but set, to what somebody else counts.
    ///
    /// # Panics
    /// When the table has no such counter with so many labels.
    pub fn counted_elsewhere(&self, name: &'static str, labels: &[&str]) -> Gauge {
        self.level(name, Kind::Counter, labels)
    }

    /// The handle of a histogram. See [`Registry::counter`].
    ///
    /// # Panics
    /// When the table has no such histogram with so many labels.
    pub fn histogram(&self, name: &'static str, labels: &[&str]) -> Histogram {
        let bounds = || crate::find(name).map_or_else(Vec::new, |family| family.bounds.values());
        let new = || Cell::Buckets(Arc::new(Buckets::new(bounds())));
        match self.series(name, Kind::Histogram, labels, new) {
            Cell::Buckets(cell) => Histogram::from_arc(cell),
            other => panic!("{name} is kept as {other:?}"),
        }
    }

    fn level(&self, name: &'static str, kind: Kind, labels: &[&str]) -> Gauge {
        let new = || Cell::Level(Arc::new(AtomicU64::new(0_f64.to_bits())));
        match self.series(name, kind, labels, new) {
            Cell::Level(cell) => Gauge::from_arc(cell),
            other => panic!("{name} is kept as {other:?}"),
        }
    }

    fn series(
        &self,
        name: &'static str,
        kind: Kind,
        labels: &[&str],
        new: impl FnOnce() -> Cell,
    ) -> Cell {
        let mut families = self.families.lock();
        let Some((family, series)) = families.get_mut(name) else {
            panic!("{name} is not in the table of metrics");
        };
        assert_eq!(family.kind, kind, "{name} is of another kind");
        assert_eq!(family.labels.len(), labels.len(), "{name} has the labels {:?}", family.labels);
        let mut values: Vec<String> = labels.iter().map(|value| (*value).to_owned()).collect();
        if family.open && series.len() >= SERIES_MAX && !series.contains_key(&values) {
            values.iter_mut().for_each(|value| OTHER.clone_into(value));
        }
        series.entry(values).or_insert_with(new).clone()
    }

    /// Everything, in the text format of Prometheus, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(128 << 10);
        let families = self.families.lock();
        for (family, series) in families.values().filter(|(_, series)| !series.is_empty()) {
            heading(&mut out, family);
            for (values, cell) in series {
                let labels = labels_of(family, values);
                match cell {
                    #[expect(clippy::cast_precision_loss, reason = "Prometheus has only floats")]
                    Cell::Count(cell) => {
                        line(&mut out, family.name, &labels, cell.load(Ordering::Relaxed) as f64);
                    }
                    Cell::Level(cell) => {
                        let value = f64::from_bits(cell.load(Ordering::Relaxed));
                        line(&mut out, family.name, &labels, value);
                    }
                    Cell::Buckets(buckets) => render_buckets(&mut out, family, &labels, buckets),
                }
            }
        }
        out
    }
}

fn heading(out: &mut String, family: &Family) {
    for part in ["# HELP ", family.name, " "] {
        out.push_str(part);
    }
    out.push_str(&family.help.replace('\\', "\\\\").replace('\n', "\\n"));
    for part in ["\n# TYPE ", family.name, " ", family.kind.word(), "\n"] {
        out.push_str(part);
    }
}

/// What stands between the braces: labels in alphabetical order, as etcd shows them.
fn labels_of(family: &Family, values: &[String]) -> String {
    let mut pairs: Vec<_> = family.labels.iter().zip(values).collect();
    pairs.sort_unstable();
    let text = |(name, value): &(&&str, &String)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    };
    pairs.iter().map(text).collect::<Vec<_>>().join(",")
}

fn line(out: &mut String, name: &str, labels: &str, value: f64) {
    out.push_str(name);
    if !labels.is_empty() {
        for part in ["{", labels, "}"] {
            out.push_str(part);
        }
    }
    out.push(' ');
    number::write(out, value);
    out.push('\n');
}

fn render_buckets(out: &mut String, family: &Family, labels: &str, buckets: &Buckets) {
    let (bucket, comma) =
        (format!("{}_bucket", family.name), if labels.is_empty() { "" } else { "," });
    let mut total = 0;
    for (bound, count) in buckets.cumulative() {
        let mut le = format!("{labels}{comma}le=\"");
        number::write(&mut le, bound);
        le.push('"');
        total = count;
        #[expect(clippy::cast_precision_loss, reason = "Prometheus has only floats")]
        line(out, &bucket, &le, count as f64);
    }
    line(out, &format!("{}_sum", family.name), labels, buckets.sum());
    #[expect(clippy::cast_precision_loss, reason = "Prometheus has only floats")]
    line(out, &format!("{}_count", family.name), labels, total as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_come_from_outside_are_bounded() {
        let registry = Registry::new();
        for n in 0..SERIES_MAX + 50 {
            let peer = format!("{n:x}");
            registry.counted_elsewhere("etcd_network_peer_sent_bytes_total", &[&peer]).set(1.0);
        }
        let text = registry.render();
        let series = text.lines().filter(|line| line.starts_with("etcd_network_peer_sent_bytes"));
        assert_eq!(series.count(), SERIES_MAX + 1);
        assert!(text.contains("etcd_network_peer_sent_bytes_total{To=\"other\"} 1\n"), "{text}");
    }

    #[test]
    fn what_is_rendered_reads_as_prometheus_writes_it() {
        let registry = Registry::new();
        registry.gauge("etcd_server_version", &["3.7\"\\\n"]).set(1.0);
        let seconds = registry.histogram("etcd_server_range_duration_seconds", &["true"]);
        seconds.record(0.0002);
        let text = registry.render();
        assert!(text.contains("etcd_server_version{server_version=\"3.7\\\"\\\\\\n\"} 1\n"));
        for line in [
            "# TYPE etcd_server_range_duration_seconds histogram",
            "etcd_server_range_duration_seconds_bucket{success=\"true\",le=\"0.0001\"} 0",
            "etcd_server_range_duration_seconds_bucket{success=\"true\",le=\"0.0002\"} 1",
            "etcd_server_range_duration_seconds_bucket{success=\"true\",le=\"+Inf\"} 1",
            "etcd_server_range_duration_seconds_sum{success=\"true\"} 0.0002",
            "etcd_server_range_duration_seconds_count{success=\"true\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
