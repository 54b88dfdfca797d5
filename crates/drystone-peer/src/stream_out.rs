//! Messages that go out on a stream which the far end has dialled: the body of the answer.

use crate::codec::{FRAME_HEARTBEAT, MSGAPP_HEARTBEAT, MsgAppEncoder, encode_frame};
use crate::outbox::Ticket;
use crate::peer::{Peer, StreamKind};
use bytes::{Bytes, BytesMut};
use drystone_raft::Message;
use http_body::{Body, Frame};
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep, sleep};

/// Messages that are encoded in one go. HTTP adds a few bytes to each such piece.
const PIECE_BYTES: usize = 256 << 10;

enum Encoder {
    MsgApp(MsgAppEncoder),
    Message,
}

/// Pulls messages as fast as the connection takes them. It is the queue's reader: a newer
/// stream of its kind ends it, and its end tells raft what was lost.
pub(crate) struct StreamBody {
    peer: Arc<Peer>,
    kind: StreamKind,
    ticket: Ticket,
    encoder: Encoder,
    idle: Pin<Box<Sleep>>,
    batch: Vec<Message>,
    piece: BytesMut,
}

impl StreamBody {
    pub(crate) fn new(peer: Arc<Peer>, kind: StreamKind) -> Self {
        let (ticket, lost) = peer.stream(kind).attach();
        if lost > 0 {
            peer.lost(lost);
        }
        peer.health.activate();
        let encoder = match kind {
            StreamKind::MsgApp => Encoder::MsgApp(MsgAppEncoder::new()),
            StreamKind::Message => Encoder::Message,
        };
        let idle = Box::pin(sleep(peer.shared.config.heartbeat_pause));
        let (batch, piece) = (Vec::new(), BytesMut::new());
        Self { peer, kind, ticket, encoder, idle, batch, piece }
    }

    fn encode(&mut self) -> Bytes {
        for message in self.batch.drain(..) {
            match &mut self.encoder {
                Encoder::MsgApp(encoder) => encoder.encode(&message, &mut self.piece),
                Encoder::Message => encode_frame(&message, &mut self.piece),
            }
        }
        self.peer.health.counters.sent_bytes.add(self.piece.len() as u64);
        self.piece.split().freeze()
    }

    fn rest(&mut self) {
        let pause = self.peer.shared.config.heartbeat_pause;
        self.idle.as_mut().reset(Instant::now() + pause);
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let outbox = this.peer.stream(this.kind);
        match outbox.poll_take(cx, this.ticket, PIECE_BYTES, &mut this.batch) {
            Poll::Ready(false) => return Poll::Ready(None),
            Poll::Ready(true) => {
                let piece = this.encode();
                this.rest();
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            Poll::Pending => {}
        }
        if this.idle.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        this.rest();
        let heartbeat: &'static [u8] = match this.kind {
            StreamKind::MsgApp => &MSGAPP_HEARTBEAT,
            StreamKind::Message => &FRAME_HEARTBEAT,
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(heartbeat)))))
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        // What the connection had taken but not sent is lost as well, so raft always hears.
        let lost = self.peer.stream(self.kind).detach(self.ticket);
        if let Some(lost) = lost.filter(|_| !self.peer.stop.is_cancelled()) {
            tracing::debug!(peer = %self.peer.id, stream = self.kind.name(), "lost a stream");
            self.peer.lost(lost);
        }
    }
}
