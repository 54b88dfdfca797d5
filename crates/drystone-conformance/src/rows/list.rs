//! A range in chunks.

use super::session::{put, range, range_to};
use super::{Row, Session, render, rows};
use drystone_api::etcdserverpb::kv_client::KvClient;
use drystone_api::etcdserverpb::range_request::{SortOrder, SortTarget};
use drystone_api::etcdserverpb::{RangeRequest, RangeResponse};

const SINCE: &[(&str, &str)] = &[
    ("3.4", "there is no such call before 3.7"),
    ("3.5", "there is no such call before 3.7"),
    ("3.6", "there is no such call before 3.7"),
];

/// All chunks as one answer; only the last may tell of more than pairs.
async fn chunks(session: &Session, request: RangeRequest) -> Result<RangeResponse, String> {
    let told = |status: tonic::Status| format!("{:?}: {}", status.code(), status.message());
    let mut client = KvClient::new(session.client.transport());
    let mut stream = client.range_stream(request).await.map_err(told)?.into_inner();
    let mut whole = RangeResponse::default();
    while let Some(chunk) = stream.message().await.map_err(told)? {
        if whole.header.is_some() {
            return Err("a chunk after the last".to_owned());
        }
        let Some(chunk) = chunk.range_response else { continue };
        whole.kvs.extend(chunk.kvs);
        (whole.header, whole.more, whole.count) = (chunk.header, chunk.more, chunk.count);
    }
    Ok(whole)
}

/// Keeps a line that chunks and a plain range are the same, or what differs.
async fn both(session: &mut Session, request: RangeRequest) {
    let plain = match session.client.range(request.clone()).await {
        Ok(answer) => render::range(&answer),
        Err(error) => format!("{:?}: {error}", error.code()),
    };
    let line = match chunks(session, request).await {
        Ok(whole) => render::range(&whole),
        Err(error) => error,
    };
    session.say(if line == plain { "the same".to_owned() } else { format!("{line} and {plain}") });
}

pub(super) const ROWS: &[Row] = rows! {
    "KV: a list in chunks is the list", SINCE, "
        the same
        the same
        the same
        the same
        the same
        the same
        the same
        the same
        the same
        the same
    ", |s| {
        s.put_many("k", 50, &"x".into()).await;
        let all = || range_to("k", "l");
        both(s, all()).await;
        both(s, RangeRequest { limit: 12, ..all() }).await;
        both(s, RangeRequest { revision: 30, serializable: true, ..all() }).await;
        both(s, RangeRequest { keys_only: true, ..all() }).await;
        both(s, RangeRequest { count_only: true, ..all() }).await;
        both(s, RangeRequest { sort_order: SortOrder::Ascend.into(), ..all() }).await;
        both(s, range_to("none", "nonf")).await;
        both(s, range("k7")).await;
        both(s, range("")).await;
        both(s, RangeRequest { revision: 1000, ..all() }).await;
    }

    "KV: what a list in chunks does not do", SINCE, "
        Unimplemented: RangeStream does not support custom sort orders
        Unimplemented: RangeStream does not support custom sort orders
        Unimplemented: RangeStream does not support revision filters
        Unimplemented: RangeStream does not support revision filters
        Unimplemented: RangeStream does not support revision filters
        Unimplemented: RangeStream does not support revision filters
    ", |s| {
        s.client.put(put("k", "1")).await.ok();
        let all = || range_to("k", "l");
        let (descend, ascend) = (SortOrder::Descend.into(), SortOrder::Ascend.into());
        for request in [
            RangeRequest { sort_order: descend, ..all() },
            RangeRequest { sort_order: ascend, sort_target: SortTarget::Mod.into(), ..all() },
            RangeRequest { min_mod_revision: 1, ..all() },
            RangeRequest { max_mod_revision: 1, ..all() },
            RangeRequest { min_create_revision: 1, ..all() },
            RangeRequest { max_create_revision: 1, ..all() },
        ] {
            let line = chunks(s, request).await.map_or_else(|error| error, |_| "done".into());
            s.say(line);
        }
    }
};
