//! pprof's format: `profile.proto` of github.com/google/pprof, compressed.

use flate2::Compression;
use flate2::write::GzEncoder;
use pprof::{Frames, Report, Symbol};
use prost::Message;
use std::collections::HashMap;
use std::io::Write as _;
use std::time::SystemTime;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// Parts of the names of the files that walk a stack.
const WALKERS: [&str; 2] = ["/backtrace-", "/pprof-"];

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    /// What all others name by its place. The first is empty.
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

/// What a number counts, and in what unit.
#[derive(Clone, Copy, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    /// From where it ran to where it was called from.
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
}

/// A place in the program: the function there, and those that it is inlined into.
#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// The report as a file.
pub(super) fn gzipped(report: &Report) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let bytes = Tables::default().profile(report).encode_to_vec();
    let written = encoder.write_all(&bytes).and_then(|()| encoder.finish());
    written.expect("a vector takes all that is written to it")
}

/// Everything has one row, and is named by its place.
#[derive(Default)]
struct Tables {
    strings: HashMap<String, i64>,
    functions: HashMap<(i64, i64), Function>,
    locations: HashMap<Vec<Line>, u64>,
}

impl Tables {
    fn profile(mut self, report: &Report) -> Profile {
        self.string("");
        let samples = ValueType { r#type: self.string("samples"), unit: self.string("count") };
        let cpu = ValueType { r#type: self.string("cpu"), unit: self.string("nanoseconds") };
        let period = NANOS_PER_SECOND / i64::from(report.timing.frequency.max(1));
        let sample = report.data.iter().map(|(stack, count)| {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.sample(stack, count, count.saturating_mul(period))
        });
        let sample = sample.collect();
        let began = report.timing.start_time.duration_since(SystemTime::UNIX_EPOCH);
        let nanos = |nanos: u128| i64::try_from(nanos).unwrap_or(i64::MAX);
        Profile {
            sample_type: vec![samples, cpu],
            sample,
            location: self.locations.into_iter().map(|(line, id)| Location { id, line }).collect(),
            function: self.functions.into_values().collect(),
            string_table: in_order(self.strings),
            time_nanos: began.map_or(0, |began| nanos(began.as_nanos())),
            duration_nanos: nanos(report.timing.duration.as_nanos()),
            period_type: Some(cpu),
            period,
        }
    }

    fn sample(&mut self, stack: &Frames, count: i64, cpu_nanos: i64) -> Sample {
        let frames = stack.frames.iter().skip_while(|symbols| walks(symbols));
        let frames = frames.filter(|symbols| !symbols.is_empty());
        let location_id = frames.map(|symbols| self.location(symbols)).collect();
        let thread = stack.thread_name_or_id();
        let label = Label { key: self.string("thread"), str: self.string(&thread) };
        Sample { location_id, value: vec![count, cpu_nanos], label: vec![label] }
    }

    fn location(&mut self, symbols: &[Symbol]) -> u64 {
        let lines: Vec<Line> = symbols.iter().map(|symbol| self.line(symbol)).collect();
        let next = self.locations.len() as u64 + 1;
        *self.locations.entry(lines).or_insert(next)
    }

    fn line(&mut self, symbol: &Symbol) -> Line {
        let system_name = self.string(&symbol.sys_name());
        let filename = self.string(&symbol.filename());
        let line = i64::from(symbol.lineno());
        if let Some(known) = self.functions.get(&(system_name, filename)) {
            return Line { function_id: known.id, line };
        }
        let name = self.string(&symbol.name());
        let id = self.functions.len() as u64 + 1;
        self.functions
            .insert((system_name, filename), Function { id, name, system_name, filename });
        Line { function_id: id, line }
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(place) = self.strings.get(text) {
            return *place;
        }
        let place = i64::try_from(self.strings.len()).expect("they are in memory");
        self.strings.insert(text.to_owned(), place);
        place
    }
}

/// Whether a place belongs to the walk of the stack itself, whose frames come first.
fn walks(symbols: &[Symbol]) -> bool {
    let is_of_the_walk = |symbol: &Symbol| {
        let file = symbol.filename();
        WALKERS.iter().any(|part| file.contains(part))
    };
    symbols.iter().any(is_of_the_walk)
}

fn in_order(strings: HashMap<String, i64>) -> Vec<String> {
    let mut strings: Vec<(String, i64)> = strings.into_iter().collect();
    strings.sort_unstable_by_key(|(_, place)| *place);
    strings.into_iter().map(|(text, _)| text).collect()
}
