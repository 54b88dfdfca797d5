//! The loop that takes connections in: each gets a place and a task of its own.

use super::admission::Admission;
use super::session::{Face, hold};
use crate::connection::Connection;
use futures::{Stream, StreamExt as _};
use std::io;
use std::num::NonZero;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Pause after a connection could not be accepted, as when descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Time between two connections that are taken in for each processor, so that what many of them
/// begin with does not come between those that are being served: 500 a second.
const STEP: Duration = Duration::from_millis(2);
/// By how much connections may come earlier, since timers tell milliseconds.
const EARLY_MAX: Duration = Duration::from_millis(2);

/// Where clients' connections come from. An error is one connection's that came to nothing.
pub trait Accept<C>: Stream<Item = io::Result<C>> + Send + 'static {}

impl<C, T: Stream<Item = io::Result<C>> + Send + 'static> Accept<C> for T {}

/// Serves what comes in until told to stop, then ends each connection when its open calls have
/// ended. Dropping the future ends them at once.
pub(crate) async fn serve<C: Connection>(
    face: Face,
    incoming: impl Accept<C>,
    admission: Arc<Admission>,
    stop: watch::Receiver<bool>,
) {
    let mut sessions = JoinSet::new();
    take_in(&face, incoming, &admission, stop, &mut sessions).await;
    // The listener is closed by now: who comes late is refused and goes elsewhere.
    while sessions.join_next().await.is_some() {}
}

async fn take_in<C: Connection>(
    face: &Face,
    incoming: impl Accept<C>,
    admission: &Arc<Admission>,
    mut stop: watch::Receiver<bool>,
    sessions: &mut JoinSet<()>,
) {
    let mut incoming = pin!(incoming);
    let for_sessions = stop.clone();
    let mut failing = false;
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let step = STEP / u32::try_from(processors).unwrap_or(u32::MAX);
    let mut due = Instant::now();
    loop {
        let accepted = async {
            if due > Instant::now() + EARLY_MAX {
                tokio::time::sleep_until(due).await;
            }
            let room = admission.room().await;
            (room, incoming.next().await)
        };
        let (room, accepted): (OwnedSemaphorePermit, _) = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            Some(_) = sessions.join_next(), if !sessions.is_empty() => continue,
            accepted = accepted => accepted,
        };
        let connection = match accepted {
            None => return,
            Some(Ok(connection)) => connection,
            Some(Err(error)) => {
                if !failing {
                    tracing::warn!(%error, "a connection could not be accepted");
                }
                failing = true;
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        failing = false;
        due = due.max(Instant::now()) + step;
        let address = connection.address();
        let Some(place) = admission.place(room, address) else {
            tracing::debug!(?address, "rejected connection: its address has too many open");
            face.ended("address");
            continue;
        };
        let Some(begin) = admission.begin(address) else {
            tracing::debug!(?address, "rejected connection: too many from its address wait");
            face.ended("pace");
            continue;
        };
        let (face, stop) = (face.clone(), for_sessions.clone());
        sessions.spawn(async move {
            if let Err(reason) = hold(face.clone(), connection, begin, stop).await {
                face.ended(reason);
                place.blame();
            }
            drop(place);
        });
    }
}
