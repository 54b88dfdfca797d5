use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

#[tokio::test]
async fn a_write_that_nobody_takes_fails_and_a_slow_one_does_not() {
    let (near, mut far) = duplex(4);
    let mut near = WriteDeadline::new(near, Duration::from_millis(80));
    let slow = tokio::spawn(async move {
        let mut buf = [0; 4];
        for _ in 0..4 {
            sleep(Duration::from_millis(30)).await;
            far.read_exact(&mut buf).await.unwrap();
        }
        far
    });
    near.write_all(&[7; 20]).await.expect("each wait is shorter than the limit");
    let _far = slow.await.unwrap();
    let error = near.write_all(&[7; 20]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}
