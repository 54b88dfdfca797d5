//! HTTP/2 written by hand (RFC 9113), so that it can be written wrongly.

/// What a client says first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes before a frame's payload.
pub(super) const HEAD_BYTES: usize = 9;
/// The largest payload that a server has to take.
pub(super) const PAYLOAD_BYTES_MAX: usize = 16 << 10;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// The setting that says how much a stream may send at first.
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
/// The code of a stream that its client gives up.
pub(super) const CANCEL: u32 = 8;

/// One frame. The payload is at most [`PAYLOAD_BYTES_MAX`] long.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a payload is short").to_be_bytes();
    let mut bytes = Vec::with_capacity(HEAD_BYTES + payload.len());
    bytes.extend(&length[1..]);
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What a connection begins with, by a client that takes `window` bytes of each answer.
pub(super) fn hello(window: Option<u32>) -> Vec<u8> {
    let mut settings = Vec::new();
    if let Some(window) = window {
        settings.extend(INITIAL_WINDOW_SIZE.to_be_bytes());
        settings.extend(window.to_be_bytes());
    }
    [PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat()
}

/// The headers of a gRPC call, none of which enters the table of the connection.
pub(super) fn call(path: &str) -> Vec<u8> {
    // POST and http, and then names by their places in the static table (RFC 7541, A).
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(&[0x04][..], path), (&[0x01], "localhost")] {
        block.extend(name);
        string(&mut block, value.as_bytes());
    }
    block.extend([0x0f, 0x10]);
    string(&mut block, b"application/grpc");
    literal(&mut block, b"te", b"trailers");
    block
}

/// A header that enters no table.
pub(super) fn literal(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    string(block, name);
    string(block, value);
}

/// A header that enters the connection's table, at its newest place.
pub(super) fn remembered(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0x40);
    string(block, name);
    string(block, value);
}

/// The newest header of the connection's table, in one byte.
pub(super) const NEWEST: u8 = 0x80 | 62;

/// A string as it is, with its length (RFC 7541, 5.1 and 5.2).
fn string(block: &mut Vec<u8>, text: &[u8]) {
    const PREFIX_MAX: usize = 127;
    if text.len() < PREFIX_MAX {
        block.push(text.len().to_le_bytes()[0]);
    } else {
        block.push(PREFIX_MAX.to_le_bytes()[0]);
        let mut rest = text.len() - PREFIX_MAX;
        while rest >= 128 {
            block.push(0x80 | (rest & 0x7f).to_le_bytes()[0]);
            rest >>= 7;
        }
        block.push(rest.to_le_bytes()[0]);
    }
    block.extend(text);
}

/// A message of gRPC.
pub(super) fn message(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a message is short");
    let mut framed = vec![0];
    framed.extend(length.to_be_bytes());
    framed.extend(bytes);
    framed
}

/// The number of the `n`th stream that a client opens.
pub(super) fn stream(n: u32) -> u32 {
    2 * n + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_strings_are_as_the_standards_show_them() {
        assert_eq!(frame(PING, 1, 0, &[7; 8])[..9], [0, 0, 8, 6, 1, 0, 0, 0, 0]);
        // RFC 7541, C.1.2: 1337 with a prefix of 5 bits is 31, 154, 10; here the prefix has 7.
        let mut block = Vec::new();
        string(&mut block, &[b'a'; 1337]);
        assert_eq!((&block[..3], block.len()), (&[127, 186, 9][..], 1340));
        assert_eq!(message(b"ab"), [0, 0, 0, 0, 2, b'a', b'b']);
    }
}
