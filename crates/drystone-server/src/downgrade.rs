//! The Downgrade call: asks, begins and ends.

use crate::access::Authorized;
use crate::shared::Shared;
use crate::version;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    DowngradeRequest, DowngradeResponse, downgrade_request::DowngradeAction,
};
use drystone_peer::ApiVersion;

/// Serves a Downgrade call (`server/etcdserver/v3_server.go`).
///
/// A cancel without a downgrade under way succeeds, as in etcd. One that could not be carried out
/// says so, where etcd logs the error and claims success.
///
/// # Errors
/// etcd's five downgrade errors, and those of a linearizable read and a proposal.
pub(crate) async fn serve(
    shared: &Shared,
    request: Authorized<DowngradeRequest>,
) -> Result<DowngradeResponse, EtcdError> {
    let (request, authority) = request.into_parts();
    let action = DowngradeAction::try_from(request.action).map_err(|_| EtcdError::UnknownMethod)?;
    match action {
        DowngradeAction::Validate => {
            check(shared, &request.version).await?;
        }
        DowngradeAction::Enable => {
            let target = check(shared, &request.version).await?;
            shared.propose(&authority, version::set_downgrade(Some(target))).await?;
        }
        DowngradeAction::Cancel => {
            shared.confirm_read().await?;
            let under_way = version::downgrade(&shared.view.read().membership).is_some();
            if under_way {
                shared.propose(&authority, version::set_downgrade(None)).await?;
            }
        }
    }
    let cluster = version::cluster(&shared.view.read().membership);
    Ok(DowngradeResponse {
        header: shared.header(shared.revision()),
        version: cluster.map(short).unwrap_or_default(),
    })
}

/// The target of a downgrade that may begin now.
async fn check(shared: &Shared, text: &str) -> Result<ApiVersion, EtcdError> {
    let target = target(text).ok_or(EtcdError::WrongDowngradeVersionFormat)?;
    shared.confirm_read().await?;
    let membership = shared.view.read().membership.clone();
    let cluster = version::cluster(&membership).ok_or(EtcdError::ClusterVersionUnavailable)?;
    if !version::may_lower(cluster, target) {
        return Err(EtcdError::InvalidDowngradeTargetVersion);
    }
    if version::downgrade(&membership).is_some() {
        return Err(EtcdError::DowngradeInProcess);
    }
    Ok(target)
}

/// Reads `X.Y` or `X.Y.Z`; the fix release is dropped.
fn target(text: &str) -> Option<ApiVersion> {
    let version = text.parse().or_else(|_| format!("{text}.0").parse()).ok()?;
    Some(version::release(version))
}

fn short(version: ApiVersion) -> String {
    format!("{}.{}", version.major, version.minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_two_or_three_numbers() {
        let v36 = Some(ApiVersion::new(3, 6, 0));
        assert_eq!(target("3.6"), v36);
        assert_eq!(target("3.6.4"), v36);
        for wrong in ["", "3", "3.6.1.2", "three", "3.x", " 3.6"] {
            assert_eq!(target(wrong), None, "{wrong:?}");
        }
    }
}
