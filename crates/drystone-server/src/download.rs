//! Maintenance.Snapshot in Drystone's own format: a checkpoint of the store as a tar archive.
//!
//! `docs/formats/checkpoint-archive.md` describes the bytes. The checkpoint shares its files with
//! the store where the file system can, so it costs little room; it is read from disk as the
//! client takes it, and removed when the last byte is read or the client goes away.

use crate::access::Authority;
use crate::shared::Shared;
use anyhow::Context;
use bytes::Bytes;
use drystone_api::etcdserverpb::SnapshotResponse;
use drystone_types::Applied;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;
use tonic::Status;

/// Bytes of one message, as in etcd.
const CHUNK_BYTES: usize = 32 << 10;
/// Messages that wait for a client.
const WAITING_MAX: usize = 8;
/// Downloads at a time. Each holds a thread of the pool for as long as its client takes.
pub(crate) const DOWNLOADS_MAX: usize = 2;
/// What archives are made of.
const BLOCK_BYTES: usize = 512;
/// The archive's first file: what it holds.
const MANIFEST: &str = "drystone-checkpoint.json";
/// Version of the archive's format.
const FORMAT: u32 = 1;

/// What the stream carries.
pub(crate) type Item = Result<SnapshotResponse, Status>;

/// Makes a checkpoint and streams it. Blocks on the disk and on the client: for a thread of the
/// pool. What goes wrong ends the stream with an error.
pub(crate) fn stream(shared: &Arc<Shared>, authority: &Authority, out: &mpsc::Sender<Item>) {
    let outcome = Checkpoint::make(shared, authority).and_then(|checkpoint| checkpoint.send(out));
    match outcome {
        Ok(Ended::Complete { bytes }) => tracing::info!(bytes, "sent a snapshot to a client"),
        Ok(Ended::ClientGone) => tracing::info!("a client gave up a snapshot"),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "a snapshot could not be sent");
            let _ = out.blocking_send(Err(Status::internal(format!("{error:#}"))));
        }
    }
}

/// A stream for one download.
pub(crate) fn channel() -> (mpsc::Sender<Item>, mpsc::Receiver<Item>) {
    mpsc::channel(WAITING_MAX)
}

/// How a download ended.
enum Ended {
    Complete { bytes: u64 },
    ClientGone,
}

/// A checkpoint on disk. Dropping it removes it.
struct Checkpoint {
    dir: PathBuf,
    files: Vec<(String, PathBuf, u64)>,
    manifest: Vec<u8>,
    /// Of the stored data, as etcd counts it; empty until the cluster has one.
    version: String,
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a checkpoint could not be removed");
        }
    }
}

impl Checkpoint {
    fn make(shared: &Shared, authority: &Authority) -> anyhow::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = shared.layout.snapshots().join(format!("download-{number}"));
        let mut made = Self {
            dir: dir.clone(),
            files: Vec::new(),
            manifest: Vec::new(),
            version: String::new(),
        };
        let backend = shared.view.read().backend(authority).clone();
        let applied = backend.checkpoint(&dir).context("cannot make a checkpoint")?;
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            made.files.push((name, entry.path(), entry.metadata()?.len()));
        }
        made.files.sort();
        let membership = shared.view.read().membership.clone();
        made.version = crate::version::storage(&membership).unwrap_or_default();
        made.manifest = manifest(shared, applied, &made.version);
        Ok(made)
    }

    /// Bytes of the archive, without the digest that follows it.
    fn archive_bytes(&self) -> u64 {
        let sizes = self.files.iter().map(|(_, _, bytes)| *bytes);
        let files = sizes.chain([self.manifest.len() as u64]);
        files.map(|bytes| BLOCK_BYTES as u64 + padded(bytes)).sum::<u64>() + 2 * BLOCK_BYTES as u64
    }

    fn send(&self, out: &mpsc::Sender<Item>) -> anyhow::Result<Ended> {
        let bytes = self.archive_bytes();
        let mut chunks = Chunks::new(out, bytes, &self.version);
        chunks.file(MANIFEST, self.manifest.len() as u64, &mut self.manifest.as_slice())?;
        for (name, path, bytes) in &self.files {
            let mut content =
                File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
            chunks.file(name, *bytes, &mut content)?;
            if chunks.client_gone {
                return Ok(Ended::ClientGone);
            }
        }
        chunks.put(&[0; 2 * BLOCK_BYTES]);
        chunks.finish();
        Ok(if chunks.client_gone { Ended::ClientGone } else { Ended::Complete { bytes } })
    }
}

fn manifest(shared: &Shared, applied: Applied, storage_version: &str) -> Vec<u8> {
    let manifest = json!({
        "format": FORMAT,
        "cluster": shared.cluster.to_string(),
        "member": shared.member.to_string(),
        "applied_index": applied.index.0,
        "applied_term": applied.term.0,
        "version": env!("CARGO_PKG_VERSION"),
        "storage_version": storage_version,
    });
    format!("{manifest:#}\n").into_bytes()
}

fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK_BYTES as u64)
}

/// Cuts bytes into messages and digests them.
struct Chunks<'a> {
    out: &'a mpsc::Sender<Item>,
    version: &'a str,
    buffer: Vec<u8>,
    remaining: u64,
    digest: Sha256,
    client_gone: bool,
}

impl<'a> Chunks<'a> {
    fn new(out: &'a mpsc::Sender<Item>, bytes: u64, version: &'a str) -> Self {
        let buffer = Vec::with_capacity(CHUNK_BYTES);
        let digest = Sha256::new();
        Self { out, version, buffer, remaining: bytes, digest, client_gone: false }
    }

    /// A file of the archive: its header, its bytes, and zeros up to the next block.
    fn file(&mut self, name: &str, bytes: u64, content: &mut dyn Read) -> anyhow::Result<()> {
        self.put(header(name, bytes)?.as_bytes());
        let mut piece = vec![0; CHUNK_BYTES];
        let mut left = bytes;
        while left > 0 && !self.client_gone {
            let want = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            content
                .read_exact(&mut piece[..want])
                .with_context(|| format!("cannot read {name} of the checkpoint"))?;
            self.put(&piece[..want]);
            left -= want as u64;
        }
        let zeros = usize::try_from(padded(bytes) - bytes).unwrap_or(0);
        self.put(&[0; BLOCK_BYTES][..zeros]);
        Ok(())
    }

    fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.client_gone {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == CHUNK_BYTES {
                self.send();
            }
        }
    }

    fn send(&mut self) {
        self.digest.update(&self.buffer);
        self.remaining = self.remaining.saturating_sub(self.buffer.len() as u64);
        let blob = Bytes::copy_from_slice(&self.buffer);
        self.buffer.clear();
        self.message(self.remaining, blob);
    }

    fn message(&mut self, remaining_bytes: u64, blob: Bytes) {
        let version = self.version.to_owned();
        let message = SnapshotResponse { header: None, remaining_bytes, blob, version };
        self.client_gone |= self.out.blocking_send(Ok(message)).is_err();
    }

    /// Sends what is left, and the digest of everything as the last message.
    fn finish(&mut self) {
        if !self.buffer.is_empty() {
            self.send();
        }
        let digest = Bytes::copy_from_slice(&self.digest.clone().finalize());
        self.message(0, digest);
    }
}

/// A header of a file, in the form that POSIX calls ustar.
fn header(name: &str, bytes: u64) -> anyhow::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).with_context(|| format!("{name:?} does not fit into an archive"))?;
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(0);
    header.set_cksum();
    Ok(header)
}
