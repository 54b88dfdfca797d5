//! Random requests for keys.

use super::marks::{AREAS, MARKED, Marks};
use super::*;
use rand::Rng;

/// Bytes that make a value large.
const PADDING: usize = 8_000;

impl World {
    /// A key, an end of a range, or something odd.
    pub(super) fn place(&self, random: &mut StdRng) -> String {
        let area = AREAS[random.random_range(0..AREAS.len())];
        match random.random_range(0..20) {
            0..8 => self.marks.name(random.random_range(0..MARKED)),
            8 => format!("{}\0", self.marks.name(random.random_range(0..MARKED))),
            9 => self.marks.span(random.random_range(0..MARKED)).0,
            10 => self.marks.span(random.random_range(0..MARKED)).1,
            11..14 => format!("{area}/"),
            14..17 => format!("{area}0"),
            17 => "z".to_owned(),
            18 => "\0".to_owned(),
            _ => String::new(),
        }
    }

    /// A range that somebody with a few rights may use now and then.
    pub(super) fn span(&self, random: &mut StdRng) -> (Bytes, Bytes) {
        let area = AREAS[random.random_range(0..AREAS.len())];
        let (key, end) = match random.random_range(0..10) {
            0..3 => (self.marks.name(random.random_range(0..MARKED)), String::new()),
            3..6 => (format!("{area}/"), format!("{area}0")),
            6 => self.marks.span(random.random_range(0..MARKED)),
            7 => (format!("{area}/"), "\0".to_owned()),
            _ => (self.place(random), self.place(random)),
        };
        (key.into(), end.into())
    }

    /// A revision that there was, mostly.
    pub(super) fn some_revision(&self, random: &mut StdRng) -> i64 {
        random.random_range(-1..self.revision.load(Ordering::Relaxed) + 3)
    }

    pub(super) fn a_range(&self, random: &mut StdRng) -> RangeRequest {
        let (key, range_end) = self.span(random);
        let mut request = RangeRequest {
            key,
            range_end,
            limit: random.random_range(0..4),
            keys_only: random.random_ratio(1, 4),
            count_only: random.random_ratio(1, 6),
            serializable: random.random(),
            sort_order: random.random_range(0..3),
            sort_target: random.random_range(0..5),
            ..Default::default()
        };
        if random.random_ratio(1, 3) {
            request.revision = self.some_revision(random);
        }
        for bound in [
            &mut request.min_mod_revision,
            &mut request.max_mod_revision,
            &mut request.min_create_revision,
            &mut request.max_create_revision,
        ] {
            if random.random_ratio(1, 8) {
                *bound = self.some_revision(random);
            }
        }
        request
    }

    pub(super) fn a_put(&self, who: Who, random: &mut StdRng) -> PutRequest {
        let key = Marks::plain(random);
        let (ignore_value, ignore_lease) = (random.random_ratio(1, 8), random.random_ratio(1, 8));
        let mut value = if ignore_value { String::new() } else { self.value(who, key) };
        if !ignore_value && random.random_ratio(1, 20) {
            value.push_str(&"-".repeat(PADDING));
        }
        let named = random.random_ratio(1, 4) && !ignore_lease;
        PutRequest {
            key: self.marks.name(key).into(),
            value: value.into(),
            lease: if named { random.random_range(LEASES) } else { 0 },
            prev_kv: random.random(),
            ignore_value,
            ignore_lease,
        }
    }

    /// Root deletes one key at a time, or soon there would be none.
    pub(super) fn a_delete(&self, who: Who, random: &mut StdRng) -> DeleteRangeRequest {
        let (key, range_end) = match who {
            Who::Root => (self.marks.name(Marks::plain(random)).into(), Bytes::new()),
            Who::User(_) | Who::Nobody => self.span(random),
        };
        DeleteRangeRequest { key, range_end, prev_kv: random.random() }
    }

    fn a_compare(&self, random: &mut StdRng) -> Compare {
        use compare::TargetUnion as Union;
        let (key, range_end) = self.span(random);
        let key_marked = Marks::plain(random);
        let (target, union) = match random.random_range(0..5) {
            0 => (0, Union::Version(random.random_range(0..3))),
            1 => (1, Union::CreateRevision(self.some_revision(random))),
            2 => (2, Union::ModRevision(self.some_revision(random))),
            3 => (3, Union::Value(self.marks.value(key_marked, 0).into())),
            _ => (4, Union::Lease(random.random_range(LEASES))),
        };
        let result = random.random_range(0..4);
        Compare { result, target, target_union: Some(union), key, range_end }
    }

    pub(super) fn a_txn(&self, who: Who, random: &mut StdRng, depth: usize) -> TxnRequest {
        let ops = |random: &mut StdRng| {
            let count = random.random_range(0..3);
            let ops = (0..count).map(|_| {
                let request = match random.random_range(0..6) {
                    0 => request_op::Request::RequestPut(self.a_put(who, random)),
                    1 => request_op::Request::RequestDeleteRange(self.a_delete(who, random)),
                    2 if depth > 0 => {
                        request_op::Request::RequestTxn(self.a_txn(who, random, depth - 1))
                    }
                    _ => request_op::Request::RequestRange(self.a_range(random)),
                };
                RequestOp { request: Some(request) }
            });
            ops.collect::<Vec<_>>()
        };
        let compares = [0, 0, 1, 2][random.random_range(0..4)];
        let compare = (0..compares).map(|_| self.a_compare(random)).collect();
        TxnRequest { compare, success: ops(random), failure: ops(random) }
    }
}
