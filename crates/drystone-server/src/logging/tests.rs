//! What readers of the log see.

use super::testing::{Kept, logged_from};
use super::*;
use serde_json::Value;

#[test]
fn a_line_is_one_object_with_etcds_keys_in_etcds_order() {
    let lines = logged_from(LogFormat::Json, "info", || {
        let urls = vec!["http://a:1", "http://b:2"];
        let took = Duration::from_millis(1_500);
        tracing::info!(?urls, "data-dir" = "x\n\"y", count = 7, ok = true, ?took, "it {}", "works");
        tracing::debug!("not asked for");
        tracing::error!(level = "fatal", ratio = f64::NAN, "the end");
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    let (start, rest) = lines[0].split_once("\"ts\":\"").unwrap();
    assert_eq!(start, r#"{"level":"info","#);
    let (ts, rest) = rest.split_once('"').unwrap();
    assert_eq!(ts.len(), "2026-01-02T03:04:05.000000Z".len(), "{ts}");
    assert!(ts.ends_with('Z') && ts.as_bytes()[10] == b'T' && ts.as_bytes()[19] == b'.');
    let (caller, rest) = rest.strip_prefix(r#","caller":""#).unwrap().split_once('"').unwrap();
    let line = caller.strip_prefix("logging/tests.rs:").unwrap();
    assert!(line.parse::<u32>().is_ok(), "{caller}");
    assert_eq!(
        rest,
        r#","msg":"it works","urls":["http://a:1","http://b:2"],"data-dir":"x\n\"y","count":7,"ok":true,"took":"1.5s"}"#
    );
    let end: Value = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!(end["level"], "fatal");
    assert_eq!(end["ratio"], "NaN");
}

#[test]
fn text_for_people_has_tabs_between() {
    let lines = logged_from(LogFormat::Console, "warn", || {
        tracing::warn!(count = 7, name = "a b", "two\nlines");
        tracing::error!(target: "h2::proto", "alone");
    });
    let columns: Vec<&str> = lines[0].split('\t').collect();
    assert_eq!(columns[1], "warn");
    assert!(columns[2].starts_with("logging/tests.rs:"));
    assert_eq!(columns[3..], ["two lines", r#"{"count": 7, "name": "a b"}"#]);
    let columns: Vec<&str> = lines[1].split('\t').collect();
    assert_eq!((columns[1], columns[2], columns[4]), ("error", "h2", "alone"));
    assert_eq!(lines.len(), 2);
}

#[test]
fn only_the_ends_of_the_process_are_logged_from_fatal_on() {
    let lines = logged_from(LogFormat::Json, "fatal", || {
        tracing::error!("an error");
        tracing::error!(level = "fatal", "the end");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn libraries_are_named_and_only_heard_when_something_is_wrong() {
    let lines = logged_from(LogFormat::Json, "debug", || {
        tracing::info!(target: "h2::codec", "a frame");
        tracing::warn!(target: "h2::codec", "a bad frame");
        tracing::debug!(target: "drystone_raft::logger", "a vote");
    });
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!((&lines[0]["msg"], &lines[0]["logger"]), (&"a bad frame".into(), &"h2".into()));
    assert_eq!((&lines[1]["msg"], &lines[1]["logger"]), (&"a vote".into(), &Value::Null));
}

#[test]
fn a_client_cannot_fill_the_log_with_frames_that_nobody_asked_for() {
    let lines = logged_from(LogFormat::Json, "info", || {
        for n in 0..1_000 {
            tracing::warn!(target: "h2::proto::ping_pong", "recv PING ack that we never sent: {n}");
        }
    });
    assert_eq!(lines, Vec::<String>::new());
}

#[test]
fn a_long_line_is_cut_and_stays_an_object() {
    let long = "é".repeat(100_000);
    let lines = logged_from(LogFormat::Json, "info", || {
        tracing::info!(a = long, b = long, c = long, d = long, e = long, f = long, "{long}");
    });
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert!(line["a"].as_str().unwrap().ends_with("é..."));
    assert_eq!(line["f"], Value::Null, "no room");
    assert!(lines[0].len() < 128 << 10, "{}", lines[0].len());
}

/// An output that hangs must not hold up the member's threads.
#[test]
fn a_hanging_output_holds_nobody_up_and_what_is_lost_is_counted() {
    const LOGGED: usize = 20_000;
    let kept = Kept::default();
    let output = Output::Stream(Box::new(kept.clone()));
    let queue = Queue::start("logger", vec![output], LogFormat::Json).unwrap();
    let place = Some(("a/src/b.rs", 1));
    let head = Head { time: SystemTime::UNIX_EPOCH, level: Level::Info, logger: None, place };
    let line = Line::new(LogFormat::Json, &head, "x", &Fields::new(LogFormat::Json));
    let hung = kept.gate.lock();
    for _ in 0..LOGGED {
        queue.put(line.clone());
    }
    // It gives up at its bound.
    queue.flush(Duration::from_millis(1));
    drop(hung);
    queue.flush(Duration::from_secs(30));
    queue.flush(Duration::from_secs(30));
    let mut written = 0;
    let mut lost = 0;
    for line in kept.lines() {
        let line: Value = serde_json::from_str(&line).unwrap();
        match line["lost"].as_u64() {
            Some(count) => lost += usize::try_from(count).unwrap(),
            None => written += 1,
        }
    }
    assert!(lost > 0);
    assert_eq!(written + lost, LOGGED);
}

/// Large lines fill the queue by their bytes.
#[test]
fn waiting_lines_are_bounded_in_bytes_too() {
    let kept = Kept::default();
    let output = Output::Stream(Box::new(kept.clone()));
    let queue = Queue::start("logger", vec![output], LogFormat::Json).unwrap();
    let line = Line { bytes: vec![b'\n'; 1 << 20], level: Level::Info, package: 0..0 };
    let hung = kept.gate.lock();
    for _ in 0..100 {
        queue.put(line.clone());
    }
    drop(hung);
    queue.flush(Duration::from_secs(30));
    let bytes = kept.bytes.lock().len();
    assert!(bytes < 30 << 20, "{bytes}");
}

#[test]
fn a_journal_gets_entries_with_their_priority() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let missing = output::Journal::open(&path).err().unwrap().to_string();
    assert_eq!(
        missing,
        format!(
            "can't find journal (dial unixgram {}: connect: no such file or directory)",
            path.display()
        )
    );
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let journal = output::Journal::open(&path).unwrap();
    let place = Some(("crates/server/src/serve.rs", 9));
    let head = Head { time: SystemTime::UNIX_EPOCH, level: Level::Fatal, logger: None, place };
    let line = Line::new(LogFormat::Json, &head, "two\nlines", &Fields::new(LogFormat::Json));
    journal.write(&line).unwrap();
    let mut entry = vec![0; 1_000];
    let size = socket.recv(&mut entry).unwrap();
    let entry = String::from_utf8(entry[..size].to_vec()).unwrap();
    let fields: Vec<&str> = entry.lines().collect();
    assert_eq!(fields[0], "PRIORITY=2");
    assert!(fields[1].starts_with("SYSLOG_IDENTIFIER=drystone"), "{entry}");
    assert_eq!(fields[2], "PACKAGE=server");
    assert_eq!(
        fields[3..],
        [
            r#"MESSAGE={"level":"fatal","ts":"1970-01-01T00:00:00.000000Z","caller":"server/serve.rs:9","msg":"two\nlines"}"#
        ]
    );
}

#[test]
fn a_file_that_cannot_be_opened_is_refused_in_etcds_words() {
    let output = LogOutput::File("/nonexistent/x".into());
    let refusal = Output::open(&output, None).err().unwrap().to_string();
    assert_eq!(
        refusal,
        "couldn't open sink \"/nonexistent/x\": open /nonexistent/x: no such file or directory"
    );
}

#[test]
fn secrets_of_the_command_line_are_not_shown() {
    let words = ["--name=a", "--discovery-password=b", "-discovery-token", "c", "--name", "d"];
    let shown = without_secrets(&words.map(str::to_owned));
    let expected =
        ["--name=a", "--discovery-password=...", "-discovery-token", "...", "--name", "d"];
    assert_eq!(shown, expected);
}
