//! Budgets, and what is refused when they are used up.

use super::*;
use crate::connection::FarEnd;
use http_body_util::{BodyExt as _, Full};
use tokio::sync::Notify;

/// Reads a request whole and keeps it until it is told to answer; or says why it could not.
#[derive(Clone)]
struct Keeping(Arc<Notify>);

impl Service<Request<Body>> for Keeping {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let answer = self.0.clone();
        Box::pin(async move {
            match request.into_body().collect().await {
                Ok(_) => answer.notified().await,
                Err(status) => return Ok(status.into_http()),
            }
            Ok(Status::ok("").into_http())
        })
    }
}

/// A request that costs so many bytes in all.
fn request(path: &str, bytes: usize, connection: &OfConnection) -> Request<Body> {
    let mut request = Request::builder().uri(path).body(Body::empty()).unwrap();
    let body = Bytes::from(vec![0; bytes - head_bytes(&request)]);
    *request.body_mut() = Body::new(Full::new(body));
    request.extensions_mut().insert(connection.clone());
    request
}

fn connection(bytes_max: usize) -> OfConnection {
    OfConnection { calls: Budget::of(bytes_max), ..OfConnection::new(FarEnd::in_clear(None)) }
}

fn refused(answer: &Response<Body>) -> bool {
    // An answer that goes out tells its status behind its body.
    let Some(status) = Status::from_header_map(answer.headers()) else { return false };
    let text = "etcdserver: too many requests";
    assert!(status.code() == tonic::Code::Ok || status.message() == text, "{status}");
    status.message() == text
}

const PUT: &str = "/etcdserverpb.KV/Put";

#[tokio::test]
async fn requests_are_refused_while_a_connection_is_full_and_not_after() {
    let answer = Arc::new(Notify::new());
    let mut service = Brakes { all: Budget::of(100_000) }.layer(Keeping(answer.clone()));
    let (one, other) = (connection(10_000), connection(10_000));
    let first = tokio::spawn(service.call(request(PUT, 6_000, &one)));
    while one.calls.left.load(Ordering::Acquire) != 4_000 {
        tokio::task::yield_now().await;
    }
    assert!(refused(&service.call(request(PUT, 4_001, &one)).await.unwrap()));
    assert_eq!(one.calls.left.load(Ordering::Acquire), 4_000, "what was refused is gone");
    let beside = tokio::spawn(service.call(request(PUT, 9_000, &other)));
    while other.calls.left.load(Ordering::Acquire) != 1_000 {
        tokio::task::yield_now().await;
    }
    answer.notify_waiters();
    for answered in [first, beside] {
        assert!(!refused(&answered.await.unwrap().unwrap()));
    }
    answer.notify_one();
    assert!(!refused(&service.call(request(PUT, 10_000, &one)).await.unwrap()));
    assert_eq!(service.all.left.load(Ordering::Acquire), 100_000);
}

#[tokio::test]
async fn all_connections_together_are_bounded_too() {
    let answer = Arc::new(Notify::new());
    let mut service = Brakes { all: Budget::of(100_000) }.layer(Keeping(answer.clone()));
    let mut held = Vec::new();
    // Each takes what it is let: a fifth of what is left, which leaves a share of it.
    let mut left = 100_000;
    for _ in 0..16 {
        let greedy = connection(usize::MAX);
        let most = left / (SHARE + 1);
        assert!(refused(&service.call(request(PUT, most + 1, &greedy)).await.unwrap()));
        assert_eq!(service.all.left.load(Ordering::Acquire), left, "what was refused is gone");
        if most < 6_000 {
            break;
        }
        held.push(tokio::spawn(service.call(request(PUT, most, &greedy))));
        left -= most;
        while service.all.left.load(Ordering::Acquire) != left {
            tokio::task::yield_now().await;
        }
    }
    assert!(held.len() > 5 && left > 10_000, "{} took all but {left}", held.len());
    // Callers that go away give back what they took.
    for greedy in held {
        greedy.abort();
        let _ = greedy.await;
    }
    let last = service.call(request(PUT, 15_000, &connection(usize::MAX)));
    answer.notify_one();
    assert!(!refused(&last.await.unwrap()));
    assert_eq!(service.all.left.load(Ordering::Acquire), 100_000);
}

/// Answers that nobody took did not count once, however many there were.
#[tokio::test]
async fn an_answer_counts_until_it_was_taken() {
    let all = Budget::of(1 << 20);
    let one = connection(100_000);
    let taken = || {
        let (connection, all) = (Some(one.calls.clone()), all.clone());
        Arc::new(Taken { bytes: AtomicUsize::new(0), connection, all })
    };
    let answer = |bytes: usize| Response::new(Body::new(Full::new(Bytes::from(vec![7; bytes]))));
    let first = kept(answer(80_000), taken());
    assert!(!refused(&first));
    assert!(refused(&kept(answer(80_000), taken())));
    let small = kept(answer(CALL_BYTES), taken());
    assert!(!refused(&small), "it is paid for by its call");
    let mut body = first.into_body();
    let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!((piece.len(), all.bytes_max - all.left.load(Ordering::Acquire)), (80_000, 77_952));
    drop(body);
    assert!(!refused(&kept(answer(80_000), taken())));
    drop(small);
    assert_eq!(all.left.load(Ordering::Acquire), 1 << 20);
}

#[tokio::test]
async fn of_streams_of_requests_only_heads_are_counted() {
    let answer = Arc::new(Notify::new());
    let mut service = Brakes { all: Budget::of(20_000) }.layer(Keeping(answer.clone()));
    answer.notify_one();
    let watch = request(STREAMS[0], 100_000, &connection(5_000));
    assert!(!refused(&service.call(watch).await.unwrap()));
    assert!(refused(&service.call(request(STREAMS[0], 3_000, &connection(1_000))).await.unwrap()));
}

/// A client once could open any number of calls with large headers and send nothing on them.
#[tokio::test]
async fn calls_on_which_nothing_is_sent_count_with_their_heads() {
    let answer = Arc::new(Notify::new());
    let mut service = Brakes { all: Budget::of(1 << 20) }.layer(Keeping(answer.clone()));
    let one = connection(40_000);
    let silent = || {
        let mut request = request(PUT, CALL_BYTES + PUT.len(), &one);
        request.headers_mut().insert("a", "b".repeat(4_000).parse().unwrap());
        request
    };
    let waiting: Vec<_> = (0..3).map(|_| tokio::spawn(service.call(silent()))).collect();
    assert!(refused(&service.call(silent()).await.unwrap()));
    for call in waiting {
        call.abort();
        assert!(call.await.is_err());
    }
    assert_eq!(one.calls.left.load(Ordering::Acquire), 40_000);
}
