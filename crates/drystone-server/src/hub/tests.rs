use super::*;
use drystone_backend::MemBackend;
use drystone_machine::{Machine, MachineConfig};
use drystone_types::{Event, EventKind, Revision};
use drystone_watch::ResponseKind;

/// A hub's thread over an empty store, not started, and the way to it.
fn hub() -> (HubThread, HubHandle) {
    let machine = Machine::open(Arc::new(MemBackend::new()), MachineConfig::default()).unwrap();
    let view = Arc::new(RwLock::new(View::of(&machine)));
    let (handle, commands) = HubHandle::new(1, -1);
    let config = drystone_watch::Config::default();
    let (origin, metrics) = (Instant::now(), Metrics::new(false));
    (HubThread::new(config, 7, handle.clone(), commands, view, origin, metrics), handle)
}

fn put(revision: i64) -> RevisionEvents {
    let of = Revision { main: revision, sub: 0 };
    let (key, kv) = ("a".into(), "encoded".into());
    let event = Event { kind: EventKind::Put, key, revision: of, kv, prev: None };
    RevisionEvents { revision, events: vec![event] }
}

/// Whoever was told of a revision and then cancels must not be answered with an older one, though
/// the hub has not yet looked at what was published in between.
#[test]
fn a_cancel_is_answered_at_no_older_revision_than_its_asker_was_told() {
    let (mut thread, handle) = hub();
    let (responses, mut pieces) = pieces();
    let (reply, stream) = oneshot::channel();
    thread.take(Command::Open(responses, reply));
    let stream = stream.blocking_recv().unwrap();
    let other_key = WatchCreateRequest { key: "b".into(), ..WatchCreateRequest::default() };
    thread.hub.create(stream, watch_create(other_key.clone()));
    thread.hub.create(stream, watch_create(other_key));
    handle.publish(vec![put(2)], 2, -1);

    thread.take(Command::Cancel(stream, WatchId::AUTO));
    handle.publish(vec![put(3)], 3, -1);
    thread.take(Command::Progress(stream));
    thread.pump(stream);

    let piece = pieces.try_recv().unwrap();
    let told: Vec<_> = piece.responses.iter().map(|r| (&r.kind, r.header_revision)).collect();
    let expected = [
        (&ResponseKind::Created, 1),
        (&ResponseKind::Created, 1),
        (&ResponseKind::Canceled { compact_revision: 0 }, 2),
        (&ResponseKind::Progress, 3),
    ];
    assert_eq!(told, expected);
}
