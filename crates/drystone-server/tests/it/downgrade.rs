//! The way down to an older version, and back up.

use crate::start;
use drystone_api::etcdserverpb::downgrade_request::DowngradeAction;
use drystone_api::etcdserverpb::maintenance_client::MaintenanceClient;
use drystone_api::etcdserverpb::{DowngradeRequest, StatusRequest, StatusResponse};
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// How long the leader may take to move the cluster's version: some of its looks, 4 s apart.
const MOVED_MAX: Duration = Duration::from_secs(30);

type Maintenance = MaintenanceClient<Channel>;

async fn ask(at: &mut Maintenance, action: i32, version: &str) -> Result<String, Status> {
    let request = DowngradeRequest { action, version: version.to_owned() };
    Ok(at.downgrade(request).await?.into_inner().version)
}

async fn status(at: &mut Maintenance) -> StatusResponse {
    at.status(StatusRequest {}).await.unwrap().into_inner()
}

/// Waits until the stored data has the version.
async fn moved_to(at: &mut Maintenance, version: &str) {
    let look = async {
        while status(at).await.storage_version != version {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(MOVED_MAX, look).await.unwrap();
}

fn refused(answer: Result<String, Status>, code: Code, text: &str) {
    let status = answer.unwrap_err();
    assert_eq!((status.code(), status.message()), (code, text));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_downgrade_is_checked_begun_and_cancelled() {
    let (validate, enable, cancel) = (
        DowngradeAction::Validate as i32,
        DowngradeAction::Enable as i32,
        DowngradeAction::Cancel as i32,
    );
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    let mut at = MaintenanceClient::new(channel);
    moved_to(&mut at, "3.7.0").await;

    let format = "etcdserver: wrong downgrade target version format";
    refused(ask(&mut at, validate, "three").await, Code::InvalidArgument, format);
    let target = "etcdserver: invalid downgrade target version";
    for version in ["3.7", "3.5.0", "3.8", "2.6"] {
        refused(ask(&mut at, enable, version).await, Code::InvalidArgument, target);
    }
    refused(ask(&mut at, 7, "3.6").await, Code::Unknown, "etcdserver: unknown method");
    assert_eq!(ask(&mut at, validate, "3.6").await.unwrap(), "3.7");
    assert_eq!(ask(&mut at, cancel, "").await.unwrap(), "3.7", "there is nothing to cancel");

    assert_eq!(ask(&mut at, enable, "3.6.4").await.unwrap(), "3.7");
    let under_way = status(&mut at).await.downgrade_info.unwrap();
    assert_eq!((under_way.enabled, under_way.target_version.as_str()), (true, "3.6.0"));
    moved_to(&mut at, "3.6.0").await;
    server.stop().await;

    let (server, channel) = start(folder.path()).await;
    let mut at = MaintenanceClient::new(channel);
    assert_eq!(status(&mut at).await.downgrade_info.unwrap(), under_way, "it is durable");
    assert_eq!(ask(&mut at, cancel, "").await.unwrap(), "3.6");
    assert!(!status(&mut at).await.downgrade_info.unwrap().enabled);
    moved_to(&mut at, "3.7.0").await;
    server.stop().await;
}
