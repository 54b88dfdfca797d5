//! Hashes, equal to those a running etcd 3.7.1 gave.

use crate::rig::*;
use drystone_mvcc::{HashKv, Put};
use drystone_types::LeaseId;

fn hash(hash: u32, compact_revision: i64, revision: i64) -> HashKv {
    HashKv { hash, compact_revision, revision }
}

#[test]
fn hashes_of_history_are_those_of_etcd() {
    let mut rig = Rig::new();
    rig.put("foo", "bar");
    assert_eq!(rig.snapshot().hash_kv(2).unwrap(), hash(3_305_255_506, -1, 2));
    rig.delete("foo", "");
    assert_eq!(rig.snapshot().hash_kv(0).unwrap(), hash(2_489_925_301, -1, 3));
    rig.put("foo", "baz");
    rig.put("a", "1");
    rig.put("foo", "qux");
    assert_eq!(rig.snapshot().hash_kv(6).unwrap(), hash(3_245_687_022, -1, 6));
    assert_eq!(rig.snapshot().hash_kv(3).unwrap(), hash(2_489_925_301, -1, 3));
    rig.compact(5).unwrap();
    rig.put("b", "2");
    let expected = hash(3_248_259_889, 5, 7);
    assert_eq!(rig.snapshot().hash_kv(7).unwrap(), expected);
    assert_eq!(kind(&rig.snapshot().hash_kv(4).unwrap_err()), "compacted");
    assert_eq!(kind(&rig.snapshot().hash_kv(8).unwrap_err()), "future");
    rig.sweep(1);
    assert_eq!(rig.snapshot().hash_kv(0).unwrap(), expected);
    assert_eq!(rig.restarted().snapshot().hash_kv(0).unwrap(), expected);
}

#[test]
fn hashes_of_compactions_are_those_of_etcd() {
    let mut rig = Rig::new();
    rig.put("a", "1");
    rig.put_with(&Put { lease: LeaseId(5), ..Put::new("a", "2") }).unwrap();
    rig.put("b", "");
    rig.delete("b", "");
    rig.put("c", "3");
    assert_eq!(rig.snapshot().hash_kv(0).unwrap(), hash(2_189_896_166, -1, 6));
    rig.compact(5).unwrap();
    let unswept = rig.snapshot().hash_kv(6).unwrap();
    rig.sweep(2);
    assert_eq!(rig.snapshot().hash_kv(5).unwrap(), hash(53_816_346, -1, 5));
    assert_eq!(rig.snapshot().hash_kv(6).unwrap(), hash(42_315_614, 5, 6));
    assert_eq!(unswept, hash(42_315_614, 5, 6));
    assert_eq!(rig.store.reader().compaction_hashes(), [hash(53_816_346, -1, 5)]);
}

#[test]
fn ten_hashes_of_compactions_are_remembered() {
    let mut rig = Rig::new();
    for _ in 0..14 {
        let revision = rig.put("a", "1").revision;
        rig.compact(revision).unwrap();
        rig.sweep(100);
    }
    let hashes = rig.store.reader().compaction_hashes();
    let revisions: Vec<_> = hashes.iter().map(|h| (h.compact_revision, h.revision)).collect();
    let expected: Vec<_> = (6..=15).rev().map(|revision| (revision - 1, revision)).collect();
    assert_eq!(revisions, expected);
    assert_eq!(rig.snapshot().hash_kv(6).unwrap(), hashes[9]);
    assert_eq!(kind(&rig.snapshot().hash_kv(5).unwrap_err()), "compacted");
    // The current revision by its number is what the compaction saw, by 0 what is there now.
    assert_eq!(rig.snapshot().hash_kv(15).unwrap().compact_revision, 14);
    assert_eq!(rig.snapshot().hash_kv(0).unwrap().compact_revision, 15);
}

#[test]
fn members_that_have_swept_agree_with_members_that_have_not_when_nothing_is_live() {
    let mut rig = Rig::new();
    rig.put("a", "1");
    rig.put("a", "2");
    rig.put("b", "1");
    rig.compact(4).unwrap();
    rig.delete("a", "\0");
    let unswept = rig.snapshot().hash_kv(0).unwrap();
    rig.sweep(100);
    assert_eq!(rig.snapshot().hash_kv(0).unwrap(), unswept);
    // etcd leaves nothing out then: what is in the store counts.
    let mut crc = crc32c::crc32c(b"key");
    for (key, value) in rig.raw_records() {
        crc = crc32c::crc32c_append(crc32c::crc32c_append(crc, &key), &value);
    }
    assert_eq!((unswept.hash, rig.raw_records().len()), (crc, 4));
    rig.compact(5).unwrap();
    let unswept = rig.snapshot().hash_kv(0).unwrap();
    rig.sweep(100);
    assert_eq!(rig.snapshot().hash_kv(0).unwrap(), unswept);
}

#[test]
fn a_compaction_before_the_last_was_swept_leaves_no_hash() {
    let mut rig = Rig::new();
    for _ in 0..5 {
        rig.put("a", "1");
    }
    rig.compact(3).unwrap();
    rig.compact(5).unwrap();
    rig.sweep(100);
    rig.compact(6).unwrap();
    rig.sweep(100);
    let hashes = rig.store.reader().compaction_hashes();
    let revisions: Vec<_> = hashes.iter().map(|h| (h.compact_revision, h.revision)).collect();
    assert_eq!(revisions, [(5, 6), (-1, 3)]);
}

#[test]
fn digests_of_what_was_written_show_where_stores_part() {
    let differences = |rig: &Rig, from: i64| -> Vec<u64> {
        let marks = rig.store.reader().digests_at(&(from..=7).collect::<Vec<_>>());
        assert_eq!(marks.len(), usize::try_from(8 - from).unwrap());
        marks.windows(2).map(|pair| pair[1].sum.wrapping_sub(pair[0].sum)).collect()
    };
    let mut one = Rig::new();
    one.put("a", "1");
    one.put("b", "1");
    let mut restarted = one.restarted();
    let mut other = one.restarted();
    for (rig, value) in [(&mut one, "2"), (&mut restarted, "2"), (&mut other, "3")] {
        rig.put("a", "2");
        rig.put("b", value);
        rig.delete("a", "");
        rig.put("c", "1");
    }
    assert_eq!(differences(&one, 3), differences(&restarted, 3), "whenever they were opened");
    let (one, other) = (differences(&one, 3), differences(&other, 3));
    let parts: Vec<bool> = one.iter().zip(&other).map(|(one, other)| one != other).collect();
    assert_eq!(parts, [false, true, false, false], "revision 5 alone");
}
