//! Watches over streams that break.

use drystone_api::{etcdserverpb as pb, mvccpb};
use drystone_client::{Client, Watch, WatchOptions};
use tonic::Status;

use crate::fake::{Fake, WatchScript, client, header};

fn created(revision: i64) -> pb::WatchResponse {
    pb::WatchResponse { header: header(revision), created: true, ..Default::default() }
}

fn events(revisions: &[i64]) -> pb::WatchResponse {
    let event = |&mod_revision: &i64| mvccpb::Event {
        kv: Some(mvccpb::KeyValue { mod_revision, ..Default::default() }),
        ..Default::default()
    };
    let last = revisions.last().copied().unwrap_or_default();
    pb::WatchResponse {
        header: header(last),
        events: revisions.iter().map(event).collect(),
        ..Default::default()
    }
}

fn fragment(mut response: pb::WatchResponse) -> pb::WatchResponse {
    response.fragment = true;
    response
}

fn canceled() -> pb::WatchResponse {
    pb::WatchResponse { canceled: true, compact_revision: 7, ..Default::default() }
}

async fn scripted(fake: &Fake, scripts: impl IntoIterator<Item = WatchScript>) -> Client {
    fake.watches.lock().unwrap().extend(scripts);
    client(&[fake.serve().await])
}

fn watch(client: &Client, start_revision: i64) -> Watch {
    let request = pb::WatchCreateRequest { start_revision, ..Default::default() };
    client.watch(request, WatchOptions { require_leader: true, created_notify: false })
}

async fn revisions(watch: &mut Watch) -> Vec<Vec<i64>> {
    let mut all = Vec::new();
    while let Some(response) = watch.next().await.unwrap() {
        let events = response.events.iter().map(|e| e.kv.as_ref().unwrap().mod_revision);
        all.push(events.collect());
        if response.canceled {
            assert_eq!(response.compact_revision, 7);
        }
    }
    all
}

fn starts(fake: &Fake) -> Vec<i64> {
    fake.creates.lock().unwrap().iter().map(|create| create.start_revision).collect()
}

#[tokio::test]
async fn goes_on_after_the_last_event() {
    let fake = Fake::default();
    let broken = Some(Status::unavailable("gone"));
    let client = scripted(
        &fake,
        [
            (vec![created(10), events(&[11, 12])], broken.clone()),
            (vec![created(12)], broken.clone()),
            (vec![created(14), events(&[13, 14])], Some(Status::internal("odd"))),
            (vec![created(14), events(&[15]), canceled()], None),
        ],
    )
    .await;
    let mut watch = watch(&client, 0);
    let seen = revisions(&mut watch).await;
    assert_eq!(seen, [vec![11, 12], vec![13, 14], vec![15], vec![]]);
    assert_eq!(starts(&fake), [0, 13, 13, 15]);
    assert_eq!(watch.next().await.unwrap(), None);
}

#[tokio::test]
async fn goes_on_where_it_began_if_nothing_happened() {
    let fake = Fake::default();
    let broken = Some(Status::unavailable("gone"));
    let client = scripted(
        &fake,
        [
            (vec![created(10)], broken.clone()),
            (vec![created(10)], broken),
            (vec![canceled()], None),
        ],
    )
    .await;
    revisions(&mut watch(&client, 0)).await;
    assert_eq!(starts(&fake), [0, 11, 11]);
}

#[tokio::test]
async fn progress_notes_move_the_place_to_go_on_from() {
    let fake = Fake::default();
    let note = pb::WatchResponse { header: header(40), ..Default::default() };
    let broken = Some(Status::unavailable("gone"));
    let client =
        scripted(&fake, [(vec![created(10), note], broken), (vec![canceled()], None)]).await;
    assert_eq!(revisions(&mut watch(&client, 5)).await, [vec![], vec![]] as [Vec<i64>; 2]);
    assert_eq!(starts(&fake), [5, 41]);
}

#[tokio::test]
async fn fragments_are_joined_and_half_ones_dropped() {
    let fake = Fake::default();
    let broken = Some(Status::unavailable("gone"));
    let client = scripted(
        &fake,
        [(vec![created(1), fragment(events(&[2, 2])), events(&[2])], None), (vec![], None)],
    )
    .await;
    let mut first = watch(&client, 2);
    assert_eq!(first.next().await.unwrap().unwrap().events.len(), 3);

    let fake = Fake::default();
    let client = scripted(
        &fake,
        [
            (vec![created(1), fragment(events(&[2, 2]))], broken),
            (vec![created(1), fragment(events(&[2, 2])), events(&[2]), canceled()], None),
        ],
    )
    .await;
    assert_eq!(revisions(&mut watch(&client, 2)).await, [vec![2, 2, 2], vec![]]);
    assert_eq!(starts(&fake), [2, 2]);
}

#[tokio::test]
async fn no_leader_ends_it() {
    let fake = Fake::default();
    let end = Some(Status::unavailable("etcdserver: no leader"));
    let client = scripted(&fake, [(vec![created(1)], end)]).await;
    let mut watch = watch(&client, 0);
    assert!(watch.next().await.unwrap_err().is_server("etcdserver: no leader"));
    assert_eq!(watch.next().await.unwrap(), None);
    assert_eq!(*fake.metadata.lock().unwrap(), ["hasleader=true"]);
}

#[tokio::test]
async fn progress_can_be_asked_for_before_the_watch_exists() {
    let fake = Fake::default();
    let client = scripted(&fake, [(vec![created(1)], None)]).await;
    let mut watch = watch(&client, 0);
    watch.request_progress();
    let note = watch.next().await.unwrap().unwrap();
    assert_eq!((note.header.unwrap().revision, note.events.len()), (99, 0));
    assert_eq!(*fake.progress.lock().unwrap(), 1);
}
