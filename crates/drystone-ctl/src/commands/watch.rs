//! `watch`: events as they happen, of one watch or of those that `-i` reads.

use std::io::{BufRead, Write as _};
use std::process::{Command as Process, Stdio};

use bytes::Bytes;
use drystone_api::etcdserverpb as pb;
use drystone_client::{Error, Watch, WatchOptions};
use tokio::sync::mpsc;

use super::range::bounds;
use crate::cli::{self, ParseError, Parsed};
use crate::context::{Context, ENV_WATCH_KEY, ENV_WATCH_RANGE_END, Limit, Session};
use crate::exit::{Exit, Failure, call_message};
use crate::go;
use crate::io::read_line;
use crate::print::{Answer, RPC};
use crate::tree::WATCH;

#[cfg(test)]
mod tests;

/// What is to be watched, and what to run for each event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Order {
    key: Bytes,
    range_end: Bytes,
    command: Vec<Vec<u8>>,
}

const BAD_COUNT: &str = "bad number of arguments";

pub(crate) async fn watch(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let interactive = context.flags.bool("interactive");
    let env = WatchEnv::read(context);
    let order = match interactive {
        true => None,
        false => Some(order(&context.flags, &env).map_err(Failure::arguments)?),
    };
    let settings = context.settings(RPC, Limit::None, true)?;
    let session = context.open(&settings).await?;
    let mut running = Running::new();
    match order {
        Some(order) => {
            running.start(&session, &context.flags, order);
            follow(context, &session, &mut running).await
        }
        None => converse(context, &session, &env, &mut running).await,
    }
}

/// The key and range end that the environment may give.
#[derive(Clone, Debug, Default)]
struct WatchEnv {
    key: Option<String>,
    range_end: Option<String>,
}

impl WatchEnv {
    fn read(context: &Context<'_>) -> WatchEnv {
        let variable = |name: &str| context.io.env.get(name).filter(|v| !v.is_empty()).cloned();
        WatchEnv { key: variable(ENV_WATCH_KEY), range_end: variable(ENV_WATCH_RANGE_END) }
    }
}

/// What arguments and environment ask for.
fn order(flags: &Parsed, env: &WatchEnv) -> Result<Order, String> {
    let split = flags.dash.unwrap_or(flags.args.len());
    let (keys, command) = flags.args.split_at(split);
    if flags.dash.is_some() && command.is_empty() {
        return Err(format!("{BAD_COUNT} (found separator --, but no commands)"));
    }
    let prefix = flags.bool("prefix");
    let (key, end) = match (keys, &env.key) {
        ([], None) => match &env.range_end {
            Some(end) => {
                let end = go::quote(end.as_bytes());
                return Err(format!(
                    "{ENV_WATCH_KEY} is empty but got {ENV_WATCH_RANGE_END}={end}"
                ));
            }
            None => return Err(BAD_COUNT.to_owned()),
        },
        ([], Some(key)) => (key.as_bytes(), env.range_end.as_ref().map(String::as_bytes)),
        ([_, ..], Some(_)) => {
            return Err(format!("{BAD_COUNT} (found conflicting environment key)"));
        }
        ([key], None) => (key.as_slice(), None),
        ([key, end], None) => (key.as_slice(), Some(end.as_slice())),
        (_, None) => return Err(BAD_COUNT.to_owned()),
    };
    if prefix && end.is_some() {
        return Err("`range_end` and `--prefix` are mutually exclusive".to_owned());
    }
    let (key, range_end) = bounds(key, end, prefix, false);
    Ok(Order { key, range_end, command: command.to_vec() })
}

/// Something that happened to a watch, with the command to run for its events.
struct Happened {
    command: Vec<Vec<u8>>,
    result: Result<pb::WatchResponse, Error>,
}

/// The watches of one run; each is driven by a task that waits while nobody prints.
struct Running {
    out: mpsc::Sender<Happened>,
    happened: mpsc::Receiver<Happened>,
    progress: Vec<mpsc::Sender<()>>,
}

impl Running {
    fn new() -> Running {
        let (out, happened) = mpsc::channel(1);
        Running { out, happened, progress: Vec::new() }
    }

    fn start(&mut self, session: &Session, flags: &Parsed, order: Order) {
        let request = pb::WatchCreateRequest {
            key: order.key,
            range_end: order.range_end,
            start_revision: flags.int("rev").max(0),
            progress_notify: flags.bool("progress-notify"),
            prev_kv: flags.bool("prev-kv"),
            ..Default::default()
        };
        let options = WatchOptions { require_leader: true, created_notify: false };
        let watch = session.client.watch(request, options);
        let (progress, asked) = mpsc::channel(1);
        self.progress.retain(|progress| !progress.is_closed());
        self.progress.push(progress);
        tokio::spawn(drive(watch, asked, self.out.clone(), order.command));
    }

    fn ask_progress(&self) {
        for progress in &self.progress {
            // A full channel already asks.
            let _ = progress.try_send(());
        }
    }
}

async fn drive(
    mut watch: Watch,
    mut asked: mpsc::Receiver<()>,
    out: mpsc::Sender<Happened>,
    command: Vec<Vec<u8>>,
) {
    loop {
        let result = tokio::select! {
            Some(()) = asked.recv() => {
                watch.request_progress();
                continue;
            }
            result = watch.next() => result,
        };
        let Some(result) = result.transpose() else { return };
        let last = result.is_err();
        let gone = out.send(Happened { command: command.clone(), result }).await.is_err();
        if last || gone {
            return;
        }
    }
}

/// Prints the events of one watch until it ends.
async fn follow(
    context: &mut Context<'_>,
    session: &Session,
    running: &mut Running,
) -> Result<Exit, Failure> {
    while let Some(happened) = running.happened.recv().await {
        if print(context, session, happened)? {
            break;
        }
    }
    Err(Failure::new(Exit::INTERRUPTED, "watch is canceled by the server"))
}

/// Reads commands from standard input while events are printed.
async fn converse(
    context: &mut Context<'_>,
    session: &Session,
    env: &WatchEnv,
    running: &mut Running,
) -> Result<Exit, Failure> {
    let stdin = std::mem::replace(&mut context.io.stdin, Box::new(std::io::empty()));
    let mut lines = read_lines(stdin);
    loop {
        tokio::select! {
            Some(happened) = running.happened.recv() => {
                print(context, session, happened)?;
            }
            line = lines.recv() => {
                let error = match line {
                    Some(Ok(line)) => {
                        obey(context, session, env, running, &line)?;
                        continue;
                    }
                    Some(Err(error)) => error.to_string(),
                    None => "EOF".to_owned(),
                };
                return Err(Failure::input(format!("error reading watch request line: {error}")));
            }
        }
    }
}

/// Lines of a stream whose reads block, read on a thread of their own.
fn read_lines(mut input: Box<dyn BufRead + Send>) -> mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (out, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        while let Some(line) = read_line(&mut *input).transpose() {
            let failed = line.is_err();
            if out.blocking_send(line).is_err() || failed {
                return;
            }
        }
    });
    lines
}

/// Does what one line of `watch -i` says.
fn obey(
    context: &mut Context<'_>,
    session: &Session,
    env: &WatchEnv,
    running: &mut Running,
    line: &[u8],
) -> Result<(), Failure> {
    let shown = String::from_utf8_lossy(line).into_owned();
    let words = go::split_words(line).ok_or_else(|| Failure::input("invalid syntax"))?;
    match words.first().map(Vec::as_slice) {
        None => context.err(format!("Invalid command: {shown} (watch and progress supported)")),
        Some(b"progress") => running.ask_progress(),
        Some(b"watch") if words.len() < 2 && env.key.is_none() => {
            context.err(format!("Invalid command {shown} (command type or key is not provided)"));
        }
        Some(b"watch") => {
            let known: Vec<_> =
                WATCH.iter().filter(|flag| flag.name != "interactive").copied().collect();
            let flags = cli::parse(&known, &words[1..]).map_err(|error| match error {
                ParseError::Help => Failure::arguments("pflag: help requested"),
                ParseError::Bad(message) => Failure::arguments(message),
            })?;
            match order(&flags, env) {
                Ok(order) => running.start(session, &flags, order),
                Err(reason) if reason.starts_with('`') => {
                    context.err(format!("Invalid command {shown} ({reason})"));
                }
                Err(reason) => return Err(Failure::arguments(reason)),
            }
        }
        Some(_) => context.err(format!("Invalid command {shown} (only support watch)")),
    }
    Ok(())
}

/// Prints what happened and runs the command; tells whether the watch has ended.
fn print(
    context: &mut Context<'_>,
    session: &Session,
    happened: Happened,
) -> Result<bool, Failure> {
    let response = match happened.result {
        Ok(response) => response,
        Err(error) => {
            context.err(format!("watch was canceled ({})", call_message(&error)));
            return Ok(true);
        }
    };
    if response.canceled {
        context.err(format!("watch was canceled ({})", cancel_reason(&response)));
    } else if response.events.is_empty() {
        let revision = response.header.map_or(0, |header| header.revision);
        context.out(format!("progress notify: {revision}\n"))?;
    }
    context.show(session, Answer::Watch(&response))?;
    if !happened.command.is_empty() {
        execute(context, &happened.command, &response)?;
    }
    Ok(response.canceled)
}

fn cancel_reason(response: &pb::WatchResponse) -> String {
    if response.compact_revision != 0 {
        return "etcdserver: mvcc: required revision has been compacted".to_owned();
    }
    if response.cancel_reason.is_empty() {
        return "etcdserver: mvcc: required revision is a future revision".to_owned();
    }
    call_message(&Error::Server {
        code: drystone_client::Code::FailedPrecondition,
        message: response.cancel_reason.clone(),
    })
}

/// Runs the command once for each event, one after the other.
fn execute(
    context: &mut Context<'_>,
    command: &[Vec<u8>],
    response: &pb::WatchResponse,
) -> Result<(), Failure> {
    use std::os::unix::ffi::OsStrExt as _;
    let words: Vec<&std::ffi::OsStr> =
        command.iter().map(|word| std::ffi::OsStr::from_bytes(word)).collect();
    let [program, args @ ..] = words.as_slice() else { return Ok(()) };
    let revision = response.header.map_or(0, |header| header.revision);
    for event in &response.events {
        let kv = event.kv.clone().unwrap_or_default();
        context.io.stdout.flush()?;
        let status = Process::new(program)
            .args(args)
            .env("ETCD_WATCH_REVISION", revision.to_string())
            .env("ETCD_WATCH_EVENT_TYPE", go::quote(event.r#type().as_str_name().as_bytes()))
            .env("ETCD_WATCH_KEY", go::quote(&kv.key))
            .env("ETCD_WATCH_VALUE", go::quote(&kv.value))
            .stdin(Stdio::null())
            .status();
        let reason = match status {
            Ok(status) if status.success() => continue,
            Ok(status) => match status.code() {
                Some(code) => format!("exit status {code}"),
                None => status.to_string(),
            },
            Err(error) => {
                let reason = match error.kind() {
                    std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                    _ => error.to_string(),
                };
                format!("fork/exec {}: {reason}", program.to_string_lossy())
            }
        };
        let shown: Vec<String> = command.iter().map(|word| go::quote(word)).collect();
        context.err(format!("command [{}] error ({reason})", shown.join(" ")));
        return Err(Failure::silent(Exit::ERROR));
    }
    Ok(())
}
