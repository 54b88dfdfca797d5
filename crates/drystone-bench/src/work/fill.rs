//! Keys that must be there before the load, and are to be gone after it.

use std::sync::Arc;

use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::request_op::Request;

use super::Bed;
use crate::Error;
use crate::load::{Budget, Recorder, drive};
use crate::progress::Progress;
use crate::scan::{Range, Revision};
use crate::wire::Call;

/// Most puts a transaction: etcd's own limit is 128.
const PUTS_MAX: u64 = 100;
/// Most bytes a transaction: a third of what etcd takes.
const TXN_BYTES_MAX: u64 = 512 << 10;

/// Writes all keys, unless they are there already.
pub(crate) async fn fill(bed: &Arc<Bed>) -> Result<(), Error> {
    let (key, range_end) = bed.keys.all();
    let count = pb::RangeRequest { key, range_end, count_only: true, ..Default::default() };
    let found: Range =
        bed.wire(0).call(Call::Range, &count).await.map_err(Error::step("counting keys"))?;
    if found.count == bed.keys.number() {
        return Ok(());
    }
    let pair_bytes = u64::from(bed.common.key_size) + u64::from(bed.common.val_size) + 64;
    let puts = (TXN_BYTES_MAX / pair_bytes).clamp(1, PUTS_MAX);
    let batches = bed.keys.number().div_ceil(puts);
    let recorder = Arc::new(Recorder::new());
    let _progress = Progress::start("fill", batches, recorder.clone());
    let mut common = bed.common.clone();
    (common.rate, common.duration) = (0, None);
    let budget = Arc::new(Budget::new(batches, &common));
    let bed = bed.clone();
    drive(bed.clients().min(32), &budget, &recorder, 0, move |worker, turn| {
        let bed = bed.clone();
        let first = turn.request * puts;
        let last = (first + puts).min(bed.keys.number());
        let put = |place: u64| {
            let (key, value) = (bed.keys.key(place), bed.keys.value(place));
            let put = pb::PutRequest { key, value, ..Default::default() };
            pb::RequestOp { request: Some(Request::RequestPut(put)) }
        };
        let txn =
            pb::TxnRequest { success: (first..last).map(put).collect(), ..Default::default() };
        async move { bed.wire(worker).call::<Revision>(Call::Txn, &txn).await.map(drop) }
    })
    .await;
    match recorder.errors().into_iter().next() {
        Some((text, _)) => Err(Error::step("writing keys")(tonic::Status::unknown(text))),
        None => Ok(()),
    }
}

/// Deletes everything under the prefix.
pub(crate) async fn clean(bed: &Arc<Bed>) -> Result<(), Error> {
    let (key, range_end) = bed.keys.under_prefix();
    let request = pb::DeleteRangeRequest { key, range_end, prev_kv: false };
    let deleted = bed.wire(0).call::<Revision>(Call::DeleteRange, &request).await;
    deleted.map(drop).map_err(Error::step("deleting keys"))
}
