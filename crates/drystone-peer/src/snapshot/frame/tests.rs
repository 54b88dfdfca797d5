use super::*;
use proptest::prelude::*;

fn encode(files: &[(&str, Vec<Vec<u8>>)]) -> BytesMut {
    let mut out = BytesMut::new();
    let mut total = 0;
    for (name, pieces) in files {
        let bytes = pieces.iter().map(Vec::len).sum::<usize>() as u64;
        total += bytes;
        put_file(&mut out, name, bytes);
        let mut crc = 0;
        for piece in pieces {
            put_data(&mut out, piece);
            crc = crc32c::crc32c_append(crc, piece);
        }
        put_file_end(&mut out, crc);
    }
    put_end(&mut out, u32::try_from(files.len()).unwrap(), total);
    out
}

/// Decodes bytes that arrive in pieces of `step`.
fn decode(bytes: &[u8], step: usize) -> Result<Vec<Event>, FrameError> {
    let mut decoder = Decoder::new(100, 1 << 20);
    let (mut buf, mut events) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(step.max(1)) {
        buf.extend_from_slice(piece);
        while let Some(event) = decoder.next(&mut buf)? {
            events.push(event);
        }
    }
    Ok(events)
}

#[test]
fn names() {
    for name in ["CURRENT", "000012.sst", "a/b-c/d_e.f", "...a"] {
        assert!(is_name(name), "{name}");
    }
    let long = "a".repeat(256);
    for name in [
        "",
        ".",
        "..",
        "...",
        "/etc/x",
        "a/../b",
        "a//b",
        "a/",
        "a\\b",
        "a b",
        "ä",
        "a\0",
        long.as_str(),
        "1/2/3/4/5/6/7/8/9",
    ] {
        assert!(!is_name(name), "{name}");
    }
}

#[test]
fn frames_out_of_place_are_refused() {
    let refuse = |make: &dyn Fn(&mut BytesMut), expected: FrameError| {
        let mut out = BytesMut::new();
        make(&mut out);
        assert_eq!(decode(&out, 1 << 20).unwrap_err(), expected);
    };
    refuse(&|out| put_data(out, b"x"), FrameError::OutOfPlace);
    refuse(&|out| put_file_end(out, 0), FrameError::OutOfPlace);
    refuse(&|out| put_end(out, 1, 0), FrameError::Totals);
    refuse(&|out| out.put_u8(9), FrameError::Unknown(9));
    refuse(&|out| put_file(out, "../x", 0), FrameError::Name);
    let long_file = |out: &mut BytesMut| {
        put_file(out, "a", 1);
        put_data(out, b"xy");
    };
    refuse(&long_file, FrameError::FileBytes);
    let short_file = |out: &mut BytesMut| {
        put_file(out, "a", 2);
        put_data(out, b"x");
        put_file_end(out, crc32c::crc32c(b"x"));
    };
    refuse(&short_file, FrameError::FileBytes);
    refuse(&|out| put_file(out, "a", 2 << 20), FrameError::TooManyBytes(1 << 20));
    let after_end = |out: &mut BytesMut| {
        put_end(out, 0, 0);
        put_file(out, "a", 0);
    };
    refuse(&after_end, FrameError::OutOfPlace);
    let huge_piece = |out: &mut BytesMut| {
        put_file(out, "a", 1);
        out.put_slice(&[DATA, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    };
    refuse(&huge_piece, FrameError::Piece(0xffff_ffff));
}

fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..5)
}

proptest! {
    #[test]
    fn round_trip(a in pieces(), b in pieces(), step in 1usize..40) {
        let events = decode(&encode(&[("a", a.clone()), ("d/b", b.clone())]), step).unwrap();
        let mut expected = vec![Event::File("a".into())];
        expected.extend(a.into_iter().map(|piece| Event::Data(piece.into())));
        expected.extend([Event::FileEnd, Event::File("d/b".into())]);
        expected.extend(b.into_iter().map(|piece| Event::Data(piece.into())));
        expected.extend([Event::FileEnd, Event::End]);
        prop_assert_eq!(events, expected);
    }

    #[test]
    fn a_flipped_bit_never_passes(a in pieces(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = encode(&[("a", a)]);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let outcome = decode(&bytes, 1 << 20);
        prop_assert!(!outcome.is_ok_and(|events| events.contains(&Event::End)));
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(0u8..6, 0..200), step in 1usize..20) {
        let _ = decode(&bytes, step);
    }
}
