//! `txn`: comparisons and two lists of operations, read from standard input.

use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use drystone_api::etcdserverpb::request_op::Request;

use super::kv::{del_request, get_request, needs_input, put_request};
use crate::cli::{self, Command, ParseError, Parsed};
use crate::context::{Context, Limit};
use crate::exit::{Exit, Failure};
use crate::go;
use crate::io::read_line;
use crate::print::{Answer, RPC};
use crate::tree::ROOT;

#[cfg(test)]
mod tests;

pub(crate) async fn txn(context: &mut Context<'_>) -> Result<Exit, Failure> {
    if !context.args().is_empty() {
        return Err(Failure::arguments("txn command does not accept argument"));
    }
    let session = context.session(RPC, Limit::None).await?;
    let request = read_txn(context)?;
    let response = session.client.txn(request).await.map_err(|e| Failure::call(&e))?;
    context.show(&session, Answer::Txn(&response))?;
    Ok(Exit::SUCCESS)
}

fn read_txn(context: &mut Context<'_>) -> Result<pb::TxnRequest, Failure> {
    prompt(context, "compares:")?;
    let compare = section(context, compare)?;
    prompt(context, "success requests (get, put, del):")?;
    let success = section(context, operation)?;
    prompt(context, "failure requests (get, put, del):")?;
    let failure = section(context, operation)?;
    Ok(pb::TxnRequest { compare, success, failure })
}

fn prompt(context: &mut Context<'_>, text: &str) -> Result<(), Failure> {
    match context.flags.bool("interactive") {
        true => context.out(format!("{text}\n")),
        false => Ok(()),
    }
}

/// Lines up to an empty one, each as what `parse` makes of it.
fn section<T>(
    context: &mut Context<'_>,
    parse: impl Fn(&[u8]) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let mut items = Vec::new();
    loop {
        let line = read_line(&mut *context.io.stdin)?.ok_or_else(|| Failure::input("EOF"))?;
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(items);
        }
        items.push(parse(line)?);
    }
}

/// `target("key") op "value"`.
fn compare(line: &[u8]) -> Result<pb::Compare, Failure> {
    let shown = String::from_utf8_lossy(line);
    let malformed =
        |detail: String| Failure::input(format!("malformed comparison: {shown}{detail}"));
    let Some(open) = line.iter().position(|&b| b == b'(') else {
        return Err(malformed(String::new()));
    };
    let target = String::from_utf8_lossy(&line[..open]);
    let words = Words::scan(&line[open + 1..]);
    let Words { key: Some(key), operator: Some(operator), value: Some(value) } = &words else {
        let quoted = |bytes: &Option<Vec<u8>>| go::quote(bytes.as_deref().unwrap_or_default());
        let operator = words.operator.as_deref().unwrap_or_default();
        return Err(malformed(format!(
            "; got {target}({}) {operator} {}",
            quoted(&words.key),
            quoted(&words.value)
        )));
    };
    let number = || {
        go::parse_i64(&String::from_utf8_lossy(value))
            .map_err(|_| Failure::input(format!("invalid txn compare request: {shown}")))
    };
    let (target, union) = match target.as_ref() {
        "ver" | "version" => (CompareTarget::Version, TargetUnion::Version(number()?)),
        "c" | "create" => (CompareTarget::Create, TargetUnion::CreateRevision(number()?)),
        "m" | "mod" => (CompareTarget::Mod, TargetUnion::ModRevision(number()?)),
        "val" | "value" => (CompareTarget::Value, TargetUnion::Value(value.clone().into())),
        "lease" => (CompareTarget::Lease, TargetUnion::Lease(number()?)),
        other => return Err(malformed(format!(" (unknown target {other})"))),
    };
    let result = match operator.as_str() {
        "=" => CompareResult::Equal,
        "!=" => CompareResult::NotEqual,
        ">" => CompareResult::Greater,
        "<" => CompareResult::Less,
        other => return Err(malformed(format!(" (unknown operator {other})"))),
    };
    Ok(pb::Compare {
        result: result.into(),
        target: target.into(),
        key: key.clone().into(),
        range_end: Default::default(),
        target_union: Some(union),
    })
}

/// What was found of `"key") op "value"`, up to the first thing that does not fit.
#[derive(Default)]
struct Words {
    key: Option<Vec<u8>>,
    operator: Option<String>,
    value: Option<Vec<u8>>,
}

impl Words {
    fn scan(text: &[u8]) -> Words {
        let mut words = Words::default();
        let Some((key, rest)) = go::scan_quoted(text) else { return words };
        words.key = Some(key);
        let Some(rest) = rest.strip_prefix(b")").and_then(spaces) else { return words };
        let end = rest.iter().position(|&b| go::is_space(b)).unwrap_or(rest.len());
        let (operator, rest) = rest.split_at(end);
        words.operator = Some(String::from_utf8_lossy(operator).into_owned());
        let Some(rest) = spaces(rest) else { return words };
        words.value = go::scan_quoted(rest).map(|(value, _)| value);
        words
    }
}

/// What follows one or more blanks.
fn spaces(text: &[u8]) -> Option<&[u8]> {
    let rest = text.trim_ascii_start();
    (rest.len() < text.len()).then_some(rest)
}

/// A `put`, `get` or `del` with its own flags and arguments, as on a command line.
fn operation(line: &[u8]) -> Result<pb::RequestOp, Failure> {
    let shown = String::from_utf8_lossy(line);
    let words = go::split_words(line).ok_or_else(|| Failure::input("invalid syntax"))?;
    let [name, words @ ..] = words.as_slice() else {
        return Err(Failure::input(format!("invalid txn compare request: {shown}")));
    };
    if words.is_empty() {
        return Err(Failure::input(format!("invalid txn compare request: {shown}")));
    }
    let invalid = || Failure::input(format!("invalid txn request: {shown}"));
    let name = String::from_utf8_lossy(name);
    let commands = ROOT.children.iter().filter(|command| OPERATIONS.contains(&command.name));
    let mut found = commands.filter(|command| !name.is_empty() && command.name.starts_with(&*name));
    let command = found.next().ok_or_else(invalid)?;
    let flags = parse(command, words).map_err(|usage| Failure { after: usage, ..invalid() })?;
    let request = match command.name {
        "put" if needs_input(&flags) => {
            let message = "put command needs 1 argument and input from stdin or 2 arguments";
            return Err(Failure::arguments(message));
        }
        "put" => Request::RequestPut(put_request(&flags)?),
        "get" => Request::RequestRange(get_request(&flags)?),
        _ => Request::RequestDeleteRange(del_request(&flags)?),
    };
    Ok(pb::RequestOp { request: Some(request) })
}

const OPERATIONS: [&str; 3] = ["put", "get", "del"];

/// Parses an operation's flags; on failure the usage to show.
fn parse(command: &'static Command, words: &[Vec<u8>]) -> Result<Parsed, String> {
    cli::parse(command.flags, words).map_err(|error| match error {
        ParseError::Help | ParseError::Bad(_) => cli::usage("etcdctl", &[&ROOT, command]),
    })
}
