//! One line of the log: etcd's keys in etcd's order.

use super::level::Level;
use crate::config::LogFormat;
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::time::SystemTime;
use time::OffsetDateTime;
use tracing::field::{Field, Visit};

/// Bytes of one text in a line; the rest is cut off.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// Bytes of fields in a line; those behind are left out.
const FIELDS_BYTES_MAX: usize = 64 << 10;

/// What stands in a line before its message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) time: SystemTime,
    pub(super) level: Level,
    /// The library that speaks, if it is one.
    pub(super) logger: Option<&'a str>,
    /// File and line of the code.
    pub(super) place: Option<(&'a str, u32)>,
}

/// A line as it goes to the outputs.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// With the newline.
    pub(super) bytes: Vec<u8>,
    pub(super) level: Level,
    /// Where in it the folder of the code stands.
    pub(super) package: Range<usize>,
}

impl Line {
    /// Puts a line together.
    pub(super) fn new(format: LogFormat, head: &Head<'_>, message: &str, fields: &Fields) -> Self {
        let mut out = String::with_capacity(160 + message.len() + fields.written.len());
        let package = match format {
            LogFormat::Json => json(&mut out, head, message, &fields.written),
            LogFormat::Console => console(&mut out, head, message, &fields.written),
        };
        out.push('\n');
        Self { bytes: out.into_bytes(), level: head.level, package }
    }
}

fn json(out: &mut String, head: &Head<'_>, message: &str, fields: &str) -> Range<usize> {
    let _ = write!(out, "{{\"level\":\"{}\",\"ts\":\"", head.level.name());
    write_timestamp(out, head.time);
    out.push('"');
    if let Some(logger) = head.logger {
        out.push_str(",\"logger\":");
        text(out, logger);
    }
    let mut package = 0..0;
    if let Some((file, line)) = head.place {
        out.push_str(",\"caller\":\"");
        package = caller(out, file, line);
        out.push('"');
    }
    out.push_str(",\"msg\":");
    text(out, message);
    if !fields.is_empty() {
        out.push(',');
        out.push_str(fields);
    }
    out.push('}');
    package
}

fn console(out: &mut String, head: &Head<'_>, message: &str, fields: &str) -> Range<usize> {
    write_timestamp(out, head.time);
    let _ = write!(out, "\t{}\t", head.level.name());
    if let Some(logger) = head.logger {
        let _ = write!(out, "{logger}\t");
    }
    let mut package = 0..0;
    if let Some((file, line)) = head.place {
        package = caller(out, file, line);
        out.push('\t');
    }
    // One line stays one line.
    out.extend(cut(message).chars().map(|c| if c.is_control() { ' ' } else { c }));
    if !fields.is_empty() {
        let _ = write!(out, "\t{{{fields}}}");
    }
    package
}

/// A moment as lines have it.
pub(crate) fn timestamp(time: SystemTime) -> String {
    let mut out = String::new();
    write_timestamp(&mut out, time);
    out
}

/// `2026-01-02T03:04:05.000000Z`.
fn write_timestamp(out: &mut String, time: SystemTime) {
    let t = OffsetDateTime::from(time);
    let (year, month, day) = t.to_calendar_date();
    let (hour, minute, second, micro) = t.to_hms_micro();
    let _ = write!(
        out,
        "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z",
        u8::from(month)
    );
}

/// Writes the last two parts of a file's path, without the `src` that all have, and the line.
/// Returns where the first part stands.
fn caller(out: &mut String, file: &str, line: u32) -> Range<usize> {
    let mut parts = file.rsplit('/').filter(|part| *part != "src");
    let name = parts.next().unwrap_or_default();
    let start = out.len();
    out.push_str(parts.next().unwrap_or("."));
    let package = start..out.len();
    let _ = write!(out, "/{name}:{line}");
    package
}

fn cut(value: &str) -> &str {
    let mut end = value.len().min(TEXT_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}

fn text(out: &mut String, value: &str) {
    let kept = cut(value);
    let kept = if kept.len() < value.len() { format!("{kept}...") } else { kept.to_owned() };
    // Texts can always be written.
    out.push_str(&serde_json::to_string(&kept).unwrap_or_default());
}

/// The fields of a line, written as they come in, and what is not written among them.
#[derive(Debug)]
pub(crate) struct Fields {
    spaced: bool,
    written: String,
    /// The message.
    pub(super) message: String,
    /// The level, where the event names one that `tracing` does not have.
    pub(super) level: Option<Level>,
    /// What the crate `log` says of its events.
    pub(super) target: Option<String>,
    pub(super) file: Option<String>,
    pub(super) line: Option<u32>,
}

impl Fields {
    pub(super) fn new(format: LogFormat) -> Self {
        Self {
            spaced: format == LogFormat::Console,
            written: String::new(),
            message: String::new(),
            level: None,
            target: None,
            file: None,
            line: None,
        }
    }

    /// Writes a field's name; false if there is no room for more.
    fn name(&mut self, name: &str) -> bool {
        if self.written.len() > FIELDS_BYTES_MAX {
            return false;
        }
        if !self.written.is_empty() {
            self.written.push_str(if self.spaced { ", " } else { "," });
        }
        text(&mut self.written, name.strip_prefix("r#").unwrap_or(name));
        self.written.push_str(if self.spaced { ": " } else { ":" });
        true
    }

    /// Adds a field.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        if self.name(name) {
            text(&mut self.written, value);
        }
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, name: &str, value: u64) {
        self.plain(name, value);
    }

    fn plain(&mut self, name: &str, value: impl fmt::Display) {
        if self.name(name) {
            let _ = write!(self.written, "{value}");
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            "level" => self.level = Some(Level::named(value)),
            "log.target" => self.target = Some(value.to_owned()),
            "log.file" => self.file = Some(value.to_owned()),
            "log.module_path" => {}
            name => self.text(name, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = field.name();
        if name == "message" {
            let _ = write!(self.message, "{value:?}");
            return;
        }
        let value = format!("{value:?}");
        // A list of texts stays a list.
        let is_list = value.starts_with('[')
            && value.len() <= TEXT_BYTES_MAX
            && serde_json::from_str::<Vec<String>>(&value).is_ok();
        if is_list {
            let separated = if self.spaced { value } else { unspaced(&value) };
            self.plain(name, separated);
        } else {
            self.text(name, &value);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "log.line" => self.line = u32::try_from(value).ok(),
            name => self.plain(name, value),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field.name(), value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.plain(field.name(), value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.plain(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has neither infinities nor what is no number.
        if value.is_finite() {
            self.plain(field.name(), value);
        } else {
            self.text(field.name(), &value.to_string());
        }
    }
}

/// The list of texts `value` without spaces between the items.
fn unspaced(value: &str) -> String {
    let items = serde_json::from_str::<Vec<String>>(value).unwrap_or_default();
    serde_json::to_string(&items).unwrap_or_default()
}
