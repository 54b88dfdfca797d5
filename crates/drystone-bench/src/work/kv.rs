//! Puts, reads of single keys, guarded updates, lists and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use drystone_api::etcdserverpb::request_op::Request;

use super::{Bed, Outcome};
use crate::load::{Budget, Recorder, drive};
use crate::scan::{Range, Revision, Txn};
use crate::wire::Call;

pub(crate) async fn put(bed: &Arc<Bed>, budget: Arc<Budget>, recorder: Arc<Recorder>) -> Outcome {
    let begun = Instant::now();
    let bed = bed.clone();
    let errors_max = bed.common.errors_max;
    drive(bed.clients(), &budget, &recorder, errors_max, move |worker, turn| {
        let bed = bed.clone();
        let key = bed.keys.key(bed.keys.pick(turn.request));
        let value = bed.keys.value(turn.request);
        let request = pb::PutRequest { key, value, ..Default::default() };
        async move { bed.wire(worker).call::<Revision>(Call::Put, &request).await.map(drop) }
    })
    .await;
    Outcome::new(recorder, begun)
}

pub(crate) async fn range(bed: &Arc<Bed>, budget: Arc<Budget>, recorder: Arc<Recorder>) -> Outcome {
    let begun = Instant::now();
    let bed = bed.clone();
    let shared = recorder.clone();
    let errors_max = bed.common.errors_max;
    drive(bed.clients(), &budget, &recorder, errors_max, move |worker, turn| {
        let bed = bed.clone();
        let request = pb::RangeRequest {
            key: bed.keys.key(bed.keys.pick(turn.request)),
            serializable: bed.common.serializable,
            ..Default::default()
        };
        let recorder = shared.clone();
        async move { note(&recorder, bed.wire(worker).call(Call::Range, &request).await?) }
    })
    .await;
    Outcome::new(recorder, begun)
}

/// Counts what a range response carries.
pub(crate) fn note(recorder: &Recorder, range: Range) -> Result<(), tonic::Status> {
    recorder.items.fetch_add(range.kvs, Ordering::Relaxed);
    recorder.bytes.fetch_add(range.bytes, Ordering::Relaxed);
    Ok(())
}

pub(crate) async fn list(
    bed: &Arc<Bed>,
    budget: Arc<Budget>,
    recorder: Arc<Recorder>,
    count_only: bool,
) -> Outcome {
    let begun = Instant::now();
    let bed = bed.clone();
    let shared = recorder.clone();
    let errors_max = bed.common.errors_max;
    drive(bed.clients(), &budget, &recorder, errors_max, move |worker, _| {
        let bed = bed.clone();
        let (key, range_end) = bed.keys.all();
        let serializable = bed.common.serializable;
        let request =
            pb::RangeRequest { key, range_end, serializable, count_only, ..Default::default() };
        let recorder = shared.clone();
        async move { note(&recorder, bed.wire(worker).call(Call::Range, &request).await?) }
    })
    .await;
    Outcome::new(recorder, begun)
}

/// Guarded updates: put if the key was last changed at the revision that is known of it, else
/// read it and know better next time.
pub(crate) async fn txn(bed: &Arc<Bed>, budget: Arc<Budget>, recorder: Arc<Recorder>) -> Outcome {
    let begun = Instant::now();
    let bed = bed.clone();
    let known: Arc<[AtomicI64]> = (0..bed.keys.number()).map(|_| AtomicI64::new(0)).collect();
    let conflicts = Arc::new(AtomicU64::new(0));
    let shared = conflicts.clone();
    let errors_max = bed.common.errors_max;
    drive(bed.clients(), &budget, &recorder, errors_max, move |worker, turn| {
        let bed = bed.clone();
        let place = bed.keys.pick(turn.request);
        let (known, conflicts) = (known.clone(), shared.clone());
        let at = usize::try_from(place).unwrap_or(0);
        let seen = known[at].load(Ordering::Relaxed);
        let request = guarded(&bed, place, turn.request, seen);
        async move {
            let txn: Txn = bed.wire(worker).call(Call::Txn, &request).await?;
            let revision = if txn.succeeded { txn.revision } else { txn.seen };
            // Answers overtake one another: what is known only grows.
            known[at].fetch_max(revision, Ordering::Relaxed);
            if !txn.succeeded {
                conflicts.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }
    })
    .await;
    let conflicts = Some(conflicts.load(Ordering::Relaxed));
    Outcome { conflicts, ..Outcome::new(recorder, begun) }
}

fn guarded(bed: &Bed, place: u64, request: u64, seen: i64) -> pb::TxnRequest {
    let key = bed.keys.key(place);
    let compare = pb::Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key.clone(),
        target_union: Some(TargetUnion::ModRevision(seen)),
        ..Default::default()
    };
    let value = bed.keys.value(request);
    let put = pb::PutRequest { key: key.clone(), value, ..Default::default() };
    let get = pb::RangeRequest { key, ..Default::default() };
    let op = |request| vec![pb::RequestOp { request: Some(request) }];
    pb::TxnRequest {
        compare: vec![compare],
        success: op(Request::RequestPut(put)),
        failure: op(Request::RequestRange(get)),
    }
}
