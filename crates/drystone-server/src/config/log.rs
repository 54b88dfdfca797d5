//! What the flags of the log mean: outputs and rotation.

use super::note::Note;
use super::usage::UsageError;
use super::values::Values;
use serde_json::Value;
use std::path::PathBuf;

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Console,
}

/// A place that the log is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// The standard error stream.
    Stderr,
    /// The standard output stream.
    Stdout,
    /// systemd's journal, over its socket.
    Journal,
    /// A file, appended to.
    File(PathBuf),
}

/// When the log's file gives way to a new one, and what becomes of old ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRotation {
    /// Megabytes (2²⁰ bytes) that a file may have.
    pub megabytes_max: u64,
    /// Days that an old file is kept; 0 is for ever.
    pub days_max: u64,
    /// Old files that are kept; 0 is all.
    pub backups_max: u64,
    /// Whether old files are compressed.
    pub compress: bool,
}

/// Megabytes of a file where the flag says 0, as in etcd.
const MEGABYTES_DEFAULT: u64 = 100;
const ONE_FILE: &str =
    "--log-outputs requires a single file path when --log-rotate-config-json is defined";

/// Looks at the flags in etcd's order.
///
/// # Errors
/// The first thing that is wrong, in etcd's words.
pub(super) fn check(values: &Values) -> Result<(), UsageError> {
    match values.text("logger") {
        "zap" => {}
        "capnslog" => return Err(UsageError::config("--logger=capnslog is removed in v3.5")),
        other => return Err(UsageError::config(format!("unknown logger option {other:?}"))),
    }
    let names = names(values);
    if names.len() > 1 && names.iter().any(|name| name == "default") {
        return Err(UsageError::config("multi logoutput for \"default\" is not supported yet"));
    }
    rotation(values)?;
    if names.len() > 1 && names.iter().any(|name| name == "systemd/journal") {
        let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        return Err(UsageError::config(format!(
            "running with systemd/journal but other '--log-outputs' values ([{}]) are configured \
             with 'default'; override 'default' value with something else",
            quoted.join(" ")
        )));
    }
    match values.text("log-format") {
        "json" | "console" => Ok(()),
        other => Err(UsageError::config(format!(
            "unknown log format: {other}, supported values json, console"
        ))),
    }
}

/// The form of the log.
pub(super) fn format(values: &Values) -> LogFormat {
    match values.text("log-format") {
        "console" => LogFormat::Console,
        _ => LogFormat::Json,
    }
}

/// Where the log goes. Nothing is named twice.
pub(super) fn outputs(values: &Values) -> Vec<LogOutput> {
    names(values).iter().map(|name| output(name)).collect()
}

fn output(name: &str) -> LogOutput {
    match name {
        "default" | "stderr" => LogOutput::Stderr,
        "stdout" => LogOutput::Stdout,
        "systemd/journal" => LogOutput::Journal,
        path => LogOutput::File(PathBuf::from(path)),
    }
}

/// Where the access log goes.
pub(super) fn access(values: &Values) -> Option<LogOutput> {
    Some(values.text("drystone-access-log")).filter(|name| !name.is_empty()).map(output)
}

/// Sorted and without repeats, as etcd shows them.
fn names(values: &Values) -> Vec<String> {
    let mut names = values.list("log-outputs");
    names.sort();
    names.dedup();
    if names.is_empty() {
        names.push("default".to_owned());
    }
    names
}

/// The rotation, if it is asked for.
///
/// # Errors
/// Not exactly one file, or a text that is no JSON or no rotation.
pub(super) fn rotation(values: &Values) -> Result<Option<LogRotation>, UsageError> {
    if !values.bool("enable-log-rotation") {
        return Ok(None);
    }
    let outputs = outputs(values);
    let files = outputs.iter().filter(|output| {
        // etcd takes the journal for a file here, and never writes to it then.
        matches!(output, LogOutput::File(_))
    });
    if files.count() != 1 {
        return Err(UsageError::config(ONE_FILE));
    }
    let given = parse(values.text("log-rotation-config-json")).map_err(UsageError::config)?;
    let number = |key| number(&given, key).map_err(UsageError::config);
    let megabytes_max = match number("maxsize")? {
        0 => MEGABYTES_DEFAULT,
        megabytes => megabytes,
    };
    let (days_max, backups_max) = (number("maxage")?, number("maxbackups")?);
    flag(&given, "localtime").map_err(UsageError::config)?;
    let compress = flag(&given, "compress").map_err(UsageError::config)?;
    Ok(Some(LogRotation { megabytes_max, days_max, backups_max, compress }))
}

/// Says what of a rotation is not done.
pub(super) fn note(values: &Values, notes: &mut Vec<Note>) {
    let rotates = values.bool("enable-log-rotation");
    let given = parse(values.text("log-rotation-config-json")).unwrap_or_default();
    if rotates && flag(&given, "localtime") == Ok(true) {
        let told = "\"localtime\" of --log-rotation-config-json has no effect: the names of old \
                    logs carry UTC, as their lines do";
        notes.push(Note::warn(told));
    }
}

type Object = serde_json::Map<String, Value>;

fn parse(text: &str) -> Result<Object, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let reason = match text.trim_start().chars().next() {
            _ if error.is_eof() => "unexpected end of JSON input".to_owned(),
            Some(first) if !first.is_ascii_digit() && !"{[\"-tfn".contains(first) => {
                format!("invalid character '{first}' looking for beginning of value")
            }
            _ => error.to_string(),
        };
        format!("improperly formatted log rotation config: {reason}")
    })?;
    match value {
        Value::Object(object) => Ok(object),
        Value::Null => Ok(Object::default()),
        other => Err(format!(
            "invalid log rotation config: json: cannot unmarshal {} into Go value of type \
             embed.logRotationConfig",
            kind(&other)
        )),
    }
}

/// The value under a key, whose case Go does not look at.
fn find<'a>(given: &'a Object, key: &str) -> Option<&'a Value> {
    let mut found = given.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
    found.next_back().map(|(_, value)| value).filter(|value| !value.is_null())
}

fn number(given: &Object, key: &str) -> Result<u64, String> {
    match find(given, key) {
        None => Ok(0),
        Some(value) => value.as_u64().ok_or_else(|| {
            if value.as_i64().is_some() {
                return format!("invalid log rotation config: {key} must not be negative");
            }
            mismatch(key, value, "int")
        }),
    }
}

fn flag(given: &Object, key: &str) -> Result<bool, String> {
    match find(given, key) {
        None => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| mismatch(key, value, "bool")),
    }
}

fn mismatch(key: &str, value: &Value, wanted: &str) -> String {
    let kind = match value {
        Value::Number(number) => format!("number {number}"),
        other => kind(other).to_owned(),
    };
    format!(
        "invalid log rotation config: json: cannot unmarshal {kind} into Go struct field \
         logRotationConfig.{key} of type {wanted}"
    )
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Parsed, parse};

    fn run(words: &[&str]) -> Result<(Config, Vec<Note>), UsageError> {
        let words = words.iter().map(|word| (*word).to_owned());
        match parse(words, std::iter::empty())? {
            Parsed::Run { config, notes } => Ok((*config, notes)),
            Parsed::Print(text) => panic!("unexpected text {text}"),
        }
    }

    #[test]
    fn outputs_are_taken_once_each() {
        let outputs = |words: &[&str]| run(words).unwrap().0.log_outputs;
        assert_eq!(outputs(&[]), [LogOutput::Stderr]);
        assert_eq!(outputs(&["--log-outputs=default"]), [LogOutput::Stderr]);
        assert_eq!(outputs(&["--log-outputs=systemd/journal"]), [LogOutput::Journal]);
        let file = LogOutput::File("/dev/null".into());
        let several = outputs(&["--log-outputs=stdout,/dev/null,stderr,stdout"]);
        assert_eq!(several, [file, LogOutput::Stderr, LogOutput::Stdout]);
    }

    #[test]
    fn rotation_is_read_as_in_etcd() {
        let rotation = |text: &str| {
            let json = format!("--log-rotation-config-json={text}");
            let words = ["--log-outputs=a.log,stderr", "--enable-log-rotation", &json];
            run(&words).unwrap().0.log_rotation
        };
        let least =
            LogRotation { megabytes_max: 100, days_max: 0, backups_max: 0, compress: false };
        for text in ["{}", "null", r#"{"maxsize": 0, "other": 1, "compress": null}"#] {
            assert_eq!(rotation(text), Some(least.clone()), "{text}");
        }
        assert_eq!(
            rotation(r#"{"MaxSize": 7, "maxage": 2, "maxbackups": 3, "compress": true}"#),
            Some(LogRotation { megabytes_max: 7, days_max: 2, backups_max: 3, compress: true })
        );
        let (config, notes) = run(&["--log-outputs=a.log", "--enable-log-rotation"]).unwrap();
        assert_eq!(config.log_rotation, Some(least));
        assert!(!notes.iter().any(|note| note.message.contains("localtime")));
        let local = r#"--log-rotation-config-json={"localtime": true}"#;
        let (_, notes) = run(&["--log-outputs=a.log", "--enable-log-rotation", local]).unwrap();
        assert!(notes.iter().any(|note| note.message.contains("localtime")), "{notes:?}");
        // Without the switch the text is not looked at, as in etcd.
        assert_eq!(run(&["--log-rotation-config-json=x"]).unwrap().0.log_rotation, None);
    }

    /// The texts were seen with etcd 3.5.1.
    #[test]
    fn what_is_no_log_is_refused_in_etcds_words() {
        let refusal = |words: &[&str]| run(words).unwrap_err().message;
        assert_eq!(
            refusal(&["--log-outputs=systemd/journal,stderr"]),
            "running with systemd/journal but other '--log-outputs' values ([\"stderr\" \
             \"systemd/journal\"]) are configured with 'default'; override 'default' value with \
             something else"
        );
        for outputs in ["default", "stdout,stderr", "a,b"] {
            let outputs = format!("--log-outputs={outputs}");
            assert_eq!(refusal(&["--enable-log-rotation", &outputs]), ONE_FILE, "{outputs}");
        }
        let json = |text| {
            let json = format!("--log-rotation-config-json={text}");
            refusal(&["--log-outputs=a", "--enable-log-rotation", &json])
        };
        let improper = "improperly formatted log rotation config: ";
        let invalid = "invalid log rotation config: ";
        let field = "into Go struct field logRotationConfig";
        for (text, message) in [
            ("x", format!("{improper}invalid character 'x' looking for beginning of value")),
            ("", format!("{improper}unexpected end of JSON input")),
            (r#"{"maxsize":1"#, format!("{improper}unexpected end of JSON input")),
            (
                "[1]",
                format!(
                    "{invalid}json: cannot unmarshal array into Go value of type \
                     embed.logRotationConfig"
                ),
            ),
            (
                r#"{"maxsize":"a"}"#,
                format!("{invalid}json: cannot unmarshal string {field}.maxsize of type int"),
            ),
            (
                r#"{"maxsize":1.5}"#,
                format!("{invalid}json: cannot unmarshal number 1.5 {field}.maxsize of type int"),
            ),
            (
                r#"{"compress":1}"#,
                format!("{invalid}json: cannot unmarshal number 1 {field}.compress of type bool"),
            ),
            (r#"{"maxage":-1}"#, format!("{invalid}maxage must not be negative")),
        ] {
            assert_eq!(json(text), message, "{text}");
        }
    }
}
