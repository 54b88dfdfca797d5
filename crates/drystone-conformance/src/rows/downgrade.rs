//! Downgrades of a cluster of one.

use super::{Row, Session, rows};
use drystone_api::etcdserverpb::DowngradeRequest;
use drystone_api::etcdserverpb::downgrade_request::DowngradeAction;
use drystone_api::etcdserverpb::maintenance_client::MaintenanceClient;
use std::time::Duration;
use tokio::time::Instant;

/// What is answered before the members have agreed on the cluster's version, how long that may
/// take, and how often it is asked.
const UNDECIDED: &str = "etcdserver: cluster version not found during downgrade";
const DECIDED: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(50);

async fn downgrade(s: &mut Session, action: i32, version: &str) {
    let mut client = MaintenanceClient::new(s.client.transport());
    let request = DowngradeRequest { action, version: version.into() };
    let until = Instant::now() + DECIDED;
    let mut answer = client.downgrade(request.clone()).await;
    while matches!(&answer, Err(status) if status.message() == UNDECIDED) && Instant::now() < until
    {
        tokio::time::sleep(POLL).await;
        answer = client.downgrade(request.clone()).await;
    }
    s.say(match answer {
        Ok(answer) => format!("downgrade: version {}", answer.get_ref().version),
        Err(status) => format!("{:?}: {}", status.code(), status.message()),
    });
}

pub(super) const ROWS: &[Row] = rows! {
    "Maintenance: downgrades", &[
        ("3.4", "there is no such call before 3.5"),
        ("3.5", "its version and its checks are those of 3.5"),
    ], "
        InvalidArgument: etcdserver: wrong downgrade target version format
        InvalidArgument: etcdserver: invalid downgrade target version
        downgrade: version 3.7
        downgrade: version 3.7
        Unknown: etcdserver: unknown method
    ", |s| {
        downgrade(s, DowngradeAction::Validate.into(), "three").await;
        downgrade(s, DowngradeAction::Validate.into(), "3.1").await;
        downgrade(s, DowngradeAction::Validate.into(), "3.6.0").await;
        downgrade(s, DowngradeAction::Cancel.into(), "").await;
        downgrade(s, 9, "3.6").await;
    }
};
