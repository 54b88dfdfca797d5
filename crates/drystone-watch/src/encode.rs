//! Events as bytes: `mvccpb.Event`, made at most once in each form and shared.

use crate::{History, HistoryError};
use bytes::Bytes;
use drystone_types::{Event, EventKind, Revision, RevisionEvents};

const TAG_TYPE: u8 = 0x08;
const TAG_KV: u8 = 0x12;
const TAG_PREV_KV: u8 = 0x1a;
/// Tags, type and two lengths.
const OVERHEAD_BYTES_MAX: usize = 2 + 2 * (1 + 10);

/// The forms of the events of one revision, made when first asked for.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    forms: Vec<Forms>,
}

#[derive(Clone, Debug, Default)]
struct Forms {
    plain: Option<Bytes>,
    with_prev: Option<Result<Bytes, HistoryError>>,
}

impl Encoder {
    /// Forgets the revision before and takes on one with `events` events.
    pub(crate) fn begin(&mut self, events: usize) {
        self.forms.clear();
        self.forms.resize(events, Forms::default());
    }

    /// Event `place` of `batch`, with the pair it replaced when `prev_kv` asks for that.
    /// History is asked once an event at most, and not at all when there was no pair or the
    /// revision before lies behind the compacted one.
    pub(crate) fn event(
        &mut self,
        batch: &RevisionEvents,
        place: usize,
        prev_kv: bool,
        compacted: i64,
        history: &dyn History,
    ) -> Result<Bytes, HistoryError> {
        let forms = &mut self.forms[place];
        if prev_kv && let Some(with_prev) = &forms.with_prev {
            return with_prev.clone();
        }
        let event = &batch.events[place];
        let plain = forms.plain.get_or_insert_with(|| encode(event, None)).clone();
        if !prev_kv {
            return Ok(plain);
        }
        let prev = if batch.revision > compacted { replaced(batch, place) } else { None };
        let with_prev = match prev.map(|prev| history.value_at(prev)) {
            Some(Ok(Some(prev))) => Ok(encode(event, Some(&prev))),
            Some(Err(error @ HistoryError::Failed { .. })) => Err(error),
            // Compacted meanwhile: the event comes without it.
            None | Some(Ok(None) | Err(HistoryError::Compacted { .. })) => Ok(plain),
        };
        forms.with_prev = Some(with_prev.clone());
        with_prev
    }
}

/// The pair before the whole revision, unless the change made the key. A transaction can
/// change a key more than once; what etcd sends along is the pair before the transaction, also
/// with the later changes.
fn replaced(batch: &RevisionEvents, place: usize) -> Option<Revision> {
    let event = &batch.events[place];
    let prev = event.prev?;
    if prev.main < batch.revision {
        return Some(prev);
    }
    let first = batch.events[..place].iter().find(|earlier| earlier.key == event.key)?;
    first.prev.filter(|prev| prev.main < batch.revision)
}

fn encode(event: &Event, prev: Option<&Bytes>) -> Bytes {
    let bytes = event.kv.len() + prev.map_or(0, Bytes::len) + OVERHEAD_BYTES_MAX;
    let mut out = Vec::with_capacity(bytes);
    if event.kind == EventKind::Delete {
        out.extend([TAG_TYPE, event.kind as u8]);
    }
    field(&mut out, TAG_KV, &event.kv);
    if let Some(prev) = prev {
        field(&mut out, TAG_PREV_KV, prev);
    }
    out.into()
}

fn field(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    out.push(length.to_le_bytes()[0]);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests;
