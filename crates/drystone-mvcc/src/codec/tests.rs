use super::*;
use proptest::prelude::*;

#[test]
fn records_are_the_bytes_etcd_writes() {
    let pair = |create_revision, mod_revision, version, value: &'static [u8]| KeyValue {
        key: Bytes::from_static(b"foo"),
        create_revision,
        mod_revision,
        version,
        value: Bytes::from_static(value),
        lease: 0,
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&pair(2, 2, 1, b"bar").encode()), "0a03666f6f1002180220012a03626172");
    assert_eq!(hex(&pair(4, 6, 2, b"qux").encode()), "0a03666f6f1004180620022a03717578");
    assert_eq!(hex(&encode_tombstone(b"foo")), "0a03666f6f");
    assert_eq!(hex(&encode_deleted(b"foo", 3)), "0a03666f6f1803");
    assert_eq!(hex(&KeyValue { lease: -1, ..KeyValue::default() }.encode()), {
        "30ffffffffffffffffff01"
    });
}

#[test]
fn unknown_fields_are_skipped_and_wrong_wire_types_refused() {
    // Field 7 in each wire type, then the key.
    for extra in
        [&[0x38, 0x05][..], &[0x39, 1, 2, 3, 4, 5, 6, 7, 8], &[0x3a, 2, 9, 9], &[0x3d, 1, 2, 3, 4]]
    {
        let bytes = Bytes::from([extra, &[0x0a, 1, b'k']].concat());
        assert_eq!(KeyValue::decode(&bytes).unwrap().key, "k");
    }
    for wrong in [
        &[0x08, 1][..],
        &[0x0a],
        &[0x0a, 5, b'k'],
        &[0x12, 0],
        &[0x02, 0],
        &[0x3b],
        &[0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
        &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    ] {
        assert_eq!(KeyValue::decode(&Bytes::from(wrong.to_vec())), Err(DecodeError), "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn pairs_read_back(
        key in proptest::collection::vec(any::<u8>(), 0..200),
        value in proptest::collection::vec(any::<u8>(), 0..300),
        numbers in any::<[i64; 4]>(),
    ) {
        let [create_revision, mod_revision, version, lease] = numbers;
        let pair = KeyValue {
            key: key.into(), create_revision, mod_revision, version, value: value.into(), lease,
        };
        prop_assert_eq!(KeyValue::decode(&pair.encode()), Ok(pair));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(fields) = Fields::read(&bytes) {
            prop_assert!(fields.key.end <= bytes.len() && fields.value.end <= bytes.len());
        }
    }
}
