//! The file of a [`super::MemBackend`] checkpoint.
//!
//! `dir/store`: the magic, then records `table u8 | key length u32 | value length u32 | key |
//! value` with numbers in little-endian, then one byte [`END`], then the CRC-32C of all before
//! it as u32. The applied mark is among the records, in table meta.

use super::State;
use crate::{BackendError, Table, applied_of};
use bytes::Bytes;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"drymem01";
const END: u8 = 0xff;

fn file(dir: &Path) -> PathBuf {
    dir.join("store")
}

pub(super) fn write(state: &State, dir: &Path) -> Result<(), BackendError> {
    fs::create_dir(dir).map_err(|error| failed("create a checkpoint", dir, &error))?;
    let result = write_file(state, &file(dir)).and_then(|()| File::open(dir)?.sync_all());
    result.map_err(|error| failed("write a checkpoint", dir, &error))?;
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|parent| parent.sync_all())
        .map_err(|error| failed("write a checkpoint", dir, &error))
}

fn write_file(state: &State, path: &Path) -> io::Result<()> {
    let mut out = Summing { inner: BufWriter::new(File::create_new(path)?), sum: 0 };
    out.write_all(MAGIC)?;
    for table in Table::ALL {
        let position = u8::try_from(table.position()).expect("there are ten tables");
        for (key, value) in &state.tables[table.position()] {
            out.write_all(&[position])?;
            out.write_all(&length(key)?.to_le_bytes())?;
            out.write_all(&length(value)?.to_le_bytes())?;
            out.write_all(key)?;
            out.write_all(value)?;
        }
    }
    out.write_all(&[END])?;
    let sum = out.sum;
    out.write_all(&sum.to_le_bytes())?;
    out.inner.into_inner()?.sync_all()
}

fn length(bytes: &Bytes) -> io::Result<u32> {
    u32::try_from(bytes.len()).map_err(io::Error::other)
}

fn failed(action: &'static str, dir: &Path, error: &io::Error) -> BackendError {
    BackendError::io(action, format_args!("{}: {error}", dir.display()))
}

struct Summing<W> {
    inner: W,
    sum: u32,
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum = crc32c::crc32c_append(self.sum, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

pub(super) fn read(dir: &Path) -> Result<State, BackendError> {
    let path = file(dir);
    let content = fs::read(&path).map_err(|error| failed("open a checkpoint", &path, &error))?;
    let corrupt = |reason: &str| BackendError::corrupt(path.display(), reason);
    let Some((body, sum)) = content.split_last_chunk::<4>() else {
        return Err(corrupt("shorter than its checksum"));
    };
    if crc32c::crc32c(body) != u32::from_le_bytes(*sum) {
        return Err(corrupt("the checksum does not match"));
    }
    let records = Bytes::copy_from_slice(body);
    let mut state = parse(&records).ok_or_else(|| corrupt("malformed"))?;
    state.applied = applied_of(&state)?;
    Ok(state)
}

/// The state that `body` describes, or `None` when it describes none. Keys and values share
/// `body`'s memory.
fn parse(body: &Bytes) -> Option<State> {
    let mut state = State::default();
    let mut at = MAGIC.len();
    if body.get(..at)? != MAGIC {
        return None;
    }
    loop {
        let position = *body.get(at)?;
        at += 1;
        if position == END {
            return (at == body.len()).then_some(state);
        }
        let table = *Table::ALL.get(usize::from(position))?;
        let key_len = number(body, &mut at)?;
        let value_len = number(body, &mut at)?;
        let key = piece(body, &mut at, key_len)?;
        let value = piece(body, &mut at, value_len)?;
        state.put(table, key, value);
    }
}

fn number(body: &Bytes, at: &mut usize) -> Option<usize> {
    let bytes = body.get(*at..)?.first_chunk::<4>()?;
    *at += 4;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

fn piece(body: &Bytes, at: &mut usize, len: usize) -> Option<Bytes> {
    let end = at.checked_add(len).filter(|end| *end <= body.len())?;
    let piece = body.slice(*at..end);
    *at = end;
    Some(piece)
}
