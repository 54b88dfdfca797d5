//! The Cluster service: who belongs to the cluster, and changes of that.

use crate::access::split;
use crate::config::check_urls;
use crate::shared::Shared;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    self, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
    MemberUpdateRequest, MemberUpdateResponse, cluster_server::Cluster,
};
use drystone_machine::Member;
use drystone_types::MemberId;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Serves `etcdserverpb.Cluster`.
#[derive(Clone, Debug)]
pub(crate) struct ClusterService {
    shared: Arc<Shared>,
}

impl ClusterService {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn member_list(
        &self,
        request: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        let (caller, request) = split(request);
        if request.linearizable {
            self.shared.confirm_read().await?;
        }
        self.shared.authorize(&caller, request).await?;
        let members = wire(self.shared.members());
        Ok(Response::new(MemberListResponse { header: self.shared.header(0), members }))
    }

    async fn member_add(
        &self,
        request: Request<MemberAddRequest>,
    ) -> Result<Response<MemberAddResponse>, Status> {
        let (caller, request) = split(request);
        let authorized = self.shared.authorize_change(&caller, request).await?;
        let (request, authority) = authorized.into_parts();
        let urls = check_urls(&request.peer_ur_ls).map_err(|_| EtcdError::MemberBadURLs)?;
        let member = self.shared.add_member(&authority, urls, request.is_learner).await?;
        Ok(Response::new(MemberAddResponse {
            header: self.shared.header(0),
            member: Some(wire_member(member)),
            members: wire(self.shared.members()),
        }))
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        let (caller, request) = split(request);
        let authorized = self.shared.authorize_change(&caller, request).await?;
        let (request, authority) = authorized.into_parts();
        self.shared.remove_member(&authority, MemberId(request.id)).await?;
        let mut members = self.shared.members();
        // A member that was removed itself may not have applied that.
        members.retain(|member| member.id != request.id);
        let members = wire(members);
        Ok(Response::new(MemberRemoveResponse { header: self.shared.header(0), members }))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        let (caller, request) = split(request);
        let authorized = self.shared.authorize_change(&caller, request).await?;
        let (request, authority) = authorized.into_parts();
        let id = MemberId(request.id);
        self.shared.update_member(&authority, id, request.peer_ur_ls).await?;
        let members = wire(self.shared.members());
        Ok(Response::new(MemberUpdateResponse { header: self.shared.header(0), members }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        let (caller, request) = split(request);
        let authorized = self.shared.authorize_change(&caller, request).await?;
        let (request, authority) = authorized.into_parts();
        let id = MemberId(request.id);
        let members = self.shared.promote_member(&authority, id, &caller).await?;
        let members = wire(members);
        Ok(Response::new(MemberPromoteResponse { header: self.shared.header(0), members }))
    }
}

fn wire(members: Vec<Member>) -> Vec<etcdserverpb::Member> {
    members.into_iter().map(wire_member).collect()
}

fn wire_member(member: Member) -> etcdserverpb::Member {
    etcdserverpb::Member {
        id: member.id,
        name: member.name,
        peer_ur_ls: member.peer_urls,
        client_ur_ls: member.client_urls,
        is_learner: member.is_learner,
    }
}
