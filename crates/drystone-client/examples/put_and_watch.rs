//! Watches a prefix, writes below it, and prints what the watch saw. Give endpoints as
//! arguments; the default is `127.0.0.1:2379`.

use std::time::Duration;

use drystone_api::etcdserverpb::{PutRequest, WatchCreateRequest};
use drystone_client::{Client, Config, Error, WatchOptions};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what it does")]
async fn main() -> Result<(), Error> {
    let mut endpoints: Vec<String> = std::env::args().skip(1).collect();
    if endpoints.is_empty() {
        endpoints.push("127.0.0.1:2379".to_owned());
    }
    let mut config = Config::parse(&endpoints)?;
    config.timeouts.call = Some(Duration::from_secs(2));
    let client = Client::connect(config).await?;

    let put = |key: &'static str| PutRequest {
        key: key.into(),
        value: "stone".into(),
        ..Default::default()
    };
    let first = client.put(put("wall/0")).await?;
    let start_revision = first.header.map_or(0, |header| header.revision);
    let request = WatchCreateRequest {
        key: "wall/".into(),
        range_end: "wall0".into(),
        start_revision,
        ..Default::default()
    };
    let mut watch = client.watch(request, WatchOptions::default());
    client.put(put("wall/1")).await?;

    let mut seen = 0;
    while seen < 2 {
        let Some(response) = watch.next().await? else { break };
        for event in &response.events {
            println!("{event:?}");
        }
        seen += response.events.len();
    }
    Ok(())
}
