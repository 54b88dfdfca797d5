//! `put`, `get`, `del` and `compaction`; the first three also as parts of transactions.

use std::io::Read as _;
use std::time::Duration;

use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::range_request::{SortOrder, SortTarget};

use super::range::{range, serializable};
use crate::cli::Parsed;
use crate::context::{Context, Limit};
use crate::exit::{Exit, Failure};
use crate::go;
use crate::print::{ANY, Answer, Format, GetStyle, RPC};

pub(crate) async fn put(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let mut request = put_request(&context.flags)?;
    if needs_input(&context.flags) {
        request.value = read_value(context)?.into();
    }
    let session = context.session(RPC, Limit::Command).await?;
    let response = session.client.put(request).await.map_err(|e| Failure::call(&e))?;
    context.show(&session, Answer::Put(&response))?;
    Ok(Exit::SUCCESS)
}

const PUT_ARGUMENTS: &str = "put command needs 1 argument and input from stdin or 2 arguments";

/// Whether the value is to be read from standard input.
pub(crate) fn needs_input(flags: &Parsed) -> bool {
    flags.args.len() < 2 && !flags.bool("ignore-value")
}

/// Largest value that is read from standard input, in bytes, if no limit on requests is
/// given: what lies above is refused by any server.
const VALUE_BYTES_MAX: u64 = 64 << 20;

fn read_value(context: &mut Context<'_>) -> Result<Vec<u8>, Failure> {
    let limit = u64::try_from(context.flags.int("max-request-bytes")).unwrap_or(0);
    let mut value = Vec::new();
    (&mut context.io.stdin).take(limit.max(VALUE_BYTES_MAX) + 1).read_to_end(&mut value)?;
    if value.is_empty() {
        return Err(Failure::arguments(PUT_ARGUMENTS));
    }
    Ok(value)
}

/// The request of `put`'s arguments; without its value if that [`needs_input`].
pub(crate) fn put_request(flags: &Parsed) -> Result<pb::PutRequest, Failure> {
    let ignore_value = flags.bool("ignore-value");
    let Some(key) = flags.args.first() else { return Err(Failure::arguments(PUT_ARGUMENTS)) };
    if ignore_value && flags.args.len() > 1 {
        return Err(Failure::arguments(
            "put command needs only 1 argument when 'ignore-value' is set",
        ));
    }
    let lease = go::parse_hex_i64(flags.text("lease")).map_err(|reason| {
        Failure::arguments(format!("bad lease ID ({reason}), expecting ID in Hex"))
    })?;
    Ok(pb::PutRequest {
        key: key.clone().into(),
        value: flags.args.get(1).cloned().unwrap_or_default().into(),
        lease,
        prev_kv: flags.bool("prev-kv"),
        ignore_value,
        ignore_lease: flags.bool("ignore-lease"),
    })
}

pub(crate) async fn get(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let request = get_request(&context.flags)?;
    let value_only = context.flags.bool("print-value-only");
    let settings = context.settings(RPC, Limit::Command, false)?;
    let format = settings.printer.format;
    if request.count_only && !matches!(format, Format::Fields | Format::Json) {
        return Err(Failure::arguments("--count-only is only for `--write-out=fields`"));
    }
    if value_only && format != Format::Simple {
        return Err(Failure::arguments("print-value-only is only for `--write-out=simple`"));
    }
    let session = context.open(&settings).await?;
    let response = if context.flags.bool("stream") {
        match session.client.range_stream(request).await {
            Ok(chunks) => chunks.merged().await,
            Err(refused) => Err(refused),
        }
    } else {
        session.client.range(request).await
    };
    let response = response.map_err(|e| Failure::call(&e))?;
    context.show(&session, Answer::Get(&response, GetStyle { value_only }))?;
    Ok(Exit::SUCCESS)
}

/// The request of `get`'s arguments.
pub(crate) fn get_request(flags: &Parsed) -> Result<pb::RangeRequest, Failure> {
    let Some(key) = flags.args.first() else {
        return Err(Failure::arguments(
            "get command needs one argument as key and an optional argument as range_end",
        ));
    };
    let (keys_only, count_only) = (flags.bool("keys-only"), flags.bool("count-only"));
    if keys_only && count_only {
        return Err(Failure::arguments(
            "`--keys-only` and `--count-only` cannot be set at the same time, choose one",
        ));
    }
    let end = flags.args.get(1).map(Vec::as_slice);
    let (key, range_end) = range(flags, key, end)?;
    let serializable = serializable(flags)?;
    let (sort_order, sort_target) = sort(flags)?;
    let bounds = |kind: &str, shown: &str| {
        let (min, max) =
            (flags.int(&format!("min-{kind}-rev")), flags.int(&format!("max-{kind}-rev")));
        if max > 0 && min > max {
            let message = format!("getMin{shown}Rev(={min}) > getMax{shown}Rev(={max})");
            return Err(Failure::feature(message));
        }
        Ok((min, max))
    };
    let (min_mod_revision, max_mod_revision) = bounds("mod", "Mod")?;
    let (min_create_revision, max_create_revision) = bounds("create", "Create")?;
    Ok(pb::RangeRequest {
        key,
        range_end,
        limit: flags.int("limit"),
        revision: flags.int("rev").max(0),
        sort_order: sort_order.into(),
        sort_target: sort_target.into(),
        serializable,
        keys_only,
        count_only,
        min_mod_revision,
        max_mod_revision,
        min_create_revision,
        max_create_revision,
    })
}

fn sort(flags: &Parsed) -> Result<(SortOrder, SortTarget), Failure> {
    let (order, by) = (flags.text("order"), flags.text("sort-by"));
    let sort_order = match order.to_uppercase().as_str() {
        "ASCEND" => SortOrder::Ascend,
        "DESCEND" => SortOrder::Descend,
        "" => SortOrder::None,
        _ => return Err(Failure::feature(format!("bad sort order {order}"))),
    };
    let target = match by.to_uppercase().as_str() {
        "CREATE" => SortTarget::Create,
        "" | "KEY" => SortTarget::Key,
        "MODIFY" => SortTarget::Mod,
        "VALUE" => SortTarget::Value,
        "VERSION" => SortTarget::Version,
        _ => return Err(Failure::feature(format!("bad sort target {by}"))),
    };
    // Keys come in ascending order anyway; asking for it would only cost.
    let plain = target == SortTarget::Key && sort_order == SortOrder::Ascend;
    Ok((if plain { SortOrder::None } else { sort_order }, target))
}

/// How long a range without `--range` waits for second thoughts.
const DEL_PAUSE: Duration = Duration::from_secs(2);

pub(crate) async fn del(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let request = del_request(&context.flags)?;
    let settings = context.settings(RPC, Limit::Command, false)?;
    if let ([key, end], false) = (context.args(), context.flags.bool("range")) {
        let (key, end) = (go::quote(key), go::quote(end));
        context.err(format!(
            "Warning: Keys between {key} and {end} will be deleted. Please interrupt the command \
             within next 2 seconds to cancel. You can provide `--range` flag to avoid the delay."
        ));
        tokio::time::sleep(DEL_PAUSE).await;
    }
    let session = context.open(&settings).await?;
    let response = session.client.delete_range(request).await.map_err(|e| Failure::call(&e))?;
    context.show(&session, Answer::Del(&response))?;
    Ok(Exit::SUCCESS)
}

/// The request of `del`'s arguments.
pub(crate) fn del_request(flags: &Parsed) -> Result<pb::DeleteRangeRequest, Failure> {
    let (key, end) = match flags.args.as_slice() {
        [key] => (key, None),
        [key, end] => (key, Some(end.as_slice())),
        _ => {
            return Err(Failure::arguments(
                "del command needs one argument as key and an optional argument as range_end",
            ));
        }
    };
    let (key, range_end) = range(flags, key, end)?;
    Ok(pb::DeleteRangeRequest { key, range_end, prev_kv: flags.bool("prev-kv") })
}

pub(crate) async fn compaction(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let [revision] = context.args() else {
        return Err(Failure::arguments("compaction command needs 1 argument"));
    };
    let revision = go::parse_i64(&String::from_utf8_lossy(revision))
        .map_err(|reason| Failure::new(Exit::ERROR, reason))?;
    let request = pb::CompactionRequest { revision, physical: context.flags.bool("physical") };
    let session = context.session(ANY, Limit::Command).await?;
    session.client.compact(request).await.map_err(|e| Failure::call(&e))?;
    context.out(format!("compacted revision {revision}\n"))?;
    Ok(Exit::SUCCESS)
}
