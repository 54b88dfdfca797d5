//! A server inside another program, on ports of the system's choice, in a folder that goes
//! away with it.

use drystone_api::etcdserverpb::kv_client::KvClient;
use drystone_api::etcdserverpb::{PutRequest, RangeRequest};
use drystone_server::{Parsed, Server, parse};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let words = [
        format!("--data-dir={}", folder.path().display()),
        "--listen-client-urls=http://127.0.0.1:0".to_owned(),
        "--advertise-client-urls=http://127.0.0.1:0".to_owned(),
        "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
    ];
    let Ok(Parsed::Run { config, .. }) = parse(words, []) else {
        return Err("these flags start a server".into());
    };
    let server = Server::start(*config).await?;
    let endpoint = format!("http://{}", server.client_addresses()[0]);
    let mut kv = loop {
        match KvClient::connect(endpoint.clone()).await {
            Ok(kv) => break kv,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let key: bytes::Bytes = "greeting".into();
    let value = "hello".into();
    kv.put(PutRequest { key: key.clone(), value, ..Default::default() }).await?;
    let found = kv.range(RangeRequest { key, ..Default::default() }).await?.into_inner();
    eprintln!("found {:?} at revision {}", found.kvs[0].value, found.kvs[0].mod_revision);
    server.stop().await;
    Ok(())
}
