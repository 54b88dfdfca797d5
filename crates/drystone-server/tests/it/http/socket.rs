//! The gateway over WebSocket.

use super::ask::PATIENCE;
use crate::auth::{ALICE, Guarded};
use crate::{config_with, put, start_as};
use drystone_api::etcdserverpb::kv_client::KvClient;
use futures::{SinkExt as _, StreamExt as _};
use http::Request;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

type Socket = WebSocketStream<TcpStream>;

/// A socket on a path, and the subprotocol that the server chose.
async fn open(
    to: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<(Socket, Option<String>), Error> {
    let mut request = Request::get(format!("ws://{to}{path}"))
        .header("Host", to.to_string())
        .header("Connection", "keep-alive, Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let stream = TcpStream::connect(to).await.unwrap();
    let opened = client_async(request.body(()).unwrap(), stream);
    let (socket, answer) = tokio::time::timeout(PATIENCE, opened).await.unwrap()?;
    let chosen = answer.headers().get("Sec-WebSocket-Protocol");
    Ok((socket, chosen.map(|chosen| chosen.to_str().unwrap().to_owned())))
}

async fn say(socket: &mut Socket, value: &Value) {
    socket.send(Message::text(value.to_string())).await.unwrap();
}

/// The next message; `None` once the server has ended the socket.
async fn hear(socket: &mut Socket) -> Option<Value> {
    match tokio::time::timeout(PATIENCE, socket.next()).await.unwrap()? {
        Ok(Message::Text(text)) => Some(serde_json::from_str(&text).unwrap()),
        Ok(Message::Close(_)) => None,
        other => panic!("{other:?}"),
    }
}

fn watch(key: &str) -> Value {
    json!({ "create_request": { "key": key } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_over_websocket_takes_requests_while_it_tells_of_events() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start_as(config_with(folder.path(), &[])).await;
    let to = server.client_addresses()[0];
    let mut kv = KvClient::new(channel);
    let (mut socket, chosen) = open(to, "/v3/watch", &[]).await.unwrap();
    assert_eq!(chosen, None);
    say(&mut socket, &watch("YQ==")).await;
    assert_eq!(hear(&mut socket).await.unwrap()["result"]["created"], true);
    kv.put(put("a", "1")).await.unwrap();
    let event = hear(&mut socket).await.unwrap();
    assert_eq!(event["result"]["events"][0]["kv"]["value"], "MQ==");
    say(&mut socket, &watch("Yg==")).await;
    let second = hear(&mut socket).await.unwrap();
    assert_eq!(
        (&second["result"]["created"], &second["result"]["watch_id"]),
        (&json!(true), &json!("1"))
    );
    kv.put(put("b", "2")).await.unwrap();
    assert_eq!(hear(&mut socket).await.unwrap()["result"]["watch_id"], "1");

    // One call, and the server has nothing more to say.
    let (mut socket, _) = open(to, "/v3/kv/range?method=DELETE", &[]).await.unwrap();
    say(&mut socket, &json!({ "key": "YQ==" })).await;
    assert_eq!(hear(&mut socket).await.unwrap()["count"], "1");
    assert_eq!(hear(&mut socket).await, None);
    let (mut socket, _) = open(to, "/v3/nothing", &[]).await.unwrap();
    assert_eq!(hear(&mut socket).await, Some(json!({ "code": 5, "message": "Not Found" })));
    // A stop does not wait for sockets that are open.
    let (_idle, _) = open(to, "/v3/watch", &[]).await.unwrap();
    tokio::time::timeout(PATIENCE, server.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_none_and_a_page_that_is_not_listed_get_no_socket() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["--cors=http://a.example:80"];
    let (server, _channel) = start_as(config_with(folder.path(), &words)).await;
    let to = server.client_addresses()[0];
    let refused = |outcome: Result<(Socket, Option<String>), Error>| match outcome {
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was let in"),
    };
    assert_eq!(refused(open(to, "/v3/watch", &[("Origin", "http://b.example")]).await), 403);
    assert_eq!(refused(open(to, "/health", &[]).await), 200);
    let lines = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 8"];
    let answer = super::ask::ask(to, "GET", "/v3/watch", &lines).await;
    assert_eq!((answer.status, answer.header("sec-websocket-version")), (400, "13"));
    let listed = open(to, "/v3/watch", &[("Origin", "http://a.example:80")]).await;
    assert!(listed.is_ok());
    server.stop().await;
}

/// etcd once cut `Bearer` off more than once.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_over_websocket_is_taken_as_it_is_written() {
    let guarded = Guarded::start(&[]).await;
    let to = guarded.server.client_addresses()[0];
    let (open_key, secret) = (json!({ "key": "b3Blbi8x" }), json!({ "key": "c2VjcmV0LzE=" }));
    let protocol = format!("Bearer, {}", guarded.alice);
    let cookie = format!("a=b; token={}", guarded.alice);
    for header in [("Sec-WebSocket-Protocol", protocol.as_str()), ("Cookie", &cookie)] {
        let (mut socket, chosen) = open(to, "/v3/kv/range", &[header]).await.unwrap();
        assert_eq!(chosen.is_some(), header.0 != "Cookie", "{chosen:?} for {ALICE}");
        say(&mut socket, &open_key).await;
        assert_eq!(hear(&mut socket).await.unwrap()["count"], "1");
        let (mut socket, _) = open(to, "/v3/kv/range", &[header]).await.unwrap();
        say(&mut socket, &secret).await;
        let refused = hear(&mut socket).await.unwrap();
        assert_eq!(refused["message"], "etcdserver: permission denied");
    }
    let twice = format!("Bearer, Bearer {}", guarded.alice);
    let header = ("Sec-WebSocket-Protocol", twice.as_str());
    let (mut socket, _) = open(to, "/v3/kv/range", &[header]).await.unwrap();
    say(&mut socket, &open_key).await;
    assert_eq!(hear(&mut socket).await.unwrap()["message"], "etcdserver: invalid auth token");
    let (mut socket, _) = open(to, "/v3/kv/range", &[]).await.unwrap();
    say(&mut socket, &open_key).await;
    assert_eq!(hear(&mut socket).await.unwrap()["message"], "etcdserver: user name is empty");
    guarded.server.stop().await;
}
