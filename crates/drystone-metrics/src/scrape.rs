//! What a scrape said, read again.

use std::collections::BTreeMap;

/// A scrape, by the names of families.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrape {
    /// The families in it.
    pub families: BTreeMap<String, Scraped>,
}

/// One family of a scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scraped {
    /// The word of its `# TYPE` line.
    pub kind: String,
    /// Whether it had a `# HELP` line.
    pub has_help: bool,
    /// Its samples, in their order.
    pub samples: Vec<Sample>,
}

/// One number.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its name: the family's, for histograms with an ending.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The number.
    pub value: f64,
}

/// A line of a scrape cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number} of a scrape cannot be read: {line}")]
pub struct BrokenScrape {
    /// Which line, from 1 on.
    pub number: usize,
    /// What it says.
    pub line: String,
}

/// Endings of the samples of histograms and summaries.
const ENDINGS: [&str; 3] = ["_bucket", "_sum", "_count"];

impl Scrape {
    /// Reads the text format of Prometheus.
    ///
    /// # Errors
    /// [`BrokenScrape`] for the first line that cannot be read.
    pub fn parse(text: &str) -> Result<Self, BrokenScrape> {
        let mut scrape = Self::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            let read = match line.strip_prefix('#') {
                Some(comment) => scrape.comment(comment.trim()),
                None if line.is_empty() => Some(()),
                None => sample(line).map(|sample| scrape.add(sample)),
            };
            let broken = || BrokenScrape { number: at + 1, line: line.to_owned() };
            read.ok_or_else(broken)?;
        }
        Ok(scrape)
    }

    fn comment(&mut self, comment: &str) -> Option<()> {
        if let Some(rest) = comment.strip_prefix("TYPE ") {
            let (name, kind) = rest.split_once(' ')?;
            kind.clone_into(&mut self.families.entry(name.to_owned()).or_default().kind);
        } else if let Some(rest) = comment.strip_prefix("HELP ") {
            let name = rest.split(' ').next()?;
            self.families.entry(name.to_owned()).or_default().has_help = true;
        }
        Some(())
    }

    fn add(&mut self, sample: Sample) {
        let family = ENDINGS
            .iter()
            .filter_map(|ending| sample.name.strip_suffix(ending))
            .find(|name| {
                let found = self.families.get(*name);
                found.is_some_and(|family| matches!(&*family.kind, "histogram" | "summary"))
            })
            .unwrap_or(&sample.name)
            .to_owned();
        self.families.entry(family).or_default().samples.push(sample);
    }

    /// The number of the one sample with this name and these labels among its own.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let family = ENDINGS
            .iter()
            .filter_map(|ending| self.families.get(name.strip_suffix(ending)?))
            .chain(self.families.get(name));
        let mut samples = family.flat_map(|family| &family.samples).filter(|sample| {
            let has = |(label, value): &(&str, &str)| {
                sample.labels.get(*label).is_some_and(|found| found == value)
            };
            sample.name == name && labels.iter().all(has)
        });
        samples.next().map(|sample| sample.value)
    }

    /// The sum of all samples with this name.
    #[must_use]
    pub fn total(&self, name: &str) -> f64 {
        let samples = self.families.values().flat_map(|family| &family.samples);
        samples.filter(|sample| sample.name == name).map(|sample| sample.value).sum()
    }
}

fn sample(line: &str) -> Option<Sample> {
    let name_ends = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_ends);
    let mut labels = BTreeMap::new();
    let mut rest = rest;
    if let Some(inside) = rest.strip_prefix('{') {
        rest = read_labels(inside, &mut labels)?;
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// Reads labels up to the brace that ends them; returns what follows it.
fn read_labels<'a>(mut rest: &'a str, labels: &mut BTreeMap<String, String>) -> Option<&'a str> {
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(after) = rest.strip_prefix('}') {
            return Some(after);
        }
        let (label, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        let ends = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.insert(label.to_owned(), value);
        rest = &after[ends + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;

    #[test]
    fn what_is_rendered_is_read_again() {
        let registry = Registry::new();
        registry.gauge("etcd_server_version", &["a \"quoted\\\", } one"]).set(1.0);
        registry.histogram("etcd_debugging_lease_ttl_total", &[]).record(30.0);
        let scrape = Scrape::parse(&registry.render()).unwrap();
        let labels = [("server_version", "a \"quoted\\\", } one")];
        assert_eq!(scrape.value("etcd_server_version", &labels), Some(1.0));
        let le = [("le", "1.048576e+06")];
        assert_eq!(scrape.value("etcd_debugging_lease_ttl_total_bucket", &le), Some(1.0));
        assert_eq!(scrape.value("etcd_debugging_lease_ttl_total_sum", &[]), Some(30.0));
        let family = &scrape.families["etcd_debugging_lease_ttl_total"];
        assert!(family.has_help && family.kind == "histogram");
        assert_eq!(family.samples.len(), 27);
    }

    #[test]
    fn what_is_broken_is_named() {
        for broken in ["x", "x{a=\"b} 1", "x{a} 1", "x y"] {
            let error = Scrape::parse(&format!("y 1\n{broken}\n")).unwrap_err();
            assert_eq!((error.number, &*error.line), (2, broken));
        }
    }
}
