//! The framing of a native snapshot, version 1. All integers are big-endian, each `crc` is
//! CRC-32C.
//!
//! ```text
//! u64 length | raftpb Message                       as in etcd
//! 1 | u16 length | u64 bytes | name | u32 crc       a file begins; crc over the four before
//! 2 | u32 length | u32 crc   | data                 a piece of it; crc over data
//! 3 | u32 crc                                       it ends; crc over all its data
//! 4 | u32 files  | u64 bytes | u32 crc              all of it; crc over the three before
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};

const FILE: u8 = 1;
const DATA: u8 = 2;
const FILE_END: u8 = 3;
const END: u8 = 4;

/// Longest piece that is accepted.
pub(crate) const PIECE_BYTES_MAX: usize = 1 << 20;
/// Longest name of a file, its directories included.
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// Deepest nesting of directories in a name.
const NAME_PARTS_MAX: usize = 8;

/// Why a stream of files cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("unknown frame {0}")]
    Unknown(u8),
    #[error("a frame out of place")]
    OutOfPlace,
    #[error("a file name that is not allowed")]
    Name,
    #[error("checksum mismatch in {0}")]
    Checksum(&'static str),
    #[error("a piece of {0} bytes")]
    Piece(usize),
    #[error("a file does not have the bytes that it announced")]
    FileBytes,
    #[error("more than {0} files")]
    TooManyFiles(u32),
    #[error("more than {0} bytes")]
    TooManyBytes(u64),
    #[error("the end names other totals than came")]
    Totals,
}

/// A relative path of plain names: no `..`, nothing absolute, nothing a shell or another
/// system would read differently.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |part: &str| {
        let mut bytes = part.bytes();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        !part.is_empty() && bytes.all(allowed) && !part.bytes().all(|b| b == b'.')
    };
    name.len() <= NAME_BYTES_MAX
        && name.split('/').count() <= NAME_PARTS_MAX
        && name.split('/').all(plain)
}

fn put_crc(out: &mut BytesMut, start: usize) {
    let crc = crc32c::crc32c(&out[start..]);
    out.put_u32(crc);
}

/// Appends the begin of a file. `name` is one that [`is_name`] accepts.
pub(crate) fn put_file(out: &mut BytesMut, name: &str, bytes: u64) {
    let start = out.len();
    out.put_u8(FILE);
    out.put_u16(u16::try_from(name.len()).unwrap_or(u16::MAX));
    out.put_u64(bytes);
    out.put_slice(name.as_bytes());
    put_crc(out, start);
}

/// Appends a piece of a file, of 1 to [`PIECE_BYTES_MAX`] bytes.
pub(crate) fn put_data(out: &mut BytesMut, data: &[u8]) {
    out.put_u8(DATA);
    out.put_u32(u32::try_from(data.len()).unwrap_or(u32::MAX));
    out.put_u32(crc32c::crc32c(data));
    out.put_slice(data);
}

/// Appends the end of a file, with the checksum of all its data.
pub(crate) fn put_file_end(out: &mut BytesMut, crc: u32) {
    out.put_u8(FILE_END);
    out.put_u32(crc);
}

/// Appends the end of everything.
pub(crate) fn put_end(out: &mut BytesMut, files: u32, bytes: u64) {
    let start = out.len();
    out.put_u8(END);
    out.put_u32(files);
    out.put_u64(bytes);
    put_crc(out, start);
}

/// What a stream says next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A file of this name begins.
    File(String),
    /// The next bytes of the file, verified.
    Data(Bytes),
    /// The file is whole, verified.
    FileEnd,
    /// Everything is there, verified.
    End,
}

#[derive(Debug)]
struct OpenFile {
    bytes_left: u64,
    crc: u32,
}

/// Reads a stream of files out of a buffer that grows at its end. Holds one piece at most.
#[derive(Debug)]
pub(crate) struct Decoder {
    files_max: u32,
    bytes_max: u64,
    files: u32,
    bytes: u64,
    open: Option<OpenFile>,
    ended: bool,
}

impl Decoder {
    /// Accepts at most this many files and bytes; 0 bytes is no limit.
    pub(crate) fn new(files_max: u32, bytes_max: u64) -> Self {
        Self { files_max, bytes_max, files: 0, bytes: 0, open: None, ended: false }
    }

    /// The next event; `None` asks for more bytes.
    pub(crate) fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Event>, FrameError> {
        let Some(&kind) = buf.first() else { return Ok(None) };
        match (kind, self.open.is_some(), self.ended) {
            (FILE, false, false) => self.file(buf),
            (DATA, true, false) => self.data(buf),
            (FILE_END, true, false) => self.file_end(buf),
            (END, false, false) => self.end(buf),
            (FILE..=END, _, _) => Err(FrameError::OutOfPlace),
            (other, _, _) => Err(FrameError::Unknown(other)),
        }
    }

    fn file(&mut self, buf: &mut BytesMut) -> Result<Option<Event>, FrameError> {
        const HEAD: usize = 1 + 2 + 8;
        if buf.len() < HEAD {
            return Ok(None);
        }
        let name_bytes = usize::from(u16::from_be_bytes([buf[1], buf[2]]));
        if name_bytes > NAME_BYTES_MAX {
            return Err(FrameError::Name);
        }
        if buf.len() < HEAD + name_bytes + 4 {
            return Ok(None);
        }
        let mut frame = buf.split_to(HEAD + name_bytes + 4).freeze();
        let crc = crc32c::crc32c(&frame[..HEAD + name_bytes]);
        frame.advance(3);
        let bytes = frame.get_u64();
        let name = frame.split_to(name_bytes);
        if frame.get_u32() != crc {
            return Err(FrameError::Checksum("the head of a file"));
        }
        let name = std::str::from_utf8(&name).ok().filter(|name| is_name(name));
        let name = name.ok_or(FrameError::Name)?.to_owned();
        if self.files >= self.files_max {
            return Err(FrameError::TooManyFiles(self.files_max));
        }
        let total = self.bytes.checked_add(bytes);
        let total = total.filter(|total| self.bytes_max == 0 || *total <= self.bytes_max);
        self.bytes = total.ok_or(FrameError::TooManyBytes(self.bytes_max))?;
        self.files += 1;
        self.open = Some(OpenFile { bytes_left: bytes, crc: 0 });
        Ok(Some(Event::File(name)))
    }

    fn data(&mut self, buf: &mut BytesMut) -> Result<Option<Event>, FrameError> {
        const HEAD: usize = 1 + 4 + 4;
        if buf.len() < HEAD {
            return Ok(None);
        }
        let length = u32::from_be_bytes([buf[1], buf[2], buf[3], buf[4]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length == 0 || length > PIECE_BYTES_MAX {
            return Err(FrameError::Piece(length));
        }
        if buf.len() < HEAD + length {
            return Ok(None);
        }
        buf.advance(5);
        let crc = buf.get_u32();
        let data = buf.split_to(length).freeze();
        let file = self.open.as_mut().ok_or(FrameError::OutOfPlace)?;
        if crc32c::crc32c(&data) != crc {
            return Err(FrameError::Checksum("a piece of a file"));
        }
        let left = file.bytes_left.checked_sub(length as u64);
        file.bytes_left = left.ok_or(FrameError::FileBytes)?;
        file.crc = crc32c::crc32c_append(file.crc, &data);
        Ok(Some(Event::Data(data)))
    }

    fn file_end(&mut self, buf: &mut BytesMut) -> Result<Option<Event>, FrameError> {
        if buf.len() < 5 {
            return Ok(None);
        }
        buf.advance(1);
        let crc = buf.get_u32();
        let file = self.open.take().ok_or(FrameError::OutOfPlace)?;
        if file.bytes_left != 0 {
            return Err(FrameError::FileBytes);
        }
        if file.crc != crc {
            return Err(FrameError::Checksum("a file"));
        }
        Ok(Some(Event::FileEnd))
    }

    fn end(&mut self, buf: &mut BytesMut) -> Result<Option<Event>, FrameError> {
        const HEAD: usize = 1 + 4 + 8;
        if buf.len() < HEAD + 4 {
            return Ok(None);
        }
        let crc = crc32c::crc32c(&buf[..HEAD]);
        buf.advance(1);
        let totals = (buf.get_u32(), buf.get_u64());
        if buf.get_u32() != crc {
            return Err(FrameError::Checksum("the end"));
        }
        if totals != (self.files, self.bytes) {
            return Err(FrameError::Totals);
        }
        self.ended = true;
        Ok(Some(Event::End))
    }
}

#[cfg(test)]
mod tests;
