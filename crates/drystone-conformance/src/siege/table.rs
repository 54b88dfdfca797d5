//! What was seen, as a table, and what of it is wrong.

use super::Config;
use super::attack::Plan;
use super::attacker::Seen;
use super::honest::Latencies;
use super::stage::Counts;
use std::fmt;
use std::time::Duration;

/// What came of one attack.
pub(super) struct Row {
    pub(super) plan: Plan,
    pub(super) calm: Latencies,
    pub(super) attacked: Latencies,
    /// What the attacker saw, in the last round.
    pub(super) seen: Seen,
    /// Resident bytes before it, the most from then on, and what there may be.
    pub(super) before: u64,
    pub(super) peak: u64,
    pub(super) bound: u64,
    pub(super) counted: Counts,
    /// Of a processor, what the attacker used, in the last round.
    pub(super) share: f64,
}

/// A row in words and numbers.
#[derive(Clone, Debug)]
struct Told {
    name: String,
    connections: usize,
    requests: usize,
    calm: [Option<Duration>; 2],
    attacked: [Option<Duration>; 2],
    failed: Vec<String>,
    seen: Seen,
    before: u64,
    peak: u64,
    bound: u64,
    counted: String,
    share: f64,
}

/// All attacks with what came of them; [`fmt::Display`] prints markdown.
#[derive(Clone, Debug)]
pub struct Outcome {
    program: String,
    config: Config,
    rows: Vec<Told>,
}

impl Row {
    fn tell(mut self) -> Told {
        let mut failed = self.calm.failed.clone();
        failed.extend(self.attacked.failed.iter().cloned());
        let both = |all: &mut Latencies| [50, 99].map(|percent| all.percentile(percent));
        Told {
            name: self.plan.name.to_owned(),
            connections: self.plan.connections,
            requests: self.attacked.count(),
            calm: both(&mut self.calm),
            attacked: both(&mut self.attacked),
            failed,
            seen: self.seen,
            before: self.before,
            peak: self.peak,
            bound: self.bound,
            counted: self.counted.told(),
            share: self.share,
        }
    }
}

impl Told {
    /// The attack's p99 in calm ones; `None` when either has none.
    fn ratio(&self) -> Option<f64> {
        let (calm, attacked) = (self.calm[1]?, self.attacked[1]?);
        Some(attacked.as_secs_f64() / calm.as_secs_f64())
    }

    fn faults(&self, config: &Config) -> Vec<String> {
        let Told { name, peak, bound, failed, .. } = self;
        let mut faults = Vec::new();
        if let Some(first) = failed.first() {
            faults.push(format!("{name}: {} requests failed: {first}", failed.len()));
        }
        if peak > bound {
            faults.push(format!("{name}: {} resident, bound {}", mib(*peak), mib(*bound)));
        }
        if let Some(most) = config.ratio_max {
            match self.ratio() {
                Some(ratio) if ratio < most => {}
                Some(ratio) => faults.push(format!("{name}: p99 is {ratio:.2} calm ones")),
                None => faults.push(format!("{name}: there is no p99")),
            }
        }
        faults
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { name, connections, requests, seen, counted, share, .. } = self;
        let ([calm50, calm99], [p50, p99]) = (self.calm.map(ms), self.attacked.map(ms));
        let ratio = self.ratio().map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let [before, peak, bound] = [self.before, self.peak, self.bound].map(mib);
        let Seen { opened, refused, ended, goodbyes, sent, .. } = seen;
        write!(
            f,
            "| {name} | {connections} | {requests} | {calm50} / {calm99} | {p50} / {p99} | {ratio} \
             | {before} | {peak} | {bound} | {opened} / {refused} / {ended} / {goodbyes} \
             | {sent} | {busy:.0} % | {counted} |",
            sent = mib(*sent),
            busy = 100.0 * share,
        )
    }
}

fn ms(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.1}", time.as_secs_f64() * 1e3))
}

fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}

impl Outcome {
    pub(super) fn new(program: String, config: Config) -> Outcome {
        Outcome { program, config, rows: Vec::new() }
    }

    /// Adds what came of an attack, and tells it.
    pub(super) fn add(&mut self, row: Row) -> String {
        let told = row.tell();
        let line = told.to_string();
        self.rows.push(told);
        line
    }

    /// What is wrong, if anything: a request that failed, a p99 or memory beyond its bound.
    pub fn faults(&self) -> Vec<String> {
        self.rows.iter().flat_map(|row| row.faults(&self.config)).collect()
    }

    /// How many attacks there were.
    pub fn attacks(&self) -> usize {
        self.rows.len()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { rate, watched, rounds, .. } = self.config;
        writeln!(
            f,
            "{}: {rate} requests a second; {rounds} times {} s of each attack",
            self.program,
            watched.as_secs_f64()
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "| attack | connections | requests | calm p50 / p99, ms | p50 / p99, ms | ratio \
             | resident before | peak | bound | opened / not / ended / with GOAWAY | sent \
             | attacker's processor | ended by the server for |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|---|---|---|")?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::siege::attack::PLANS;

    fn told(attacked: u64, peak: u64) -> Told {
        let time = |ms| Some(Duration::from_millis(ms));
        Told {
            name: PLANS[0].name.to_owned(),
            connections: 1,
            requests: 10,
            calm: [time(1), time(10)],
            attacked: [time(1), time(attacked)],
            failed: Vec::new(),
            seen: Seen::default(),
            before: 1 << 20,
            peak,
            bound: 2 << 20,
            counted: String::new(),
            share: 0.5,
        }
    }

    #[test]
    fn what_is_beyond_its_bound_is_a_fault() {
        let config = Config::default();
        assert_eq!(told(19, 2 << 20).faults(&config), Vec::<String>::new());
        assert_eq!(told(20, 2 << 20).faults(&config).len(), 1);
        assert_eq!(told(20, 3 << 20).faults(&config).len(), 2);
        let unheld = Config { ratio_max: None, ..config };
        assert_eq!(told(20, 2 << 20).faults(&unheld).len(), 0);
        let failed = Told { failed: vec![String::new()], ..told(10, 2 << 20) };
        assert_eq!(failed.faults(&unheld).len(), 1);
    }
}
