//! A snapshot that comes in: verified and synced before anybody sees it.

use super::dir::{Partial, sync_dir};
use super::frame::{Decoder, Event, FrameError};
use crate::codec::{MessageError, decode_message};
use crate::peer::Shared;
use crate::server::Answer;
use bytes::{Buf, Bytes, BytesMut};
use drystone_raft::Message;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longest MsgSnap, as in etcd 3.7.1.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Pieces that wait for the disk.
const PIECES_WAITING: usize = 4;

/// Why a snapshot did not come in. Nothing of it is left.
#[derive(Debug)]
pub(crate) enum ReceiveError {
    /// The message is not wanted.
    Refused(Answer),
    /// There is no message.
    Message(String),
    /// The files are broken, did not all come, or could not be written.
    Save(String),
}

impl From<MessageError> for ReceiveError {
    fn from(error: MessageError) -> Self {
        Self::Message(crate::error::chain(&error))
    }
}

impl From<FrameError> for ReceiveError {
    fn from(error: FrameError) -> Self {
        Self::Save(error.to_string())
    }
}

/// Reads a body piece by piece.
struct Reader<'a> {
    shared: &'a Shared,
    body: Incoming,
    buf: BytesMut,
}

impl Reader<'_> {
    /// Waits for more bytes. False at the end of the body.
    async fn more(&mut self) -> Result<bool, String> {
        let after = self.shared.config.read_timeout;
        loop {
            let frame = timeout(after, self.body.frame()).await;
            let Some(frame) = frame.map_err(|_| format!("the sender is silent for {after:?}"))?
            else {
                return Ok(false);
            };
            if let Ok(data) = frame.map_err(|error| error.to_string())?.into_data() {
                self.buf.extend_from_slice(&data);
                return Ok(true);
            }
        }
    }

    async fn message(&mut self) -> Result<Message, ReceiveError> {
        let mut length = None;
        loop {
            if length.is_none() && self.buf.len() >= 8 {
                let announced = self.buf.get_u64();
                let fits = usize::try_from(announced).ok().filter(|n| *n <= MESSAGE_BYTES_MAX);
                let too_long = || ReceiveError::Message(format!("{announced} bytes"));
                length = Some(fits.ok_or_else(too_long)?);
            }
            if let Some(length) = length.filter(|length| self.buf.len() >= *length) {
                return Ok(decode_message(self.buf.split_to(length).freeze())?);
            }
            if !self.more().await.map_err(ReceiveError::Message)? {
                return Err(ReceiveError::Message("unexpected EOF".to_owned()));
            }
        }
    }
}

/// Receives a snapshot into a directory of its own under the handler's. `admit` sees the
/// message before any file is written. When the future is dropped, nothing stays.
pub(crate) async fn receive(
    shared: &Shared,
    body: Incoming,
    mut admit: impl FnMut(&Message) -> Result<(), Answer>,
) -> Result<(Message, PathBuf), ReceiveError> {
    let mut reader = Reader { shared, body, buf: BytesMut::new() };
    let message = reader.message().await?;
    admit(&message).map_err(ReceiveError::Refused)?;
    let meta = message.snapshot.as_ref();
    let (index, term) = meta.map_or((0, 0), |meta| (meta.index.0, meta.term.0));
    let parent = shared.handler.snapshot_dir();
    let stem = format!("{term:016x}-{index:016x}");
    let (pieces, waiting) = mpsc::channel(PIECES_WAITING);
    let writer = shared
        .tasks
        .spawn_blocking_on(move || Writer::create(&parent, &stem)?.run(waiting), &shared.runtime);
    let read = read_files(&mut reader, &pieces).await;
    // Without an end among the pieces the writer deletes what it has.
    drop(pieces);
    let written = writer.await.map_err(|_| ReceiveError::Save("stopped".to_owned()))?;
    match (read, written) {
        (Err(error), _) => Err(error),
        (Ok(()), Ok(dir)) => Ok((message, dir)),
        (Ok(()), Err(error)) => Err(ReceiveError::Save(error.to_string())),
    }
}

/// Feeds the writer. Ends well if the writer has gone: its own error tells why.
async fn read_files(
    reader: &mut Reader<'_>,
    pieces: &mpsc::Sender<Event>,
) -> Result<(), ReceiveError> {
    let config = &reader.shared.config;
    let mut decoder = Decoder::new(config.snapshot_files_max, config.snapshot_bytes_max);
    loop {
        while let Some(event) = decoder.next(&mut reader.buf)? {
            let end = event == Event::End;
            if end {
                // Bytes after the end belong to nothing.
                let clean =
                    reader.buf.is_empty() && !reader.more().await.map_err(ReceiveError::Save)?;
                if !clean {
                    return Err(ReceiveError::Save("bytes after the end".to_owned()));
                }
            }
            if pieces.send(event).await.is_err() || end {
                return Ok(());
            }
        }
        if !reader.more().await.map_err(ReceiveError::Save)? {
            return Err(ReceiveError::Save("unexpected EOF".to_owned()));
        }
    }
}

/// Writes files on a blocking thread.
struct Writer {
    dir: Partial,
    dirs: BTreeSet<PathBuf>,
    file: Option<File>,
}

impl Writer {
    fn create(parent: &std::path::Path, stem: &str) -> io::Result<Self> {
        let dir = Partial::create(parent, stem)?;
        let dirs = BTreeSet::from([dir.path().to_owned()]);
        Ok(Self { dir, dirs, file: None })
    }

    fn run(mut self, mut pieces: mpsc::Receiver<Event>) -> io::Result<PathBuf> {
        while let Some(event) = pieces.blocking_recv() {
            match event {
                Event::File(name) => self.open(&name)?,
                Event::Data(data) => self.write(&data)?,
                Event::FileEnd => {
                    if let Some(file) = self.file.take() {
                        file.sync_all()?;
                    }
                }
                Event::End => return self.complete(),
            }
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the transfer was interrupted"))
    }

    fn open(&mut self, name: &str) -> io::Result<()> {
        let path = self.dir.path().join(name);
        let mut parent = path.parent();
        while let Some(dir) = parent.filter(|dir| *dir != self.dir.path()) {
            std::fs::create_dir_all(dir)?;
            self.dirs.insert(dir.to_owned());
            parent = dir.parent();
        }
        self.file = Some(File::create_new(path)?);
        Ok(())
    }

    fn write(&mut self, data: &Bytes) -> io::Result<()> {
        let file = self.file.as_mut().ok_or_else(|| io::Error::other("no file is open"))?;
        file.write_all(data)
    }

    fn complete(self) -> io::Result<PathBuf> {
        // Deepest first, so that a name is durable before the directory that shows it.
        for dir in self.dirs.iter().rev() {
            sync_dir(dir)?;
        }
        self.dir.complete()
    }
}
