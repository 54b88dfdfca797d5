use super::*;
use proptest::prelude::*;

#[test]
fn etcds_bytes_read_as_etcd_means_them() {
    // etcd up to 3.6 writes every number, zero or not.
    let long = Bytes::from_static(&[0x08, 0x00, 0x10, 0x03, 0x18, 0x07, 0x22, 0x02, b'{', b'}']);
    let change = ConfChange::decode(&long).unwrap();
    assert_eq!(change.kind, ConfChangeKind::AddLearnerNode);
    assert_eq!(change.member, MemberId(7));
    assert_eq!(change.context, "{}");
    assert_eq!(change.encode()[..], long[2..]);
    assert_eq!(ConfChange::decode(&Bytes::new()).unwrap(), ConfChange::nothing());
}

#[test]
fn bytes_that_are_no_change_are_refused() {
    for (bytes, error) in [
        (&[0x10, 0x04][..], ConfChangeError::UnknownKind(4)),
        (&[0x08], ConfChangeError::Malformed { at: 0 }),
        (&[0x22, 0x05, 1], ConfChangeError::Malformed { at: 0 }),
        (&[0x18, 0x01, 0x0b], ConfChangeError::Malformed { at: 2 }),
        (
            &[0x22, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            ConfChangeError::Malformed { at: 0 },
        ),
        (
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            ConfChangeError::Malformed { at: 0 },
        ),
    ] {
        assert_eq!(ConfChange::decode(&Bytes::copy_from_slice(bytes)), Err(error), "{bytes:?}");
    }
}

#[test]
fn memberships_that_cannot_be_are_named() {
    let conf = |voters: &[u64], learners: &[u64]| ConfState {
        voters: voters.iter().copied().map(MemberId).collect(),
        learners: learners.iter().copied().map(MemberId).collect(),
    };
    assert_eq!(check_membership(&conf(&[], &[])), Ok(()));
    assert_eq!(check_membership(&conf(&[3, 1], &[2])), Ok(()));
    assert_eq!(check_membership(&conf(&[], &[1])), Err(MembershipError::NoVoter));
    assert_eq!(check_membership(&conf(&[1, 0], &[])), Err(MembershipError::MemberZero));
    assert_eq!(check_membership(&conf(&[1, 2], &[2])), Err(MembershipError::Repeated(MemberId(2))));
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        id: u64, kind in 0_u64..4, member: u64, context: Vec<u8>, unknown: u64,
    ) {
        let kind = ConfChangeKind::from_number(kind).unwrap();
        let change = ConfChange { id, kind, member: MemberId(member), context: context.into() };
        let bytes = change.encode();
        prop_assert_eq!(ConfChange::decode(&bytes).unwrap(), change.clone());
        // A field of a later version changes nothing.
        let mut longer = bytes.to_vec();
        put_varint(&mut longer, 15 << 3);
        put_varint(&mut longer, unknown);
        prop_assert_eq!(ConfChange::decode(&longer.into()).unwrap(), change);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = ConfChange::decode(&bytes.into());
    }
}
