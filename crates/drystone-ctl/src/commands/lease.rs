//! `lease …`

use drystone_api::etcdserverpb as pb;
use drystone_client::Error;

use crate::context::{Context, Limit};
use crate::exit::{Exit, Failure, call_message};
use crate::go;
use crate::print::{Answer, Format, KeysAsked, RPC};

pub(crate) async fn grant(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let [ttl] = context.args() else {
        return Err(Failure::arguments("lease grant command needs TTL argument"));
    };
    let ttl = go::parse_i64(&String::from_utf8_lossy(ttl))
        .map_err(|reason| Failure::arguments(format!("bad TTL ({reason})")))?;
    let session = context.session(RPC, Limit::Command).await?;
    let request = pb::LeaseGrantRequest { ttl, id: 0 };
    let response = session.client.lease_grant(request).await.map_err(|error| {
        let reason = call_message(&error);
        Failure::new(Exit::ERROR, format!("failed to grant lease ({reason})"))
    })?;
    context.show(&session, Answer::LeaseGrant(&response))?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn revoke(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let id = lease_id(context, "lease revoke command needs 1 argument")?;
    let session = context.session(RPC, Limit::Command).await?;
    let request = pb::LeaseRevokeRequest { id };
    let response = session.client.lease_revoke(request).await.map_err(|error| {
        let reason = call_message(&error);
        Failure::new(Exit::ERROR, format!("failed to revoke lease ({reason})"))
    })?;
    context.show(&session, Answer::LeaseRevoke(&response, id))?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn time_to_live(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let id = lease_id(context, "lease timetolive command needs lease ID as argument")?;
    let keys = context.flags.bool("keys");
    let session = context.session(RPC, Limit::None).await?;
    let request = pb::LeaseTimeToLiveRequest { id, keys };
    let response = session.client.lease_time_to_live(request).await.map_err(bad_connection)?;
    context.show(&session, Answer::LeaseTimeToLive(&response, KeysAsked(keys)))?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn list(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let session = context.session(RPC, Limit::None).await?;
    let request = pb::LeaseLeasesRequest {};
    let response = session.client.lease_leases(request).await.map_err(bad_connection)?;
    context.show(&session, Answer::LeaseList(&response))?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn keep_alive(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let id = lease_id(context, "lease keep-alive command needs lease ID as argument")?;
    let session = context.session(RPC, Limit::None).await?;
    if context.flags.bool("once") {
        let response = session.client.keep_alive_once(id).await.map_err(bad_connection)?;
        if response.ttl <= 0 {
            let message = "etcdserver: requested lease not found";
            return Err(Failure::new(Exit::BAD_CONNECTION, message));
        }
        context.show(&session, Answer::LeaseKeepAlive(&response))?;
        return Ok(Exit::SUCCESS);
    }
    let mut keeper = session.client.keep_alive(id);
    while let Some(response) = keeper.next().await.map_err(bad_connection)? {
        context.show(&session, Answer::LeaseKeepAlive(&response))?;
    }
    if session.printer.format == Format::Simple {
        context.out(format!("lease {id:016x} expired or revoked.\n"))?;
    }
    Ok(Exit::SUCCESS)
}

/// The only argument, as a lease's id.
fn lease_id(context: &Context<'_>, otherwise: &str) -> Result<i64, Failure> {
    let [id] = context.args() else { return Err(Failure::arguments(otherwise)) };
    go::parse_hex_i64(&String::from_utf8_lossy(id)).map_err(|reason| {
        Failure::arguments(format!("bad lease ID arg ({reason}), expecting ID in Hex"))
    })
}

fn bad_connection(error: Error) -> Failure {
    Failure::new(Exit::BAD_CONNECTION, call_message(&error))
}
