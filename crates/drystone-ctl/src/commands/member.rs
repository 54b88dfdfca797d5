//! `member list`

use drystone_api::etcdserverpb as pb;

use super::range::serializable;
use crate::context::{Context, Limit};
use crate::exit::{Exit, Failure};
use crate::print::{Answer, MEMBERS};

pub(crate) async fn list(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let linearizable = !serializable(&context.flags)?;
    let session = context.session(MEMBERS, Limit::Command).await?;
    let request = pb::MemberListRequest { linearizable };
    let response = session.client.member_list(request).await.map_err(|e| Failure::call(&e))?;
    context.show(&session, Answer::MemberList(&response))?;
    Ok(Exit::SUCCESS)
}
