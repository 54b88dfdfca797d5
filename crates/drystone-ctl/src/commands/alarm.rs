//! `alarm list`, `alarm disarm`

use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::alarm_request::AlarmAction;

use crate::context::{Context, Limit};
use crate::exit::{Exit, Failure};
use crate::print::{Answer, RPC};

pub(crate) async fn list(context: &mut Context<'_>) -> Result<Exit, Failure> {
    if !context.args().is_empty() {
        return Err(Failure::arguments("alarm list command accepts no arguments"));
    }
    let session = context.session(RPC, Limit::Command).await?;
    let request = pb::AlarmRequest::default();
    let response = session.client.alarm(request).await.map_err(|e| Failure::call(&e))?;
    context.show(&session, Answer::Alarm(&response))?;
    Ok(Exit::SUCCESS)
}

/// Clears all alarms that are set, one by one: the server knows no wildcard.
pub(crate) async fn disarm(context: &mut Context<'_>) -> Result<Exit, Failure> {
    if !context.args().is_empty() {
        return Err(Failure::arguments("alarm disarm command accepts no arguments"));
    }
    let session = context.session(RPC, Limit::Command).await?;
    let request = pb::AlarmRequest::default();
    let set = session.client.alarm(request).await.map_err(|e| Failure::call(&e))?;
    // As etcdctl prints it: of many answers, so with the header of none.
    let mut cleared = pb::AlarmResponse::default();
    for alarm in set.alarms {
        let request = pb::AlarmRequest {
            action: AlarmAction::Deactivate.into(),
            member_id: alarm.member_id,
            alarm: alarm.alarm,
        };
        let response = session.client.alarm(request).await.map_err(|e| Failure::call(&e))?;
        cleared.alarms.extend(response.alarms);
    }
    context.show(&session, Answer::Alarm(&cleared))?;
    Ok(Exit::SUCCESS)
}
